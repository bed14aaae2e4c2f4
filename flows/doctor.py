"""What a run will meet on this machine: versions, devices, room, DVC, Prefect and the data that the params name."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import yaml

from flows import server
from flows.repair import LOCK_FILE, RWLOCK, lock_file_problem, rwlock_problem
from flows.repro import check_repository
from pipeline import layout
from pipeline.settings import Params

PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pyarrow", "pandas", "pycocotools",
    "dvc", "prefect", "onnxruntime", "dask", "ray",
)  # fmt: skip
_GIB = 2**30
_LITTLE_DISK = 5 * _GIB


@dataclass(frozen=True)
class Fact:
    """One line: `fine`, a `warning` that a person judges, or an `error` that will stop a run."""

    about: str
    text: str
    level: str = "fine"


def facts(params: Params) -> Iterator[Fact]:
    """Everything that can be looked up at once; nothing is measured."""
    yield Fact("versions", f"Python {platform.python_version()}, " + ", ".join(_versions()))
    yield from _devices(params)
    yield from _room()
    yield from _dvc()
    address = server.configured_address()
    there = address is not None and server.answers(address)
    yield Fact("Prefect", f"the server answers at {address}" if there else server.absence())
    yield from _sources(params)
    yield from _files(params)


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _devices(params: Params) -> Iterator[Fact]:
    import torch  # a second

    from pipeline.learning.devices import pick_device

    memory = psutil.virtual_memory()
    yield Fact(
        "machine",
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, {memory.available / _GIB:.1f} GiB of memory "
        f"free of {memory.total / _GIB:.1f}",
    )
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Fact(f"cuda:{number}", f"{name}, {free / _GIB:.1f} GiB free of {total / _GIB:.1f}")
    try:
        device = pick_device(params.compute.device)
    except ValueError as error:
        yield Fact("compute.device", str(error), "error")
        return
    text = f"{params.compute.device} is {device}, {params.compute.processes} processes train together"
    count = torch.cuda.device_count()
    if device.type == "cuda" and params.compute.processes > count:
        yield Fact("compute", f"{text}, sharing {count} GPUs", "warning")
    else:
        yield Fact("compute", text)


def _room() -> Iterator[Fact]:
    for name, folder in (("disk", Path()), ("DVC's cache", _cache())):
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        writable = os.access(existing, os.W_OK)
        text = f"{free / _GIB:.1f} GiB free at {existing}" + ("" if writable else ", which cannot be written")
        yield Fact(name, text, "error" if not writable else "warning" if free < _LITTLE_DISK else "fine")


def _cache() -> Path:
    found = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True)
    return Path(found.stdout.strip()) if found.returncode == 0 and found.stdout.strip() else Path(".dvc/cache")


def _dvc() -> Iterator[Fact]:
    try:
        check_repository()
    except ValueError as error:
        yield Fact("DVC", str(error), "error")
        return
    for path, problem in ((RWLOCK, rwlock_problem()), (LOCK_FILE, lock_file_problem())):
        if problem is not None:
            yield Fact("DVC", f"{path}: {problem}; `ccm doctor --repair` mends it", "error")
            return
    lock = yaml.safe_load(LOCK_FILE.read_text()) if LOCK_FILE.is_file() else None
    yield Fact("DVC", f"a repository; dvc.lock has the results of {len((lock or {}).get('stages', {}))} stages")


def _sources(params: Params) -> Iterator[Fact]:
    rendered = [layout.synthetic(name) for name in params.synthesize]
    for name, source in params.data.sources.items():
        missing = [path for path in dict.fromkeys((source.index, source.images)) if not Path(path).exists()]
        lost = [path for path in missing if not any(Path(path).is_relative_to(folder) for folder in rendered)]
        about = f"data.sources.{name}"
        if lost:
            yield Fact(about, f"{' and '.join(lost)}: not there", "error")
        elif missing:
            yield Fact(about, "not rendered yet; the stage synthesize makes it")
        else:
            yield Fact(about, f"{source.format}, {source.index} and {source.images} are there")


def _files(params: Params) -> Iterator[Fact]:
    """Weights and detections that the params name by a path."""
    named = {"train_joint.model": params.train_joint.model.weights}
    for name, teacher in params.train_teachers.models.items():
        named[f"train_teachers.models.{name}"] = teacher.model.weights
    for path, student in params.students.items():
        named[f"{path}.model"] = student.model.weights
    for name, training in params.train_detector.models.items():
        named[f"train_detector.models.{name}"] = training.model.weights
    files = {where: weights for where, weights in named.items() if "/" in weights or Path(weights).suffix}
    for source, origin in params.detect_people.sources.items():
        if not Path(origin).is_relative_to(layout.MODELS):
            files[f"detect_people.sources.{source}"] = origin
    for where, path in files.items():
        yield Fact(where, f"{path} is there") if Path(path).is_file() else Fact(where, f"{path}: not there", "error")
