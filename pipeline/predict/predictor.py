"""Keypoints of the people in pictures, by a trained model and its detector: one object for scripts and commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from model import checkpoints
from model.detector import load_detector
from pipeline.detection.detect import boxes_in_pixels
from pipeline.evaluation.postprocess import Decoded, one_image
from pipeline.learning.data.batches import cut, cut_from
from pipeline.learning.devices import normalise, one_thread, pick_device
from pipeline.learning.inference import Prediction, keypoints_of, ready
from pipeline.predict.people import People, nobody
from pipeline.predict.pictures import Picture, read_picture
from pipeline.records.keypoints import KeypointSet, keypoint_set_from, load_keypoint_set
from pipeline.settings import Compute, Postprocessing
from postproc.coordinates import crop_transforms
from postproc.poses import rescore

Image = np.ndarray | str | Path
POSTPROCESSING = Postprocessing(
    flip=True, shift="auto", gaussian=True, refinement="parabola", nms="soft", nms_threshold=0.9,
    keypoint_score_threshold=0.2,
)  # fmt: skip
IN_FLIGHT = 2  # pictures a worker: while one is decoded the other is in the networks


@dataclass(frozen=True)
class Thresholds:
    """Which boxes the detector gives: those scored `score` or more, of two that overlap by `nms` or more the surer."""

    score: float = 0.05
    nms: float = 0.5


class Predictor:
    """Finds people and their keypoints in pictures.

    Loaded once; its calls change nothing in it, so threads may share it. Every picture is computed on one thread, so
    that what comes out does not depend on what else is looked at.

    Args:
        model: a keypoint model's folder, such as models/final/ACHU-CH.
        detector: a person detector's folder; None: every picture is one person, whole, unless boxes are given.
        postprocessing: as in `evaluate`; None: flip test, Gaussian filter, parabola, Soft-NMS, as the paper has it.
        fast: without the flip test, which takes a second pass.
        thresholds: of the detector's boxes.
        device: auto, cpu, cuda, cuda:1.
        stored: read pictures as they are stored; else as viewers show them, turned as their EXIF tag says.

    Raises:
        ValueError: a folder holds no model, or keypoints whose names belong to no set that has sigmas for suppression.
    """

    def __init__(
        self,
        model: str | Path,
        detector: str | Path | None = None,
        *,
        postprocessing: Postprocessing | None = None,
        fast: bool = False,
        thresholds: Thresholds | None = None,
        device: str = "auto",
        stored: bool = False,
    ) -> None:
        self.device = pick_device(device)
        card = checkpoints.read_card(checkpoints.tensors_file(Path(model)), checkpoints.POSE)
        self.network = ready(checkpoints.load(model), self.device)
        self.keypoints = _keypoints_of(card)
        self.padding = float(card.get("padding", 1.25))
        self.settings = POSTPROCESSING if postprocessing is None else postprocessing
        if fast:
            self.settings = self.settings.model_copy(update={"flip": False})
        self.stored = stored
        self._compute = Compute(
            device=device, precision="float32", processes=1, workers=0, crop_store=False, compile=False
        )
        self._detector = None
        if detector is not None:
            limits = thresholds or Thresholds()
            self._detector = load_detector(Path(detector))
            self._detector.drop_masks()
            self._detector.set_thresholds(limits.score, limits.nms)
            self._detector.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def names(self) -> tuple[str, ...]:
        """The K keypoints, in order."""
        return self.keypoints.names

    @overload
    def __call__(self, images: Image, boxes: np.ndarray | None = None) -> People: ...

    @overload
    def __call__(self, images: list[Any], boxes: Sequence[np.ndarray] | None = None) -> list[People]: ...

    def __call__(self, images: Any, boxes: Any = None) -> People | list[People]:
        """The people of a picture, or of each of a list.

        Args:
            images: [H, W, 3] uint8 RGB, the path of a file, or a list of these.
            boxes: for each picture [N, 4], x, y, w, h in its pixels; None: the detector's.

        Raises:
            ValueError: a picture that cannot be read, by name, or boxes that are none.
        """
        if isinstance(images, np.ndarray | str | Path):
            return self.people_of(images, boxes)
        given = [None] * len(images) if boxes is None else boxes
        if len(given) != len(images):
            raise ValueError(f"boxes of {len(given)} pictures for {len(images)} pictures")
        found = []
        for people in self.stream(zip(images, given, strict=True)):
            if isinstance(people, ValueError):
                raise people
            found.append(people)
        return found

    def stream(
        self, pictures: Iterable[tuple[Image, np.ndarray | None]], workers: int = 2, least: float = 0.0
    ) -> Iterator[People | ValueError]:
        """People of pictures (with their boxes, or None) in order, `workers` at a time; an error for one unreadable."""

        def work(picture: Image, boxes: np.ndarray | None) -> People | ValueError:
            try:
                return self.people_of(picture, boxes, least)
            except ValueError as error:
                return error

        waiting = iter(pictures)
        with ThreadPoolExecutor(workers, "predict") as pool:
            running: list[Future[People | ValueError]] = [
                pool.submit(work, *each) for each in islice(waiting, workers * IN_FLIGHT)
            ]
            while running:
                yield running.pop(0).result()
                running += [pool.submit(work, *each) for each in islice(waiting, 1)]

    def people_of(self, image: Image, boxes: np.ndarray | None = None, least: float = 0.0) -> People:
        """The people of one picture; see `__call__`. Boxes that the detector scores below `least` are passed over."""
        with one_thread():
            picture = read_picture(image, self.stored)
            found, box_scores = self.boxes_of(picture) if boxes is None else (_checked(boxes), np.ones(len(boxes)))
            sure = box_scores >= least
            found, box_scores = found[sure].astype(np.float64), box_scores[sure].astype(np.float64)
            if not len(found):
                return nobody(self.names, picture.size)
            decoded = self.decoded(picture, found)
            scores = rescore(box_scores, decoded.scores, self.settings.keypoint_score_threshold)
            kept, points = one_image(decoded, scores, self.settings, self.keypoints)
            order = np.argsort(-scores[kept], kind="stable")
            kept, points = kept[order], points[order]
        return People(
            found[kept], box_scores[kept], points, decoded.scores[kept], scores[kept], self.names, picture.size
        )

    def boxes_of(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """The people's boxes [N, 4] and scores [N]: the detector's, or without one the whole picture."""
        if self._detector is None:
            height, width = picture.size
            return np.array([[0.0, 0.0, width, height]], np.float32), np.ones(1, np.float32)
        least, most = picture.size if picture.size[0] < picture.size[1] else picture.size[::-1]
        if least * self._detector.transform.max_size < most:  # reduced to what the detector takes, nothing is left
            raise ValueError(f"{most} pixels long and {least} wide: too thin to look for people in")
        return boxes_in_pixels(self._detector, picture.pixels, self._compute, self.device)

    def decoded(self, picture: Picture, boxes: np.ndarray, batch_size: int = 64) -> Decoded:
        """Keypoints of boxes [N, 4] of a picture, as `evaluate` finds them."""
        network, size = self.network, self.network.spec.input_size
        points = np.zeros((len(boxes), len(self.names), 2))
        scores = np.zeros(points.shape[:2])
        transforms = crop_transforms(boxes, size, self.padding)
        for start in range(0, len(boxes), batch_size):
            some = slice(start, start + batch_size)
            if picture.path is None:
                crops = cut_from(picture.pixels, transforms[some], size)
            else:
                crops = cut([picture.path] * len(transforms[some]), transforms[some], size)
            images = normalise(torch.from_numpy(crops).permute(0, 3, 1, 2), self.device, network)
            with torch.inference_mode():
                maps = network(images).float()
                flipped = network(images.flip(3)).float() if self.settings.flip else None
            prediction = Prediction(np.arange(len(crops)), transforms[some], size, maps, flipped)
            points[some], scores[some] = keypoints_of(prediction, self.settings, network, self.keypoints)
        if not np.isfinite(scores).all():
            raise ValueError("the model's heatmaps are not finite: its weights are broken")
        areas = size[0] * size[1] / np.linalg.det(transforms[:, :, :2])
        return Decoded(points, scores, areas)


def _keypoints_of(card: dict[str, Any]) -> KeypointSet:
    """The keypoint set of a model: as its card holds it, or the one that it names, if that has the card's names."""
    names = tuple(card["keypoint_names"])
    if "keypoint_definition" in card:
        return keypoint_set_from(card["keypoint_definition"], str(card.get("keypoint_set")), "card.json")
    try:
        known = load_keypoint_set(str(card.get("keypoint_set", "coco")))
    except ValueError:
        known = None
    if known is not None and known.names == names:
        return known
    return KeypointSet(str(card.get("keypoint_set", "own")), names, (), (), None, ())


def _checked(boxes: Any) -> np.ndarray:
    found = np.asarray(boxes, np.float32).reshape(-1, 4) if np.size(boxes) else np.zeros((0, 4), np.float32)
    if not np.isfinite(found).all() or (found[:, 2:] <= 0).any():
        raise ValueError(f"boxes: {found.tolist()[:3]}; allowed: x, y, w, h with w and h above 0")
    return found
