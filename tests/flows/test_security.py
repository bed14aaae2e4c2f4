"""Who reaches the page reaches no shell and no file outside; names of others are text; servers stay at home."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from flows.cli import main
from flows.dag import Request
from flows.deployment import check_form
from flows.repro import check_targets
from flows.spread import dask_client
from flows.view import PrefectProgress, shown
from pipeline.progress import Progress
from pipeline.records.text import printable, without_secrets
from pipeline.report.blocks import Figure, Fold, Gallery, Note, Picture, Section, Table, Text
from pipeline.report.charts import bar_chart, histogram, line_chart
from pipeline.report.page import rendered
from pipeline.settings import Spread, load_params
from pipeline.settings.profile import PROFILES

NASTY = "<script>alert(1)</script>\"'`&\x1b[2J](javascript:alert(1))"


@pytest.mark.parametrize(
    "target",
    ["--force", "-C/etc", "--file=/etc/passwd", "evaluate; touch x", "$(touch x)", "a\nb", "../x", "a@../b", "", "a b"],
)
def test_targets_are_names_of_stages(target: str) -> None:
    with pytest.raises(ValueError, match="allowed: names of stages"):
        check_form(Request(targets=[target]))
    check_targets(["evaluate", "train_joint@ACHU-CH", "evaluate_ensemble@all.2"])


@pytest.mark.parametrize(
    "setting",
    [
        "data.sources.train.index=/etc/passwd",
        "data.sources.train={format: coco, index: ../../x.json, images: x, keypoints: coco}",
        "models.lite0.weights=~/weights.pth",
        "train_teachers.models.lite0.checkpoint=https://elsewhere/x.pth",
        "detect_people.sources={/etc/x: models/detectors/person}",
        "spread.address=elsewhere:8786",
        "data.keypoints=a/../../mine.yaml",
    ],
)
def test_the_form_names_nothing_outside_of_the_project(setting: str) -> None:
    with pytest.raises(ValueError, match="the form"):
        check_form(Request(settings=[setting]))
    check_form(Request(settings=["train_joint.epochs=3", "data.sources.train.index=data/x.json", "strategies=[C-C]"]))


def test_what_reaches_a_shell_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC puts these into its commands: none may hold anything that a shell takes for more than a word."""
    monkeypatch.chdir(tmp_path)
    text = (PROFILES / "built-in.yaml").read_text()
    nasty = "'train; touch x'"
    for old, new in (
        ("strategies: [ACHU-CH]", f"strategies: [{nasty}]"),
        ("sources: [external]", f"sources: [{nasty}]"),
        ("sources: [train]", f"sources: [{nasty}]"),
        ("sources: [unlabeled]", f"sources: [{nasty}]"),
        ("  built-in: {seed", f"  {nasty}: {{seed"),
        ("sources: {train: models", f"sources: {{{nasty}: models"),
        ("models: {lite0: {model", f"models: {{{nasty}: {{model"),
        ("evaluate_ensemble: {}", f"evaluate_ensemble: {{{nasty}: [final/ACHU-CH]}}"),
    ):
        assert old in text
        Path("params.yaml").write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=r"params\.yaml"):
            load_params()


def test_the_report_shows_names_as_text() -> None:
    params = load_params(PROFILES / "built-in.yaml")
    chart = [
        line_chart({NASTY: ([1], [1])}, NASTY, NASTY),
        bar_chart([NASTY], {NASTY: [1], NASTY + "2": [1]}, NASTY, x_label=NASTY),
        histogram([1], 0, 1, NASTY, NASTY, {NASTY: 0.5}),
    ]
    blocks = [
        Table([NASTY], [[NASTY]], NASTY),
        *(Figure(each, NASTY) for each in chart),
        Gallery([Picture("data:image/png;base64,", NASTY, 10, 10)], NASTY),
        Note(NASTY), Note(NASTY, missing=True), Text(NASTY), Fold(NASTY, [Note(NASTY)], NASTY),
    ]  # fmt: skip
    page = rendered(NASTY, params, [Section("x", NASTY, NASTY, blocks)])
    assert "<script" not in page
    assert str(escape("<script>")) in page


def test_the_page_of_prefect_shows_names_as_text() -> None:
    assert "<" not in shown(NASTY)
    assert "](" not in shown(NASTY).replace("\\](", "")
    artifacts = []

    class Posted:
        def post(self, letter: object, key: str | None = None) -> None:
            artifacts.append(letter)

    spread = Spread(runner="threads", workers=1, address=None, shard_images=1)
    progress = PrefectProgress(spread, Posted(), None)  # type: ignore[arg-type]
    made = progress._artifact("table", "x", [], NASTY)
    assert "<" not in str(made.description)


def test_the_terminal_shows_names_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().say(f"{NASTY}\rover")
    assert "\x1b" not in capsys.readouterr().out


def test_commands_show_names_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder whose name would clear the screen, in the answer of a command that names it."""
    monkeypatch.chdir(tmp_path)
    text = (PROFILES / "built-in.yaml").read_text().replace("data/built-in/coco/val2017,", '"own\\e[2J",')
    text = text.replace("data/built-in/coco/annotations/person_keypoints_val2017.json", '"mine\\e[2J.json"')
    Path("params.yaml").write_text(text)
    main(["data", "check"])
    said = capsys.readouterr()
    assert "mine\\x1b[2J.json" in said.out + said.err
    assert "\x1b" not in said.out + said.err


@given(st.text())
def test_what_is_shown_in_the_page_has_no_markup(text: str) -> None:
    assert "<" not in shown(text)
    assert printable(shown(text)) == shown(text)


def test_passwords_in_addresses_are_left_out() -> None:
    assert without_secrets("address: tls://me:hidden@host:1") == "address: tls://***@host:1"
    assert without_secrets("mail me@host, a://b/c@d") == "mail me@host, a://b/c@d"


def test_dask_listens_on_this_machine_alone() -> None:
    pytest.importorskip("distributed")
    with dask_client(Spread(runner="dask", workers=1, address=None, shard_images=1)):
        ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = [
            connection.laddr.ip
            for process in ours
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1"}


@pytest.mark.slow
def test_the_server_listens_on_this_machine_alone(server_folder: Path, api: str) -> None:
    port = int(api.split(":")[2].split("/")[0])
    listening = [each.laddr for each in psutil.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}:
        with socket.socket(socket.AF_INET6 if ":" in str(address) else socket.AF_INET) as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, port)) != 0


def test_a_record_of_a_server_is_no_more_than_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import server

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    server.FOLDER.mkdir(parents=True)
    addresses = ['{"api": 3}', '{"api": "http://127.0.0.1:x/api"}', '{"api": "file:///etc/passwd"}']
    for content in ("", "[]", "{", "[" * 9999, *addresses):
        server.ADDRESS_FILE.write_text(content)
        assert server.connect() is None
        assert json.dumps(server.absence())
