"""Files and packages that hold weights: read without running anything, and matched by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from model import build
from model.weights import PACKAGED, read_tensors
from tests.model.official import hrnet_tensors

SMALL = {"input_size": (64, 64), "mixers": (8, 8)}


class Touches:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, legacy: bool) -> None:
    file, trace = tmp_path / "net.pth", tmp_path / "ran"
    content = {"state_dict": {"a": torch.ones(1)}, "meta": Touches(trace)}
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"net\.pth: holds Python objects besides tensors \(\w+\.mkdir\)") as caught:
        read_tensors(file)
    assert "save its state_dict alone" in str(caught.value)
    assert "weights_only" not in str(caught.value)  # PyTorch's own advice to load it all the same
    assert not trace.exists()
    torch.load(file, weights_only=False)  # the trap is one
    assert trace.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(ValueError, match="holds Python objects besides tensors"):
        read_tensors(tmp_path / "net.pth")


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_said_to_be_one(tmp_path: Path, name: str, share: float) -> None:
    file = tmp_path / name
    tensors = {f"layer{i}.weight": torch.randn(20, 20) for i in range(10)}
    (save_file if name.endswith(".safetensors") else torch.save)(tensors, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=f"{name}: truncated, or not a"):
        read_tensors(file)


@pytest.mark.parametrize(
    "content", [b"<html>404</html>", b"\x89PNG\r\n\x1a\n" + bytes(100), b"version https://git-lfs"]
)
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net.tar"])
def test_a_file_that_is_something_else(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: truncated, or not a"):
        read_tensors(tmp_path / name)


def test_what_is_no_state_dict_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file; allowed: a \.safetensors, \.pth"):
        read_tensors(tmp_path / "nothing.pth")
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "notes.pth")
    with pytest.raises(ValueError, match="no tensors by name in it but the keys epoch, lr; allowed: a state_dict"):
        read_tensors(tmp_path / "notes.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no tensors by name in it"):
        read_tensors(tmp_path / "list.pth")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"state_dict": t, "epoch": 2, "meta": {"lr": np.float64(0.1), "steps": np.arange(3)}},
        lambda t: {"model": t},
        lambda t: {"best_state_dict": t, "perf": 0.7},
        lambda t: {"state_dict": {f"module.{name}": value for name, value in t.items()}},
    ],
    ids=["bare", "MMPose", "model", "best", "DataParallel"],
)
def test_containers_are_opened(tmp_path: Path, wrap: Any) -> None:
    tensors = {"conv1.weight": torch.randn(2, 2), "bn1.bias": torch.randn(2)}
    torch.save(wrap(tensors), tmp_path / "net.pth")
    found = read_tensors(tmp_path / "net.pth")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


CLASSIFIERS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "torchvision ResNet": ("resnet18", torchvision.models.resnet18),
    "timm ResNet": ("resnet18", partial(timm.create_model, "resnet18")),
    "torchvision ShuffleNet": ("shufflenet_v2_x1_5", torchvision.models.shufflenet_v2_x1_5),
    "torchvision MobileNet": ("mobilenet_v2", torchvision.models.mobilenet_v2),
    "timm HRNet": ("hrnet_w18_small", partial(timm.create_model, "hrnet_w18_small")),
    "timm ConvNeXt": ("convnext_atto", partial(timm.create_model, "convnext_atto")),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifiers_checkpoint_fills_its_backbone(tmp_path: Path, kind: str) -> None:
    backbone, create = CLASSIFIERS[kind]
    theirs = create().state_dict()
    torch.save(theirs, tmp_path / "net.pth")
    own = build({**SMALL, "backbone": backbone, "weights": str(tmp_path / "net.pth")}, 3).encoder.body.state_dict()
    assert len(own) > 50
    assert [name for name, value in own.items() if not torch.equal(value, theirs[name])] == []


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.backbone."])
def test_prefixes_of_training_code_are_dropped(tmp_path: Path, prefix: str) -> None:
    theirs = timm.create_model("resnet10t").state_dict()
    torch.save({"state_dict": {prefix + name: value for name, value in theirs.items()}}, tmp_path / "net.pth")
    own = build({**SMALL, "backbone": "resnet10t", "weights": str(tmp_path / "net.pth")}, 3).encoder.body.state_dict()
    assert [name for name, value in own.items() if not torch.equal(value, theirs[name])] == []


def test_official_hrnet_pose_weights_start_a_ccm(tmp_path: Path) -> None:
    tensors = hrnet_tensors(18, 17)
    torch.save(tensors, tmp_path / "pose_hrnet_w18.pth")
    spec = {**SMALL, "backbone": "hrnet_w18", "weights": str(tmp_path / "pose_hrnet_w18.pth")}
    own = build(spec, 17).encoder.body.state_dict()
    named = {name for name in own if not name.endswith("num_batches_tracked")}
    assert named == {name for name in tensors if not name.startswith("final_layer.")}
    assert all(torch.equal(own[name], tensors[name]) for name in named)


@pytest.mark.parametrize(
    ("file", "backbone", "message"),
    [
        ("resnet34", "resnet18", r"it also holds layer1\.2\."),
        ("resnet18", "resnet34", r"tensors are missing \(layer1\.2\.conv1\.weight"),
        ("resnet18", "resnet50", r"missing .*have another shape"),
        ("resnet18", "mobilenet_v2", "does not fit the backbone mobilenet_v2"),
    ],
)
def test_a_checkpoint_of_another_backbone_names_the_tensors(
    tmp_path: Path, file: str, backbone: str, message: str
) -> None:
    torch.save(timm.create_model(file).state_dict(), tmp_path / "net.pth")
    spec = {**SMALL, "backbone": backbone, "weights": str(tmp_path / "net.pth")}
    with pytest.raises(ValueError, match=message) as caught:
        build(spec, 17)
    assert "It must hold this backbone's tensors under timm's, torchvision's, HRNet's or MMPose's names" in str(
        caught.value
    )


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_are_a_trained_network(name: str) -> None:
    assert importlib.util.find_spec(PACKAGED[name][0]), "a dependency of this project"
    trained = build({**SMALL, "backbone": name, "weights": "packaged"}, 3).encoder.body
    norms = [module for module in trained.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(bool((norm.running_var >= 0).all()) for norm in norms)
    # Tensors in the wrong place would leave features whose statistics are not those that the norms have recorded.
    images = torch.nn.functional.interpolate(torch.rand(16, 3, 8, 8) * 4 - 2, size=(64, 64), mode="bicubic")
    seen: list[Tensor] = []
    handle = norms[1].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.inference_mode():
        trained.eval().forward_features(images)
    handle.remove()
    found, recorded = seen[0].var((0, 2, 3)), norms[1].running_var
    alive = recorded > 1e-3  # pruned channels of these networks have a variance of nothing
    assert np.corrcoef(found[alive].log().numpy(), recorded[alive].log().numpy())[0, 1] > 0.7


def test_weights_that_cannot_be_had_name_the_alternatives() -> None:
    with pytest.raises(ValueError, match="no package ships weights of resnet18; packaged: tf_efficientnet_lite0"):
        build({**SMALL, "backbone": "resnet18", "weights": "packaged"}, 17)
    with pytest.raises(ValueError, match=r"nowhere\.pth: no such file"):
        build({**SMALL, "backbone": "resnet18", "weights": "nowhere.pth"}, 17)


def test_a_download_that_fails_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: object, **options: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        ValueError, match=r"could not be downloaded \(no route to host\)\. Without a network, set weights"
    ):
        build({**SMALL, "backbone": "resnet18", "weights": "imagenet"}, 17)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "model.", "module.module.", "model._orig_mod.", ""])
def test_what_training_code_puts_before_all_names_is_left_out(tmp_path: Path, wrapper: str) -> None:
    tensors = {f"{wrapper}conv.weight": torch.zeros(2), f"{wrapper}model.bias": torch.ones(1)}
    torch.save({"state_dict": tensors}, tmp_path / "x.pth")
    assert list(read_tensors(tmp_path / "x.pth")) == ["conv.weight", "model.bias"]
