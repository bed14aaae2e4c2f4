"""Disks that are full, read-only or know no links: a clear error, earlier artefacts intact, and the next run goes on.

    sudo python -m tests.faults.disk --folder /tmp/disk

Needs root, to mount small file systems in memory below the folder, and a C compiler, for a file system without links:
one whose calls to make any are refused, for few kernels have another. With --until, all is done with the recipe up to
that stage. Exit status 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.artefacts import Project, differences

FAULTS: list[str] = []
STOPPED: list[bool] = []  # of each disk that was full or read-only, whether the run ended at it
RUN = ["ccm", "run"]
NO_LINKS = """
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int link(const char *from, const char *to) { errno = EPERM; return -1; }
int linkat(int a, const char *from, int b, const char *to, int flags) { errno = EPERM; return -1; }
int symlink(const char *from, const char *to) { errno = EPERM; return -1; }
int symlinkat(const char *from, int a, const char *to) { errno = EPERM; return -1; }
int ioctl(int file, unsigned long what, ...) {
    va_list rest;
    va_start(rest, what);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (what == 0x40049409) { errno = EOPNOTSUPP; return -1; }  /* FICLONE: a reflink */
    return syscall(SYS_ioctl, file, what, argument);
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--until", metavar="STAGE", help="the recipe up to there; none: all of it")
    arguments = parser.parse_args()
    RUN.extend([arguments.until] if arguments.until else [])
    if os.geteuid() != 0:
        sys.exit("this needs root, to mount small file systems")
    root = (arguments.folder or Path(tempfile.mkdtemp(prefix="disk-"))).resolve()
    place = root / "project"
    place.mkdir(parents=True)
    with mounted("tmpfs", place, "size=2g"):
        project = Project(place)
        print(f"undisturbed: {project.finish(*RUN):.0f} s", flush=True)
        expected = project.artefacts()
        project.forget()
        full_disk(project, expected)
        project.forget()
        read_only(project, expected)
        project.forget()
        cache_elsewhere(project, root / "cache", expected)
        project.forget()
        without_links(project, root, expected)
    print(f"{len(STOPPED)} disks full or read-only, {sum(STOPPED)} of which stopped a run; {len(FAULTS)} faults")
    sys.exit(bool(FAULTS))


def full_disk(project: Project, expected: dict[str, str]) -> None:
    """The disk fills up at ever later moments of the run."""
    for spare in (1, 8, 24):
        used = sum(path.stat().st_blocks * 512 for path in project.folder.rglob("*") if not path.is_symlink())
        remount(project.folder, f"size={used // 1024 + 1024 * spare}k")
        before = project.artefacts()
        fails(project, f"full after {spare} MB more", before, "No space left")
        remount(project.folder, "size=2g")
    project.finish(*RUN)
    check("full disk", differences(project.artefacts(), expected))


def read_only(project: Project, expected: dict[str, str]) -> None:
    """Folders of outputs that cannot be written to."""
    for name in ("data/tables", "models", "metrics"):
        folder = project.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with mounted("none", folder, "bind", str(folder)):
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
            fails(project, f"{name} read-only", project.artefacts(), "Read-only file system")
    project.finish(*RUN)
    check("read-only", differences(project.artefacts(), expected))


def cache_elsewhere(project: Project, cache: Path, expected: dict[str, str]) -> None:
    """DVC's cache on another file system, to which no hard link leads, nor a reflink."""
    cache.mkdir()
    with mounted("tmpfs", cache, "size=1g"):
        project.run("dvc", "cache", "dir", "--local", str(cache))
        project.finish(*RUN)
        check("cache on another file system", differences(project.artefacts(), expected))
        seconds = project.finish(*RUN)
        print(f"cache on another file system: a second run took {seconds:.0f} s", flush=True)
        project.run("dvc", "cache", "dir", "--local", "--unset")


def without_links(project: Project, root: Path, expected: dict[str, str]) -> None:
    """DVC's cache where neither hard nor symbolic links nor reflinks can be made, and DVC is asked for each first."""
    source, library = root / "no_links.c", root / "no_links.so"
    source.write_text(NO_LINKS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    project.run("dvc", "config", "--local", "cache.type", "reflink,hardlink,symlink,copy")
    os.environ["LD_PRELOAD"] = str(library)
    try:
        project.finish(*RUN)
        for path in (project.folder / name for name in project.artefacts()):
            if path.is_symlink() or path.stat().st_nlink > 1:
                check("without links: a link", [str(path)])
    finally:
        del os.environ["LD_PRELOAD"]
    check("a cache without links", differences(project.artefacts(), expected))
    project.run("dvc", "config", "--local", "--unset", "cache.type")


def fails(project: Project, name: str, before: dict[str, str], *words: str) -> None:
    """Run, which must fail in words, and leave what is not the failing stage's as it was."""
    start = len(project.tail(10**9))
    code = project.start(*RUN).wait()
    said = project.tail(10**9)[start:]
    STOPPED.append(code != 0)
    if code == 0:
        print(f"{name}: there was room enough", flush=True)
        return
    line = next((line for line in said if any(word in line for word in words)), "")
    print(f"{name}: exit {code}; {line[:200]}", flush=True)
    check(f"{name}: no clear error", [] if line else said[-5:])
    check(f"{name}: a traceback", [line for line in said if line.startswith("Traceback")])
    after = project.artefacts()
    check(
        f"{name}: an artefact changed", [path for path, digest in before.items() if after.get(path, digest) != digest]
    )


def check(name: str, problems: list[str]) -> None:
    """Count what is wrong, and say it."""
    if problems:
        FAULTS.append(name)
        print("\n  ".join([f"FAULT: {name}", *problems[:20]]), flush=True)
    elif ":" not in name:
        print(f"{name}: all artefacts as undisturbed", flush=True)


@contextmanager
def mounted(kind: str, place: Path, options: str, source: str = "faults") -> Iterator[None]:
    """A file system at a place, for as long as the block lasts."""
    subprocess.run(["mount", *(["-t", kind] if kind != "none" else []), "-o", options, source, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


if __name__ == "__main__":
    main()
