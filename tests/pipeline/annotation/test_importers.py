"""What an export holds, read by the labelling programs' own libraries, and what those write, read by us.

Neither library installs beside the lock (older pandas, pillow, pyarrow and OpenCV), so they run by themselves:
`pip install --target FOLDER datumaro label-studio-sdk`, then `LABELLING_TOOLS=FOLDER pytest tests/pipeline/annotation`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.annotation.exporting import ANNOTATIONS, write_labels
from pipeline.annotation.merging import matched, read_returned
from pipeline.annotation.people import Export
from tests.pipeline.annotation.test_loop import COCO, EXPORT, HEIGHT, WIDTH, sent

ODD = Export(COCO.names, (*EXPORT.people, sent(4, "c/50%+&#1.jpg", 200, 100)))


def run(library: str, script: str, *arguments: Path) -> str:
    """Run a script that imports the library; skips where that is not installed."""
    environment = os.environ | {"PYTHONPATH": os.environ.get("LABELLING_TOOLS", "")}
    if subprocess.run([sys.executable, "-c", f"import {library}"], env=environment, capture_output=True).returncode:
        pytest.skip(f"{library} is not installed, nor in the folder that LABELLING_TOOLS names")
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An export's folder, with odd names of pictures."""
    for person in ODD.people:
        target = tmp_path / "out/images" / person.picture
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes())
    write_labels(tmp_path / "out", ODD, COCO)
    return tmp_path / "out"


def unchanged(path: Path) -> None:
    """Everybody came back, where they were."""
    found = matched(ODD, read_returned(path, COCO.names), path)
    assert {a.person for a, _ in found.pairs} == {p.person for p in ODD.people}
    assert not found.added
    assert not found.removed
    for ours, theirs in found.pairs:
        np.testing.assert_allclose(theirs.keypoints[:, :2], ours.keypoints[:, :2], atol=0.01)


DATUMARO = """
import datumaro, json, sys
data = datumaro.Dataset.import_from(sys.argv[1], "coco_person_keypoints")
points = data.categories()[datumaro.AnnotationType.points].items[0]
label = data.categories()[datumaro.AnnotationType.label].items[0].name
people = {
    a.attributes["person"]: [item.id, list(a.points), [int(v) for v in a.visibility]]
    for item in data for a in item.annotations if a.type == datumaro.AnnotationType.points
}
joints = sorted(map(sorted, points.joints))
media = sorted(item.id for item in data if item.media.data is not None)
print(json.dumps({"label": label, "names": points.labels, "joints": joints, "people": people, "media": media}))
data.export(sys.argv[2], "coco_person_keypoints", save_media=False)
"""


def test_datumaro_imports_skeletons_and_what_it_exports_comes_back(exported: Path, tmp_path: Path) -> None:
    """CVAT's importer of COCO Keypoints 1.0 is Datumaro's."""
    read: dict[str, Any] = json.loads(run("datumaro", DATUMARO, exported, tmp_path / "back"))
    assert read["label"] == "person"
    assert read["names"] == list(COCO.names)
    assert read["joints"] == sorted([min(a, b) + 1, max(a, b) + 1] for a, b in COCO.limb_indices)
    assert read["media"] == sorted({str(Path(p.picture).with_suffix("")) for p in ODD.people})
    assert read["people"].keys() == {p.person for p in ODD.people}
    for person in ODD.people:
        picture, places, visibility = read["people"][person.person]
        assert picture == str(Path(person.picture).with_suffix(""))
        np.testing.assert_allclose(np.reshape(places, (-1, 2)), person.keypoints[:, :2], atol=0.01)
        assert visibility == person.keypoints[:, 2].astype(int).tolist()
    unchanged(tmp_path / "back" / ANNOTATIONS)


LABEL_STUDIO = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.converter import Converter
interface = open(sys.argv[1] + "/label_studio.xml").read()
checked = LabelInterface(interface)
checked.validate()
exported = []
for number, task in enumerate(json.load(open(sys.argv[1] + "/label_studio.json"))):
    (prediction,) = task["predictions"]
    assert checked.validate_task({"data": task["data"]})
    assert checked.validate_prediction(prediction, return_errors=True) == []
    done = {"id": number, "completed_by": {"id": 1}, "result": prediction["result"]}
    assert checked.validate_annotation(done)
    exported.append({"id": number, "data": task["data"], "annotations": [done]})
json.dump(exported, open(sys.argv[2], "w"))
converter = Converter(interface, sys.argv[1] + "/images", download_resources=False)
converter.convert_to_json(sys.argv[2], sys.argv[3] + "/json", is_dir=False)
converter.convert_to_coco(sys.argv[2], sys.argv[3] + "/coco", is_dir=False)
"""


def test_label_studio_takes_interface_tasks_and_predictions(exported: Path, tmp_path: Path) -> None:
    run("label_studio_sdk", LABEL_STUDIO, exported, tmp_path / "export.json", tmp_path)
    unchanged(tmp_path / "export.json")
    (written,) = (tmp_path / "json").glob("*.json")
    unchanged(written)
    coco = json.loads((tmp_path / "coco/result.json").read_text())
    named = [c for c in coco["categories"] if c.get("keypoints")]
    assert [c["keypoints"] for c in named] == [list(COCO.names)]
    with pytest.raises(ValueError, match=r"Label Studio's COCO .* export as JSON"):
        read_returned(tmp_path / "coco/result.json", COCO.names)
