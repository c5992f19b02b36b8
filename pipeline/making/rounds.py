"""Runs partitions through stages, round by round: if the cluster fails, the next round runs what is left.

Each round is a process of its own, and Ray runs only there: if the cluster's head is lost, Ray's core ends its process
without a message. The commit records say what is done, so a round hands nothing to the next one.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import ModuleType

from ..errors import UserError
from ..storage.atomic import explained
from ..storage.tries import Tries
from .saying import ERROR, LOST, SAFE_PATH, THROUGH
from .stage import Step

ROUNDS = 4  # in a row that commit nothing
STOP_S = 10.0  # for Ray to end by itself
STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
MOST_NAMED = 8  # partitions in a message
LOG = logging.getLogger(__name__)


def run(steps: Sequence[Step], partitions: Sequence[int], log: Path) -> None:
    """Run every partition through the steps; what has a commit record is left as it is.

    log: the file for what Ray's core prints and for tracebacks. Raises UserError if a worker cannot continue (such as
    on a full disk), if a partition ends every worker that takes it, and if workers are lost again and again while
    nothing is committed.
    """
    with explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    before, fruitless = _committed(steps), 0
    try:
        while loss := _round(steps, partitions, log):
            now = _committed(steps)
            fruitless = 0 if now > before else fruitless + 1
            if fruitless == ROUNDS:
                raise UserError(_no_progress(loss, steps, log))
            before = now
            through = len(set(partitions) & steps[-1].target.committed())
            LOG.warning("%s; %d of %d partitions are through, and the rest runs again", loss, through, len(partitions))
    finally:
        _forget_tries(steps)


def _forget_tries(steps: Sequence[Step]) -> None:
    for step in steps:
        Tries(step.target.path).forget()


def _committed(steps: Sequence[Step]) -> int:
    return sum(len(step.target.committed()) for step in steps)


def _no_progress(loss: str, steps: Sequence[Step], log: Path) -> str:
    """The message about rounds that commit nothing."""
    tasks = [f"{step.stage.name} {partition}" for step in steps for partition in Tries(step.target.path).open()]
    names = ", ".join(tasks[:MOST_NAMED]) + (f" and {len(tasks) - MOST_NAMED} more" if len(tasks) > MOST_NAMED else "")
    at_work = f"The workers had these stages and partitions: {names}. " if tasks else ""
    return (
        f"{loss}; this happened {ROUNDS} times in a row without a commit. {at_work}Look for the cause: too little "
        f"memory for so many workers (ulimit, dmesg), or a cluster that has lost nodes. Ray's log is {log}. "
        "Committed work is safe: the same command continues."
    )


def _round(steps: Sequence[Step], partitions: Sequence[int], log: Path) -> str:
    """Run what has no commit record. Returns how the round was lost, in words, or "" if all partitions are through."""
    _forget_tries(steps)  # a node may have been lost: then no partition ended the workers
    warnings: set[str] = set()
    with _process(steps, partitions, log) as (process, receiver):
        while True:
            try:
                kind, text = receiver.recv()
            except EOFError:
                process.join(STOP_S)
                return f"Ray ended during the build (status {process.exitcode}; its log is {log})"
            if kind == THROUGH:
                return ""
            if kind == LOST:
                return str(text)
            if kind == ERROR:
                raise UserError(text)
            if text not in warnings:
                LOG.warning("%s", text)
                warnings.add(text)


@contextmanager
def _process(steps: Sequence[Step], partitions: Sequence[int], log: Path) -> Iterator[tuple[SpawnProcess, Connection]]:
    """A process that runs a round, and the connection that receives its messages. It has ended once the block ends."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(sender, steps, partitions, log, _address()), daemon=True
    )
    # The new process starts in the terminal's group: until it leaves it, a Ctrl-C must stop this process alone.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        with _environment(SAFE_PATH), _without_main():
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    sender.close()
    try:
        yield process, receiver
    finally:
        receiver.close()
        try:
            process.terminate()
            process.join(STOP_S)
        finally:
            process.kill()
            process.join()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set these variables for the processes that the block starts; restore this process's own afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_main() -> Iterator[None]:
    """Let no process that the block starts run this process's script, which may build without a `__main__` guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _address() -> str | None:
    """The cluster to use: the one that this process is in, or the one that RAY_ADDRESS or `ray job submit` names."""
    if (ray := sys.modules.get("ray")) and ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    return os.environ.get("RAY_ADDRESS")


def _serve(
    sender: Connection, steps: Sequence[Step], partitions: Sequence[int], log: Path, address: str | None
) -> None:
    """One round, in a process of its own."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_at_a_time = threading.Lock()

    def say(kind: str, text: str) -> None:
        with one_at_a_time:
            sender.send((kind, text))

    from . import ray as on_ray  # Ray takes seconds to import

    on_ray.run(steps, partitions, address, say)
    sender.close()


def _end_with_parent() -> None:
    """End this process with its parent, so that a command that was killed leaves nothing running."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os._exit(1)
