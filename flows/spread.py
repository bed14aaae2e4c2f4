"""Shards over workers: threads on this machine, a Dask cluster, or Ray. What comes out never depends on which."""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pipeline.layout import STATE
from pipeline.progress import Progress
from pipeline.records.artefacts import written
from pipeline.settings import Spread

Item = TypeVar("Item")
Result = TypeVar("Result")
Done = Iterator[tuple[int, Any]]  # (position of the item, its result), in the order of completion


class SpreadingProgress(Progress):
    """Terminal progress whose `map` runs where `params.spread` says."""

    def __init__(self, spread: Spread):
        self.spread = spread

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        description: str = "",
        unit: str = "shards",
    ) -> list[Result]:
        """Results in the items' order. A worker that dies costs the shards it held, which run again elsewhere."""
        results: list[Any] = [None] * len(items)
        completed = RUNNERS[self.spread.runner](function, items, self.spread)
        for position, result in self.track(completed, total=len(items), description=description, unit=unit):
            results[position] = result
            self.shard_done(description, position)
        return results

    def shard_done(self, description: str, position: int) -> None:
        """Called as each shard is done; the terminal bar needs nothing more."""


@dataclass(frozen=True)
class FromWorkspace:
    """A shard's function as a worker elsewhere gets it: by file, because workers share the workspace and the function
    may carry a large table. Relative paths mean the workspace's, wherever the worker started.
    """

    workspace: str
    file: str

    def __call__(self, item: Any) -> Any:
        if os.getcwd() != self.workspace:
            os.chdir(self.workspace)
        return _unpickled(self.file)(item)


@lru_cache(maxsize=1)
def _unpickled(file: str) -> Callable[[Any], Any]:
    return cast(Callable[[Any], Any], pickle.loads(Path(file).read_bytes()))


@contextmanager
def in_workspace(function: Callable[[Any], Any]) -> Iterator[FromWorkspace]:
    """The function as a worker elsewhere gets it, for as long as the block lasts."""
    file = Path.cwd() / STATE / "spread" / f"{uuid.uuid4().hex}.pickle"
    with written(file) as temporary:
        temporary.write_bytes(pickle.dumps(function))
    try:
        yield FromWorkspace(str(Path.cwd()), str(file))
    finally:
        file.unlink(missing_ok=True)


def on_threads(function: Callable[[Item], Result], items: Sequence[Item], spread: Spread) -> Done:
    """One after the other with one worker, else on that many threads; with several GPUs each thread keeps to one."""
    if spread.workers == 1 or len(items) < 2:
        for position, item in enumerate(items):
            yield position, function(item)
        return
    with ThreadPoolExecutor(spread.workers, "shard", initializer=_pin_thread()) as pool:
        futures = {pool.submit(function, item): position for position, item in enumerate(items)}
        try:
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pin_thread() -> Callable[[], None]:
    """An initializer that gives thread i the GPU i modulo their number (`torch.cuda.set_device` holds for a thread)."""
    import torch

    devices = torch.cuda.device_count()
    lock, started = threading.Lock(), iter(range(1 << 30))

    def pin() -> None:
        with lock:
            index = next(started)
        if devices:
            torch.cuda.set_device(index % devices)

    return pin


CLUSTER = "CCM_SPREAD_ADDRESS"  # of the cluster that serves a whole run


@contextmanager
def cluster(spread: Spread) -> Iterator[None]:
    """One cluster on this machine for all stages of a run, which are processes of their own: they find its address in
    the environment. Nothing where params want threads, or have a cluster's address.
    """
    if spread.runner == "threads" or spread.address is not None:
        yield
        return
    with _HERE[spread.runner](spread) as address:
        os.environ[CLUSTER] = address
        try:
            yield
        finally:
            del os.environ[CLUSTER]


@contextmanager
def _dask_here(spread: Spread) -> Iterator[str]:
    distributed = _dask()
    size = {"n_workers": spread.workers, "threads_per_worker": 1, "memory_limit": 0}
    # On this machine alone: whoever reaches a scheduler runs code on its workers.
    with distributed.LocalCluster(host="127.0.0.1", dashboard_address=None, **size) as here:
        yield here.scheduler_address


def _dask() -> Any:
    try:
        import distributed
    except ImportError:
        raise ValueError("spread.runner = 'dask': not installed; pip install 'ccm-pipeline[spread]'") from None
    return distributed


def on_dask(function: Callable[[Item], Result], items: Sequence[Item], spread: Spread) -> Done:
    """On an existing cluster by its scheduler's address, or on one worker process per `spread.workers` started here."""
    with dask_client(spread) as client:
        yield from on_client(client, function, items)


def on_client(client: Any, function: Callable[[Item], Result], items: Sequence[Item]) -> Done:
    """On the workers of a Dask client."""
    from distributed import as_completed

    from flows.workers import let_go

    with in_workspace(function) as job:
        futures = client.map(job, items, pure=False)
        positions = {future.key: position for position, future in enumerate(futures)}
        for future in as_completed(futures):
            yield positions[future.key], future.result()
    client.run(let_go, on_error="ignore")


@contextmanager
def dask_client(spread: Spread) -> Iterator[Any]:
    """A client of the scheduler at `spread.address`, or of one started here; its workers keep to a GPU each."""
    distributed = _dask()
    from flows.workers import PrepareWorker

    with ExitStack() as here:
        address = spread.address or os.environ.get(CLUSTER) or here.enter_context(_dask_here(spread))
        try:
            client = here.enter_context(distributed.Client(address, timeout=5 if spread.address else 60))
        except (OSError, ValueError) as error:
            raise ValueError(f"spread.address = {address!r}: no Dask scheduler answers there ({error})") from None
        client.register_plugin(PrepareWorker())
        yield client


def on_ray(function: Callable[[Item], Result], items: Sequence[Item], spread: Spread) -> Done:
    """On an existing Ray cluster by its address, or on one started here."""
    with _ray(spread, spread.address or os.environ.get(CLUSTER)) as ray:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        with in_workspace(function) as job:
            remote = ray.remote(num_gpus=gpus, max_retries=3)(_call)
            positions = {remote.remote(job, item): position for position, item in enumerate(items)}
            pending = list(positions)
            while pending:
                finished, pending = ray.wait(pending)
                for reference in finished:
                    yield positions[reference], ray.get(reference)


@contextmanager
def _ray(spread: Spread, address: str | None) -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise ValueError("spread.runner = 'ray': Ray is not installed; pip install ray, or use 'dask'") from None
    if ray.is_initialized():  # this process started the cluster
        yield ray
        return
    # On this machine alone: whoever reaches a cluster runs code on its workers.
    here = {"address": "local", "num_cpus": spread.workers, "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    ray.init(**({"address": address} if address else here), log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _ray_here(spread: Spread) -> Iterator[str]:
    with _ray(spread, None) as ray:
        yield ray.get_runtime_context().gcs_address


def _call(job: FromWorkspace, item: Any) -> Any:
    """Ray takes functions only."""
    return job(item)


_HERE: dict[str, Callable[[Spread], AbstractContextManager[str]]] = {"dask": _dask_here, "ray": _ray_here}
RUNNERS: dict[str, Callable[..., Done]] = {"threads": on_threads, "dask": on_dask, "ray": on_ray}
