import json

import pytest

from flows import cli
from flows.stages import stage_names
from pipeline import layout
from pipeline.benchmarks import load
from pipeline.records.tables import read_table


def test_every_stage_runs_on_what_is_generated(tmp_path, capsys, monkeypatch):
    """In this process, to spare it the imports; the processes of their own are tested below."""
    monkeypatch.chdir(tmp_path)

    def here(folder, name, item, scale):
        load._run_stage(name, item, scale)
        return {"seconds": 1.0, "CPU seconds": 1.0, "peak MB": 1}

    monkeypatch.setattr(load, "_measured", here)
    assert load.main(["--scale", "0.0005", "--folder", str(tmp_path), "--json"]) == 0
    sizes, *stages, report = json.loads(capsys.readouterr().out)
    assert sizes["images"] == sum(max(images // 2000, 20) for images, _ in load.SIZES.values())
    assert [row["stage"] for row in stages] == ["generate", *(" ".join(stage).strip() for stage in load.STAGES)]
    assert 0 < report["report, MB"] < 20
    rows = read_table(layout.training_set(load.STRATEGY, "train"), "instances")
    assert {"labelled", "pseudo", "hard_negative"} == set(rows["kind"].unique().to_pylist())


def test_every_stage_is_run_or_left_out_for_a_reason():
    run = {name for name, _ in load.STAGES}
    assert run | set(load.LEFT_OUT) == set(stage_names())
    assert not run & set(load.LEFT_OUT)


def test_a_dry_run_prints_each_stage_and_the_sums(capsys, monkeypatch):
    def measured(folder, name, item, scale):
        assert scale == 0.01
        return {"seconds": 2.0, "CPU seconds": 1.0, "peak MB": 100 + len(name)}

    monkeypatch.setattr(load, "_measured", measured)
    monkeypatch.setattr(load, "_report_size", lambda folder: 1.5)
    assert cli.main(["run", "--dry", "--scale", "0.01"]) == 0
    first, _, *stages, sums = [line for line in capsys.readouterr().out.splitlines() if "left out" not in line]
    assert first.startswith("2,399 generated images, 6,999 people")
    assert [line.split()[0] for line in stages] == ["generate", *(name for name, _ in load.STAGES)]
    count = 1 + len(load.STAGES)
    assert sums == f"together {2 * count} s, {count} CPU s, 121 MB at most; the report has 1.5 MB"


@pytest.mark.parametrize(
    "arguments", [["--dry", "evaluate"], ["--dry", "-S", "a=1"], ["--dry", "--force"], ["--scale", "1"]]
)
def test_a_dry_run_takes_a_scale_and_nothing_else(arguments, capsys):
    assert cli.main(["run", *arguments]) == 2
    assert "--" in capsys.readouterr().err


def test_what_a_failing_stage_printed_is_shown(tmp_path):
    (tmp_path / "params.yaml").write_text("{}")
    with pytest.raises(RuntimeError, match=r"ingest train failed:(.|\n)*params\.yaml"):
        load._measured(tmp_path, "ingest", "train", 1.0)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="not empty"):
        list(load.run(tmp_path, 0.001))


def test_the_sizes_are_240000_images_and_700000_people():
    assert sum(images for images, _ in load.SIZES.values()) == 240_000
    assert sum(people for _, people in load.SIZES.values()) == 700_000
