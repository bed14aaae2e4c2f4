"""Data sets as they were published, each format read into the same records."""

from __future__ import annotations

from pipeline.keypoints import load_keypoint_set
from pipeline.params import Source
from pipeline.sources.aic import read_aic
from pipeline.sources.coco import read_coco
from pipeline.sources.folder import read_folder
from pipeline.sources.records import Records


def read_records(source: Source) -> Records:
    """Read a source in its own format. ValueError when its files are missing or are not what the format says."""
    keypoints = load_keypoint_set(source.keypoints)
    if source.format == "folder":
        return read_folder(source.index, source.images, keypoints)
    if source.format == "aic":
        return read_aic(source.index, keypoints)
    return read_coco(source.index, keypoints)
