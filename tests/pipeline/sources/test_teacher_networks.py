"""A teacher's ONNX network: crops as it was trained on, answers read as its card says, and nothing else believed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pyarrow as pa
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from pipeline.records.tables import TableInfo, table_from
from pipeline.settings import Decoding
from pipeline.sources.teacher_card import Card, NetworkCard, read_card
from pipeline.sources.teacher_networks import AskShard, content_of, load
from pipeline.sources.teacher_outputs import keypoints_of

NAMES = ["nose", "left_hip", "right_hip"]
ROWS, COLUMNS = 64, 48
SIZE = (COLUMNS * 2, ROWS * 2)  # of a person whose crop, without padding, shows two pixels of the picture in one
PLACES = np.array([[20.0, 40.0], [10, 12], [33, 57]])  # crop pixels
NETWORK = {
    "input": "image", "input_size": [ROWS, COLUMNS], "layout": "NCHW", "channels": "RGB", "mean": [0.0, 0, 0],
    "std": [1.0, 1, 1], "padding": 1.0, "fit": "grow",
}  # fmt: skip
HEATMAPS = {"output": "heatmaps", "outputs": ["maps"]}
SIMCC = {"output": "simcc", "outputs": ["across", "down"], "split_ratio": 2.0}
POINTS = {"output": "coordinates", "outputs": ["points"], "values": ["x", "y", "score"], "unit": "pixels"}
PLAIN = Decoding(flip=False, shift="auto", gaussian=False, refinement="none")
FLIP = PLAIN.model_copy(update={"flip": True})


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """Two people in one picture of random colours, whose boxes have the aspect ratio of the crop."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.random.default_rng(0).integers(0, 256, (150, 220, 3), dtype=np.uint8))
    return table([[4, 6, *SIZE], [110, 12, *SIZE]])


def table(boxes: list[list[float]]) -> pa.Table:
    count = len(boxes)
    columns = {
        "detection_id": [f"d{i}" for i in range(count)], "image_id": ["s:a"] * count, "source": ["s"] * count,
        "file_name": ["a.png"] * count, "width": [220] * count, "height": [150] * count,
        "bbox": np.array(boxes, np.float32), "score": np.ones(count), "detector": ["d"] * count,
    }  # fmt: skip
    return table_from("detections", columns, TableInfo("coco", {"s": "."}))


def constant(name: str, value: Any, kind: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value, kind), name)


def said(value: np.ndarray, output: str, batch: int | str = "batch") -> list[onnx.NodeProto]:
    """Operations that answer the same, `value` [1, ...], for each picture of a batch, on whatever they show."""
    rank = value.ndim
    shape = [1] * rank
    return [
        helper.make_node("ReduceMean", ["image", "rest"], [f"{output}_mean"], keepdims=1),
        helper.make_node("Mul", [f"{output}_mean", "nothing"], [f"{output}_zero"]),
        helper.make_node("Reshape", [f"{output}_zero", f"{output}_shape"], [f"{output}_flat"]),
        helper.make_node("Constant", [], [f"{output}_value"], value=numpy_helper.from_array(value.astype(np.float32))),
        helper.make_node("Constant", [], [f"{output}_shape"], value=constant("", [-1, *shape[1:]], np.int64)),
        helper.make_node("Add", [f"{output}_flat", f"{output}_value"], [output]),
    ]


def write(
    nodes: list[onnx.NodeProto],
    outputs: list[str],
    path: str = "net.onnx",
    shape: Any = ("batch", 3, ROWS, COLUMNS),
    kind: int = TensorProto.FLOAT,
    names: tuple[str, ...] = ("image",),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [constant("rest", [1, 2, 3], np.int64), constant("nothing", 0.0)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return Path(path)


def card(kind: dict[str, Any], **changes: Any) -> Card:
    content = {"names": NAMES, "score": "its own", "licence": "CC0", "network": NETWORK | kind | changes}
    Path("card.yaml").write_text(yaml.safe_dump(content))
    return read_card("card.yaml")


def ask(path: Path, card: Card, people: pa.Table, decoding: Decoding = PLAIN) -> tuple[np.ndarray, np.ndarray]:
    shard = AskShard("work", people, path, content_of(path), card, decoding)
    found = np.load(shard((0, people.num_rows)))
    return found["points"], found["scores"]


def in_picture(places: np.ndarray, people: pa.Table) -> np.ndarray:
    """Crop pixels to the picture's for boxes of `SIZE`: the middle of the one is that of the other."""
    boxes = np.array(people["bbox"].to_pylist())
    middle = boxes[:, None, :2] + (np.array(SIZE) - 1) / 2
    return np.asarray(middle + 2 * (places - (np.array([COLUMNS, ROWS]) - 1) / 2))


def bins(places: np.ndarray, ratio: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """SimCC's vectors of places in crop pixels: 0.9 in x and 0.7 in y at the bin, 0 elsewhere."""
    across, down = np.zeros((1, 3, int(COLUMNS * ratio))), np.zeros((1, 3, int(ROWS * ratio)))
    for k, (x, y) in enumerate(places):
        across[0, k, int(x * ratio)], down[0, k, int(y * ratio)] = 0.9, 0.7
    return across, down


def test_simcc(people: pa.Table):
    across, down = bins(PLACES + 0.5)
    path = write([*said(across, "across"), *said(down, "down")], ["across", "down"])
    points, scores = ask(path, card(SIMCC), people)
    np.testing.assert_allclose(points, in_picture(PLACES + 0.5, people), atol=1e-5)
    np.testing.assert_allclose(scores, np.full((2, 3), 0.7), atol=1e-6)


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        (np.concatenate([PLACES, [[0.5]] * 3], 1)[None], {}),
        (np.concatenate([PLACES, [[0.5]] * 3], 1).reshape(1, 9), {}),
        (np.concatenate([PLACES / [COLUMNS, ROWS], [[0.5]] * 3], 1)[None], {"unit": "share"}),
        # x, y, z, visibility and presence as BlazePose has them: logits whose probabilities' product is 1/2.
        (
            np.concatenate([PLACES, [[7.0, 0.0, 30.0]] * 3], 1).reshape(1, 15),
            {"values": ["x", "y", "other", "logit", "logit"]},
        ),
        (np.concatenate([[[0.5]] * 3, PLACES[:, ::-1]], 1)[None], {"values": ["score", "y", "x"]}),
    ],
)
def test_coordinates(people: pa.Table, value: np.ndarray, changes: dict[str, Any]):
    points, scores = ask(write(said(value, "points"), ["points"]), card(POINTS, **changes), people)
    np.testing.assert_allclose(points, in_picture(PLACES, people), atol=1e-4)
    np.testing.assert_allclose(scores, np.full((2, 3), 0.5), atol=1e-6)


def test_coordinates_with_scores_beside_them(people: pa.Table):
    path = write([*said(PLACES[None], "points"), *said(np.array([[0.1, 0.2, 0.3]]), "sure")], ["points", "sure"])
    points, scores = ask(path, card(POINTS, outputs=["points", "sure"], values=["x", "y"]), people)
    np.testing.assert_allclose(points, in_picture(PLACES, people), atol=1e-4)
    np.testing.assert_allclose(scores, [[0.1, 0.2, 0.3]] * 2, atol=1e-6)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_heatmaps(people: pa.Table, layout: str):
    """At a quarter of the crop's size; cell i lies at crop pixel 4 i."""
    maps = np.zeros((1, 3, ROWS // 4, COLUMNS // 4))
    places = np.array([[5.0, 10], [2, 3], [8, 14]])
    for k, (x, y) in enumerate(places):
        maps[0, k, int(y), int(x)] = 0.6
    shape: tuple[Any, ...] = ("batch", 3, ROWS, COLUMNS)
    if layout == "NHWC":
        maps, shape = maps.transpose(0, 2, 3, 1), ("batch", ROWS, COLUMNS, 3)
    points, scores = ask(write(said(maps, "maps"), ["maps"], shape=shape), card(HEATMAPS, layout=layout), people)
    np.testing.assert_allclose(points, in_picture(4 * places, people), atol=1e-5)
    np.testing.assert_allclose(scores, np.full((2, 3), 0.6), atol=1e-6)


def follows(maximum: str, across: str, down: str) -> list[onnx.NodeProto]:
    """SimCC, one bin a pixel, of the same keypoint three times: the brightest column and row of the first channel."""
    return [
        helper.make_node("Constant", [], ["zero"], value=constant("", [0], np.int64)),
        helper.make_node("Constant", [], ["one"], value=constant("", [1], np.int64)),
        helper.make_node("Constant", [], ["channels"], value=constant("", [1], np.int64)),
        helper.make_node("Slice", ["image", "zero", "one", "channels"], ["first"]),
        helper.make_node("Constant", [], ["rows"], value=constant("", [2], np.int64)),
        helper.make_node("Constant", [], ["columns"], value=constant("", [3], np.int64)),
        helper.make_node("Constant", [], ["three"], value=constant("", [1, 3, 1], np.int64)),
        helper.make_node(maximum, ["first", "rows"], ["by_column"], keepdims=0),
        helper.make_node(maximum, ["first", "columns"], ["by_row"], keepdims=0),
        helper.make_node("Tile", ["by_column", "three"], [across]),
        helper.make_node("Tile", ["by_row", "three"], [down]),
    ]


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_keypoint_of_the_picture_is_found_where_it_is(tmp_path: Path, monkeypatch, channels: str):
    """A red dot, by a network that looks at the first channel; of the mirrored crop the same place comes back."""
    monkeypatch.chdir(tmp_path)
    picture = np.zeros((150, 220, 3), np.uint8)
    cv2.circle(picture, (71, 90), 2, (0, 0, 255), -1)  # red, as OpenCV has it
    cv2.circle(picture, (31, 30), 2, (255, 0, 0), -1)  # blue
    cv2.imwrite("a.png", picture)
    people, expected = table([[4, 6, *SIZE]]), (71, 90) if channels == "RGB" else (31, 30)
    path = write(follows("ReduceMax", "across", "down"), ["across", "down"])
    simcc = card(SIMCC, split_ratio=1.0, channels=channels, mean=[50.0, 0, 0], std=[2.0, 1, 1])
    for decoding in (PLAIN, FLIP):
        points, scores = ask(path, simcc, people, decoding)
        np.testing.assert_allclose(points, np.broadcast_to(expected, (1, 3, 2)), atol=1.5)
        assert (scores > 0.7 * (255 - 50) / 2).all()
        assert (scores <= (255 - 50) / 2).all()


@pytest.mark.parametrize("ratio", [1.0, 2.0, 1.5])
def test_the_flip_test_of_simcc_brings_back_what_the_mirror_shows(ratio: float):
    """What lies at x in the crop lies at W - 1 - x in the mirrored one, left and right exchanged."""
    places = np.array([[20.0, 40.0], [10, 12], [34, 56]])
    mirrored = np.stack([COLUMNS - 1 - places[[0, 2, 1], 0], places[[0, 2, 1], 1]], 1)
    vectors = []
    for where in (places, mirrored):
        x, y = (np.arange(int(size * ratio)) / ratio for size in (COLUMNS, ROWS))
        vectors.append([np.exp(-((x - where[:, :1]) ** 2) / 8)[None], np.exp(-((y - where[:, 1:]) ** 2) / 8)[None]])
    simcc = Card(tuple(NAMES), "s", "l", NetworkCard(**(NETWORK | SIMCC | {"split_ratio": ratio})))
    identity = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    plain, _ = keypoints_of(simcc, vectors[0], None, identity, PLAIN)
    both, scores = keypoints_of(simcc, vectors[0], vectors[1], identity, FLIP)
    only = keypoints_of(simcc, [np.zeros_like(each) for each in vectors[0]], vectors[1], identity, FLIP)[0]
    np.testing.assert_allclose(plain[0], places, atol=0.51 / ratio)
    np.testing.assert_allclose(both[0], places, atol=0.51 / ratio)
    np.testing.assert_allclose(only[0], places, atol=0.51 / ratio)
    assert (scores > 0.97).all()


def test_letterbox_shows_the_box_alone(people: pa.Table):
    """The network answers how bright columns and rows are: all of a white picture, or the box's alone."""
    cv2.imwrite("a.png", np.full((150, 220, 3), 255, np.uint8))
    narrow = table([[90, 12, COLUMNS, 2 * ROWS]])  # half as wide as the crop: 12 black pixels on either side
    path = write(follows("ReduceMax", "across", "down"), ["across", "down"])
    points, _ = ask(path, card(SIMCC, split_ratio=1.0), narrow)
    boxed, _ = ask(path, card(SIMCC, split_ratio=1.0, fit="letterbox"), narrow)
    middle = 90 + (COLUMNS - 1) / 2
    assert points[0, 0, 0] == pytest.approx(middle - 2 * (COLUMNS - 1) / 2), "the first white column of the crop"
    assert boxed[0, 0, 0] == pytest.approx(middle - 2 * (COLUMNS / 4 - 0.5)), "the first of the box"


def test_any_number_of_people_by_a_network_that_takes_two(people: pa.Table):
    across, down = bins(PLACES)
    nodes = [*said(across, "across"), *said(down, "down")]
    five = table([[4 + 20 * i, 6, *SIZE] for i in range(5)])
    points, _ = ask(write(nodes, ["across", "down"], shape=(2, 3, ROWS, COLUMNS)), card(SIMCC), five)
    np.testing.assert_allclose(points, in_picture(PLACES, five), atol=1e-4)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.UINT8])
def test_other_types_of_pixels(people: pa.Table, kind: int):
    nodes = [helper.make_node("Cast", ["pixels"], ["image"], to=TensorProto.FLOAT), *said(PLACES[None], "points")]
    nodes += said(np.array([[0.1, 0.2, 0.3]]), "sure")
    path = write(nodes, ["points", "sure"], kind=kind, names=("pixels",))
    points, _ = ask(path, card(POINTS, input="pixels", outputs=["points", "sure"], values=["x", "y"]), people)
    np.testing.assert_allclose(points, in_picture(PLACES, people), atol=1e-4)
    if kind == TensorProto.UINT8:
        with pytest.raises(ValueError, match=r"net\.onnx: takes pixels as they are \(uint8\); its card's mean has to"):
            ask(path, card(POINTS, input="pixels", std=[58.0, 57.0, 57.0]), people)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "pixels"}, "its card names one input, 'pixels'; the file has image"),
        ({"input_size": [64, 64]}, r"its input has the shape .* mean \[B, 3, 64, 64\]; correct the card"),
        ({"layout": "NHWC"}, r"its input has the shape .* mean \[B, 64, 48, 3\]"),
        ({"outputs": ["across", "dawn"]}, "has no output 'dawn', which its card names; it has across, down"),
        ({"outputs": ["down", "across"]}, r"output 'down' has the shape \[1, 3, 128\] .* mean \[1, 3, 96\] \(x\)"),
        ({"split_ratio": 4.0}, r"output 'across' has the shape \[1, 3, 96\] .* mean \[1, 3, 192\] \(x\)"),
        (
            HEATMAPS | {"outputs": ["across"], "split_ratio": None},
            r"output 'across' has the shape .* mean \[1, 3, h, w\]",
        ),
    ],
)
def test_a_card_that_contradicts_the_network_is_refused(people: pa.Table, changes: dict[str, Any], message: str):
    across, down = bins(PLACES)
    path = write([*said(across, "across"), *said(down, "down")], ["across", "down"])
    with pytest.raises(ValueError, match=rf"^net\.onnx: {message}") as error:
        ask(path, card(SIMCC | changes), people)
    assert "\n" not in str(error.value)


def test_nan_names_the_person(people: pa.Table):
    value = np.concatenate([PLACES, [[0.5]] * 3], 1)[None]
    value[0, 1, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"^net\.onnx: answers NaN or infinities for a person \(a\.png, \[4\.0, 6\.0"
    ) as error:
        ask(write(said(value, "points"), ["points"]), card(POINTS), people)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a network", "cut"])
def test_a_damaged_file_is_refused(people: pa.Table, content: bytes | str):
    path = write(said(PLACES[None], "points"), ["points"])
    path.write_bytes(path.read_bytes()[:200] if content == "cut" else content)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"^net\.onnx: no ONNX file, or damaged|^net\.onnx: onnxruntime cannot load"
    ) as error:
        ask(path, card(POINTS), people)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(people: pa.Table):
    with pytest.raises(ValueError, match=r"^nets/none\.onnx: no such file; an ONNX network belongs there"):
        content_of(Path("nets/none.onnx"))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("../weights.bin", r"net\.onnx: keeps weights in '\.\./weights\.bin', outside its folder; put them beside it"),
        ("/etc/passwd", r"net\.onnx: keeps weights in '/etc/passwd', outside its folder"),
        ("link.bin", r"link\.bin: a link that leaves its folder"),
        ("gone.bin", r"net\.onnx: keeps weights in 'gone\.bin', which is missing; put it beside the network's file"),
    ],
)
@pytest.mark.parametrize("where", ["initializer", "attribute", "inner graph"])
def test_weights_elsewhere_are_refused(people: pa.Table, tmp_path: Path, place: str, message: str, where: str):
    folder = tmp_path / "nets"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(36))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    model = onnx.load(write(said(PLACES[None], "points"), ["points"]))
    tensor = constant("w", np.zeros((3, 3)))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "attribute":
        model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))
    else:
        inner = helper.make_graph([], "inner", [], [], [tensor])
        model.graph.node.append(helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=message) as error:
        content_of(folder / "net.onnx")
    assert "\n" not in str(error.value)


def test_weights_beside_the_file_are_read_and_watched(people: pa.Table):
    model = onnx.load(write(said(np.concatenate([PLACES, [[0.5]] * 3], 1)[None], "points"), ["points"]))
    Path("nets").mkdir()
    onnx.save(
        model, "nets/net.onnx", save_as_external_data=True, location="w.bin", size_threshold=60, convert_attribute=True
    )
    before = content_of(Path("nets/net.onnx"))
    points, _ = ask(Path("nets/net.onnx"), card(POINTS), people)
    np.testing.assert_allclose(points, in_picture(PLACES, people), atol=1e-4)
    Path("nets/w.bin").write_bytes(bytes(Path("nets/w.bin").stat().st_size))
    assert content_of(Path("nets/net.onnx")) != before
    Path("nets/w.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"^nets/net\.onnx: onnxruntime cannot load it"):
        ask(Path("nets/net.onnx"), card(POINTS), people)


def test_whatever_is_damaged_ends_in_a_line(people: pa.Table):
    """Sixty copies with up to five wrong bytes: each is a network still, or is refused by its name."""
    across, down = bins(PLACES)
    path = write([*said(across, "across"), *said(down, "down")], ["across", "down"])
    whole, simcc, random = path.read_bytes(), card(SIMCC), np.random.default_rng(0)
    refused = []
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 6)):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            load(path, content_of(path), simcc)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all(re.fullmatch(r"net\.onnx: [^\n]+", message) for message in refused)
