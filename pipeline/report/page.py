"""The page: every section that can be made, and a word on what is missing for the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.progress import Progress
from pipeline.records.text import one_line
from pipeline.report.blocks import MissingArtefact, Note, Section
from pipeline.report.context import Context
from pipeline.report.diagnosis import diagnosis
from pipeline.report.features import features
from pipeline.report.mined import annotate_next, hard_negatives, pseudo_labels
from pipeline.report.people import predictions, worst_errors
from pipeline.report.provenance import paper_tables, provenance, stage_graph, times
from pipeline.report.results import results
from pipeline.report.training import data, training
from pipeline.settings import Params, arrow

HERE = Path(__file__).parent
SECTIONS: dict[str, tuple[str, Callable[[Context], Section]]] = {
    "results": ("Results", results),
    "predictions": ("Predictions", predictions),
    "keypoints": ("Keypoint by keypoint", diagnosis),
    "errors": ("Worst errors", worst_errors),
    "paper": ("Beside the paper", paper_tables),
    "hard-negatives": ("Hard negatives", hard_negatives),
    "pseudo-labels": ("Pseudo-labels", pseudo_labels),
    "annotate-next": ("Annotate next", annotate_next),
    "features": ("Feature maps", features),
    "training": ("Training", training),
    "data": ("Data", data),
    "stages": ("Stages", stage_graph),
    "provenance": ("Provenance", provenance),
}


def make_page(params: Params, progress: Progress) -> tuple[str, dict[str, int]]:
    """The HTML page, self-contained, and how many pictures and tables it holds."""
    context = Context(params)
    sections = []
    for name, (title, make) in SECTIONS.items():
        with progress.task(name):
            context.read.clear()
            try:
                sections.append(make(context))
            except MissingArtefact as missing:
                sections.append(Section(name, title, "", [Note(f"{missing}.", missing=True)]))
            except (LookupError, TypeError, AttributeError, ValueError) as error:
                if any(str(path) in str(error) for path in context.read):
                    raise
                raise ValueError(_not_as_written(title, context, error)) from error
    page = rendered(params.report.title, params, sections)
    return page, {"pictures": page.count("<img "), "tables": page.count("<table")}


def _not_as_written(title: str, context: Context, error: Exception) -> str:
    """What to say where a section finds figures of another form than the stages write."""
    what, files = one_line(f"{type(error).__name__}: {error}"), ", ".join(map(str, dict.fromkeys(context.read)))
    return f"report, {title}: not what the stages write ({what}) in one of {files or 'no files'}; rerun its stage"


def make_times(params: Params) -> str | None:
    """A page of what took how long on this machine; None where nothing was measured."""
    try:
        return rendered(f"Times: {params.report.title}", params, [times()])
    except MissingArtefact:
        return None


def make_curves(params: Params) -> str:
    """A page of the training curves alone."""
    return rendered(f"Curves: {params.report.title}", params, [training(Context(params))])


def in_words_for(subject: str, text: str) -> str:
    """A text of the page that speaks of `animals` or `objects` where they are what the data show; code stays."""
    if subject == "people":
        return text
    words = {"people": subject, "person": subject.removesuffix("s"), "nobody": f"no {subject.removesuffix('s')}"}
    words |= {"human": subject.removesuffix("s"), "a person": f"an {subject.removesuffix('s')}"}

    def other(match: re.Match[str]) -> str:
        word = words[match[1].lower()]
        return word.capitalize() if match[1][0].isupper() else word

    known = re.compile(rf"\b({'|'.join(sorted(words, key=len, reverse=True))})\b(?![/.])", re.IGNORECASE)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else known.sub(other, part) for part in parts)


def rendered(title: str, params: Params, sections: Sequence[Section]) -> str:
    """A self-contained HTML page of sections."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["own"] = partial(in_words_for, params.report.subject)
    environment.filters["code"] = lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
    return environment.get_template("page.html").render(
        title=title,
        profile=params.profile,
        strategies=[arrow(strategy) for strategy in params.strategies],
        sections=sections,
        style=Markup((HERE / "page.css").read_text()),
    )
