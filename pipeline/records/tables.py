"""The tables every stage reads and writes: `images`, `instances`, `detections`, `poses` and others, as Parquet.

C, A, H and U are all the one table `instances`, a row per person box. The file's metadata carries the schema version,
the keypoint set, the image root of each source and what made it. Ids are `<source>:<id in the source>`, so they never
collide when tables are joined. Coordinates are image pixels, boxes are x, y, w, h.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.records.artefacts import written
from pipeline.records.keypoints import KeypointSet, keypoint_set_from, load_keypoint_set
from pipeline.records.text import one_line, parse_json

SCHEMA_VERSION = 3  # 2: the whole keypoint set stands in the metadata; 3: `instances` has a weight
_READABLE = (2, SCHEMA_VERSION)  # a table of version 2 weighs what it supervises by one
KINDS = ("labelled", "pseudo", "hard_negative")
_KEY = b"ccm"
_ENTRIES = {"table": str, "version": int, "keypoints": str, "keypoint_set": dict, "image_roots": dict, "made_by": dict}
_ROWS = 65_536  # of a row group
_NAME = pa.dictionary(pa.int32(), pa.string())
_BOX = pa.list_(pa.float32(), 4)


@dataclass(frozen=True)
class TableInfo:
    """A table file's metadata.

    `keypoints` is the table's keypoint set, or the name of one, which is then read; the file holds all of it, so that a
    table means the same wherever and whenever it is read. `image_roots` maps each source to the folder that its file
    names are relative to.
    """

    keypoints: KeypointSet | str
    image_roots: Mapping[str, str]
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keypoints", self.keypoint_set)

    @property
    def keypoint_set(self) -> KeypointSet:
        """The set itself."""
        return load_keypoint_set(self.keypoints) if isinstance(self.keypoints, str) else self.keypoints


def schema(table: str, keypoints: int) -> pa.Schema:
    """The Arrow schema of a table for a set of K keypoints. ValueError on an unknown table."""
    ids = [("image_id", pa.string()), ("source", _NAME), ("file_name", pa.string())]
    size = [("width", pa.int32()), ("height", pa.int32())]
    triples = pa.list_(pa.float32(), 3 * keypoints)
    columns = {
        "images": [*ids, *size],
        "manifest": [("file_name", pa.string()), ("bytes", pa.int64()), ("content", pa.string())],
        "instances": [
            ("instance_id", pa.string()),
            *ids,
            ("kind", _NAME),
            *size,
            ("bbox", _BOX),
            ("area", pa.float32()),
            ("iscrowd", pa.bool_()),
            ("keypoints", triples),  # x, y, v: 0 unlabelled, 1 labelled but occluded, 2 visible
            ("supervised", pa.list_(pa.bool_(), keypoints)),  # does the loss look at this keypoint's map?
            ("weight", pa.list_(pa.float32(), keypoints)),  # and how much does it count there?
            ("score", pa.float32()),
            ("keypoint_scores", pa.list_(pa.float32(), keypoints)),
            ("teacher", pa.string()),
        ],
        "detections": [
            ("detection_id", pa.string()),
            *ids,
            *size,
            ("bbox", _BOX),
            ("score", pa.float32()),
            ("detector", _NAME),
        ],
        "poses": [
            *ids,
            ("bbox", _BOX),
            ("box_score", pa.float32()),
            ("keypoints", triples),  # x, y, score
            ("score", pa.float32()),
            ("model", _NAME),
        ],
        "answers": [("person_id", pa.string()), ("keypoints", triples)],  # x, y, probability of being right
        "masks": [("instance_id", pa.string()), ("segmentation", pa.string())],  # COCO's JSON
        "quarantine": [
            ("file", pa.string()),
            ("record", pa.string()),
            ("reason", pa.string()),
            ("value", pa.string()),
        ],
    }
    if table not in columns:
        raise ValueError(f"no table '{table}'; there are {', '.join(columns)}")
    nullable = {"score", "keypoint_scores", "teacher"} if table == "instances" else set()
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns[table]])


def table_from(name: str, columns: Mapping[str, Any], info: TableInfo) -> pa.Table:
    """Build a table from columns: lists, [N] arrays, or [N, width] arrays for list columns.

    Absent nullable columns become null, and an absent `weight` one wherever `supervised` says so; no columns at all
    give an empty table.
    ValueError names a column that is missing, unknown or of another length.
    """
    target = schema(name, len(info.keypoint_set))
    if unknown := set(columns) - set(target.names):
        raise ValueError(f"table {name}: unknown column '{sorted(unknown)[0]}'; it has {', '.join(target.names)}")
    rows = len(next(iter(columns.values()))) if columns else 0
    if name == "instances" and "weight" not in columns and "supervised" in columns:
        columns = {**columns, "weight": _unweighted(columns["supervised"])}
    arrays = []
    for column in target:
        if column.name not in columns:
            if not column.nullable and columns:
                raise ValueError(f"table {name}: column '{column.name}' is missing")
            arrays.append(pa.nulls(rows, column.type) if columns else pa.array([], column.type))
            continue
        arrays.append(_column(name, column, columns[column.name], rows))
    return pa.Table.from_arrays(arrays, schema=target).replace_schema_metadata(_metadata(name, info))


def _unweighted(supervised: Any) -> np.ndarray:
    """The weight [N, K] of keypoints that count fully or not at all."""
    if isinstance(supervised, pa.Array | pa.ChunkedArray):
        supervised = supervised.to_pylist()
    return np.asarray(supervised, np.float32)


def _column(table: str, column: pa.Field, values: Any, rows: int) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if len(values) != rows:
        raise ValueError(f"table {table}: column '{column.name}' has {len(values)} rows, the first has {rows}")
    if isinstance(values, pa.Array):
        return values.cast(column.type)
    if pa.types.is_fixed_size_list(column.type) and isinstance(values, np.ndarray):
        width = column.type.list_size
        if values.size != rows * width:
            raise ValueError(f"table {table}: column '{column.name}' is {values.shape}, expected [{rows}, {width}]")
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=column.type.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, width)
    if pa.types.is_dictionary(column.type):
        return pa.array(list(values), pa.string()).dictionary_encode().cast(column.type)
    return pa.array(values, type=column.type)


def _metadata(name: str, info: TableInfo) -> dict[bytes, bytes]:
    content = {
        "table": name,
        "version": SCHEMA_VERSION,
        "keypoints": info.keypoint_set.name,
        "keypoint_set": info.keypoint_set.as_dict(),
        "image_roots": dict(info.image_roots),
        "made_by": dict(info.made_by),
    }
    return {_KEY: json.dumps(content, sort_keys=True).encode()}


def write_table(path: str | Path, table: pa.Table) -> None:
    """Write a table made by `table_from` (or read from a file) atomically, compressed, in row groups of 64k rows."""
    if not table.schema.metadata or _KEY not in table.schema.metadata:
        raise ValueError(f"{path}: the table has no metadata; make it with table_from")
    with written(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS)


def read_table(path: str | Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read and check a table (or some of its columns). ValueError names the file, the column and the row."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file; the stage that makes it has not run")
    if not path.is_file():
        raise ValueError(f"{path}: not a file; a Parquet table belongs there: move it away and rerun its stage")
    try:
        # Not pq.read_table, which first imports what reads folders and clouds: half a small process's time.
        with pq.ParquetFile(path, memory_map=True) as file:
            wanted = list(columns) if columns else None
            if wanted is not None and "weight" in wanted and "weight" not in file.schema_arrow.names:
                wanted = list(dict.fromkeys([*wanted, "supervised"]))
            table = _by_row_group(file, wanted)
            table.validate(full=True)  # a changed byte can point beyond a dictionary's end
    except (pa.ArrowException, OSError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {one_line(error)}; rerun its stage") from error
    content = _content(path, table)
    if content["table"] != name:
        raise ValueError(f"{path}: holds the table '{content['table']}', expected '{name}'")
    if content["version"] not in _READABLE:
        raise ValueError(
            f"{path}: schema version {content['version']}, this code reads {SCHEMA_VERSION}; rerun the stage"
        )
    if content["version"] == 2:
        table = _of_version_2(table, content, columns)
    expected = schema(name, len(_set_of(content, path)))
    for column in expected:
        if columns is not None and column.name not in columns:
            continue
        if column.name not in table.column_names:
            raise ValueError(f"{path}: column '{column.name}' is missing")
        if table.schema.field(column.name).type != column.type:
            found = table.schema.field(column.name).type
            raise ValueError(f"{path}: column '{column.name}' is {found}, expected {column.type}")
        if not column.nullable and table[column.name].null_count:
            row = pc.index(pc.is_null(table[column.name]), value=True).as_py()
            raise ValueError(f"{path}: column '{column.name}', row {row}: empty, a value is required")
    _check_values(path, table)
    _check_roots(path, table, content["image_roots"])
    return table


def table_name(path: str | Path) -> str:
    """Which table a file holds. ValueError where it is no table of this pipeline, or no readable Parquet file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: not a file; a Parquet table belongs there")
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {one_line(error)}") from error
    return str(_content(path, found.empty_table())["table"])


def _check_roots(path: Path, table: pa.Table, roots: Mapping[str, Any]) -> None:
    """ValueError for a source whose pictures lie nowhere."""
    sources = pc.unique(table["source"]).to_pylist() if "source" in table.column_names else []
    for source in sources:
        if not isinstance(roots.get(source), str):
            raise ValueError(f"{path}: its metadata name no image root of source {source!r}; rerun its stage")


def _by_row_group(file: pq.ParquetFile, columns: list[str] | None) -> pa.Table:
    """The whole table. One row group after the other: all at once would hold them twice while they are unpacked."""
    groups = [file.read_row_group(number, columns=columns) for number in range(file.num_row_groups)]
    return pa.concat_tables(groups) if groups else file.read(columns=columns)


def _of_version_2(table: pa.Table, content: dict[str, Any], columns: Sequence[str] | None) -> pa.Table:
    """A table of version 2 as version 3 has it: what is supervised weighs one."""
    content["version"] = SCHEMA_VERSION
    table = table.replace_schema_metadata({_KEY: json.dumps(content, sort_keys=True).encode()})
    if "supervised" in table.column_names and (columns is None or "weight" in columns):
        supervised = table["supervised"]
        place = table.column_names.index("supervised") + 1
        flat = pa.array(to_numpy(table, "supervised").astype(np.float32).reshape(-1))
        weight = pa.FixedSizeListArray.from_arrays(flat, supervised.type.list_size)
        table = table.add_column(place, pa.field("weight", weight.type, nullable=False), weight)
    return table if columns is None else table.select(list(columns))


def _content(path: Path, table: pa.Table) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(_KEY)
    if raw is None:
        raise ValueError(f"{path}: not a table of this pipeline (no '{_KEY.decode()}' metadata)")
    try:
        content = parse_json(raw.decode(), path)
    except ValueError as error:
        raise ValueError(f"{path}: its '{_KEY.decode()}' metadata are damaged ({error}); rerun its stage") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: its '{_KEY.decode()}' metadata are no mapping; rerun its stage")
    for name, kind in _ENTRIES.items():
        if not isinstance(content.get(name), kind):
            found = repr(content[name])[:60] if name in content else "missing"
            raise ValueError(
                f"{path}: its '{_KEY.decode()}' metadata's {name}: {found}; a {kind.__name__} belongs there; rerun its "
                "stage"
            )
    return content


def _check_values(path: Path, table: pa.Table) -> None:
    names = set(table.column_names)
    first = 0
    for batch in table.select([name for name in ("bbox", "keypoints", "weight") if name in names]).to_batches(_ROWS):
        _check_numbers(path, pa.Table.from_batches([batch]), first, "supervised" in names)
        first += batch.num_rows
    for column in ("instance_id", "detection_id"):
        if column in names and pc.count_distinct(table[column]).as_py() != table.num_rows:
            counts = table[column].value_counts()
            repeated = next(c["values"] for c in counts.to_pylist() if c["counts"] > 1)
            raise ValueError(f"{path}: column '{column}': '{repeated}' stands more than once, ids are unique")


def _check_numbers(path: Path, part: pa.Table, first: int, labelled: bool) -> None:
    """Check boxes and keypoints of some rows, of which the table's row `first` is the first."""
    if "bbox" in part.column_names:
        box = to_numpy(part, "bbox")
        bad = ~np.isfinite(box).all(1) | (box[:, 2:] <= 0).any(1)
        _refuse(path, "bbox", bad, box, "finite x, y and positive w, h", first)
    if "weight" in part.column_names:
        weight = to_numpy(part, "weight")
        _refuse(path, "weight", ~(np.isfinite(weight) & (weight >= 0)).all(1), weight, "numbers of 0 or more", first)
    if "keypoints" in part.column_names:
        triples = to_numpy(part, "keypoints")
        _refuse(path, "keypoints", ~np.isfinite(triples).all(1), triples, "finite numbers", first)
        if labelled:
            third = triples[:, 2::3]
            bad = ~((third == 0) | (third == 1) | (third == 2)).all(1)
            _refuse(path, "keypoints", bad, triples, "visibility 0, 1 or 2", first)


def _refuse(path: Path, column: str, bad: Any, values: np.ndarray, allowed: str, first: int) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        value = values[row].tolist()
        raise ValueError(f"{path}: column '{column}', row {first + row}: {value}; allowed: {allowed}")


def table_info(table: pa.Table) -> TableInfo:
    """The metadata of a table that was read or made here."""
    content = _content(Path("table"), table)
    return TableInfo(_set_of(content, "table"), content["image_roots"], content["made_by"])


def keypoint_set(table: pa.Table) -> KeypointSet:
    """The keypoint set of a table, as it was when the table was made."""
    return table_info(table).keypoint_set


def _set_of(content: dict[str, Any], path: str | Path) -> KeypointSet:
    return keypoint_set_from(content["keypoint_set"], content["keypoints"], path)


def to_numpy(table: pa.Table, column: str) -> np.ndarray:
    """A column as an array: [N], or [N, width] for list columns; nulls in list columns become NaN."""
    values = table[column]
    kind = values.type
    if not pa.types.is_fixed_size_list(kind):
        return values.to_numpy(zero_copy_only=False)
    arrays = []
    for chunk in values.chunks:
        if chunk.null_count:  # flatten() drops null lists
            rows = np.full((len(chunk), kind.list_size), np.nan, np.float32)
            rows[chunk.is_valid().to_numpy(zero_copy_only=False)] = _flat(chunk).reshape(-1, kind.list_size)
        else:
            rows = _flat(chunk).reshape(len(chunk), kind.list_size)
        arrays.append(rows)
    if not arrays:
        return np.zeros((0, kind.list_size), kind.value_type.to_pandas_dtype())
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _flat(lists: pa.FixedSizeListArray) -> np.ndarray:
    values = lists.flatten()
    if pa.types.is_floating(values.type) and len(values):
        return np.from_dlpack(values)  # what pa.Array.to_numpy gives, but that imports pandas first
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    return array


def concatenate(tables: Sequence[pa.Table], made_by: Mapping[str, Any]) -> pa.Table:
    """Join tables of one keypoint set into one; ValueError when the sets differ or a source has two image roots."""
    infos = [table_info(table) for table in tables]
    if any(info.keypoint_set.names != infos[0].keypoint_set.names for info in infos):
        names = [info.keypoint_set.name for info in infos]
        raise ValueError(f"tables of different keypoint sets cannot be joined: {names}")
    roots: dict[str, str] = {}
    for info in infos:
        for source, root in info.image_roots.items():
            if roots.setdefault(source, root) != root:
                raise ValueError(f"source '{source}' has two image roots: {roots[source]} and {root}")
    joined = pa.concat_tables(
        [t.replace_schema_metadata(None).unify_dictionaries() for t in tables]
    ).unify_dictionaries()
    name = _content(Path("table"), tables[0])["table"]
    return joined.combine_chunks().replace_schema_metadata(
        _metadata(name, TableInfo(infos[0].keypoint_set, roots, made_by))
    )


def labelled_people(table: pa.Table) -> pa.Table:
    """The rows a keypoint model can be held against: not a crowd, at least one keypoint labelled."""
    labelled = (to_numpy(table, "keypoints")[:, 2::3] > 0).any(1) & ~to_numpy(table, "iscrowd")
    return table.filter(pa.array(labelled))
