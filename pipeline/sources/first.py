"""`python -m pipeline.sources.first COUNT FILE`: a COCO file's first images and the others as lists, for `only`.

They are written to `splits/first-COUNT.txt` and `splits/after-COUNT.txt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.records.artefacts import read_json, written


def write_lists(count: int, path: Path) -> list[Path]:
    """Write both lists. ValueError where the file has no more images than that."""
    names = [image["file_name"] for image in read_json(path)["images"]]
    if not 0 < count < len(names):
        raise ValueError(f"{path}: has {len(names)} images; allowed: 1 to {len(names) - 1} of them, not {count}")
    lists = {f"splits/first-{count}.txt": names[:count], f"splits/after-{count}.txt": names[count:]}
    for place, part in lists.items():
        with written(place) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in part))
    return [Path(place) for place in lists]


if __name__ == "__main__":
    print(*write_lists(int(sys.argv[1]), Path(sys.argv[2])), sep="\n")
