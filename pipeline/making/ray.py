"""Partitions through stages on Ray Data: an actor pool a stage, one row a partition.

The only module that knows Ray; `rounds.py` runs it, in a process of its own. Rows carry partition numbers; what is made
lies in the stages' folders.
"""

import logging
import math
import os
import signal
import socket
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import ray.data
from ray._private.state import actors as actor_table
from ray.data import ActorPoolStrategy
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.job_config import JobConfig

from ..errors import UserError, is_of_the_machine
from ..storage.tries import Tries
from .saying import ERROR, LOST, SAFE_PATH, THROUGH, WARNING, Say
from .stage import Stage, Step

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TRIES = 4  # of a partition whose worker died
ANSWER_S = 10.0  # for a cluster to accept a connection
LOOK_S = 1.0  # between two looks at the nodes
LISTED = 3
LOG = logging.getLogger(__name__)


def run(steps: Sequence[Step], partitions: Sequence[int], address: str | None, say: Say) -> None:
    """Bring the partitions through the steps on the cluster at an address (None: this machine's cores).

    Says what workers warn of, and at the end whether all is through, what a user can mend, or that the cluster lost
    something and another round may do better.
    """
    try:
        with cluster(address), _watched_nodes(say):
            for row in _rows(steps, partitions).iter_rows():
                for warning in row["warnings"].splitlines():
                    say(WARNING, warning)
                if row["error"]:
                    raise UserError(row["error"])
        say(THROUGH, "")
    except UserError as error:
        say(ERROR, str(error))
    except Exception as error:
        traceback.print_exc()
        said = " ".join(str(error).split())
        # A worker that never lived, or what a stage raised, would be the same again.
        same_again = isinstance(error, RayTaskError) or (isinstance(error, ActorDiedError) and error.actor_init_failed)
        if isinstance(error, RayError) and not same_again:
            say(LOST, f"workers were lost ({type(error).__name__}: {said[:200]})")
        else:
            say(ERROR, f"{type(error).__name__}: {said[-500:]}")


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """The cluster at an address, or this machine's cores."""
    # "local", or Ray would join any cluster that somebody started on this machine.
    where: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    with _found(address):
        ray.init(
            job_config=_OwnPath(),
            runtime_env={"env_vars": ONE_THREAD | SAFE_PATH},
            log_to_driver=False,
            logging_level=logging.ERROR,
            **where,
        )
    signal.signal(signal.SIGTERM, _end)  # in place of Ray's own, which waits half a minute for a node to drain
    try:
        yield
    finally:
        ray.shutdown()


def _end(*_: object) -> None:
    raise SystemExit


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
            "without RAY_ADDRESS this machine's cores are used. What was committed is safe: the same command goes on."
        ) from error


def _rows(steps: Sequence[Step], partitions: Sequence[int]) -> ray.data.Dataset:
    """A row for each partition, once it is through; nothing runs before they are asked for."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows: ray.data.Dataset = ray.data.from_items(
        [{"partition": number, "error": "", "warnings": ""} for number in partitions],
        override_num_blocks=len(partitions),
    )
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if not resources.get("CPU"):
        raise UserError("no node of the cluster has a core to work with. Add one; the same command goes on.")
    wanted = {step.stage.name: step.stage.num_gpus for step in steps if step.stage.num_gpus}
    gpus = gpus_each(wanted, resources.get("GPU", 0))
    dearest = max((step.stage.cost for step in steps if not step.stage.num_gpus), default=1.0)
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
            # Partitions take seconds to minutes: one waiting at a busy actor is one an idle actor could do. A pool
            # that may hold one task an actor never grows by itself, so its size is given.
            compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
        )
    return rows


@contextmanager
def _watched_nodes(say: Say) -> Iterator[None]:
    """Say so, while the block runs, when a node is lost that one of our actors was on.

    Ray would start as many actors anew as before, on what is left: too many, or waiting for room that never comes, with
    the partition that they had taken.
    """
    over = threading.Event()
    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
    known = _alive()

    def watch() -> None:
        homes: set[str] = set()
        while not over.wait(LOOK_S):
            alive = _alive()
            actors = [actor for actor in actor_table(job_id=job).values() if actor["State"] != "DEAD"]
            gone = known - alive
            if gone & homes or (gone and any(actor["State"] != "ALIVE" for actor in actors)):
                say(LOST, f"a node was lost, and {len(alive)} {'is' if len(alive) == 1 else 'are'} left")
                return
            homes |= {actor["Address"]["NodeID"] for actor in actors}
            known.update(alive)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join(2 * LOOK_S)


def _alive() -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]


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
        self.tries = Tries(step.target.path)
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
        """Ray gives a partition whose worker died to another one for ever: whether that is enough is found here."""
        if (number := self.tries.begin(partition)) > TRIES:
            raise UserError(self._deadly(partition, named=number == TRIES + 1))
        if not self.loaded:
            self.step.load()
            self.loaded = True
        self.step.make(partition)
        self.tries.end(partition)

    def _deadly(self, partition: int, named: bool) -> str:
        """named: whether to read whose rows they are, which could be what ends workers."""
        rows = ""
        if named:
            ids = self.step.source.read(partition)["dialogue_id"].to_pylist()
            rows = ", ".join(ids[:LISTED]) + (f" and {len(ids) - LISTED} more" if len(ids) > LISTED else "")
        return (
            f"partition {partition} of the stage {self.step.stage.name} ended each of the {TRIES} workers that took it"
            f"{f' (dialogues {rows})' if rows else ''}. Is there memory for it (ulimit, dmesg)? What was committed is "
            "safe: the same command goes on once the cause is mended, or these dialogues are left out of the source."
        )
