"""Two processes of torchrun train each trained stage; one is killed by SIGKILL, and the same command goes on.

    python -m tests.faults.machines [--stage train_joint] [--folder FOLDER]

`one machine`: two processes in one folder. `two machines`: two agents of torchrun on the loopback interface, each in a
folder of its own that shares nothing with the other. What is asked for: after the kill nothing is left running within
three minutes, the same command goes on from the saved state, its weights are those of two processes that nobody
disturbed, and only the first process's folder has a model. Exit status 1 where one of these is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from pipeline import layout
from pipeline.progress import Silence
from pipeline.settings import load_params
from pipeline.steps import compose_sets, ingest
from tests.pipeline.workspace import MODEL, ROOT, STRATEGY, write_coco

ITEMS = {"train_joint": STRATEGY, "train_detector": "person", "train_teachers": "tiny"}
MODELS = {
    "train_joint": layout.joint(STRATEGY),
    "train_detector": layout.detector("person"),
    "train_teachers": layout.teacher("tiny"),
}
ENDS = 180.0  # seconds after the kill in which all the others have to end; one that hangs waits for half an hour
_SMALL = {
    "backbone": "mobilenetv3_small_050", "weights": "none", "min_size": 64, "max_size": 96, "max_detections": 10,
    "fpn_channels": 16, "head_channels": 16, "proposals": 20, "sampled_proposals": 8,
}  # fmt: skip


class Agents:
    """The agents of torchrun that run one stage together, one in each folder, two processes in all."""

    def __init__(self, folders: list[Path], stage: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "CCM_"))}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.folders, self.children = folders, []
        for number, folder in enumerate(folders):
            command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(len(folders))]
            command += ["--node-rank", str(number), "--nproc-per-node", str(2 // len(folders))]
            command += ["--master-addr", "127.0.0.1", "--master-port", port, "-m", "flows.cli", "stage"]
            with (folder / "log").open("ab") as log:
                self.children.append(
                    subprocess.Popen(
                        [*command, stage, ITEMS[stage]], cwd=folder, env=environment, stdout=log, stderr=log
                    )
                )

    def end(self, within: float = 600.0) -> list[int]:
        """The exit statuses; RuntimeError where one has none in time."""
        deadline = time.monotonic() + within
        try:
            return [child.wait(max(0.1, deadline - time.monotonic())) for child in self.children]
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"still running after {within:g} s:\n{self.said()}") from error
        finally:
            for process in self.processes():
                process.kill()

    def processes(self) -> list[psutil.Process]:
        """The agents and all below them, as far as they run."""
        found = []
        for child in self.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        return [process for process in found if process.is_running()]

    def rank(self, number: int) -> psutil.Process:
        """The training process of that number."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("RANK") == str(number) and "flows.cli" in process.cmdline():
                    return process
        raise RuntimeError(f"no process {number}:\n{self.said()}")

    def said(self) -> str:
        """The end of what all have printed."""
        return "\n".join((folder / "log").read_text()[-4000:] for folder in self.folders)


def prepare(folder: Path) -> None:
    """A project of a few people whose trained stages take seconds, for two processes."""
    folder.mkdir(parents=True)
    with contextlib.chdir(folder):
        raw = YAML(typ="safe", pure=True).load((ROOT / "pipeline/profiles/built-in.yaml").read_text())
        write_coco(Path("own"), "train", 4, seed=1)
        raw["data"] |= {"labelled": "train", "validation": "train"}
        raw["data"]["sources"] = {
            "train": {"format": "coco", "index": "own/train.json", "images": "own/train", "keypoints": "coco"}
        }
        for section in ("align_labels", "pseudo_label", "mine_hard_negatives"):
            raw[section]["sources"] = []
        raw |= {"strategies": [STRATEGY], "synthesize": {}}
        raw["detect_people"]["sources"] = {"train": "models/detectors/person"}
        raw["evaluate"]["sets"], raw["ablate_postprocessing"]["set"] = ["train"], "train"
        raw["models"]["tiny"] = MODEL
        raw["models"]["person_rcnn"] |= _SMALL
        few = {"epochs": 30, "samples_per_epoch": None, "validate_every": 30}
        raw["train_joint"] |= few | {"model": "tiny"}
        raw["train_teachers"]["training"] |= few
        raw["train_teachers"]["models"] = {"tiny": {"model": "tiny"}}
        raw["train_detector"]["models"]["person"] |= {"epochs": 30, "batch_size": 1, "validate_every": 30}
        raw["training"]["batch_size"] = 2
        raw["compute"] |= {"device": "cpu", "processes": 2, "workers": 0, "crop_store": False}
        with Path("params.yaml").open("w") as file:
            YAML().dump(raw, file)
        params = load_params()
        ingest.run(params, Silence(), "train")
        compose_sets.run(params, Silence(), STRATEGY)


def weights(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    """Of the stage's model."""
    return load_file(folder / MODELS[stage] / "model.safetensors")


def saved(folder: Path, stage: str) -> list[float]:
    """When states were saved that lie there."""
    return [path.stat().st_mtime for path in (folder / layout.training_state() / stage).glob("*/state.pt")]


def killed(folders: list[Path], stage: str, rank: int) -> float:
    """Start, kill process `rank` once a second state has been saved; seconds until the others had ended."""
    agents = Agents(folders, stage)
    seen: set[float] = set()
    while len(seen) < 2:
        seen |= set(saved(folders[0], stage))
        if all(child.poll() is not None for child in agents.children):
            raise RuntimeError(f"it ended before it could be killed:\n{agents.said()}")
        time.sleep(0.02)
    agents.rank(rank).kill()
    started = time.monotonic()
    codes = agents.end(ENDS)
    if not all(codes):
        raise RuntimeError(f"exit statuses {codes} after a kill:\n{agents.said()}")
    return time.monotonic() - started


def check(folders: list[Path], stage: str, rank: int, expected: dict[str, torch.Tensor]) -> str:
    """Kill process `rank` of the stage, go on, compare; what came of it. RuntimeError where it is not as asked for."""
    seconds = killed(folders, stage, rank)
    before = len((folders[0] / "log").read_text())
    agents = Agents(folders, stage)
    if any(agents.end()):
        raise RuntimeError(agents.said())
    said = (folders[0] / "log").read_text()[before:]
    if "going on at epoch" not in said:
        raise RuntimeError(f"it started afresh:\n{said}")
    found = weights(folders[0], stage)
    if not all(torch.equal(expected[name], value) for name, value in found.items()):
        raise RuntimeError("the weights are not those of an undisturbed run")
    for other in folders[1:]:
        if (other / layout.training_state()).exists() or (other / MODELS[stage]).exists():
            raise RuntimeError(f"{other}: another process than the first has written")
    return f"all ended {seconds:.1f} s after process {rank} was killed; went on, same weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=ITEMS, action="append")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    root = (arguments.folder or Path(tempfile.mkdtemp(prefix="machines-"))).resolve()
    faults = 0
    for stage in arguments.stage or ITEMS:
        unbroken = root / stage / "undisturbed"
        prepare(unbroken)
        agents = Agents([unbroken], stage)
        if any(agents.end()):
            sys.exit(f"{stage} undisturbed:\n{agents.said()}")
        expected = weights(unbroken, stage)
        cases = {"one machine, second": ("alone", 1), "one machine, first": ("again", 0), "two machines": ("a b", 1)}
        for case, (names, rank) in cases.items():
            folders = [root / stage / name for name in names.split()]
            for folder in folders:
                prepare(folder)
            try:
                print(f"{stage}, {case}: {check(folders, stage, rank, expected)}", flush=True)
            except RuntimeError as error:
                faults += 1
                print(f"FAULT {stage}, {case}: {error}", flush=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
