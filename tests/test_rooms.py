"""Imports run along the arrows (flows -> pipeline -> model, postproc), and `dvc.yaml` knows what a stage imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from pipeline.settings import Params

ROOT = Path(__file__).parent.parent
ROOMS = {
    "flows": {"flows", "pipeline", "model", "postproc"},
    "pipeline": {"pipeline", "model", "postproc"},
    "model": {"model"},
    "postproc": {"postproc"},
}
FORBIDDEN = {
    "pipeline": {"prefect", "dvc"},
    "model": {"prefect", "dvc", "pandas", "pyarrow", "cv2", "pydantic"},
    "postproc": {"prefect", "dvc", "pandas", "pyarrow", "cv2", "pydantic", "timm", "torchvision"},
}
# They decide no result: the params' schema (DVC compares the values), the paths (dvc.yaml has them) and display.
NO_DEPENDENCY = ("pipeline/settings/", "pipeline/layout.py", "pipeline/progress.py")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in the file it does."""
    names = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def source_files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_follow_the_arrows(room: str) -> None:
    assert source_files(room)
    for path in source_files(room):
        tops = {name.split(".")[0] for name in imported_modules(path)}
        wrong = (tops & set(ROOMS)) - ROOMS[room] | tops & FORBIDDEN.get(room, set())
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}, against the arrows"


def file_of(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py")
    return base / "__init__.py" if (base / "__init__.py").is_file() else None


def everything_imported(start: Path) -> set[Path]:
    """First-party files that `start` imports, directly or not."""
    found, waiting = {start}, [start]
    while waiting:
        for name in imported_modules(waiting.pop()):
            path = file_of(name) if name.split(".")[0] in ROOMS else None
            if path is not None and path not in found:
                found.add(path)
                waiting.append(path)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_runs(stage: str) -> None:
    definition = STAGES[stage].get("do", STAGES[stage])
    dependencies = [ROOT / dep for dep in definition["deps"] if "$" not in dep]
    missing = [
        str(path.relative_to(ROOT))
        for path in sorted(everything_imported(ROOT / "pipeline" / "steps" / f"{stage}.py"))
        if not str(path.relative_to(ROOT)).startswith(NO_DEPENDENCY)
        and path.name != "__init__.py"
        and not any(path == dep or dep in path.parents for dep in dependencies)
    ]
    assert not missing, f"dvc.yaml: {stage} runs code it does not depend on: {missing}"


def test_stage_module_and_section_share_one_name() -> None:
    modules = {path.stem for path in (ROOT / "pipeline" / "steps").glob("*.py")} - {"__init__"}
    assert set(STAGES) == modules
    # `data` and `strategies` decide what they join, `pseudo_label` what is filled in.
    without_section = {"gather", "compose_sets", "compare_strategies", "fill_in"}
    assert set(STAGES) - without_section <= set(Params.model_fields)
    for stage, definition in STAGES.items():
        assert definition.get("do", definition)["cmd"].split()[:3] == ["ccm", "stage", stage]


def test_dependencies_in_dvc_yaml_exist() -> None:
    for stage, definition in STAGES.items():
        for dep in definition.get("do", definition)["deps"]:
            if dep.split("/")[0] in ROOMS and "$" not in dep:
                assert (ROOT / dep).exists(), f"dvc.yaml: {stage} depends on {dep}, which does not exist"
