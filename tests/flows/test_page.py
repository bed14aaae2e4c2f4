"""What a person sees: the Prefect page in a headless Chromium, from the form to the cached stage."""

from __future__ import annotations

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
    (workspace.track().folder / "slow.seconds").write_text("25")
    serving = workspace.start("serve", api=api)
    try:
        deployment = wait_for(lambda: _deployment(api, workspace.folder.name))

        run = _submit_form(page, f"{site}/deployments/deployment/{deployment}/run", api)
        _see_it_live(page, site, api, run, tmp_path)
        wait_for(lambda: _state(api, run) == "Completed")
        _see_its_picture(page, site, api, run, tmp_path)

        again = _submit_form(page, f"{site}/deployments/deployment/{deployment}/run", api)
        wait_for(lambda: _state(api, again) == "Completed")
        page.goto(f"{site}/runs/flow-run/{again}")
        page.get_by_text("Subflow Runs").click()
        page.get_by_text("Cached").first.wait_for()
        page.screenshot(path=tmp_path / "cached.png")
        assert children(api, {"id": again})["fake_slow"] == "Cached"

        _cancel(page, site, api, workspace, deployment)
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=30)
    assert asked == {site.removeprefix("http://")}, "the page asks nobody else"


def _deployment(api: str, name: str) -> str | None:
    found = ask(api, "/deployments/filter", deployments={"name": {"any_": [name]}})
    return str(found[0]["id"]) if found else None


def _state(api: str, run: str) -> str:
    return str(runs(api, id={"any_": [run]})[0]["state_name"])


def _submit_form(page: Any, address: str, api: str) -> str:
    """Press Submit in the form; the id of the run that it made."""
    page.goto(address)
    page.get_by_text("Targets").wait_for()
    page.get_by_text("Settings (Optional)").wait_for()
    deployment = address.split("/")[-2]
    before = {run["id"] for run in runs(api, deployment_id={"any_": [deployment]})}
    page.get_by_role("button", name="Submit").click()
    new = wait_for(lambda: [r for r in runs(api, deployment_id={"any_": [deployment]}) if r["id"] not in before])
    return str(new[0]["id"])


def _see_it_live(page: Any, site: str, api: str, run: str, pictures: Path) -> None:
    """While the slow stage works: all stages below the run, and a progress between 0 and 100."""
    slow = wait_for(lambda: [r for r in runs(api, parent_flow_run_id={"any_": [run]}) if r["name"] == "fake_slow"])[0]
    progress = wait_for(lambda: artifacts(api, slow).get("progress-samples"))
    page.goto(f"{site}/artifacts/artifact/{progress['id']}")
    shown = page.get_by_text(re.compile(r"samples: \d+ of 20, .* left")).first
    shown.wait_for()
    page.screenshot(path=pictures / "progress.png")
    assert 0 < artifacts(api, slow)["progress-samples"]["data"] < 100
    page.goto(f"{site}/runs/flow-run/{run}")
    page.get_by_text("Subflow Runs").click()
    for stage in ("fake_quick@a", "fake_quick@ACHU->CH", "fake_slow"):
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


def _cancel(page: Any, site: str, api: str, workspace: Workspace, deployment: str) -> None:
    """Cancel in the page's menu: no process and no lock is left."""
    (workspace.folder / "slow.seconds").write_text("120")
    (workspace.folder / "pids").unlink()
    run = _submit_form(page, f"{site}/deployments/deployment/{deployment}/run", api)
    pids = workspace.pids()
    page.goto(f"{site}/runs/flow-run/{run}")
    page.locator("button.flow-run-menu, .p-icon-button-menu button").first.click()
    page.get_by_text("Cancel", exact=True).first.click()
    page.get_by_role("button", name="Cancel").last.click()
    wait_for(lambda: gone(pids), 30)
    wait_for(lambda: _state(api, run) == "Cancelled")
    (workspace.folder / "slow.seconds").write_text("0.1")
    workspace.ccm("run", "fake_slow")
