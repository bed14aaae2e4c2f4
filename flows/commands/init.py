"""`ccm init`: from annotation files to params that train on them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.commands.parsing import Arguments, Commands, command

_LISTS = ("labelled", "external", "unlabelled", "val")
_QUESTIONS = {
    "labelled": "Labelled data: annotation files (FILE or FILE:IMAGES) or their folder",
    "val": "Labelled data to validate on, if they are apart (Enter: part of the above is set aside)",
    "external": "Labelled data with other keypoints (Enter: none)",
    "unlabelled": "Folders of pictures without labels (Enter: none)",
}


def add(commands: Commands) -> None:
    """`init`."""
    parser = command(
        commands,
        "init",
        "write params.yaml and a keypoint set for data of your own",
        "ccm init --labelled ../zoo/annotations.json --unlabelled ../zoo/more\n"
        "ccm init --labelled a.json:pictures b.json --val-share 0.2 --base built-in",
        _init,
        detail="Reads the files, says what it found, and writes it with a reason for each value that it recommends. "
        "Asks on a terminal where nothing is given; with --labelled it asks nothing.",
    )
    parser.add_argument(
        "--labelled", nargs="+", default=[], metavar="FILE[:IMAGES]", help="annotation files, or folders of them"
    )
    parser.add_argument("--external", nargs="+", default=[], metavar="FILE[:IMAGES]", help="labels of other keypoints")
    parser.add_argument("--unlabelled", nargs="+", default=[], metavar="FOLDER", help="pictures without labels")
    parser.add_argument("--val", nargs="+", default=[], metavar="FILE[:IMAGES]", help="labels to validate on")
    parser.add_argument("--val-share", type=_share, default=0.1, metavar="SHARE", help="set aside without --val (0.1)")
    parser.add_argument("--base", default="built-in", metavar="PROFILE", help="whose networks and rest are taken")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="a new copy of the project for it; none: here")
    parser.add_argument("--seed", type=int, default=0, help="decides the split")
    parser.add_argument("--force", action="store_true", help="keep no copy of a params.yaml that is edited")


def _share(text: str) -> float:
    import argparse

    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: between 0 and 1")
    return value


def _init(arguments: Arguments) -> int:
    from flows.commands.settings import confirmed
    from pipeline.setup.facts import Machine
    from pipeline.setup.hours import hours
    from pipeline.setup.project import Given, checked, plan, write

    given = {name: list(getattr(arguments, name)) for name in _LISTS}
    asked = not given["labelled"]
    if asked:
        given = _asked(given)
    if arguments.into is not None:
        return _into(arguments, given)
    wanted = Given(
        given["labelled"],
        given["external"],
        given["unlabelled"],
        given["val"],
        arguments.val_share,
        arguments.base,
        arguments.seed,
    )
    machine = Machine.here()
    made = plan(wanted, machine)
    print("\n".join(made.told))
    if asked and not confirmed("write params.yaml for this?"):
        print("nothing written")
        return 1
    print("\n".join(write(made, force=arguments.force)))
    print(f"{hours(checked(made), machine)} (`ccm doctor --plan` measures every stage)")
    print("next: ccm data check && dvc repro")
    return 0


def _asked(given: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is not given, asked for on a terminal; ValueError where there is nobody to ask."""
    import shlex

    if not sys.stdin.isatty():
        raise ValueError("init: --labelled: name at least one annotation file, or its folder")
    for name, question in _QUESTIONS.items():
        if not given[name]:
            given[name] = shlex.split(input(f"{question}: "))
    if not given["labelled"]:
        raise ValueError("init: nothing labelled, nothing to learn from")
    return given


def _into(arguments: Arguments, given: dict[str, list[str]]) -> int:
    """Make a copy of the project (what is committed) and run there; where that fails, none is left in the way.

    ValueError where git makes none, in its own words.
    """
    folder: Path = arguments.into
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"--into {folder}: is there already and not empty; go there and run ccm init")
    cloned = subprocess.run(
        ["git", "clone", "--quiet", "--", str(Path.cwd()), str(folder)], capture_output=True, text=True
    )
    if cloned.returncode:
        said = (cloned.stderr.strip().splitlines() or ["git clone failed"])[-1]
        raise ValueError(f"--into {folder}: no copy of the project can be made there: {said}")
    command = [sys.executable, "-m", "flows.cli", "init"]
    for name, values in given.items():
        command += [f"--{name}", *map(_absolute, values)] if values else []
    command += ["--val-share", str(arguments.val_share), "--base", arguments.base, "--seed", str(arguments.seed)]
    done = subprocess.run(command, cwd=folder).returncode
    if done:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"the project is in {folder}: cd {folder}")
    return done


def _absolute(text: str) -> str:
    """FILE or FILE:IMAGES, with the paths as they are from here."""
    if Path(text).exists() or ":" not in text:
        return str(Path(text).resolve())
    parts: Sequence[str] = text.rpartition(":")
    return f"{Path(parts[0]).resolve()}:{Path(parts[2]).resolve()}"
