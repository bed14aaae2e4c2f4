"""Which way up the pictures are that their EXIF turns: as the source says, or as the sizes of its others tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.settings import Source
from pipeline.sources.image_files import Found


def orientation_of(source: Source) -> str | None:
    """`stored`, `exif`, or None where sizes must tell. Images without labels are taken as viewers show them."""
    return source.orientation or ("exif" if source.format == "folder" else None)


def settled(found: Sequence[Found], names: Sequence[str], where: str) -> list[Found]:
    """What was found, every picture in the frame of its labels.

    Where a picture's own size does not tell (half turns, squares, records without sizes), those of the same source that
    tell decide. ValueError where they do not agree or there are none: the source has to say so.
    """
    unsure = [i for i, file in enumerate(found) if file.unsure != 1]
    if not unsure:
        return list(found)
    told = {file.told for file in found if file.told}
    if len(told) != 1:
        raise ValueError(
            f"{where}: {len(unsure)} pictures, such as {names[unsure[0]]}, are turned by their EXIF, and no size tells "
            "whether the labels mean them as viewers show them or as they are stored: say `orientation: exif` or "
            "`orientation: stored`"
        )
    return [_as_told(file, told == {"exif"}) for file in found]


def _as_told(file: Found, shown: bool) -> Found:
    if file.unsure == 1 or not shown:
        return replace(file, unsure=1)
    width, height = (file.height, file.width) if file.unsure > 4 else (file.width, file.height)
    return replace(file, width=width, height=height, turn=file.unsure, unsure=1)
