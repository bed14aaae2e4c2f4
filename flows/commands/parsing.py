"""How commands are declared: one line for the list, an example for the help, a function to run."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable
from typing import Any

Arguments = argparse.Namespace
Commands = Any  # argparse's own type of it is private
Run = Callable[[Arguments], int | None]


class Help(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, and a little more room for the names of arguments."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def add_argument(self, action: argparse.Action) -> None:
        """As argparse does, with the indent of a list of commands counted: else the longest name has its own line."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment


def command(
    commands: Commands, name: str, line: str, example: str, run: Run, *, detail: str = "", own_help: bool = True
) -> argparse.ArgumentParser:
    """Declare a command: `line` says what it does, `example` how it is typed, `detail` what else there is to know."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=line,
        description=textwrap.fill(f"{line[0].upper()}{line[1:]}. {detail}".strip(), 100),
        epilog=examples(example),
        formatter_class=Help,
        add_help=own_help,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, command_name=parser.prog.split()[1])  # of `ccm params show`: params
    return parser


def group(commands: Commands, name: str, line: str, example: str) -> Commands:
    """Declare a command that has commands of its own; alone it shows them."""
    parser = command(commands, name, line, example, lambda arguments: parser.print_help())
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def examples(text: str) -> str:
    """The last part of a help text."""
    lines = text.strip().splitlines()
    return "\n".join([f"example{'s' * (len(lines) > 1)}:", *(f"  {line.strip()}" for line in lines)])


def add_settings(parser: argparse.ArgumentParser, text: str) -> None:
    """`-S key=value`, any number of times."""
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=text)


def add_json(parser: argparse.ArgumentParser, what: str = "the figures") -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON, and nothing else")


def print_json(value: Any) -> None:
    """A value as JSON on standard output."""
    print(json.dumps(value, indent=1, default=str))


def whole_numbers(text: str) -> list[int]:
    """`0,1,2`."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers, such as 0,1,2") from None


def at_least_one(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers from 1 on")
    return int(text)


def share(text: str) -> float:
    """A part of the whole."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: above 0, to 1")
    return value


def port(text: str) -> int:
    """A port that a user may open."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: 1024 to 65535")
    return int(text)
