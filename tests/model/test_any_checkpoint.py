"""Checkpoint files of any content: tensors, or one line that names the file; and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model import build, checkpoints
from model.weights import read_tensors

HRNET = {"architecture": "simple_baseline", "backbone": "resnet10t", "input_size": (64, 64), "mixers": (16, 16)}
SHARED = [HealthCheck.function_scoped_fixture]


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch payload-ran",)


def in_zip(path: Path, content: bytes) -> None:
    """As `torch.save` packs a pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")


MALICIOUS = {
    "state_dict": lambda path: torch.save({"state_dict": {"a": torch.zeros(1), "b": Payload()}}, path),
    "whole model": lambda path: torch.save(Payload(), path),
    "old format": lambda path: torch.save({"a": Payload()}, path, _use_new_zipfile_serialization=False),
    "plain pickle": lambda path: path.write_bytes(pickle.dumps({"a": Payload()})),
    "pickle in a zip": lambda path: in_zip(path, pickle.dumps(Payload())),
    "by its global": lambda path: in_zip(path, b"cos\nsystem\n(S'touch payload-ran'\ntR."),
    "by eval": lambda path: in_zip(path, b'cbuiltins\neval\n(S\'open("payload-ran", "w")\'\ntR.'),
}


@pytest.mark.parametrize("ending", [".pth", ".pt", ".pth.tar", ".safetensors", ".bin"])
@pytest.mark.parametrize("make", MALICIOUS.values(), ids=MALICIOUS)
def test_a_malicious_file_does_not_run(make: Any, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"model{ending}")
    make(path)
    for load in (read_tensors, lambda path: checkpoints.load(path, HRNET, 17), checkpoints.read_card):
        with pytest.raises(ValueError, match="model") as refused:
            load(path)
        assert "\n" not in str(refused.value)
    assert not Path("payload-ran").exists()


@pytest.fixture(scope="module")
def whole() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(3), "b": torch.ones(2, 2)}, "epoch": 3}, content)
    return content.getvalue()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    spec = {"backbone": "mobilenetv3_small_050", "backbone_stride": 8, "input_size": (64, 64), "mixers": (8, 8)}
    network = build({**spec, "weights": "none"}, 2)
    folder = tmp_path_factory.mktemp("ours")
    return checkpoints.save(network, folder, {"keypoint_names": ["a", "b"], "trained_on": "x"}).read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=SHARED)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_in_a_line(
    data: st.DataObject, whole: bytes, ours: bytes, tmp_path: Path
) -> None:
    name, content = data.draw(st.sampled_from([("x.pth", bytearray(whole)), ("x.safetensors", bytearray(ours))]))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            content[data.draw(st.integers(0, min(len(content) - 1, 4000)))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(content)
    for load in (read_tensors, checkpoints.load):
        problem = ""
        try:
            load(path)
        except ValueError as error:
            problem = str(error) or "?"
        assert not problem or str(path) in problem
        assert "\n" not in problem
