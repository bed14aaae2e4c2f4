"""People's keypoints in pictures, from this folder alone: numpy, opencv and onnxruntime.

    python predict.py photo.jpg ...          a line of JSON a picture

As a module: `Bundle(folder)(image)` with an RGB array [H, W, 3] uint8 gives boxes, keypoints and scores.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


class Bundle:
    """A detector and a keypoint network; `card.json` says what they are and how they want their input."""

    def __init__(self, folder=Path(__file__).parent):
        folder = Path(folder)
        self.card = json.loads((folder / "card.json").read_text())
        self.detector = self._session(folder / "detector.onnx") if (folder / "detector.onnx").is_file() else None
        self.network = self._session(folder / "keypoints.onnx")

    @staticmethod
    def _session(path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, image, boxes=None):
        """Boxes [N, 4] (x, y, w, h), keypoints [N, K, 2], keypoint scores [N, K] and pose scores [N], best first."""
        boxes, box_scores = self.detect(image) if boxes is None else (np.asarray(boxes, float), np.ones(len(boxes)))
        count = len(self.card["keypoint_names"])
        if not len(boxes):
            return boxes.reshape(0, 4), np.zeros((0, count, 2)), np.zeros((0, count)), np.zeros(0)
        maps = self.crop_maps(boxes)
        crops = self.crops(image, maps)
        points, scores = self.network.run(["coordinates", "scores"], {"crops": crops})
        inverse = np.stack([cv2.invertAffineTransform(m) for m in maps])
        points = points.astype(float) @ inverse[:, :, :2].transpose(0, 2, 1) + inverse[:, None, :, 2]
        sure = scores > self.card["keypoint_score_threshold"]
        pose_scores = box_scores * np.where(sure, scores, 0).sum(1) / np.maximum(sure.sum(1), 1)
        height, width = self.card["input_size"]
        areas = height * width / np.linalg.det(maps[:, :, :2])
        kept, points = self.suppress(points, pose_scores, areas)
        return boxes[kept], points, scores[kept], pose_scores[kept]

    def detect(self, image):
        """People's boxes and scores; without a detector the whole picture."""
        if self.detector is None:
            return np.array([[0.0, 0.0, image.shape[1], image.shape[0]]]), np.ones(1)
        pixels = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 255
        corners, labels, scores = self.detector.run(["boxes", "labels", "scores"], {"image": pixels})
        people = (labels == 1) & (scores >= self.card["box_threshold"])
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)[people].astype(float)
        whole = (boxes[:, 2:] > 0).all(1)
        return boxes[whole], scores[people][whole].astype(float)

    def crop_maps(self, boxes):
        """Maps [N, 2, 3] from picture to crop pixels: the box grown to the crop's shape, then by the padding."""
        rows, columns = self.card["input_size"]
        width = np.maximum(boxes[:, 2], boxes[:, 3] * columns / rows) * self.card["padding"]
        scale, centre = columns / width, boxes[:, :2] + (boxes[:, 2:] - 1) / 2
        maps = np.zeros((len(boxes), 2, 3))
        maps[:, 0, 0] = maps[:, 1, 1] = scale
        maps[:, :, 2] = np.array([columns - 1, rows - 1]) / 2 - scale[:, None] * centre
        return maps

    def crops(self, image, maps):
        """Crops [N, 3, H, W] uint8; large people are cut from a picture that is reduced by 2, 4 or 8 first."""
        rows, columns = self.card["input_size"]
        result = np.empty((len(maps), rows, columns, 3), np.uint8)
        for n, plain in enumerate(maps):
            factor = max(f for f in (1, 2, 4, 8) if f == 1 or f <= 1 / plain[0, 0] * (1 + 1e-9))
            small, moved = image, plain.copy()
            if factor > 1:
                below, beside = -image.shape[0] % factor, -image.shape[1] % factor
                small = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
                size = (small.shape[1] // factor, small.shape[0] // factor)
                small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
                moved[:, :2] *= factor
                moved[:, 2] += plain[:, :2].sum(1) * (factor - 1) / 2
            result[n] = cv2.warpAffine(small, moved, (columns, rows), flags=cv2.INTER_LINEAR)
        return np.ascontiguousarray(result.transpose(0, 3, 1, 2))

    def suppress(self, points, scores, areas):
        """Which poses stay, best first, fused with those that are like them (OKS); all where there are no sigmas."""
        order = np.argsort(-scores, kind="stable")
        if self.card["sigmas"] is None or self.card["nms"] == "none":
            return order, points[order]
        spread, rest, kept, fused = 2 * (2 * np.asarray(self.card["sigmas"])) ** 2, list(order), [], []
        while rest:
            top, others = rest[0], np.array(rest)
            area = (areas[top] + areas[others])[:, None] / 2
            alike = np.exp(-((points[others] - points[top]) ** 2).sum(2) / spread / area).mean(1)
            gone = alike >= self.card["nms_threshold"]
            gone[0], alike[0] = True, 1.0
            weights = alike[gone][:, None, None]
            mean = (weights * points[others[gone]]).sum(0) / weights.sum()
            kept.append(top)
            fused.append(mean if self.card["nms"] == "soft" else points[top])
            rest = [n for n, out in zip(rest, gone) if not out]
        return np.array(kept), np.stack(fused)


if __name__ == "__main__":
    bundle = Bundle()
    for name in sys.argv[1:]:
        read = cv2.imread(name)
        if read is None:
            sys.exit(f"{name}: not a readable image")
        found = bundle(cv2.cvtColor(read, cv2.COLOR_BGR2RGB))
        parts = dict(zip(("boxes", "keypoints", "keypoint_scores", "scores"), (part.tolist() for part in found)))
        print(json.dumps({"picture": name, "names": bundle.card["keypoint_names"], **parts}))
