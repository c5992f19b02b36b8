"""Partitions through stages on Ray Data: an actor pool a stage, one row a partition.

The only module that knows Ray. Rows carry partition numbers; what is made lies in the stages' folders.
"""

import logging
import math
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
from ray.data import ActorPoolStrategy
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, ObjectLostError, WorkerCrashedError
from ray.job_config import JobConfig
from ray.util.annotations import RayDeprecationWarning

from .errors import UserError, is_of_the_machine
from .shards.atomic import explained
from .stages.stage import Stage, Step

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RETRIES = 3  # of a partition whose worker died
ANSWER_S = 10.0  # for a cluster to accept a connection
LOG = logging.getLogger(__name__)


@contextmanager
def cluster(log: Path) -> Iterator[None]:
    """The cluster that RAY_ADDRESS or `ray job submit` names, or this machine's cores.

    log: where Ray's core writes what it has to say.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    # "local", or Ray would join any cluster that somebody started on this machine.
    where: dict[str, Any] = {} if address else {"address": "local", "include_dashboard": False}
    with _core_log(log):
        with _found(address):
            ray.init(
                job_config=_OwnPath(),
                runtime_env={"env_vars": ONE_THREAD},
                log_to_driver=False,
                logging_level=logging.ERROR,
                **where,
            )
        try:
            yield
        finally:
            ray.shutdown()


class _OwnPath(JobConfig):
    """Keeps the driver's working folder, and the folder of its script, off the path that workers import from.

    Ray puts both before what is installed, unless the job has a working folder of its own: so a file of the user's,
    `random.py` or `tokenizers/`, would be imported by every worker in place of what it is named like.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


@contextmanager
def _found(address: str | None) -> Iterator[None]:
    """Raise as a UserError what is wrong with an address; Ray itself would wait minutes for one where nobody is."""
    if not address:
        yield
        return
    try:
        host, _, port = address.rpartition(":")
        if host and "://" not in address:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster can be used at RAY_ADDRESS={address}: {error}. Expected host:port of one that runs; "
            "without RAY_ADDRESS this machine's cores are used."
        ) from error


@contextmanager
def _core_log(log: Path) -> Iterator[None]:
    """Let what Ray's core, which is not Python, writes to descriptor 2 go to a file; sys.stderr stays the terminal.

    The core reports every actor of Ray Data as one that may fail to restart, at each start of a build.
    """
    with explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("ab")
    with stream as file, os.fdopen(os.dup(2), "w", buffering=1) as terminal, redirect_stderr(terminal):
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal.fileno(), 2)


def _quiet() -> None:
    """The display says what a person needs; Ray's own log of an execution goes to its log folder."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and type(handler).__module__.startswith("ray."):
            handler.setLevel(logging.ERROR)


def run(steps: Sequence[Step], partitions: Sequence[int]) -> Iterator[int]:
    """Bring every partition through the steps; yields each partition's number once it is through.

    What has a commit record is passed over. What workers warn of is logged here, each warning once. Raises the
    UserError of a worker, such as a full disk, and one for a partition whose worker dies again and again.
    """
    _quiet()
    rows: ray.data.Dataset = ray.data.from_items(
        [{"partition": number, "error": "", "warnings": ""} for number in partitions],
        override_num_blocks=len(partitions),
    )
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    wanted = {step.stage.name: step.stage.num_gpus for step in steps if step.stage.num_gpus}
    gpus = gpus_each(wanted, resources.get("GPU", 0))
    dearest = max((step.stage.cost for step in steps if not step.stage.num_gpus), default=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # of max_task_retries, for which there is no other way
        for step in steps:
            actors = min(
                _actors(step.stage, resources, dearest, gpus), step.stage.max_actors or len(partitions), len(partitions)
            )
            rows = rows.map_batches(
                _Worker,
                fn_constructor_args=(step,),
                batch_size=1,
                num_cpus=step.stage.num_cpus,
                num_gpus=step.stage.num_gpus,
                max_task_retries=RETRIES,
                # Partitions take seconds to minutes: one waiting at a busy actor is one an idle actor could do. A pool
                # that may hold one task an actor never grows by itself, so its size is given.
                compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
            )
    warned: set[str] = set()
    with _interruptible() as stop_if_asked, _outlived():
        for row in rows.iter_rows():
            stop_if_asked()
            for warning in row["warnings"].splitlines():
                if warning not in warned:
                    LOG.warning("%s", warning)
                    warned.add(warning)
            if row["error"]:
                raise UserError(row["error"])
            yield int(row["partition"])


def _actors(stage: Stage, resources: dict[str, float], dearest: float, gpus: dict[str, float]) -> int:
    """As many as its GPUs allow, and no more than cores; of a stage without, a core each for the dearest and fewer for
    the others."""
    cores = int(resources.get("CPU", 1))
    if not stage.num_gpus:
        return math.ceil(cores * stage.cost / dearest)
    return max(1, min(cores, slots(gpus[stage.name], stage.num_gpus)))


def slots(gpus: float, share: float) -> int:
    """Actors that so many GPUs have room for, each with this share of one, or with several whole ones."""
    return int(gpus) * int(1 / share) if share <= 1 else int(gpus // share)


def gpus_each(wanted: Mapping[str, float], gpus: float) -> dict[str, float]:
    """GPUs of each stage, all of which run at once: one actor's worth, and of the rest in proportion to that.

    wanted: what an actor of each takes. Raises UserError if there are too few for an actor each.
    """
    if (least := sum(wanted.values())) > gpus:
        asked = ", ".join(f"{name} {share:g}" for name, share in wanted.items())
        raise UserError(
            f"the stages ask for {least:g} GPUs, an actor each ({asked}), and the cluster has {gpus:g}. Give an actor "
            "a smaller share (num_gpus), or set num_gpus: 0 to use the processor."
        )
    rest = gpus - sum(math.ceil(share) for share in wanted.values())
    return {name: max(share, math.ceil(share) + math.floor(rest * share / least)) for name, share in wanted.items()}


@contextmanager
def _outlived() -> Iterator[None]:
    """Raise as a UserError what ends workers from without."""
    try:
        yield
    except (ActorDiedError, ActorUnavailableError, NodeDiedError, ObjectLostError, WorkerCrashedError) as error:
        if isinstance(error, ActorDiedError) and error.actor_init_failed:  # it never lived: the traceback says why
            raise
        said = " ".join(str(error).split())[-500:]
        raise UserError(
            f"a worker was lost, and so was each that tried its partition again ({RETRIES} times): {said}. "
            "Is there memory for so many (ulimit, dmesg), and is the cluster whole? What was committed is safe: start "
            "the same command again."
        ) from error


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Yields a function that raises KeyboardInterrupt if Ctrl-C was pressed.

    Python raises it at once where it happens to be; inside a callback of Ray's core that is lost.
    """
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop_if_asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop_if_asked
        stop_if_asked()
    finally:
        signal.signal(signal.SIGINT, before)


class _Warnings(logging.Handler):
    """Keeps what the pipeline warns of in this process until it is taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []
        logging.getLogger("duplexgen").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(" ".join(record.getMessage().split()))

    def take(self) -> list[str]:
        taken, self.said = self.said, []
        return taken


class _Worker:
    """Runs one stage, in an actor of its own; the engine is loaded with the first partition that needs it.

    A UserError goes on as a value, past the stages that follow: an exception would reach the driver as a report of
    Ray's, without what it was raised from. So do warnings, which Ray would keep in a file of its own.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.loaded = False
        self.warnings = _Warnings()
        if not step.stage.num_gpus:  # Ray lets it see them all, and what takes a GPU where there is one would
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["error"][0]:
            return batch
        partition = int(batch["partition"][0])
        try:
            if not self.step.target.is_committed(partition):
                self._make(partition)
        except Exception as error:
            if not is_of_the_machine(error):
                raise
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            batch["error"] = np.array([said])
        batch["warnings"] = np.array(["\n".join(filter(None, [batch["warnings"][0], *self.warnings.take()]))])
        return batch

    def _make(self, partition: int) -> None:
        if not self.loaded:
            self.step.load()
            self.loaded = True
        self.step.make(partition)
