"""A teacher whose training failed is refused before it labels, and numbers that are none where they arise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model import checkpoints
from model.network import PoseNetwork, build
from pipeline.evaluation.sets import load_model
from pipeline.learning.degenerate import check_members
from pipeline.learning.ensemble import FuseShard, Member
from pipeline.learning.inference import predict, ready
from pipeline.learning.shards import kept, shards_of
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table
from pipeline.settings import Params
from tests.pipeline.learning.test_inference import CPU
from tests.pipeline.workspace import MODEL, STRATEGY, make_workspace

DEVICE = torch.device("cpu")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    return make_workspace(tmp_path)


class Drawn(torch.nn.Module):
    """Heatmaps [B, 17, 32, 32] with one peak each, at cells [B, 17, 2] that are given by a function of the crops."""

    def __init__(self, network: PoseNetwork, place: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.spec, self.mean, self.std, self.heatmap_size = network.spec, network.mean, network.std, (32, 32)
        self.place = place

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = torch.zeros(len(images), 17, 32, 32)
        cells = self.place(images).long()
        for person in range(len(images)):
            for keypoint in range(17):
                maps[person, keypoint, cells[person, keypoint, 1], cells[person, keypoint, 0]] = 1.0
        return maps


def of_the_picture(images: torch.Tensor) -> torch.Tensor:
    """Somewhere that the crop decides, another cell for every keypoint."""
    seed = (images.double().abs().sum((1, 2, 3)) * 1000).long()
    steps = torch.arange(34).reshape(17, 2)
    return (seed[:, None, None] + 7 * steps) % 32


DEGENERATE = {
    "all keypoints of a person at one place": lambda images: of_the_picture(images)[:, :1].expand(-1, 17, 2),
    "at the same place of every crop": lambda images: torch.arange(17)[None, :, None].expand(len(images), 17, 2),
}


def checked(params: Params, place: Callable[[torch.Tensor], torch.Tensor] | None) -> None:
    network = load_model(params, STRATEGY).network
    drawn = Drawn(network, place) if place is not None else network
    member = Member("x", drawn, load_keypoint_set("coco").names, 1.25)  # type: ignore[arg-type]
    people = read_table("data/detections/train.parquet", "detections")
    check_members([member], [Path("models/teachers/x")], people, CPU)


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_teacher_that_sees_nothing_is_refused(params: Params, name: str) -> None:
    with pytest.raises(ValueError, match=f"^models/teachers/x: .*{name}.*its training has failed"):
        checked(params, DEGENERATE[name])


def test_flat_heatmaps_are_refused(params: Params) -> None:
    network = build(MODEL, 17)
    with torch.no_grad():
        network.decoder.head.weight.zero_()
        network.decoder.head.bias.zero_()
    member = Member("x", ready(network, DEVICE), load_keypoint_set("coco").names, 1.25)
    with pytest.raises(ValueError, match="its heatmaps are flat"):
        check_members([member], [Path("x")], read_table("data/detections/train.parquet", "detections"), CPU)


def test_a_teacher_that_looks_is_not_refused(params: Params) -> None:
    checked(params, of_the_picture)
    checked(params, None)  # nor one that is untrained, but not broken


def test_heatmaps_that_are_no_numbers_name_the_person(params: Params) -> None:
    network = checkpoints.load(Path("models/final") / STRATEGY)
    with torch.no_grad():
        network.decoder.head.bias[3] = float("nan")
    people = read_table("data/detections/val.parquet", "detections")
    name = people["file_name"][0].as_py()
    with pytest.raises(ValueError, match=rf"heatmaps of row 0 \({name}, .*NaN or infinities"):
        list(predict(network, people, padding=1.25, batch_size=4, flip=False, compute=CPU, device=DEVICE))


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "text", "folder"])
def test_a_damaged_shard_is_set_aside_and_made_again(
    params: Params, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    people = read_table("data/detections/val.parquet", "detections")
    path = kept("work", people, ["x"], lambda: {"a": np.arange(100)})
    content = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        content[200] ^= 4
        path.write_bytes({"empty": b"", "cut": content[:-30], "bit": content, "text": b"none"}[damage])
    assert kept("work", people, ["x"], lambda: {"a": np.arange(100)}) == path
    assert np.load(path)["a"].tolist() == list(range(100))
    assert "set aside as" in capsys.readouterr().err


def test_a_whole_shard_is_taken(params: Params) -> None:
    people = read_table("data/detections/val.parquet", "detections")
    kept("work", people, ["x"], lambda: {"a": np.arange(3)})
    kept("work", people, ["x"], lambda: pytest.fail("computed again"))
    assert shards_of(people, 100)


def test_a_broken_ensemble_does_not_label(params: Params) -> None:
    network = build(MODEL, 17)
    card = {"keypoint_names": list(load_keypoint_set("coco").names), "trained_on": "nothing", "padding": 1.25}
    with torch.no_grad():
        network.decoder.head.weight.zero_()
        network.decoder.head.bias.zero_()
    checkpoints.save(network, "models/teachers/flat", card)
    people = read_table("data/detections/train.parquet", "detections")
    keypoints = load_keypoint_set("coco")
    folders = (Path("models/final") / STRATEGY, Path("models/teachers/flat"))
    label = FuseShard("work", people, folders, keypoints, params.pseudo_label.decoding, 8, CPU)
    with pytest.raises(ValueError, match=r"^models/teachers/flat: its heatmaps are flat"):
        check_members(label.members, label.folders, people, CPU)
