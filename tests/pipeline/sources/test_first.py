from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.sources.first import write_lists


def test_the_two_lists_are_the_images_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("set.json").write_text(json.dumps({"images": [{"file_name": f"{name}.jpg"} for name in "dacb"]}))
    first, rest = write_lists(1, Path("set.json"))
    assert (first.read_text(), rest.read_text()) == ("d.jpg\n", "a.jpg\nc.jpg\nb.jpg\n")
    with pytest.raises(ValueError, match=r"set\.json: has 4 images; allowed: 1 to 3 of them, not 4"):
        write_lists(4, Path("set.json"))
