"""Kill the miniature recipe at random moments until it is through, again and again, and compare what it made.

    python -m tests.faults.kills --kills 30 --folder /tmp/kills

Each life is `dvc repro` or `ccm run`, killed after a random while by SIGKILL, SIGTERM or SIGINT to the stage, to DVC,
to the whole group or, with --server, to the Prefect server. What is asked for: nothing is left running after 10 s,
every file that has its name is whole, the next command needs no hand, and when the recipe is through, its artefacts are
those of an undisturbed run. Exit status 1 where one of these is not so. Figures go to standard output, what the
commands said to FOLDER.log.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from flows.repair import workers
from tests.faults.artefacts import Project, differences, within
from tests.pipeline.killing import all_are_whole

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("stage", "dvc", "group")
COMMANDS = (("dvc", "repro"), ("ccm", "run"))
MOST_FAULTS = 10  # after which there is no use in going on
REMAINS = 10.0  # seconds after which nothing may be left running


class Life(NamedTuple):
    """One start of the recipe and what became of it."""

    command: str
    target: str
    sign: str
    at: str
    end: str  # how it went


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds from the start to the latest kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--server", action="store_true", help="with a Prefect server, which is killed too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and theirs, ignore it
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="kills-")) / "project").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    project, moments = Project(folder), random.Random(arguments.seed)
    if arguments.server:
        project.finish("ccm", "ui")
    print(f"undisturbed: {project.finish('ccm', 'run'):.0f} s", flush=True)
    expected = project.artefacts()
    series = Series(project, moments, expected, arguments.longest, arguments.server)
    try:
        while len(series.lives) < arguments.kills and len(series.faults) < MOST_FAULTS:
            project.forget()
            series.go_through(arguments.kills)
    finally:
        if arguments.server:
            project.finish("ccm", "ui", "--stop")
    sys.exit(series.told())


class Series:
    """Passes through the whole recipe, each killed on its way."""

    def __init__(
        self, project: Project, moments: random.Random, expected: dict[str, str], longest: float, server: bool
    ) -> None:
        self.project, self.moments, self.expected = project, moments, expected
        self.longest, self.targets = longest, (*TARGETS, "server") if server else TARGETS
        self.lives: list[Life] = []
        self.faults: list[str] = []
        self.mended = self.passes = 0

    def go_through(self, kills: int) -> None:
        """Start, kill and start again, until a life comes to its end or there were enough; then one undisturbed."""
        os.chdir(self.project.folder)
        while len(self.lives) < kills and len(self.faults) < MOST_FAULTS and not self._live():
            pass
        code = self.project.start("ccm", "run").wait()
        if code:
            self._fault(f"the last command failed with {code}: {self.project.tail(3)}")
        self.passes += 1
        unequal = differences(self.project.artefacts(), self.expected)
        total = len(self.expected)
        print(f"pass {self.passes}: {total - len(unequal)} of {total} artefacts equal", flush=True)
        for line in unequal:
            self._fault(line)

    def _live(self) -> bool:
        """One life; whether it came to the recipe's end before it was killed."""
        command = self.moments.choice(COMMANDS)
        target, sign = self.moments.choice(self.targets), self.moments.choice(SIGNALS)
        if target == "server":
            command = COMMANDS[1]
        start = len(self.project.tail(10**9))
        process = self.project.start(*command)
        with suppress(psutil.TimeoutExpired):
            code = psutil.Process(process.pid).wait(self.moments.uniform(1.0, self.longest))
            code = process.wait() if code is None else code
            return self._ended_alone(code, start)
        at = self._stage()
        group = os.getpgid(process.pid)
        told = _tell(self.project, process.pid, target, sign)
        end = "no such process at that moment" if not told else self._end(process.pid, target, sign, group)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        process.wait()
        if told:
            self._count(Life(" ".join(command), target, sign.name, at, end))
        try:
            all_are_whole(self.project.folder / "models")
            all_are_whole(self.project.folder / "metrics")
            all_are_whole(self.project.folder / ".state")
        except Exception as error:
            self._fault(f"after {self.lives[-1]}: half-written: {error}")
        return False

    def _end(self, leader: int, target: str, sign: signal.Signals, group: int) -> str:
        """Wait for everything to end; a dead stage or server does not end the rest by itself, so that is then told."""
        if target == "server":
            time.sleep(3)  # the run goes on without its view
            if not psutil.pid_exists(leader):
                self._fault("a run ended when its Prefect server was killed")
            os.kill(leader, signal.SIGTERM)
        elif target == "dvc" and sign is signal.SIGINT:
            if within(2.0, lambda: not workers()) is not None:
                return "ended"
            for each in workers():  # documented: DVC ignores it while a stage runs
                each.send_signal(signal.SIGTERM)
        left = within(REMAINS, lambda: not self.project.processes())
        if left is None:
            names = [" ".join(each.cmdline()[-3:]) for each in self.project.processes()]
            self._fault(f"{sign.name} to {target}: still running after {REMAINS:.0f} s: {names}")
            return "left running"
        return f"nothing left after {left:.1f} s"

    def _ended_alone(self, code: int, start: int) -> bool:
        said = self.project.tail(10**9)[start:]
        if code == 0:
            return True
        if any("rwlock" in line.lower() or "dvc.lock" in line for line in said):
            self.mended += 1  # `dvc repro` alone; the next `ccm run` mends it
            if self.project.start("ccm", "run", "synthesize").wait() == 0:
                return False
        self._fault(f"a command failed with {code} by itself: {said[-3:]}")
        return False

    def _stage(self) -> str:
        for process in self.project.processes():
            with suppress(psutil.Error):
                words = process.cmdline()
                if "stage" in words:
                    return " ".join(words[words.index("stage") + 1 :])
        return "between stages"

    def _count(self, life: Life) -> None:
        self.lives.append(life)
        print(f"{len(self.lives):3}  {life.command:9}  {life.sign:8} to {life.target:6}  at {life.at:34}  {life.end}")
        sys.stdout.flush()

    def _fault(self, text: str) -> None:
        self.faults.append(text)
        print(f"FAULT: {text}", flush=True)

    def told(self) -> int:
        """Print the sums; the exit status."""
        counts = collections.Counter(f"{life.sign} to {life.target}" for life in self.lives)
        print(f"\n{len(self.lives)} kills in {self.passes} passes: {dict(sorted(counts.items()))}")
        print(
            f"load of the machine over the last quarter of an hour: {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores"
        )
        print(f"at {len({life.at for life in self.lives})} different stages; DVC's locks mended {self.mended} times")
        print(f"{len(self.faults)} faults")
        return int(bool(self.faults))


def _tell(project: Project, leader: int, target: str, sign: signal.Signals) -> bool:
    """Send the signal; whether there was anything to send it to."""
    if target == "group":
        os.killpg(leader, sign)
        if dvc := workers():  # `ccm run` starts DVC in a session of its own
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(dvc[0].pid), sign)
        return True
    if target == "server":
        wanted = [each for each in psutil.process_iter() if _is_server(project, each)]
    elif target == "dvc":
        wanted = workers()
    else:
        wanted = [each for each in project.processes() if "stage" in each.cmdline()]
    for process in wanted:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(sign)
    return bool(wanted)


def _is_server(project: Project, process: psutil.Process) -> bool:
    with suppress(psutil.Error, OSError):
        words = process.cmdline()
        return Path(process.cwd()) == project.folder and "prefect" in words and "server" in words
    return False


if __name__ == "__main__":
    main()
