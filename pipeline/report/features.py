"""What the context mixers attend to (Figures 12 to 14)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from model.network import PoseNetwork, record_mixer_features
from pipeline import layout
from pipeline.evaluation.postprocess import people_to_find
from pipeline.evaluation.sets import Model, load_model
from pipeline.learning.data import inference_batches
from pipeline.learning.devices import normalise
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.report.blocks import Block, Fold, Gallery, Note, Picture, Section
from pipeline.report.context import Context
from pipeline.report.drawing import Skeleton, data_uri, draw_skeleton
from pipeline.settings import arrow
from postproc.codec import decode
from postproc.coordinates import apply

PEOPLE = 2
SHOWN_HEIGHT = 168
HIDDEN = ("elbow", "wrist", "knee", "ankle")  # of the left body; Figure 13 hides some keypoints
HIDDEN_SIZE = 0.11  # of the crop's height


def features(context: Context) -> Section:
    """Feature maps of the best strategy's model, on whole people and on people with parts masked out."""
    strategy, source = context.strategies[-1], context.params.data.validation[0]
    context.need(layout.final(strategy), f"fine_tune@{strategy}")
    introduction = (
        f"Mean activation of each part of {arrow(strategy)}'s context mixers, laid over the crop: the dilated branches "
        "(HDC), the first term of Eq 4 (HDC x SE) and the mixer's output (Deconv), level by level."
    )
    model = load_model(context.params, strategy)
    if model.network.spec.architecture != "ccm":
        return Section("features", "Feature maps", introduction, [Note("This network has no context mixers.")])
    instances = context.table(layout.instances(source), "instances", f"ingest@{source}")
    rows = _well_labelled(instances)
    if not len(rows):
        return Section("features", "Feature maps", introduction, [Note(f"{source} has no annotated people.")])
    people = instances.take(rows)
    crops, points = _crops(model, people)
    names = keypoint_set(people).names
    blocks: list[Block] = []
    for person in range(len(crops)):
        whole = _pose(model, crops[person : person + 1], "the crop")
        maps = _maps(model.network, crops[person : person + 1], _every_part)
        blocks.append(Gallery([whole], f"Person {person + 1}: what each part of the mixers sees (Figure 12)"))
        levels = sorted({picture.caption.split(" · ")[0] for picture in maps})
        blocks += [Gallery([picture for picture in maps if picture.caption.startswith(level)]) for level in levels]
        masked: list[Block] = []
        for title, hidden in _hidden(crops[person], points[person], names):
            shown = _pose(model, hidden[None], title)
            masked.append(Gallery([shown, *_maps(model.network, hidden[None], _outputs_only)]))
        blocks.append(Fold(f"Person {person + 1} with parts masked out (Figures 13 and 14)", masked))
    return Section("features", "Feature maps", introduction, blocks)


def _well_labelled(instances: pa.Table) -> np.ndarray:
    """The rows of the people with the most labelled keypoints, the larger ones first."""
    rows = people_to_find(instances)
    labelled = (to_numpy(instances, "keypoints")[rows, 2::3] > 0).sum(1)
    area = to_numpy(instances, "area")[rows]
    return rows[np.lexsort((-area, -labelled))][:PEOPLE]


def _crops(model: Model, people: pa.Table) -> tuple[Tensor, np.ndarray]:
    """Crops [P, 3, H, W] uint8 in the table's order, and annotated keypoints [P, K, 3] in crop pixels."""
    size = model.network.spec.input_size
    crops = torch.zeros(people.num_rows, 3, *size, dtype=torch.uint8)
    triples = to_numpy(people, "keypoints").reshape(people.num_rows, -1, 3).astype(np.float64)
    for batch in inference_batches(people, input_size=size, padding=model.padding, batch_size=PEOPLE, workers=0):
        rows = batch.rows.numpy()
        crops[batch.rows] = batch.images
        triples[rows, :, :2] = apply(batch.transforms.numpy(), triples[rows, :, :2])
    return crops, triples


def _hidden(crop: Tensor, points: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, Tensor]]:
    """The crop with limb ends masked, without its upper and without its lower half."""
    height = crop.shape[1]
    grey = crop.float().mean((1, 2), keepdim=True).to(torch.uint8)
    side = round(HIDDEN_SIZE * height)
    limbs = crop.clone()
    for name, (x, y, v) in zip(names, points, strict=True):
        if v > 0 and name.startswith("left_") and name.removeprefix("left_") in HIDDEN:
            top, left = max(round(y) - side // 2, 0), max(round(x) - side // 2, 0)
            limbs[:, top : top + side, left : left + side] = grey
    labelled = points[points[:, 2] > 0]
    middle = int(np.clip(np.median(labelled[:, 1]) if len(labelled) else height / 2, 1, height - 1))
    upper, lower = crop.clone(), crop.clone()
    upper[:, :middle], lower[:, middle:] = grey, grey
    return [(f"left {', '.join(HIDDEN)} masked", limbs), ("upper body masked", upper), ("lower body masked", lower)]


def _every_part(name: str) -> bool:
    return True


def _outputs_only(name: str) -> bool:
    return name.endswith("output")


def _maps(network: PoseNetwork, crop: Tensor, wanted: Callable[[str], bool]) -> list[Picture]:
    device = next(network.parameters()).device
    with torch.inference_mode():
        recorded = record_mixer_features(network, normalise(crop, device, network))
    image = crop[0].permute(1, 2, 0).numpy()
    return [_overlaid(image, maps[0], _title(name)) for name, maps in recorded.items() if wanted(name)]


def _title(name: str) -> str:
    level, part = name.split("/")
    word = {"hdc_x_se": "HDC x SE", "output": "Deconv"}.get(part, part.replace("hdc", "HDC "))
    return f"{level.replace('level', 'level ')} · {word}"


def _overlaid(image: np.ndarray, maps: Tensor, title: str) -> Picture:
    mean = maps.float().abs().mean(0).cpu().numpy()
    low, high = np.percentile(mean, (1, 99))
    level = np.clip((mean - low) / max(high - low, 1e-12), 0, 1)
    height, width = image.shape[:2]
    size = (round(width * SHOWN_HEIGHT / height), SHOWN_HEIGHT)
    heat = cv2.resize((level * 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    below = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return Picture(data_uri(cv2.addWeighted(below, 0.45, colours, 0.55, 0)), title, *size)


def _pose(model: Model, crop: Tensor, title: str) -> Picture:
    """The crop with the keypoints found on it."""
    network = model.network
    device = next(network.parameters()).device
    with torch.inference_mode():
        cells, scores = decode(network(normalise(crop, device, network)))
    height, width = network.spec.input_size
    scale = SHOWN_HEIGHT / height
    size = (round(width * scale), SHOWN_HEIGHT)
    image = np.ascontiguousarray(cv2.resize(crop[0].permute(1, 2, 0).numpy(), size, interpolation=cv2.INTER_LINEAR))
    points = cells[0].cpu().numpy() * network.stride * scale
    shown = scores[0].cpu().numpy() >= 0.2
    draw_skeleton(image, Skeleton(points, shown), model.keypoints, np.zeros(2), 1.0)
    return Picture(data_uri(image), f"{title}: keypoints found", *size)
