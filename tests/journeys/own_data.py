"""From somebody's own files through `ccm init` to the report, with no line written by hand but the miniature's sizes.

    python -m tests.journeys.own_data --only lspe --folder /tmp/own-data

The sets lie in ../shared (or where CCM_SHARED says). Exit status 1 where one does not reach the report.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.settings.profile import profile_text
from pipeline.settings.reading import load_yaml
from tests.test_miniature import ROOT, Workspace, shrunk

SHARED = Path(os.environ.get("CCM_SHARED", ROOT.parent / "shared"))
# Where it lies, who the report speaks of, and whether it is COCO's set, with which the paper's tables compare.
SETS = {
    "cvat": ("cases/own-data/cvat", "person", False),
    "animals": ("cases/own-data/animals", "animal", False),
    "coco": ("real/coco", "person", True),
    "lspe": ("real/lspe", "person", False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SETS), default=list(SETS))
    arguments = parser.parse_args()
    root = (arguments.folder or Path(tempfile.mkdtemp(prefix="own-data-"))).resolve()
    for name in arguments.only:
        to_the_report(name, root / name)


def to_the_report(name: str, folder: Path) -> None:
    """One set, in a folder of its own with a copy of the set beside the project."""
    place, subject, is_coco = SETS[name]
    (folder / "project").mkdir(parents=True)
    shutil.copytree(SHARED / place, folder / name)
    made = Workspace(folder / "project", load_yaml(profile_text("built-in"), "built-in"))
    started = time.monotonic()
    made.run("ccm", "init", "--labelled", f"../{name}")
    assert "0 errors" in made.run("ccm", "data", "check")
    ready = time.monotonic()
    params = load_yaml((made.folder / "params.yaml").read_text(), "params.yaml")
    with (made.folder / "params.yaml").open("w") as file:
        YAML().dump(shrunk(params), file)
    made.commit("own data")
    made.run("dvc", "repro")
    page = (made.folder / "reports/report.html").read_text()
    assert f"<h1>{params['report']['title']}</h1>" in page
    assert f"no annotated {subject}" in page
    assert ("The data here are not COCO" in page) is not is_coco
    assert "up to date" in made.run("dvc", "status")
    print(f"{name}: init and check {ready - started:.0f} s, report after {time.monotonic() - ready:.0f} s", flush=True)


if __name__ == "__main__":
    main()
