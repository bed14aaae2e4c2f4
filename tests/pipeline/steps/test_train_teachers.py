"""Teachers that were trained elsewhere."""

import re
from pathlib import Path

import pytest
import torch

from model import checkpoints
from model.network import build
from pipeline import layout
from pipeline.learning.ensemble import load_members
from pipeline.progress import Progress
from pipeline.records.artefacts import file_hash, read_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import KeypointModel, Params, Teacher
from pipeline.steps import train_teachers
from tests.pipeline.workspace import make_workspace

torch.set_num_threads(1)
FILE = "pose_resnet_18_64x64.pth.tar"
NETWORK = KeypointModel(
    architecture="simple_baseline", backbone="resnet18", backbone_stride=None, weights=FILE, input_size=[64, 64],
    mixers=[16, 16, 16], dilated=False, auxiliary=False, se=True, hdc=True, residual=True,
)  # fmt: skip


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return make_workspace(tmp_path)


def with_teacher(params: Params, model: KeypointModel) -> Params:
    teachers = params.train_teachers.model_copy(update={"models": {"theirs": Teacher(model=model, training=None)}})
    return params.model_copy(update={"train_teachers": teachers})


def write_microsofts() -> torch.nn.Module:
    """A random Simple Baseline in a file as Microsoft's code writes it: three layers a deconvolution, one head."""
    torch.manual_seed(3)
    network = build({**NETWORK.model_dump(), "weights": "none"}, 17)
    theirs = {}
    for name, value in network.state_dict().items():
        name = name.removeprefix("encoder.body.").replace("decoder.head.", "final_layer.")
        for stage in range(3):
            for part in range(2):
                name = name.replace(f"decoder.mixers.{stage}.hdc.merge.{part}.", f"deconv_layers.{3 * stage + part}.")
        theirs[name] = value
    assert {name.split(".")[0] for name in theirs} == {
        "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "deconv_layers", "final_layer"
    }  # fmt: skip
    torch.save(theirs, FILE)
    return network.eval()


def test_an_official_checkpoint_becomes_a_teacher_as_it_is(params: Params) -> None:
    network = write_microsofts()
    params = with_teacher(params, NETWORK)
    figures = train_teachers.run(params, Progress(), "theirs")
    (member,) = load_members([layout.teacher("theirs")], load_keypoint_set("coco"), torch.device("cpu"))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(member.network(images), network(images))
    assert member.padding == 1.25
    card = checkpoints.read_card(layout.teacher("theirs"))
    assert card["trained_by"]["inputs"] == {FILE: file_hash(FILE)}
    assert read_json(layout.figures("train_teachers", "theirs")) == figures
    assert 0 <= figures["val_oks"] <= 1
    assert layout.curves("train_teachers", "theirs").read_text().startswith("epoch,val_oks,val_ap,loss\n0,")


def test_an_own_checkpoint_keeps_its_padding(params: Params) -> None:
    network = build({**NETWORK.model_dump(), "weights": "none"}, 17)
    names = list(load_keypoint_set("coco").names)
    checkpoints.save(network, "own", {"keypoint_names": names, "trained_on": "x", "padding": 1.4})
    train_teachers.run(with_teacher(params, NETWORK.model_copy(update={"weights": "own"})), Progress(), "theirs")
    assert checkpoints.read_card(layout.teacher("theirs"))["padding"] == 1.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "absent.pth"}, "absent.pth: no such file"),
        ({"architecture": "ccm"}, "only this project's own checkpoints do"),
        ({"backbone": "resnet34"}, f"{FILE}: does not fit simple_baseline with resnet34"),
    ],
)
def test_a_checkpoint_that_is_not_what_params_say(params: Params, change: dict[str, str], message: str) -> None:
    write_microsofts()
    with pytest.raises(ValueError, match=re.escape(message)):
        train_teachers.run(with_teacher(params, NETWORK.model_copy(update=change)), Progress(), "theirs")
    assert not layout.teacher("theirs").exists()


def test_other_keypoints_are_refused(params: Params) -> None:
    network = build({**NETWORK.model_dump(), "weights": "none"}, 17)
    names = list(reversed(load_keypoint_set("coco").names))
    checkpoints.save(network, "own", {"keypoint_names": names, "trained_on": "x", "padding": 1.4})
    with pytest.raises(ValueError, match="needed are"):
        train_teachers.run(with_teacher(params, NETWORK.model_copy(update={"weights": "own"})), Progress(), "theirs")
