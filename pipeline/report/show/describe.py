"""What an artefact holds, as lines for a terminal: tables, figures, annotation files, curves, models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.records.artefacts import read_json
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import read_table, table_info, table_name
from pipeline.records.text import DEEPEST, one_line

ROWS = 10
_WIDTH = 60  # characters of a value
_FIGURES = 80  # that are shown of a JSON file
_COCO = ("images", "annotations", "categories")


def describe(path: Path, rows: int = ROWS, where: Mapping[str, str] | None = None) -> Iterator[str]:
    """Lines that say what a file or folder of the pipeline holds.

    Args:
        path: a Parquet table, JSON, CSV, a model's folder or its `card.json`, a `.safetensors` or `.onnx` file.
        rows: of a table, or entries of a list, that are shown.
        where: of a table, column to value: only rows that hold it are shown and counted.

    Raises:
        ValueError: no such file, one that holds something else, or a column that the table lacks; names the file.
    """
    if path.is_dir():
        yield from _folder(path, rows)
    elif not path.is_file():
        raise ValueError(f"{path}: no such file or folder, or not one that can be read")
    elif path.suffix == ".parquet":
        yield from _parquet(path, rows, where or {})
    elif where:
        raise ValueError(f"{path}: --where chooses rows of a Parquet table; this is none")
    elif path.suffix == ".json":
        yield from _json(path, rows)
    elif path.suffix == ".csv":
        yield from _csv(path, rows)
    elif path.suffix in (".safetensors", ".pt", ".pth", ".onnx"):
        yield from _weights(path)
    else:
        raise ValueError(
            f"{path}: allowed: a folder with card.json, or files that end in .parquet, .json, .csv, .safetensors, "
            ".pt, .pth, .onnx"
        )


def chosen(path: Path, where: Mapping[str, str]) -> pa.Table:
    """A table of the pipeline, its rows where each column's text is the value asked for. ValueError as `describe`."""
    table = read_table(path, table_name(path))
    for column, value in where.items():
        if column not in table.column_names:
            raise ValueError(f"{path}: no column {column!r}; allowed: {', '.join(table.column_names)}")
        if pa.types.is_nested(table.schema.field(column).type):
            raise ValueError(f"{path}: column {column!r} holds lists; allowed: a column of single values")
        table = table.filter(pc.equal(pc.cast(table[column], pa.string()), value))
    return table


def _parquet(path: Path, rows: int, where: Mapping[str, str]) -> Iterator[str]:
    table = chosen(path, where)
    info = table_info(table)
    yield f"{path}: the table {table_name(path)}, {table.num_rows:,} rows"
    yield f"  keypoints   {_set(info.keypoint_set)}"
    for source, root in info.image_roots.items():
        yield f"  images      {_short(source)}: {_short(root, 4 * _WIDTH)}"
    yield from (f"  made by     {_short(name)}: {_short(value)}" for name, value in info.made_by.items())
    yield ""
    width = max(len(name) for name in table.column_names)
    for column in table.column_names:
        yield f"  {column:{width}}  {_column(table[column])}"
    for number, row in enumerate(table.slice(0, rows).to_pylist()):
        yield ""
        yield f"row {number}"
        yield from (f"  {name:{width}}  {_short(value)}" for name, value in row.items())


def _column(column: pa.ChunkedArray) -> str:
    """What a column holds, in a few words."""
    kind, missing = column.type, f", {column.null_count:,} empty" if column.null_count else ""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        counts = sorted(column.value_counts().to_pylist(), key=lambda count: -count["counts"])
        if len(counts) > 6:
            return f"{len(counts):,} different texts{missing}"
        return ", ".join(f"{_short(count['values'])} ({count['counts']:,})" for count in counts) + missing
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.list_size} numbers a row{missing}"
    if pa.types.is_boolean(kind):
        return f"{pc.sum(column).as_py() or 0:,} true of {len(column):,}{missing}"
    numbers = column.drop_null().to_numpy().astype(float)
    if not len(numbers):
        return f"{kind}{missing}"
    low, middle, high = (f"{value:.6g}" for value in (numbers.min(), np.median(numbers), numbers.max()))
    return f"{low} to {high}, median {middle}{missing}"


def _json(path: Path, rows: int) -> Iterator[str]:
    content = read_json(path)
    if _depth(content) > DEEPEST:
        raise ValueError(f"{path}: nested more than {DEEPEST} deep")
    if path.name == "card.json" and isinstance(content, dict):
        yield from _card(path, content)
    elif isinstance(content, dict) and any(isinstance(content.get(key), list) for key in _COCO):
        yield f"{path}: annotations as COCO has them"
        yield from (f"  {key:12}{len(value):,}" for key, value in content.items() if isinstance(value, list))
        for category in _listed(content.get("categories")):
            about = category if isinstance(category, dict) else {}
            count = len(_listed(about.get("keypoints")))
            yield f"  category    {_short(about.get('id'))}: {_short(about.get('name'))}, {count} keypoints"
        yield from _entries(_listed(content.get("annotations")), rows)
    elif isinstance(content, list):
        yield f"{path}: a list of {len(content):,}"
        yield from _entries(content, rows)
    else:
        yield f"{path}:"
        yield from _figures(content)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _entries(entries: Sequence[Any], rows: int) -> Iterator[str]:
    for number, entry in enumerate(entries[:rows]):
        yield f"  {number}: {_short(entry, 2 * _WIDTH)}"


def _depth(content: Any) -> int:
    """How many lists and mappings stand in each other, counted without a call for each; no further than is refused."""
    depth, level = 0, [content]
    while level and depth <= DEEPEST:
        inner = [
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        ]
        level, depth = [each for values in inner for each in values], depth + 1
    return depth


def _figures(content: Any) -> Iterator[str]:
    """Every figure with the way to it, as many as a screen or two hold."""
    figures = list(_leaves(content))
    width = max((len(name) for name, _ in figures[:_FIGURES]), default=0)
    yield from (f"  {name:{width}}  {_short(value)}" for name, value in figures[:_FIGURES])
    if len(figures) > _FIGURES:
        yield f"  and {len(figures) - _FIGURES:,} more"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names, joined by dots, and values; lists of numbers stay whole."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{number}]")
    else:
        yield name, value


def _csv(path: Path, rows: int) -> Iterator[str]:
    try:
        table = pyarrow.csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a readable CSV file: {one_line(error)}") from error
    yield f"{path}: {table.num_rows:,} rows"
    columns = [
        [name, *map(_cell, column.to_pylist())] for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    lines = list(zip(*columns, strict=True))  # not by name: DeepLabCut's columns have the same
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.column_names))]
    shown = lines[:1] + lines[1:][-rows:]  # the last of a curve are what it came to
    yield from ("  " + "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in shown)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _folder(path: Path, rows: int) -> Iterator[str]:
    card = path / "card.json"
    if card.is_file():
        yield from _card(card, read_json(card))
        for file in sorted(path.iterdir()):
            if file.suffix in (".safetensors", ".onnx"):
                yield from _weights(file)
        return
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    yield f"{path}: a folder of {len(inside):,} files, without a card.json"
    yield from (f"  {file.relative_to(path)}  {file.stat().st_size:,} bytes" for file in inside[:rows])
    if len(inside) > rows:
        yield f"  and {len(inside) - rows:,} more"


def _card(path: Path, card: Any) -> Iterator[str]:
    if not isinstance(card, dict):
        raise ValueError(f"{path}: is no card; allowed: an object that says what the model is")
    yield f"{path}: a {card.get('kind', 'model')} of {_short(card.get('trained_on', 'what it does not say'))}"
    yield from _figures({name: value for name, value in card.items() if name not in ("kind", "trained_on")})


def _weights(path: Path) -> Iterator[str]:
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    if path.suffix == ".onnx":
        yield f"{path}: an ONNX network, {size}"
        yield from _onnx(path)
        return
    from model.weights import read_tensors  # torch takes a second to import

    tensors = read_tensors(path)
    count = sum(tensor.numel() for tensor in tensors.values())
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    yield f"{path}: {len(tensors):,} tensors, {count:,} numbers ({', '.join(kinds)}), {size}"


def _onnx(path: Path) -> Iterator[str]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types stand in no public module
        raise ValueError(f"{path}: not a readable ONNX file: {one_line(error)}") from None
    for kind, values in (("input", session.get_inputs()), ("output", session.get_outputs())):
        yield from (f"  {kind:12}{value.name} {value.type} {value.shape}" for value in values)


def _set(keypoints: KeypointSet) -> str:
    names = ", ".join(keypoints.names[:4])
    rest = f" and {len(keypoints) - 4} more" if len(keypoints) > 4 else ""
    return f"{keypoints.name}: {len(keypoints)} ({names}{rest}){'' if keypoints.sigmas else ', no sigmas'}"


def _number(value: float) -> str:
    return f"{value:.5g}" if isinstance(value, float) or abs(value) < 1e15 else str(value)[:_WIDTH]


def _short(value: Any, width: int = _WIDTH) -> str:
    """A value in one line that a terminal takes literally: no control characters, cut where it is long."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and value and all(isinstance(number, int | float) for number in value):
        text = "[" + ", ".join(map(_number, value[:12])) + (", …" if len(value) > 12 else "") + "]"
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= width else text[: width - 1] + "…"
