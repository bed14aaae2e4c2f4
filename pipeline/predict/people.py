"""What is found in a picture: boxes, keypoints, scores, and the forms that other tools take them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class People:
    """The people of one picture, the surest first.

    Every keypoint keeps its place and score, however low: what is shown is a matter of drawing. Coordinates are image
    pixels of the picture as it is shown, the first pixel's centre is 0.
    """

    boxes: np.ndarray  # [N, 4] x, y, w, h
    box_scores: np.ndarray  # [N] the detector's
    keypoints: np.ndarray  # [N, K, 2]
    keypoint_scores: np.ndarray  # [N, K] heights of the heatmaps
    scores: np.ndarray  # [N] of the pose: box score times the mean of its surer keypoint scores
    names: tuple[str, ...]  # of the K keypoints
    size: tuple[int, int]  # height and width of the picture
    ids: np.ndarray | None = None  # [N] of the person in a video

    def __len__(self) -> int:
        return len(self.scores)

    def coco(self, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
        """COCO's keypoint results, without boxes: pycocotools would take a pose's size from its box, and `evaluate`, as
        COCO's server does, takes it from the keypoints.
        """
        triples = np.concatenate([self.keypoints, self.keypoint_scores[:, :, None]], 2).reshape(len(self), -1)
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": row.tolist(),
                "score": float(score),
            }
            for row, score in zip(triples, self.scores, strict=True)
        ]

    def frame(self) -> pd.DataFrame:
        """A pandas frame, a row a keypoint: person, keypoint, x, y, score."""
        import pandas as pd

        count = len(self.names)
        return pd.DataFrame(
            {
                "person": np.repeat(np.arange(len(self)), count),
                "keypoint": list(self.names) * len(self),
                "x": self.keypoints[:, :, 0].reshape(-1),
                "y": self.keypoints[:, :, 1].reshape(-1),
                "score": self.keypoint_scores.reshape(-1),
            }
        )

    def supervision(self) -> Any:
        """`supervision.KeyPoints`; ValueError where that package is not installed."""
        try:
            import supervision
        except ImportError:
            raise ValueError("the package supervision is not installed: pip install supervision") from None
        return supervision.KeyPoints(
            xy=self.keypoints.astype(np.float32), confidence=self.keypoint_scores.astype(np.float32)
        )

    def line(self, picture: str) -> dict[str, Any]:
        """What `ccm predict` writes on standard output, a line a picture."""
        people = [
            {
                "box": np.round(self.boxes[n], 2).tolist(),
                "box_score": round(float(self.box_scores[n]), 4),
                "keypoints": np.round(self.keypoints[n], 2).tolist(),
                "keypoint_scores": np.round(self.keypoint_scores[n], 4).tolist(),
                "score": round(float(self.scores[n]), 4),
                **({} if self.ids is None else {"id": int(self.ids[n])}),
            }
            for n in range(len(self))
        ]
        return {"picture": picture, "height": self.size[0], "width": self.size[1], "people": people}


def nobody(names: Sequence[str], size: tuple[int, int]) -> People:
    """A picture without people."""
    count = len(names)
    empty = np.zeros(0)
    return People(np.zeros((0, 4)), empty, np.zeros((0, count, 2)), np.zeros((0, count)), empty, tuple(names), size)
