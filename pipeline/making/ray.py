"""Runs partitions through stages on Ray Data: one actor pool per stage, one row per partition.

Only this module knows Ray; `rounds.py` runs it in a process of its own. A row carries the number of its partition; the
output of the stages is in their folders.
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
TRIES = 4  # of a partition whose workers die
CONNECT_S = 10.0  # for a cluster to accept a connection
LOOK_S = 1.0  # between two looks at the nodes
MOST_IDS = 3  # of dialogues, in a message
LOG = logging.getLogger(__name__)


def run(steps: Sequence[Step], partitions: Sequence[int], address: str | None, say: Say) -> None:
    """Run the partitions through the steps on the cluster at an address (None: on this machine's cores).

    Calls `say` with each warning of a worker, and at the end once: THROUGH if all partitions are through; ERROR with
    what the user can correct; LOST if the cluster lost workers, so that another round may succeed.
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
        message = " ".join(str(error).split())
        # A worker that could not start, or an error that a stage raised, would fail in the same way again.
        would_repeat = isinstance(error, RayTaskError) or (
            isinstance(error, ActorDiedError) and error.actor_init_failed
        )
        if isinstance(error, RayError) and not would_repeat:
            say(LOST, f"workers were lost ({type(error).__name__}: {message[:200]})")
        else:
            say(ERROR, f"{type(error).__name__}: {message[-500:]}")


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Connect to the cluster at an address, or start Ray on this machine's cores; disconnect at the end."""
    # "local": otherwise Ray would join any cluster that somebody started on this machine.
    where: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    with _checked_address(address):
        ray.init(
            job_config=_OwnPath(),
            runtime_env={"env_vars": ONE_THREAD | SAFE_PATH},
            log_to_driver=False,
            logging_level=logging.ERROR,
            **where,
        )
    signal.signal(signal.SIGTERM, _end)  # instead of Ray's handler, which waits half a minute for a node to drain
    try:
        yield
    finally:
        ray.shutdown()


def _end(*_: object) -> None:
    raise SystemExit


class _OwnPath(JobConfig):
    """Keeps the driver's working folder, and the folder of its script, off the path that workers import from.

    Ray puts both before the installed packages, unless the job has a working folder of its own. Then every worker would
    import a file of the user, such as `random.py` or `tokenizers/`, instead of the package of that name.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


@contextmanager
def _checked_address(address: str | None) -> Iterator[None]:
    """Raise UserError if no cluster is at an address. Ray itself would wait minutes for an answer."""
    if not address:
        yield
        return
    try:
        host, _, port = address.rpartition(":")
        if host and "://" not in address:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster can be used at RAY_ADDRESS={address}: {error}. Expected host:port of a cluster that runs; "
            "without RAY_ADDRESS, this machine's cores are used. Committed work is safe: the same command continues."
        ) from error


def _rows(steps: Sequence[Step], partitions: Sequence[int]) -> ray.data.Dataset:
    """One row per partition, which comes once the partition is through. Nothing runs before the rows are read."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows: ray.data.Dataset = ray.data.from_items(
        [{"partition": number, "error": "", "warnings": ""} for number in partitions],
        override_num_blocks=len(partitions),
    )
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if not resources.get("CPU"):
        raise UserError(
            "no node of the cluster has a CPU core to work with. Add a node that has one; the same command continues."
        )
    shares = {step.stage.name: step.stage.num_gpus for step in steps if step.stage.num_gpus}
    gpus = gpus_each(shares, resources.get("GPU", 0))
    highest_cost = max((step.stage.cost for step in steps if not step.stage.num_gpus), default=1.0)
    for step in steps:
        actors = min(
            _actors(step.stage, resources, highest_cost, gpus),
            step.stage.max_actors or len(partitions),
            len(partitions),
        )
        rows = rows.map_batches(
            _Worker,
            fn_constructor_args=(step,),
            batch_size=1,
            num_cpus=step.stage.num_cpus,
            num_gpus=step.stage.num_gpus,
            # A partition takes seconds to minutes: none may wait at a busy actor while another actor is idle. A pool
            # with at most one task per actor never grows by itself, so its size is given.
            compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
        )
    return rows


@contextmanager
def _watched_nodes(say: Say) -> Iterator[None]:
    """While the block runs, say LOST if a node with one of our actors is lost.

    Ray would start as many actors again on the nodes that are left. They would be too many there, or wait for ever for
    room, each with the partition that it had taken.
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


def _actors(stage: Stage, resources: dict[str, float], highest_cost: float, gpus: dict[str, float]) -> int:
    """How many actors a stage gets: with GPUs, as many as these have room for, and at most one per core.

    Without GPUs: one per core for the stage with the highest cost, and fewer for the others, in proportion to cost.
    """
    cores = int(resources.get("CPU", 1))
    if not stage.num_gpus:
        return math.ceil(cores * stage.cost / highest_cost)
    return max(1, min(cores, slots(gpus[stage.name], stage.num_gpus)))


def slots(gpus: float, share: float) -> int:
    """How many actors have room on the GPUs, if each takes this share of one GPU, or several whole GPUs."""
    return int(gpus) * int(1 / share) if share <= 1 else int(gpus // share)


def gpus_each(shares: Mapping[str, float], gpus: float) -> dict[str, float]:
    """How many GPUs each stage gets. All stages run at the same time.

    A stage gets what one of its actors takes, and a part of the rest in proportion to that. shares: GPUs per actor, by
    stage. Raises UserError if there are too few for one actor per stage.
    """
    if (least := sum(shares.values())) > gpus:
        each = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise UserError(
            f"the stages ask for {least:g} GPUs, for one actor per stage ({each}), and the cluster has {gpus:g}. Set "
            "num_gpus to a smaller share, or to 0 to use the processor."
        )
    rest = gpus - sum(math.ceil(share) for share in shares.values())
    return {name: max(share, math.ceil(share) + math.floor(rest * share / least)) for name, share in shares.items()}


class _Warnings(logging.Handler):
    """Keeps the warnings of the pipeline in this process until `take` returns them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        logging.getLogger("duplexgen").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))

    def take(self) -> list[str]:
        messages, self.messages = self.messages, []
        return messages


class _Worker:
    """Runs one stage, in an actor of its own; the engine is loaded with the first partition that needs it.

    A UserError is passed on in the row, past the later stages: as an exception it would reach the driver in a report of
    Ray's, without its cause. Warnings are passed on in the row, too: Ray would leave them in a log file of its own.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.tries = Tries(step.target.path)
        self.loaded = False
        self.warnings = _Warnings()
        if not step.stage.num_gpus:  # Ray hides no GPU from it, so a library might take one
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
            message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            batch["error"] = np.array([message])
        batch["warnings"] = np.array(["\n".join(filter(None, [batch["warnings"][0], *self.warnings.take()]))])
        return batch

    def _make(self, partition: int) -> None:
        """Make a partition. If a worker dies, Ray gives its partition to another one, without end: TRIES ends that."""
        if (number := self.tries.begin(partition)) > TRIES:
            raise UserError(self._deadly(partition, with_ids=number == TRIES + 1))
        if not self.loaded:
            self.step.load()
            self.loaded = True
        self.step.make(partition)
        self.tries.end(partition)

    def _deadly(self, partition: int, with_ids: bool) -> str:
        """The message about a partition that ends its workers.

        with_ids: whether to name its dialogues. They are read for that, and to read them may be what ends the workers.
        """
        dialogues = ""
        if with_ids:
            ids = self.step.source.read(partition)["dialogue_id"].to_pylist()
            dialogues = ", ".join(ids[:MOST_IDS]) + (f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else "")
        return (
            f"partition {partition} of the stage {self.step.stage.name} ended each of the {TRIES} workers that took it"
            f"{f' (dialogues {dialogues})' if dialogues else ''}. Look for the cause, such as too little memory "
            "(ulimit, dmesg). Committed work is safe: once the cause is corrected, the same command continues. Or "
            "leave the dialogues out of the source, which starts the build from the beginning."
        )
