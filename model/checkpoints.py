"""Our checkpoints, and the pose checkpoints that people already have."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from model.cards import DETECTOR, FORMAT, POSE, TENSORS, built, is_ours, read_card, tensors_file
from model.network import PoseNetwork, build
from model.spec import ModelSpec
from model.weights import backbone_tensors, check_finite, mismatches, read_tensors

CARD = "card.json"

__all__ = ["DETECTOR", "POSE", "TENSORS", "check_fits", "fill", "is_ours", "load", "load_pose_checkpoint"]
__all__ += ["read_card", "save", "tensors_file", "write"]


def save(network: PoseNetwork, directory: str | Path, card: Mapping[str, Any]) -> Path:
    """Writes `model.safetensors` and `card.json`; the tensors' file carries the card as well, so it can travel alone.

    Args:
        network: saved as it is; `drop_auxiliary()` first leaves out what only training needs.
        directory: made if absent; a checkpoint in it is replaced, each file in one step.
        card: what a reader needs besides the network: `keypoint_names` (K of them) and `trained_on` are required,
            anything that JSON holds may be added. Spec, sizes and normalisation are filled in here.

    Returns:
        The tensors' path.

    Raises:
        ValueError: the card lacks a required entry, or names another number of keypoints.
    """
    names = card.get("keypoint_names")
    if not isinstance(names, list | tuple) or len(names) != network.keypoints:
        raise ValueError(f"card: keypoint_names is {names!r}; allowed: the names of all {network.keypoints} heatmaps")
    if not card.get("trained_on"):
        raise ValueError("card: trained_on is missing; allowed: what the network was trained on, in words")
    facts = {
        "kind": POSE,
        # The weights are in this file: loading it must not go looking for where training started.
        "spec": {**network.spec.to_dict(), "weights": "none"},
        "initial_weights": network.spec.weights,
        "keypoints": network.keypoints,
        "heatmap_size": list(network.heatmap_size),
        "mean": list(network.mean),
        "std": list(network.std),
    }
    return write(directory, network, {**card, **facts})


def load(
    path: str | Path, spec: Mapping[str, Any] | ModelSpec | None = None, keypoints: int | None = None
) -> PoseNetwork:
    """A network from a checkpoint, in evaluation mode.

    Args:
        path: a directory that `save` wrote, its `model.safetensors`, or any checkpoint of `load_pose_checkpoint`.
        spec, keypoints: what to build. Our checkpoints say so themselves; others need both.

    Raises:
        ValueError: unreadable, not a pose network, or tensors that do not fit, by name.
    """
    file = tensors_file(path)
    card = read_card(file, POSE) if is_ours(file) else None
    if spec is None or keypoints is None:
        if card is None:
            raise ValueError(f"{file}: says not what network it is; give the model's spec and number of keypoints")
        spec = card["spec"] if spec is None else spec
        keypoints = card["keypoints"] if keypoints is None else keypoints
    values, count = spec.to_dict() if isinstance(spec, ModelSpec) else dict(spec), keypoints

    def make() -> PoseNetwork:
        return build(ModelSpec.parse({**values, "weights": "none"}), count)

    if card is None:
        network = make()
        load_pose_checkpoint(file, network)
    else:
        network = built(file, make, lambda sketch, tensors: check_fits(sketch, tensors, file))
        fill(network, read_tensors(file), file)
    return network.eval()


def load_pose_checkpoint(path: str | Path, network: PoseNetwork) -> list[str]:
    """Fills a network from an official HRNet or Simple Baseline checkpoint, or MMPose's of the two.

    Those two architectures are filled whole, head included; a `ccm` gets the backbone.

    Returns:
        The names of the network's tensors that the file does not fill.

    Raises:
        ValueError: unreadable, or tensors that are missing, unexpected or of another shape, by name.
    """
    found = _official_names(read_tensors(path))
    own = network.state_dict()
    wanted = {key: name for key in own if (name := _official_name(key, network)) is not None}
    theirs = {name: own[key] for key, name in wanted.items()}
    problems = mismatches(theirs, found)
    heads = ("final_layer.", "deconv_layers.") if network.spec.architecture == "ccm" else ()
    unexpected = [name for name in found if name not in wanted.values() and not name.startswith(heads or "\0")]
    if problems or unexpected:
        raise ValueError(
            f"{path}: does not fit {network.spec.architecture} with {network.spec.backbone} and {network.keypoints} "
            f"keypoints: {problems or 'it also holds ' + ', '.join(unexpected[:4])}. Build the network that the file "
            "is of, with its number of keypoints; model.replace_head changes that number afterwards"
        )
    check_finite(found, path)
    network.load_state_dict({key: found[name] for key, name in wanted.items() if name in found}, strict=False)
    return [key for key in own if key not in wanted]


def _official_name(key: str, network: PoseNetwork) -> str | None:
    """Our name of a tensor to Microsoft's; None for what their networks do not have."""
    if key.startswith("encoder.body."):
        return key.removeprefix("encoder.body.")
    if network.spec.architecture == "ccm":
        return None
    if match := re.fullmatch(r"decoder\.mixers\.(\d+)\.hdc\.merge\.([01])\.(\w+)", key):
        stage, layer, tensor = match.groups()
        return f"deconv_layers.{3 * int(stage) + int(layer)}.{tensor}"  # deconvolution, norm, ReLU; thrice
    if match := re.fullmatch(r"decoder\.head\.(\w+)", key):
        return f"final_layer.{match[1]}"
    return None


def _official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """MMPose prefixes the backbone and the head; Microsoft's Simple Baseline and HRNet do not."""
    return {re.sub(r"^(keypoint_)?head\.", "", name): value for name, value in backbone_tensors(tensors).items()}


def fill(module: nn.Module, tensors: Mapping[str, Tensor], origin: object) -> None:
    """Loads every tensor by name; ValueError names what is missing, left over, of another shape or no number."""
    check_fits(module, tensors, origin)
    check_finite(tensors, origin)
    module.load_state_dict(dict(tensors), strict=False)


def check_fits(module: nn.Module, tensors: Mapping[str, Tensor], origin: object) -> None:
    """ValueError names tensors that are missing, left over or of another shape."""
    own = module.state_dict()
    problems = mismatches(own, tensors)
    unexpected = [name for name in tensors if name not in own]
    if problems or unexpected:
        raise ValueError(
            f"{origin}: does not fit the network: {problems or 'it also holds ' + ', '.join(unexpected[:4])}. "
            "Leave the spec out to build what the file's own card describes"
        )


def write(directory: str | Path, module: nn.Module, card: Mapping[str, Any]) -> Path:
    """The two files of a checkpoint, each written aside and renamed; returns the tensors' path.

    ValueError, before anything is written, for weights that are no numbers.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **card}, indent=2, ensure_ascii=False)
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    path = directory / TENSORS
    check_finite(tensors, path)
    _replace(path, lambda aside: save_file(tensors, aside, metadata={"card": text}))
    _replace(directory / CARD, lambda aside: aside.write_text(text + "\n", encoding="utf-8"))
    return path


def _replace(path: Path, write_to: Callable[[Path], object]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        try:
            write_to(aside)
        except SafetensorError as error:
            if number := re.search(r"os error (\d+)", str(error)):  # such as a full disk
                raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
            raise
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
