"""The whole network: what each switch of Table 2 changes, what training and inference see, and that it learns."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from model import ModelSpec, PoseNetwork, build, record_mixer_features, replace_head
from model.losses import total_loss
from pipeline.records.keypoints import load_keypoint_set
from pipeline.synthesis.masks import bounding_box
from pipeline.synthesis.scene import render_scene
from pipeline.synthesis.style import COCO_STYLE
from postproc.codec import encode
from postproc.coordinates import crop_transforms, image_to_heatmap
from tests.model.conftest import with_random_statistics

SMALL = {"backbone": "resnet10t", "input_size": (64, 64), "mixers": (16, 16, 16), "weights": "none"}
FULL = ModelSpec(backbone="resnet50", mixers=(256, 256, 256), dilated=True, auxiliary=True)


def shapes(**changes: Any) -> dict[str, torch.Size]:
    """Names and shapes of the parameters of the paper's ResNet-50 network, with changes."""
    with torch.device("meta"):
        network = build(ModelSpec(**{**FULL.to_dict(), **changes}), 17)
    return {name: value.shape for name, value in network.named_parameters()}


def count(parameters: dict[str, torch.Size], part: str = "") -> int:
    return sum(shape.numel() for name, shape in parameters.items() if part in name)


@pytest.fixture(scope="module")
def full() -> dict[str, torch.Size]:
    return shapes()


# Weights of the main decoder's mixers (2048, 256, 256 channels in) and of the auxiliary one's (1024, 256, 256).
INPUTS = (2048, 256, 256, 1024, 256, 256)


@pytest.mark.parametrize(
    ("switch", "part", "weights"),
    [
        ("se", ".se.", sum(c * 64 + 2 * 64 + 64 * 256 + 2 * 256 for c in INPUTS)),
        ("residual", ".residual.", sum(c * 256 + 2 * 256 for c in INPUTS)),
        ("hdc", ".hdc.branches.", sum(9 * c * 256 + 2 * 256 for c in INPUTS)),
        ("auxiliary", "auxiliary_decoder.", None),
    ],
)
def test_a_switch_of_table_2_changes_exactly_its_part(
    full: dict[str, torch.Size], switch: str, part: str, weights: int | None
) -> None:
    without = shapes(**{switch: False})
    kept = {name: shape for name, shape in full.items() if part not in name}
    assert set(without) == set(kept)
    reshaped = {name for name in kept if without[name] != kept[name]}
    # Without its branches, HDC's deconvolution reads the mixer's input.
    read_input = {f"{d}.mixers.0.hdc.merge.0.weight" for d in ("decoder", "auxiliary_decoder")}
    assert reshaped == (read_input if switch == "hdc" else set())
    if switch == "hdc":
        weights = (weights or 0) - 16 * 256 * (2048 - 256) - 16 * 256 * (1024 - 256)
    if switch == "auxiliary":
        mixers = sum(
            (c * 64 + 128 + 64 * 256 + 512) + (c * 256 + 512) + (9 * c * 256 + 512) + (16 * 256 * 256 + 512)
            for c in INPUTS[3:]
        )
        weights = mixers + 256 * 17 + 17
    assert count(full) - count(without) == weights


def test_without_any_switch_it_is_the_simple_baseline() -> None:
    bare = shapes(se=False, hdc=False, residual=False, dilated=False, auxiliary=False)
    assert bare == shapes(architecture="simple_baseline", dilated=False, auxiliary=False)


def test_dilating_adds_no_weights() -> None:
    plain, dilated = (shapes(dilated=on, auxiliary=False) for on in (False, True))
    assert plain == dilated
    # Both decoders end at the same resolution, so beside an undilated encoder one auxiliary mixer keeps its own.
    plain, dilated = shapes(dilated=False), shapes()
    last = "auxiliary_decoder.mixers.2.hdc.merge.0.weight"
    assert (plain.pop(last), dilated.pop(last)) == ((256, 256, 3, 3), (256, 256, 4, 4))
    assert plain == dilated


def test_a_dilated_encoder_sees_the_plain_one_at_every_other_cell() -> None:
    """Dilation in place of striding: where both have a value it is the same."""
    spec = {**SMALL, "backbone": "resnet26", "mixers": (8, 8, 8), "auxiliary": True}
    plain, dilated = (with_random_statistics(build({**spec, "dilated": on}, 2)).double().eval() for on in (False, True))
    dilated.encoder.load_state_dict(plain.encoder.state_dict())
    assert (plain.heatmap_size, dilated.heatmap_size) == ((16, 16), (32, 32))
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        (coarse, plain_last), (same, dilated_last) = plain.encoder(x), dilated.encoder(x)
    assert torch.equal(coarse, same)
    assert dilated_last.shape[2:] == same.shape[2:] == (4, 4)
    assert plain_last.std() > 0.1
    torch.testing.assert_close(dilated_last[:, :, ::2, ::2], plain_last)


def test_extra_mixers_on_hrnet_keep_its_finest_resolution() -> None:
    for mixers in ((8,), (8, 8), (8, 8, 8)):
        with torch.device("meta"):
            network = build({"backbone": "hrnet_w18_small", "mixers": mixers, "weights": "none"}, 17)
        kernels = [m.hdc.merge[0].kernel_size for m in network.decoder.mixers]
        assert kernels == [(4, 4), (3, 3), (3, 3)][: len(mixers)]
        assert network.heatmap_size == (128, 96)


def test_inference_knows_nothing_of_the_auxiliary_decoder() -> None:
    network = with_random_statistics(build({**SMALL, "auxiliary": True}, 5))
    x = torch.randn(2, 3, 64, 64)
    main, auxiliary = network.train()(x)
    assert main.shape == auxiliary.shape == (2, 5, 16, 16)
    expected = network.eval()(x)
    assert isinstance(expected, Tensor)
    network.drop_auxiliary()
    assert torch.equal(network(x), expected)
    assert network.spec == ModelSpec.parse({**SMALL, "auxiliary": False})
    assert network.train()(x)[1] is None
    assert not [name for name in network.state_dict() if "auxiliary" in name]


def test_the_auxiliary_decoder_reads_the_stage_before_the_last() -> None:
    network = build({**SMALL, "auxiliary": True}, 5).train()
    network(torch.randn(2, 3, 64, 64))[1].square().sum().backward()
    body = network.encoder.body
    assert body.layer3[0].conv1.weight.grad is not None
    assert body.layer4[0].conv1.weight.grad is None
    assert network.decoder.head.weight.grad is None


def test_a_new_head_keeps_everything_else() -> None:
    network = build({**SMALL, "auxiliary": True}, 14)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert replace_head(network, 17) is network
    assert network.keypoints == 17
    after = network.state_dict()
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {f"{d}.head.{t}" for d in ("decoder", "auxiliary_decoder") for t in ("weight", "bias")}
    assert all(torch.equal(before[name], after[name]) for name in set(before) - changed)
    assert [output.shape[1] for output in network.train()(torch.randn(2, 3, 64, 64))] == [17, 17]
    for wrong in (0, True, 2.5):
        with pytest.raises(ValueError, match=r"keypoints: .* allowed: a whole number from 1 on"):
            replace_head(network, wrong)  # type: ignore[arg-type]


def test_recorded_features_are_those_of_equation_4() -> None:
    network = with_random_statistics(build(SMALL, 5)).train()
    x = torch.randn(2, 3, 64, 64)
    recorded = record_mixer_features(network, x)
    assert network.training
    assert len(recorded) == 3 * (4 + 2)
    assert [recorded[f"level{k}/output"].shape[2] for k in (1, 2, 3)] == [4, 8, 16]
    assert recorded["level1/hdc4"].shape == (2, 4, 2, 2)
    before = recorded["level1/output"]
    mixer = network.eval().decoder.mixers[1]
    expected = torch.relu(recorded["level2/hdc_x_se"] + mixer.residual(before))
    torch.testing.assert_close(recorded["level2/output"], expected)
    torch.testing.assert_close(network.decoder.head(recorded["level3/output"]), network(x))


def test_a_crop_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images: \(1, 3, 64, 48\); this network takes \[B, 3, \*\(64, 64\)\]"):
        build(SMALL, 5)(torch.zeros(1, 3, 64, 48))


def test_bfloat16_autocast_trains_and_agrees() -> None:
    network = with_random_statistics(build({**SMALL, "auxiliary": True}, 5))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        exact = network.eval()(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(x)
    assert rough.dtype is torch.bfloat16
    # bfloat16 keeps 8 bits; dozens of layers leave a few percent of the maps' range.
    assert (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()
    target, supervised = torch.rand(2, 5, 16, 16), torch.ones(2, 5, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = total_loss(network.train()(x), target, supervised, 0.5)
    assert loss.dtype is torch.float32
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.slow
def test_a_compiled_network_gives_the_same() -> None:
    network = with_random_statistics(build(SMALL, 5)).eval()
    x = torch.randn(2, 3, 64, 64)
    compiled = torch.compile(network, fullgraph=True)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), network(x), rtol=0, atol=1e-4)


def built_in_crops(number: int, size: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rendered people: normalised crops [N, 3, size, size], keypoints [N, K, 2] in cells, and which are labelled."""
    names, random = load_keypoint_set("coco").names, np.random.default_rng(0)
    people = []
    while len(people) < number:
        scene = render_scene(random, COCO_STYLE, (160, 192))
        for person in scene.people:
            if person.crowd or not person.keypoints:
                continue
            transform = crop_transforms([bounding_box(person.mask)], (size, size))
            crop = cv2.warpAffine(scene.image, transform[0], (size, size))
            points = np.array([person.keypoints[name] for name in names])
            where = image_to_heatmap(points[None, :, :2], transform, (size, size), (cells, cells))[0]
            people.append((crop.transpose(2, 0, 1), where, points[:, 2] > 0))
    crops, points, labelled = (torch.from_numpy(np.stack(column)) for column in zip(*people[:number], strict=True))
    return (crops.float() / 255 - 0.45) / 0.25, points.float(), labelled


def trained(network: PoseNetwork, crops: Tensor, target: Tensor, supervised: Tensor, steps: int) -> list[float]:
    """The loss before each step, which ends early where it is near zero."""
    optimizer = torch.optim.Adam(network.train().parameters(), 1e-3)
    losses: list[float] = []
    while len(losses) < steps and (not losses or losses[-1] > NEAR_ZERO * losses[0]):
        loss = total_loss(network(crops), target, supervised, 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


NEAR_ZERO = 0.01  # of the loss of all-zero heatmaps, which is where an untrained network starts


@pytest.mark.slow
def test_ccm_resnet50_learns_eight_built_in_crops_by_heart() -> None:
    network = build({**SMALL, "backbone": "resnet50", "mixers": (64, 64, 64), "auxiliary": True}, 17)
    crops, points, labelled = built_in_crops(8, 64, 16)
    target = encode(points, labelled.float(), network.heatmap_size, 1.0)
    zero = total_loss((torch.zeros_like(target), torch.zeros_like(target)), target, labelled, 0.5)
    losses = trained(network, crops, target, labelled, steps=200)
    assert losses[0] == pytest.approx(zero.item(), rel=0.05)
    assert losses[-1] < NEAR_ZERO * losses[0]
