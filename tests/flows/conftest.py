"""A throw-away workspace with stand-in stages, and a real Prefect server."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import server, ui
from pipeline.settings.profile import PROFILES

LAUNCHER = Path(__file__).parent / "with_fakes.py"
DVC = [sys.executable, "-m", "dvc"]


@lru_cache
def _repository() -> Path:
    """An empty git and DVC repository, made once a process, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="repository-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([*DVC, "init", "-q"], cwd=folder, check=True)
    return folder


class Workspace:
    """A folder with params.yaml and dvc.yaml, and `ccm` (with the stand-in stages) to run in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copy(PROFILES / "built-in.yaml", folder / "params.yaml")
        (folder / "slow.seconds").write_text("1")
        (folder / "shard.seconds").write_text("0")

    def track(self) -> Workspace:
        """Make it a git and DVC repository with a small graph."""
        shutil.copytree(_repository(), self.folder, dirs_exist_ok=True)
        ccm = f"{sys.executable} {LAUNCHER}"
        (self.folder / "dvc.yaml").write_text(f"""
stages:
  fake_quick:
    foreach: [a, ACHU-CH]
    do:
      cmd: {ccm} stage fake_quick '${{item}}'
      params: [train_joint.epochs]
      outs: ['out/quick-${{item}}.txt']
  fake_slow:
    cmd: {ccm} stage fake_slow
    deps: [slow.seconds]
    outs: [out/slow.txt]
""")
        return self

    def commit(self) -> None:
        """Commit all of it; DVC's experiments start from a commit."""
        for arguments in (["config", "user.name", "t"], ["config", "user.email", "t@t"], ["add", "-A"]):
            subprocess.run(["git", *arguments], cwd=self.folder, check=True)
        subprocess.run(["git", "commit", "-qm", "all"], cwd=self.folder, check=True)

    def start(self, *arguments: str, api: str | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start `ccm`, with the API address of a server or none."""
        return self.start_command([sys.executable, str(LAUNCHER), *arguments], api=api, **options)

    def start_command(self, command: list[str], api: str | None = None, **options: Any) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "CCM_"))}
        environment["DVC_NO_ANALYTICS"] = "1"
        if api is not None:
            environment["PREFECT_API_URL"] = api
        return subprocess.Popen(
            # A shell that starts the tests in the background has them ignore SIGINT, which children inherit.
            ["env", "--default-signal=INT", *command],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )

    def ccm(self, *arguments: str, api: str | None = None, code: int = 0) -> str:
        """Run `ccm` to its end and return its output; the exit status must be `code`."""
        process = self.start(*arguments, api=api)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        return output

    def outputs(self) -> dict[str, str]:
        """Hashes of what the stages wrote."""
        return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (self.folder / "out").glob("*.txt")}

    def pids(self) -> list[int]:
        """The slow stage's process and its child, once it works."""
        wait_for(lambda: (self.folder / "pids").is_file() and len((self.folder / "pids").read_text().split()) == 2)
        return [int(number) for number in (self.folder / "pids").read_text().split()]


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)
    return value


def gone(pids: list[int]) -> bool:
    """Whether none of these processes lives."""
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def ask(api: str, path: str, **body: Any) -> Any:
    """POST to the Prefect API and return what it answers."""
    request = urllib.request.Request(
        f"{api}{path}", json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
        return json.load(response)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose local Prefect server runs while the tests do."""
    folder = tmp_path_factory.mktemp("server")
    yield from _served(folder)


@pytest.fixture(scope="session")
def api(server_folder: Path) -> str:
    """The address of a running server's API."""
    return str(json.loads((server_folder / server.ADDRESS_FILE).read_text())["api"])


def _served(folder: Path) -> Iterator[Path]:
    (folder / "params.yaml").touch()  # what makes a folder a project's
    command = [sys.executable, str(LAUNCHER), "ui", "--port", str(ui.free_port())]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=180)
    yield folder
    subprocess.run(
        [sys.executable, str(LAUNCHER), "ui", "--stop"], cwd=folder, env=environment, check=True, capture_output=True
    )


@pytest.fixture
def mortal_api(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server of a test's own, to be killed; it starts from the other's database, which saves making one."""
    folder = tmp_path_factory.mktemp("mortal")
    shutil.copytree(server_folder / server.FOLDER, folder / server.FOLDER)
    (folder / server.ADDRESS_FILE).unlink()
    for served in _served(folder):
        yield str(json.loads((served / server.ADDRESS_FILE).read_text())["api"]), served
