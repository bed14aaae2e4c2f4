"""Small charts as inline SVG. Colours come from the page's style sheet, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 72, 14, 14, 46
WIDEST_BAR = 90


def line_chart(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str) -> Markup:
    """Curves by name, (x, y) each; points are marked where there are few."""
    xs = [x for x_values, _ in series.values() for x in x_values]
    ys = [y for _, y_values in series.values() for y in y_values]
    horizontal, vertical = _Axis.of(xs, LEFT, WIDTH - RIGHT), _Axis.of(ys, HEIGHT - BOTTOM, TOP, from_zero=True)
    parts = [*_frame(horizontal, vertical, x_label, y_label)]
    for number, (name, (x_values, y_values)) in enumerate(series.items()):
        points = [(horizontal(x), vertical(y)) for x, y in zip(x_values, y_values, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line c{number % 8}" points="{path}"/>')
        if len(points) <= 30:
            dots = (f'<circle class="dot c{number % 8}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
            parts += [*dots]
        parts.append(f"<title>{escape(name)}</title>" if len(series) == 1 else "")
    return _svg(parts, f"{y_label} by {x_label}", legend=list(series) if len(series) > 1 else [])


def bar_chart(
    labels: Sequence[str], series: Mapping[str, Sequence[float]], y_label: str, *, x_label: str = ""
) -> Markup:
    """Bars by label, the series stacked on each other."""
    totals = [sum(values[i] for values in series.values()) for i in range(len(labels))]
    vertical = _Axis.of(totals or [1], HEIGHT - BOTTOM, TOP, from_zero=True)
    slot = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    side = max(slot * 0.12, (slot - WIDEST_BAR) / 2)
    parts = [*_frame(None, vertical, x_label, y_label)]
    for i, label in enumerate(labels):
        x, base = LEFT + i * slot + side, 0.0
        for number, (name, values) in enumerate(series.items()):
            top, bottom = vertical(base + values[i]), vertical(base)
            title = f"<title>{escape(label)}, {escape(name)}: {values[i]:g}</title>"
            parts.append(
                f'<rect class="bar c{number % 8}" x="{x:.1f}" y="{top:.1f}" width="{slot - 2 * side:.1f}" '
                f'height="{max(bottom - top, 0):.1f}">{title}</rect>'
            )
            base += values[i]
        parts.append(_bar_label(label, LEFT + (i + 0.5) * slot, slot))
    return _svg(parts, y_label, legend=list(series) if len(series) > 1 else [])


def histogram(
    counts: Sequence[float], low: float, high: float, x_label: str, y_label: str, marks: Mapping[str, float]
) -> Markup:
    """Counts of equal bins between `low` and `high`, with named vertical marks."""
    horizontal = _Axis(low, high, LEFT, WIDTH - RIGHT, tuple(low + (high - low) * i / 5 for i in range(6)))
    vertical = _Axis.of(counts or [1], HEIGHT - BOTTOM, TOP + 28, from_zero=True)
    width = (high - low) / max(len(counts), 1)
    parts = [*_frame(horizontal, vertical, x_label, y_label)]
    for i, count in enumerate(counts):
        x, right, y = horizontal(low + i * width), horizontal(low + (i + 1) * width), vertical(count)
        parts.append(
            f'<rect class="bar c0" x="{x + 0.5:.1f}" y="{y:.1f}" width="{max(right - x - 1, 0.5):.1f}" '
            f'height="{HEIGHT - BOTTOM - y:.1f}"><title>{low + i * width:.2f}: {count:g}</title></rect>'
        )
    for number, (name, value) in enumerate(marks.items()):
        x = horizontal(min(max(value, low), high))
        anchor, shift = ("end", -5) if x > WIDTH / 2 else ("start", 5)
        parts += [
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP + 14 * number:.0f}" y2="{HEIGHT - BOTTOM}"/>',
            f'<text class="mark-text" x="{x + shift:.1f}" y="{TOP + 9 + 14 * number:.0f}" text-anchor="{anchor}">'
            f"{escape(name)}</text>",
        ]
    return _svg(parts, y_label, legend=[])


class _Axis:
    """A linear scale from values to SVG coordinates, with round ticks."""

    def __init__(self, low: float, high: float, start: float, end: float, ticks: Sequence[float]) -> None:
        self.low, self.high, self.start, self.end, self.ticks = low, high, start, end, ticks

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float, *, from_zero: bool = False) -> _Axis:
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(finite), max(finite)
        low = min(low, 0.0) if from_zero else low
        if high <= low:
            low, high = (low, low + 1) if from_zero else (low - 0.5, low + 0.5)
        step = 10 ** math.floor(math.log10((high - low) / 4))
        step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= 5)
        if all(value == int(value) for value in finite):
            step = max(math.ceil(step), 1)
        first = math.ceil(low / step - 1e-9)
        last = math.ceil(high / step - 1e-9) if from_zero else math.floor(high / step + 1e-9)
        ticks = [i * step for i in range(first, last + 1)]
        return cls(low, max(high, ticks[-1]) if from_zero and ticks else high, start, end, ticks)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _frame(horizontal: _Axis | None, vertical: _Axis, x_label: str, y_label: str) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = []
    for tick in vertical.ticks:
        y = vertical(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in horizontal.ticks if horizontal else ():
        x = horizontal(tick) if horizontal else 0
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{_number(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    if x_label:
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="label" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return parts


def _bar_label(label: str, x: float, slot: float) -> str:
    y = HEIGHT - BOTTOM + 17
    if len(label) * 7 <= slot:
        return f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>'
    turned = f'transform="translate({x + 4:.1f} {y - 6}) rotate(-32)"'
    return f'<text class="tilted" {turned} text-anchor="end">{escape(label)}</text>'


def _number(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{round(value, 6):g}"


def _svg(parts: Sequence[str], description: str, legend: Sequence[str]) -> Markup:
    keys = "".join(f'<span class="key"><i class="c{i % 8}"></i>{escape(name)}</span>' for i, name in enumerate(legend))
    bar = f'<div class="legend">{keys}</div>' if legend else ""
    return Markup(  # every text above is escaped
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">{"".join(parts)}</svg>{bar}'
    )
