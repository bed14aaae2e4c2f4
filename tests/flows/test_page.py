"""What a person sees: the Prefect page in a headless Chromium, from the form to the cached stage."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Workspace, ask, gone, wait_for
from tests.flows.test_runs import artifacts, children, runs

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a headless browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def test_form_run_cancel_and_cached(workspace: Workspace, api: str, page: Any, tmp_path: Path) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url.split("/")[2]) if request.url.startswith("http") else None)
    site = api.removesuffix("/api")
    (workspace.track().folder / "slow.seconds").write_text("30")
    serving = workspace.start("serve", api=api)
    try:
        form = f"{site}/deployments/deployment/{wait_for(lambda: _deployment(api, workspace.folder.name))}/run"

        run = _submit_form(page, form, api, setting="train_joint.epochs=77")
        _see_it_live(page, site, api, run, tmp_path)
        wait_for(lambda: _state(api, run) == "Completed")
        _see_its_picture(page, site, api, run, tmp_path)
        # What test_runs.py finds `ccm run` and `dvc repro` to write.
        assert (workspace.folder / "out/quick-a.txt").read_text() == "a: 77 epochs\n"
        assert (workspace.folder / "out/slow.txt").read_text() == "done\n"

        (workspace.folder / "slow.seconds").write_text("120")
        (workspace.folder / "pids").unlink()
        again = _submit_form(page, form, api)
        pids = workspace.pids()
        page.goto(f"{site}/runs/flow-run/{again}")
        page.get_by_text("Subflow Runs").click()
        page.get_by_text("Cached").nth(1).wait_for()
        page.screenshot(path=tmp_path / "cached.png")
        assert children(api, {"id": again}) == {
            "fake_quick@a": "Cached",
            "fake_quick@ACHU-CH": "Cached",
            "fake_slow": "Running",
        }

        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Confirm").click()
        wait_for(lambda: gone(pids), 30)
        wait_for(lambda: _state(api, again) == "Cancelled")
        assert json.loads((workspace.folder / ".dvc/tmp/rwlock").read_text()) == {}
        page.get_by_text("Cancelled").first.wait_for()
        page.screenshot(path=tmp_path / "cancelled.png")
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=30)
    (workspace.folder / "slow.seconds").write_text("0.1")
    workspace.ccm("run", "fake_slow")
    assert asked == {site.removeprefix("http://")}, "the page asks nobody else"


def _deployment(api: str, name: str) -> str | None:
    found = ask(api, "/deployments/filter", deployments={"name": {"any_": [name]}})
    return str(found[0]["id"]) if found else None


def _state(api: str, run: str) -> str:
    return str(runs(api, id={"any_": [run]})[0]["state_name"])


def _submit_form(page: Any, address: str, api: str, setting: str | None = None) -> str:
    """Fill in the form, with `setting` in its list of settings, and press Submit; the id of the run that it made."""
    page.goto(address)
    page.get_by_text("Targets").wait_for()
    page.get_by_text("Settings (Optional)").wait_for()
    page.wait_for_load_state("networkidle")  # on a busy machine the page is drawn before Submit does anything
    if setting is not None:
        page.get_by_role("button", name="Add item").nth(1).click()
        page.locator("textarea").first.fill(setting)
    deployment = address.split("/")[-2]
    before = {run["id"] for run in runs(api, deployment_id={"any_": [deployment]})}
    page.get_by_role("button", name="Submit").click()
    new = wait_for(lambda: [r for r in runs(api, deployment_id={"any_": [deployment]}) if r["id"] not in before])
    return str(new[0]["id"])


def _see_it_live(page: Any, site: str, api: str, run: str, pictures: Path) -> None:
    """While the slow stage works: all stages below the run, and a progress between 0 and 100 that moves by itself."""
    slow = wait_for(lambda: [r for r in runs(api, parent_flow_run_id={"any_": [run]}) if r["name"] == "fake_slow"])[0]
    wait_for(lambda: artifacts(api, slow).get("progress-samples", {"data": 0})["data"] > 0)
    page.goto(f"{site}/runs/flow-run/{slow['id']}")
    page.get_by_text("Artifacts").last.click()
    shown = page.get_by_text(re.compile(r"samples: [1-9]\d* of 20, .* left")).first
    shown.wait_for()
    first = shown.text_content()
    page.screenshot(path=pictures / "progress.png")
    wait_for(lambda: shown.text_content() != first, 20)
    assert 0 < artifacts(api, slow)["progress-samples"]["data"] < 100
    page.goto(f"{site}/runs/flow-run/{run}")
    page.get_by_text("Subflow Runs").click()
    for stage in ("fake_quick@a", "fake_quick@ACHU-CH", "fake_slow"):
        page.get_by_text(stage, exact=True).first.wait_for()
    page.screenshot(path=pictures / "live.png")


def _see_its_picture(page: Any, site: str, api: str, run: str, pictures: Path) -> None:
    """The image artifact is there and its picture loads."""
    slow = next(r for r in runs(api, parent_flow_run_id={"any_": [run]}) if r["name"] == "fake_slow")
    page.goto(f"{site}/artifacts/artifact/{artifacts(api, slow)['gradient']['id']}")
    image = page.locator("img[src^='data:image/png']").first
    image.wait_for()
    assert image.evaluate("picture => [picture.complete, picture.naturalWidth]") == [True, 64]
    page.screenshot(path=pictures / "picture.png")
