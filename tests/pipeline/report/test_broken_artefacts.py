"""Artefacts that are damaged end the report in one line that names the file; what it had written stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline import layout
from pipeline.progress import Progress
from pipeline.settings import Params
from pipeline.steps import evaluate, report
from tests.pipeline.workspace import STRATEGY, make_workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Params]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("broken")
        patch.chdir(folder)
        params = make_workspace(folder)
        evaluate.run(params, Progress(), STRATEGY)
        curves = layout.curves("train_joint", STRATEGY)
        curves.parent.mkdir(parents=True)
        curves.write_text("epoch,loss,main_loss,val_ap\n1,0.5,0.4,0.1\n2,0.3,0.2,0.2\n")
        report.run(params, Progress())
        yield params


FIGURES, CURVES = layout.figures("evaluate", STRATEGY), layout.curves("train_joint", STRATEGY)
TABLE = layout.instances("val")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (FIGURES, b""),
        (FIGURES, b"no JSON"),
        (FIGURES, b"\xff\xfe\x00"),
        (FIGURES, b"[1, 2]"),
        (FIGURES, b'{"val": {"detected": 3}}'),
        (FIGURES, b'{"val": [1]}'),
        (FIGURES, b'{"val": {"detected": {}}}'),
        (layout.figures("ingest", "val"), b'{"people": "many"}'),
        (CURVES, b""),
        (CURVES, b"\xff\xfe\x00"),
        (CURVES, b"no,numbers\na,b\n"),
        (CURVES, b"epoch,loss\n1,a\n"),
        (CURVES, b"epoch,loss\n"),
        (CURVES, b'epoch,"loss\n1,2\n'),
        (TABLE, b""),
        (TABLE, b"PAR1 no table PAR1"),
    ],
)
def test_the_file_is_named(made: Params, path: Path, content: bytes) -> None:
    whole, page = path.read_bytes(), layout.REPORT.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(ValueError, match=f"{path}") as refused:
            report.run(made, Progress())
    finally:
        path.write_bytes(whole)
    assert "\n" not in str(refused.value)
    assert layout.REPORT.read_bytes() == page
