"""Advice as the text of a params file: laid over a profile, each reason as a comment beside its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.settings.profile import overlaid
from pipeline.setup.advice import Advice


def params_text(base: str, advice: Advice, header: Sequence[str]) -> str:
    """The text of profile `base` with the advice in it; `header` are the lines that say what the file is."""
    tree: dict[str, Any] = {}
    for path, leaf in advice.items():
        *parents, last = path.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = leaf
    document = YAML().load(base)
    lines = [f"# {line}" for line in header]
    for key, value in tree.items():
        lines += _lines(key, value, document.get(key), 0)
    return overlaid(base, "\n".join(lines) + "\n")


def _lines(key: str, value: Any, base: Any, depth: int) -> list[str]:
    """A key in the style of the profile: what stands on one line there stays on one, its reasons together."""
    start = "  " * depth + f"{key}:"
    if isinstance(value, tuple):
        return [_commented(f"{start} {_plain(value[0])}", [value[1]])]
    if isinstance(base, CommentedMap) and not base.fa.flow_style() and value:
        return [start, *(line for k, v in value.items() for line in _lines(k, v, base.get(k), depth + 1))]
    return [_commented(f"{start} {_plain(_values(value))}", _reasons(value))]


def _commented(line: str, reasons: Sequence[str]) -> str:
    text = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    return f"{line}  # {text}" if text else line


def _values(value: Any) -> Any:
    return {key: _values(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value[0]


def _reasons(value: Any, name: str = "") -> list[str]:
    if isinstance(value, Mapping):
        return [reason for key, inner in value.items() for reason in _reasons(inner, key)]
    return [f"{name}: {value[1]}"] if value[1] else []


def _plain(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()
