"""What a teacher from outside says of people, by its ONNX network, which is asked here.

The file is somebody else's. onnxruntime runs no Python of it; weights that it keeps in other files have to lie in its
folder, and whatever is wrong with it, with its answers or with what the card says of it ends in a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.learning.data import inference_batches
from pipeline.learning.shards import kept
from pipeline.records.artefacts import file_hash
from pipeline.records.code import code_hash
from pipeline.records.tables import to_numpy
from pipeline.records.text import one_line
from pipeline.settings import Decoding
from pipeline.sources.teacher_card import Card, NetworkCard
from pipeline.sources.teacher_outputs import keypoints_of, shapes

_AT_ONCE = 32  # people, where the network takes any number
_QUIET = 4  # what onnxruntime reports on its own: fatal errors
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


@dataclass(frozen=True)
class Network:
    """A network in memory. `batch` is how many people it takes, 0 for any number."""

    session: Any
    path: Path
    dtype: Any
    batch: int


@dataclass(frozen=True)
class AskShard:
    """What a network says of a range of people; picklable, and the same bytes wherever it runs. `work`: see `kept`."""

    work: str
    people: pa.Table
    path: Path
    content: str  # hash of the files of the network
    card: Card
    decoding: Decoding

    def __call__(self, rows: tuple[int, int]) -> Path:
        """The file of this shard: `points` [N, K, 2] in image pixels and `scores` [N, K], K the card's names."""
        people, network = self.people.slice(rows[0], rows[1] - rows[0]), self.card.network
        assert network is not None
        decoding = {name: getattr(self.decoding, name) for name in Decoding.model_fields}
        settings = [self.content, self.card.names, network.model_dump(), decoding, code_hash(__name__)]
        return kept(self.work, people, settings, lambda: self._ask(people))

    def _ask(self, people: pa.Table) -> dict[str, np.ndarray]:
        network, card = load(self.path, self.content, self.card), self.card.network
        assert card is not None
        points = np.zeros((people.num_rows, len(self.card.names), 2))
        scores, boxes = np.zeros(points.shape[:2]), to_numpy(people, "bbox").astype(float)
        batches = inference_batches(
            people,
            input_size=(card.input_size[0], card.input_size[1]),
            padding=card.padding,
            batch_size=network.batch or _AT_ONCE,
        )
        for batch in batches:
            rows, transforms = batch.rows.numpy(), batch.transforms.numpy()
            crops = batch.images.numpy()
            if card.fit == "letterbox":
                crops = crops * _within(boxes[rows], transforms, card)[:, None]
            plain = self._answers(network, crops, people, rows)
            mirrored = self._answers(network, crops[..., ::-1], people, rows) if self.decoding.flip else None
            points[rows], scores[rows] = keypoints_of(self.card, plain, mirrored, transforms, self.decoding)
        return {"points": points, "scores": scores}

    def _answers(self, network: Network, crops: np.ndarray, people: pa.Table, rows: np.ndarray) -> list[np.ndarray]:
        outputs = [np.concatenate(each) for each in zip(*_asked(network, self.card, crops), strict=True)]
        for output in outputs:
            finite = np.isfinite(output).reshape(len(rows), -1).all(1)
            if not finite.all():
                row = int(rows[int(np.argmin(finite))])
                where = ", ".join(str(people[name][row].as_py()) for name in ("file_name", "bbox"))
                raise ValueError(
                    f"{network.path}: answers NaN or infinities for a person ({where}): the network is broken, or the "
                    "card's mean, std or channels are another's; correct them or leave this teacher out"
                )
        return outputs


@lru_cache(maxsize=4)
def _loaded(path: Path, content: str, names: tuple[str, ...], card: str) -> Network:
    return _load(path, Card(names, "-", "-", NetworkCard.model_validate_json(card)))


def load(path: Path, content: str, card: Card) -> Network:
    """A network, loaded and tried once a process; `content`, the hash of its files, keys the cache.

    Raises:
        ValueError: what `files_of` raises; it cannot be loaded or run, or is not what the card says: names, number and
            kind of inputs and outputs, and their shapes.
    """
    assert card.network is not None
    return _loaded(path, content, card.names, card.network.model_dump_json())


def _load(path: Path, card: Card) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"{path}: {error}; ONNX teachers need `pip install 'ccm-pipeline[export]'`") from None
    files_of(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # workers spread the shards
    options.log_severity_level = _QUIET
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = {each.name: (each.type, list(each.shape)) for each in session.get_inputs()}
        there = [each.name for each in session.get_outputs()]
    except Exception as error:  # onnxruntime's own types stand in no public module; names that are no text
        raise ValueError(
            f"{path}: onnxruntime cannot load it: {one_line(error):.300}; get or export the file anew"
        ) from None
    assert card.network is not None
    network = Network(session, path, *_input(path, inputs, card.network))
    if missing := [name for name in card.network.outputs if name not in there]:
        raise ValueError(f"{path}: has no output {missing[0]!r}, which its card names; it has {', '.join(there)}")
    height, width = card.network.input_size
    list(_asked(network, card, np.zeros((network.batch or 1, 3, height, width), np.uint8)))
    return network


def _input(path: Path, inputs: Mapping[str, tuple[str, list[Any]]], card: NetworkCard) -> tuple[Any, int]:
    """The type that the network's input has, and for how many people, 0 for any number.

    `inputs` are the types and shapes of the file's inputs by name.
    """
    if list(inputs) != [card.input]:
        raise ValueError(
            f"{path}: its card names one input, {card.input!r}; the file has {', '.join(inputs) or 'none'}"
        )
    kind, shape = inputs[card.input]
    if kind not in _TYPES:
        raise ValueError(f"{path}: its input takes {kind}; allowed: {', '.join(_TYPES)}")
    if kind == "tensor(uint8)" and (any(card.mean) or any(each != 1 for each in card.std)):
        raise ValueError(f"{path}: takes pixels as they are (uint8); its card's mean has to be 0 and std 1")
    height, width = card.input_size
    expected = [3, height, width] if card.layout == "NCHW" else [height, width, 3]
    differs = len(shape) != 4 or any(
        isinstance(size, int) and size != wanted for size, wanted in zip(shape[1:], expected, strict=False)
    )
    if differs:
        raise ValueError(
            f"{path}: its input has the shape {shape}, its card's layout {card.layout} and input_size "
            f"{card.input_size} mean [B, {', '.join(map(str, expected))}]; correct the card"
        )
    return _TYPES[kind], shape[0] if isinstance(shape[0], int) else 0


def _asked(network: Network, card: Card, crops: np.ndarray) -> Iterator[list[np.ndarray]]:
    """What the network answers for crops [B, 3, H, W] uint8 RGB, as `shapes` makes it, batch by batch."""
    assert card.network is not None
    step = network.batch or len(crops)
    for first in range(0, len(crops), step):
        part = crops[first : first + step]
        padded = np.concatenate([part, np.repeat(part[-1:], step - len(part), 0)])
        fed = {card.network.input: _prepared(padded, card.network, network.dtype)}
        try:
            outputs = network.session.run(card.network.outputs, fed)
        except Exception as error:
            raise ValueError(
                f"{network.path}: onnxruntime cannot run it as its card says: {one_line(error):.300}"
            ) from None
        try:
            yield [output[: len(part)] for output in shapes(card, outputs, step)]
        except ValueError as error:
            raise ValueError(f"{network.path}: {error}") from None


def _prepared(crops: np.ndarray, card: NetworkCard, dtype: Any) -> np.ndarray:
    """Crops [B, 3, H, W] uint8 RGB as the network takes them."""
    if card.channels == "BGR":
        crops = crops[:, ::-1]
    if dtype != np.uint8:
        mean, std = (np.array(each, np.float32)[:, None, None] for each in (card.mean, card.std))
        crops = ((crops.astype(np.float32) - mean) / std).astype(dtype)
    return np.ascontiguousarray(crops if card.layout == "NCHW" else crops.transpose(0, 2, 3, 1))


def _within(boxes: np.ndarray, transforms: np.ndarray, card: NetworkCard) -> np.ndarray:
    """[B, H, W] uint8, 1 for a crop's pixels that lie in the padded box, which is in its middle."""
    height, width = card.input_size
    half = boxes[:, 2:] * card.padding / 2 * transforms[:, 0, :1]  # [B, 2] of the box's width and height, crop pixels
    across = np.abs(np.arange(width) - (width - 1) / 2) <= half[:, :1]
    down = np.abs(np.arange(height) - (height - 1) / 2) <= half[:, 1:]
    return np.asarray(down[:, :, None] & across[:, None, :], np.uint8)


def files_of(path: Path) -> list[Path]:
    """A network's file, and those in which it keeps weights.

    ValueError when it is no ONNX file, or one of them is missing or lies outside its folder: DVC watches that folder,
    and a file from elsewhere has no business to name others of this machine.
    """
    try:
        import onnx
    except ImportError as error:
        raise ValueError(f"{path}: {error}; ONNX teachers need `pip install 'ccm-pipeline[export]'`") from None
    if not path.is_file():
        raise ValueError(f"{path}: no such file; an ONNX network belongs there (ask_teachers.NAME.path and network)")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own types, and what a damaged file does to it
        raise ValueError(f"{path}: no ONNX file, or damaged ({one_line(error):.100}); get or export it anew") from None
    if not model.graph.node:
        raise ValueError(f"{path}: no ONNX file, or damaged (a network without operations); get or export it anew")
    places = dict.fromkeys(place for graph in (model.graph, *model.functions) for place in _external(graph))
    return [path, *(_beside(path, place) for place in places)]


def _beside(path: Path, place: str) -> Path:
    """A file of weights that a network names."""
    folder = path.parent
    found = folder / place
    if not place or Path(place).is_absolute() or ".." in Path(place).parts:
        raise ValueError(
            f"{path}: keeps weights in {place!r:.100}, outside its folder; put them beside it, or save it as one file"
        )
    if not found.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{found}: a link that leaves its folder; copy the file there, or save {path.name} as one file"
        )
    if not found.is_file():
        raise ValueError(f"{path}: keeps weights in {place!r:.100}, which is missing; put it beside the network's file")
    return found


def _external(graph: Any) -> Iterator[str]:
    """The places of weights outside the file, of a graph or function and of all graphs in it."""
    tensors = [*getattr(graph, "initializer", ())]
    tensors += [part for each in getattr(graph, "sparse_initializer", ()) for part in _parts(each)]
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            tensors += [part for each in (attribute.sparse_tensor, *attribute.sparse_tensors) for part in _parts(each)]
            for inner in (attribute.g, *attribute.graphs):
                yield from _external(inner)
    for tensor in tensors:
        if tensor.data_location == tensor.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def _parts(sparse: Any) -> tuple[Any, Any]:
    """The tensors that a sparse one consists of."""
    return sparse.values, sparse.indices


def content_of(path: Path) -> str:
    """The hash of a network's files."""
    return "+".join(file_hash(each) for each in files_of(path))
