"""What a checkpoint says about itself: read from its header, and refused where nothing can be built of it.

A card is foreign text. It may lack an entry, or ask for a network of hundreds of gigabytes; whether it fits the tensors
that lie beside it shows before anything is built of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

TENSORS = "model.safetensors"
FORMAT = 1
POSE, DETECTOR = "pose", "person detector"
_IN_WORDS = {POSE: "keypoint network", DETECTOR: "person detector"}
LONGEST_SIDE = 8192  # pixels of what a network takes
MOST = 100_000  # keypoints, proposals, detections of an image
_MOST_LEVELS = 32  # mixers, levels of a pyramid

Network = TypeVar("Network", bound=nn.Module)
Compare = Callable[[nn.Module, Mapping[str, Tensor]], None]


def tensors_file(path: str | Path) -> Path:
    """The file itself, or `model.safetensors` in a directory; ValueError if there is none."""
    path = Path(path)
    file = path / TENSORS if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file}: no such file; allowed: a checkpoint, or a directory that holds {TENSORS}")
    return file


def is_ours(file: Path) -> bool:
    """Is there a card in the file's header?"""
    return file.suffix == ".safetensors" and "card" in _header(file)


def read_card(path: str | Path, kind: str | None = None) -> dict[str, Any]:
    """What a checkpoint says about itself, from the header of its tensors' file.

    Raises:
        ValueError: no card, one of another format or of another `kind` of network than is wanted, one that lacks an
            entry or holds a value that cannot be.
    """
    file = tensors_file(path)
    text = _header(file).get("card")
    if text is None:
        raise ValueError(f"{file}: no card in its header; allowed: a checkpoint that this project wrote")
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: its card is not valid JSON ({error}); train or download the model again") from None
    if not isinstance(card, dict):
        raise ValueError(f"{file}: its card is a {type(card).__name__}, not a mapping; train or download it again")
    if card.get("format") != FORMAT:
        raise ValueError(
            f"{file}: its card has format {_shown(card.get('format'))}; this version reads {FORMAT}: use the version "
            "that wrote it, or train it again"
        )
    if kind is not None and card.get("kind") != kind:
        found = _shown(card.get("kind")).strip("'")
        raise ValueError(f"{file}: holds a {found}, not a {_IN_WORDS[kind]}; choose another checkpoint")
    _check(card, file)
    return card


def read_shapes(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, without their content."""
    try:
        with safe_open(file, framework="pt") as opened:
            shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(_unreadable(file, error)) from error
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def built(
    file: Path, make: Callable[[], Network], compare: Callable[[nn.Module, Mapping[str, Tensor]], None]
) -> Network:
    """The network that a card describes, built only once one without memory has been compared with the file's tensors.

    ValueError where it cannot be built, or as `compare` raises it.
    """
    try:
        with torch.device("meta"), _WithoutDraws():
            sketch = make()
    except ValueError as error:
        raise ValueError(f"{file}: its card describes no network that can be built: {error}") from error
    except Exception as error:  # whatever a value that cannot be makes of the libraries' code
        raise ValueError(
            f"{file}: its card describes no network that can be built ({type(error).__name__}: {error}); train or "
            "download the model again"
        ) from error
    compare(sketch, read_shapes(file))
    with _WithoutDraws():
        return make()


class _WithoutDraws(TorchFunctionMode):
    """Inside, no weights are drawn: the file's replace them. Without memory a draw brings torch.compile's machinery."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in ("normal_", "uniform_"):  # of Tensor, or of torch.nn.init
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def _check(card: Mapping[str, Any], file: Path) -> None:
    """ValueError names the first entry that is missing or cannot be."""

    def refuse(entry: str, allowed: str) -> None:
        found = _shown(card[entry]) if entry in card else "missing"
        raise ValueError(f"{file}: its card's {entry}: {found}; allowed: {allowed}; train or download it again")

    kind, spec = card.get("kind"), card.get("spec")
    if kind not in (POSE, DETECTOR):
        refuse("kind", f"{POSE}, {DETECTOR}")
    if not isinstance(spec, dict):
        refuse("spec", "a mapping that describes the network")
    assert isinstance(spec, dict)
    _check_sizes(spec, file)
    if kind == DETECTOR:
        return
    count, names, padding = card.get("keypoints"), card.get("keypoint_names"), card.get("padding", 1.25)
    if not _is_whole(count, MOST):
        refuse("keypoints", f"a whole number from 1 to {MOST}")
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        refuse("keypoint_names", f"the names of its {count} keypoints")
    if isinstance(padding, bool) or not isinstance(padding, int | float) or not 0.1 <= padding <= 10:
        refuse("padding", "a number from 0.1 to 10")
    if not isinstance(card.get("keypoint_definition", {}), dict):
        refuse("keypoint_definition", "a mapping with names, flip_pairs, limbs and sigmas")
    if not isinstance(card.get("keypoint_set", ""), str):
        refuse("keypoint_set", "a name")


def _check_sizes(spec: Mapping[str, Any], file: Path) -> None:
    """ValueError for numbers that decide how much memory a network takes and that its tensors do not show."""
    limits = {"min_size": LONGEST_SIDE, "max_size": LONGEST_SIDE, "backbone_stride": LONGEST_SIDE}
    limits |= dict.fromkeys(("max_detections", "proposals", "sampled_proposals"), MOST)
    for name, most in limits.items():
        value = spec.get(name)
        if value is not None and not _is_whole(value, most):
            raise ValueError(f"{file}: its card's spec.{name}: {_shown(value)}; allowed: 1 to {most}, whole")
    for name in ("input_size", "mixers", "anchor_sizes"):
        values = spec.get(name)
        if values is None:
            continue
        most = LONGEST_SIDE if name != "mixers" else MOST
        fits = isinstance(values, list) and len(values) <= _MOST_LEVELS
        if not fits or not all(_is_whole(value, most) for value in values):
            raise ValueError(
                f"{file}: its card's spec.{name}: {_shown(values)}; allowed: at most {_MOST_LEVELS} whole numbers from "
                f"1 to {most}"
            )


def _is_whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:96]} ..."


def _header(file: Path) -> dict[str, str]:
    try:
        with safe_open(file, framework="pt") as opened:
            return opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(_unreadable(file, error)) from error


def _unreadable(file: Path, error: Exception) -> str:
    return f"{file}: truncated, or not a safetensors file ({error})"
