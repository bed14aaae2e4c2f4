"""Text that somebody else wrote: read whole or refused in one line, and shown so that a terminal stays as it is."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

LARGEST_YAML = 1_000_000  # characters; params are 6,000
DEEPEST = 60  # a list in a list in a mapping ...
MOST_NODES = 100_000  # of a YAML text, aliases counted as often as they stand


def read_file(path: str | Path) -> str:
    """The text of a file; ValueError where it is none, or no text. A pipe, which would be waited for, is no file."""
    path = Path(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"{path}: not a file; a text file belongs there")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8: {error}") from None


def parse_json(text: str, where: object) -> Any:
    """The content of a JSON text; ValueError names `where` it is from."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{where}: not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where}: not valid JSON: {error}") from None


def check_yaml(text: str, where: str) -> None:
    """ValueError for a YAML text that is not valid, or whose content would take more room than any of ours does.

    Parsed event by event, which takes no more room for a text that is nested deeply or whose aliases multiply.
    """
    if len(text) > LARGEST_YAML:
        raise ValueError(f"{where}: {len(text):,} characters; allowed: {LARGEST_YAML:,}")
    import yaml  # here, for commands that read none start without it

    sizes: dict[str, int] = {}  # of what an anchor names
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, total))
                total += 1
                if len(open_nodes) > DEEPEST:
                    raise ValueError(f"{where}: nested more than {DEEPEST} deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_nodes.pop()
                if anchor is not None:
                    sizes[anchor] = total - before
            elif isinstance(event, yaml.ScalarEvent):
                total += 1
                if event.anchor is not None:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in open_nodes):
                    raise ValueError(f"{where}: the alias *{event.anchor} stands within itself")
                total += sizes.get(event.anchor or "", 1)
            if total > MOST_NODES:
                raise ValueError(f"{where}: more than {MOST_NODES:,} values, aliases counted as often as they stand")
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not valid YAML: {one_line(error)}") from None


def one_line(error: object) -> str:
    """A message of several lines as one."""
    return " ".join(str(error).split())


def without_secrets(text: str) -> str:
    """A text without the passwords in its addresses: `scheme://user:password@host`. Params have no other secrets."""
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", text)


def printable(text: str) -> str:
    """A text whose control characters, by which a file's name could steer a terminal, are written out; lines stay."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def clipped(line: str, longest: int = 500) -> str:
    """A line of a message, at most as long as somebody reads."""
    return line if len(line) <= longest else f"{line[: longest - 4]} ..."
