"""A teacher's card: what its keypoints are called, what its scores mean, and how its network is asked, if it is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from pipeline.records.keypoints import KeypointSet
from pipeline.records.text import one_line, read_file
from pipeline.settings.section import Section, Size
from pipeline.sources.records import is_text

_KEYS = ("names", "score", "licence")
_BYTE = Annotated[float, Field(ge=0, le=255)]
_SPREAD = Annotated[float, Field(ge=1, le=65_535)]
_NAME = Annotated[str, Field(min_length=1)]
_OUTPUTS = {"heatmaps": (1,), "simcc": (2,), "coordinates": (1, 2)}
_OWN = {"split_ratio": "simcc", "values": "coordinates", "unit": "coordinates"}  # which output a key belongs to


class NetworkCard(Section):
    """How an ONNX network is asked about a person's box, and how its answer is read."""

    input: _NAME
    """Name of its input."""
    input_size: Size
    """Rows and columns of the crop."""
    layout: Literal["NCHW", "NHWC"]
    """Of the input, and of heatmaps."""
    channels: Literal["RGB", "BGR"]
    """Their order."""
    mean: Annotated[list[_BYTE], Field(min_length=3, max_length=3)]
    """Of pixel values from 0 to 255, in the order of `channels`; what is subtracted."""
    std: Annotated[list[_SPREAD], Field(min_length=3, max_length=3)]
    """The same; what is divided by. 1 where the network takes pixel values as they are."""
    padding: Annotated[float, Field(gt=0, le=10)]
    """Factor on the box, 1.25 as a rule."""
    fit: Literal["grow", "letterbox"]
    """Of a box to the crop's aspect ratio: more of the picture, or black bars."""
    output: Literal["heatmaps", "simcc", "coordinates"]
    """What it says."""
    outputs: Annotated[list[_NAME], Field(min_length=1, max_length=2)]
    """Names of its outputs: heatmaps [B, K, h, w]; simcc [B, K, bins of x], [B, K, bins of y]; coordinates
    [B, K, values] or [B, K * values], and scores [B, K] where `values` holds none."""
    split_ratio: Annotated[float, Field(gt=0, le=16)] | None = None
    """Bins of SimCC for a pixel of the crop."""
    values: list[Literal["x", "y", "score", "logit", "other"]] | None = None
    """What a keypoint of `coordinates` consists of, in order; several scores are multiplied, a logit becomes one by the
    logistic function, others are not looked at."""
    unit: Literal["pixels", "share"] | None = None
    """Of `coordinates`: pixels of the crop, or shares of its width and height."""

    @model_validator(mode="after")
    def _consistent(self) -> NetworkCard:
        for key, output in _OWN.items():
            given = getattr(self, key) is not None
            if given != (self.output == output):
                raise ValueError(f"{key}: {'belongs to' if given else 'missing for'} output: {output}")
        if len(self.outputs) not in _OUTPUTS[self.output] or len(set(self.outputs)) < len(self.outputs):
            count = " or ".join(map(str, _OUTPUTS[self.output]))
            raise ValueError(f"outputs: {self.output} come from {count} different outputs, got {self.outputs}")
        if self.values is not None:
            if self.values.count("x") != 1 or self.values.count("y") != 1:
                raise ValueError(f"values: one x and one y belong there, got {self.values}")
            if bool({"score", "logit"} & set(self.values)) == (len(self.outputs) == 2):
                raise ValueError("scores come from `values` (score, logit) or from a second output: one of the two")
        return self


@dataclass(frozen=True)
class Card:
    """What the numbers of a teacher mean: its keypoints' names in order, what a score says, and the licence."""

    names: tuple[str, ...]
    score: str
    licence: str
    network: NetworkCard | None = None


def read_card(path: str | Path) -> Card:
    """A teacher's card, a YAML file with `names`, `score`, `licence`, and `network` if it is one.

    ValueError names the file and the key.
    """
    try:
        raw = yaml.safe_load(read_file(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML: {one_line(error)}") from None
    if not isinstance(raw, dict) or set(raw) - {"network"} != set(_KEYS):
        found = sorted(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"{path}: expected the keys {', '.join(_KEYS)}, got {found}")
    names = raw["names"]
    if not isinstance(names, list) or not names or not all(map(is_text, names)) or len(set(names)) != len(names):
        raise ValueError(f"{path}: names: expected the keypoints' names, each once, got {names!r:.100}")
    for key in ("score", "licence"):
        if not is_text(raw[key]):
            raise ValueError(f"{path}: {key}: expected a text, got {raw[key]!r:.100}")
    network = _network(path, raw["network"]) if "network" in raw else None
    return Card(tuple(names), raw["score"], raw["licence"], network)


def _network(path: str | Path, raw: Any) -> NetworkCard:
    try:
        return NetworkCard.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, ("network", *problem["loc"])))
        if problem["type"] == "missing":
            raise ValueError(f"{path}: {place}: missing") from None
        if problem["type"] == "extra_forbidden":
            raise ValueError(f"{path}: {place}: unknown key; allowed: {', '.join(NetworkCard.model_fields)}") from None
        value = f" = {problem['input']!r:.60}" if problem["loc"] else ""
        raise ValueError(f"{path}: {place}{value}: {problem['msg'].removeprefix('Value error, ')}") from None


def shared_names(where: str | Path, card: Card, target: KeypointSet) -> tuple[list[int], list[int]]:
    """Which keypoints a card and a set have in common: their places in the card, and in the set.

    ValueError names `where` if there are none.
    """
    shared = [(card.names.index(name), k) for k, name in enumerate(target.names) if name in card.names]
    if not shared:
        raise ValueError(f"{where}: its keypoints {list(card.names)} and those of '{target.name}' share no name")
    return [here for here, _ in shared], [there for _, there in shared]
