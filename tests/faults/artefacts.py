"""The miniature project that the scripts work in, and what its artefacts are."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.test_miniature import Workspace

FOLDERS = ("data", "models", "metrics", "reports")
CLOCKS = ("data/figures/benchmark_times.json", "reports/times.html")  # what a second run cannot give again


class Project(Workspace):
    """The miniature recipe in a folder of its own, whose commit has the same name each time: no clock in it."""

    def __init__(self, folder: Path) -> None:
        os.environ |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
        super().__init__(folder)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own; its output goes to a file, `log`."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
        }
        environment.pop("PREFECT_API_URL", None)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self) -> Path:
        """What the commands said; outside of the folder."""
        return self.folder.with_suffix(".log")

    def finish(self, *command: str) -> float:
        """Run a command to its end; the seconds it took. SystemExit where it fails."""
        started = time.monotonic()
        if (code := self.start(*command).wait()) != 0:
            sys.exit(f"{' '.join(command)}: exit status {code}\n" + "\n".join(self.tail(40)))
        return time.monotonic() - started

    def tail(self, count: int) -> list[str]:
        """The last lines of the log."""
        return self.log.read_text(errors="replace").splitlines()[-count:]

    def forget(self) -> None:
        """Back to the commit: no artefact, no state, no cache of DVC's."""
        kept = ["-e", "__pycache__", "-e", ".state/prefect"]
        subprocess.run(["git", "clean", "-fdxq", *kept], cwd=self.folder, check=True)

    def artefacts(self) -> dict[str, str]:
        """Hashes of the files that the stages made, by path; those aside that are half-written, and `CLOCKS`."""
        files = (path for name in FOLDERS for path in (self.folder / name).rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): hashlib.md5(_content(path)).hexdigest()
            for path in sorted(files)
            if not any(part.endswith(".partial") for part in path.parts)
            and path.name != ".gitignore"
            and not str(path.relative_to(self.folder)).startswith(CLOCKS)
        }

    def processes(self) -> list[psutil.Process]:
        """What runs in the folder, the Prefect server aside."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                inside = Path(process.cwd()) == self.folder
                if inside and not {"flows.ui", "prefect", "daemon"} & set(process.cmdline()):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def _content(path: Path) -> bytes:
    """A file's bytes; of the report, those lines aside that hold the hash of one of `CLOCKS`."""
    content = path.read_bytes()
    if path.suffix != ".html":
        return content
    return b"\n".join(line for line in content.splitlines() if not any(name.encode() in line for name in CLOCKS))


def within(seconds: float, condition: Callable[[], bool]) -> float | None:
    """After how many seconds something was so; None where it never was."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            return None
        time.sleep(0.1)
    return time.monotonic() - started


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Artefacts that are missing, more than expected, or other than expected."""
    lines = [f"missing: {path}" for path in expected if path not in found]
    lines += [f"unexpected: {path}" for path in found if path not in expected]
    return lines + [f"differs: {path}" for path, digest in expected.items() if found.get(path, digest) != digest]
