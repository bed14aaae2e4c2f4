"""What a report page is made of; the template knows how each kind looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from markupsafe import Markup

from pipeline.report.paper_tables import Comparison


class MissingArtefact(Exception):
    """An artefact that a section needs is not there; the page then says which stage makes it."""

    def __init__(self, path: Path, stage: str) -> None:
        super().__init__(f"{path} is not there yet; `dvc repro {stage}` makes it")


@dataclass(frozen=True)
class Table:
    """Cells as text; the first `labels` columns are words, the rest figures."""

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    labels: int = 1


@dataclass(frozen=True)
class Figure:
    """A chart."""

    kind: ClassVar[str] = "figure"
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, `width` and `height` as it is to be shown."""

    source: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    kind: ClassVar[str] = "gallery"
    pictures: Sequence[Picture]
    caption: str = ""


@dataclass(frozen=True)
class Note:
    """A sentence; `missing` for what is not there."""

    kind: ClassVar[str] = "note"
    text: str
    missing: bool = False


@dataclass(frozen=True)
class Card:
    """One number to remember, what it is, and what it depends on."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Cards:
    """Numbers at the top of a section."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper with ours beside it."""

    kind: ClassVar[str] = "paper"
    comparison: Comparison


@dataclass(frozen=True)
class Text:
    """Preformatted text."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Fold:
    """Blocks that open on a click."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]
    detail: str = ""
    open: bool = False


Block = Table | Figure | Gallery | Note | Cards | PaperTable | Text | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its navigation."""

    name: str
    title: str
    introduction: str
    blocks: Sequence[Block] = field(default_factory=list)
