"""The command `ccm`. Starts fast: what a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.commands import annotate, comparing, doctor, init, measuring, models, running, settings
from flows.commands.parsing import Arguments, Help, examples
from flows.errors import DvcFailed
from flows.memory import keep_freed_memory

GROUPS = (init, running, settings, annotate, comparing, measuring, doctor, models)
ANYWHERE = ("complexity", "bench", "export", "show")  # they ask for no project
_EXAMPLES = """
ccm run                          # bring everything up to date, seen in the Prefect UI
ccm params show train_joint      # what a stage will run with
ccm profile labelled-only        # start from another profile
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 2 for wrong input (one message, no traceback), 130 or 143 when interrupted."""
    # Before torch is imported: threads that wait by spinning take the cores from those that work on a shared machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()
    _guard(sys.stdout)
    workspace = str(Path.cwd())
    if (Path(workspace) / "pipeline" / "steps").is_dir() and workspace not in sys.path:
        sys.path.insert(0, workspace)  # an experiment's copy of the project runs its own code
    try:
        arguments = parsed(argv)
        if arguments.command_name not in ANYWHERE:
            check_project(Path())
        return int(arguments.run(arguments) or 0)
    except ValueError as error:
        return _refused(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        if error.filename is None and error.errno != errno.ENOSPC:
            raise  # nothing that a user could name: ours to find
        place = "" if error.filename is None else f"{error.filename}: "
        return _refused(f"{place}{error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if "out of memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        first = (str(error).splitlines() or ["out of memory"])[0]
        return _refused(f"{first}; lower batch_size, workers or processes, or take a smaller network")
    except DvcFailed:  # its last lines are on the terminal already
        return 1
    except KeyboardInterrupt:
        print("ccm: interrupted", file=sys.stderr)
        return 130


def _guard(stream: Any) -> None:
    """Let nothing through that steers a terminal: names of files, keypoints and sources are other people's text.

    Bars, which do, go to standard error; what `dvc` and its stages say passes as bytes, guarded where it was written.
    """
    from pipeline.records.text import printable

    if getattr(stream, "guarded", False):
        return
    write = stream.write
    stream.write, stream.guarded = lambda text: write(printable(text)), True


def _refused(message: str) -> int:
    """Say what is wrong with the input, whatever file names or values it repeats."""
    from pipeline.records.text import clipped, printable

    lines = [clipped(line, 2000) for line in printable(message).splitlines()]
    print("\n".join([f"ccm: {lines[0] if lines else 'failed'}", *lines[1:]]), file=sys.stderr)
    return 2


def check_project(folder: Path) -> None:
    """ValueError outside of a project's folder, in one line that says what to do."""
    if not (folder / "params.yaml").is_file() and not (folder / "dvc.yaml").is_file():
        raise ValueError(
            f"{folder.resolve()}: no project here (no params.yaml, no dvc.yaml); go to the project's folder"
        )


def parsed(argv: Sequence[str] | None) -> Arguments:
    """What was typed. Options that `ccm` does not know are handed on by the commands that run another (`rest`)."""
    parser = make_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown and not hasattr(arguments, "rest"):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if unknown:
        arguments.rest = [*unknown, *arguments.rest]
    return arguments


def make_parser() -> argparse.ArgumentParser:
    """All commands."""
    parser = argparse.ArgumentParser(
        prog="ccm",
        description="Train human-keypoint detectors from all the data a team has. Each command has its own --help.",
        epilog=examples(_EXAMPLES),
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.set_defaults(run=lambda arguments: parser.print_help(), command_name="bench")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: object) -> None:
        from importlib.metadata import version

        print(f"ccm {version('ccm-pipeline')}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
