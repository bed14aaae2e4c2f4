"""Run the miniature recipe twice, in two directories, and compare every artefact.

    python -m tests.faults.twice --folder /tmp/twice

Exit status 1 where one differs. Figures go to standard output, what the commands said to FOLDER/*.log.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.artefacts import CLOCKS, Project, differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    root = (arguments.folder or Path(tempfile.mkdtemp(prefix="twice-"))).resolve()
    found = []
    for name in ("first", "another/second"):
        (root / name).mkdir(parents=True)
        project = Project(root / name)
        print(f"{name}: {project.finish('dvc', 'repro'):.0f} s", flush=True)
        found.append(project.artefacts())
    unequal = differences(found[1], found[0])
    print("\n".join([*unequal, f"{len(found[0]) - len(unequal)} of {len(found[0])} files are equal"]))
    print(f"not compared, for they hold times: {', '.join(CLOCKS)}")
    sys.exit(bool(unequal))


if __name__ == "__main__":
    main()
