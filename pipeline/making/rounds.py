"""Partitions through stages, round by round: what a round leaves when the cluster fails, the next one takes again.

Each round is a process of its own, the only one that Ray runs in: when the cluster's head is lost, Ray's core ends its
process without a word. What is true lies in the commit records, so nothing has to be handed from round to round.
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
LISTED = 8
LOG = logging.getLogger(__name__)


def run(steps: Sequence[Step], partitions: Sequence[int], log: Path) -> None:
    """Bring every partition through the steps; what has a commit record is passed over.

    log: where Ray's core and the tracebacks of a round go. Raises UserError for what a worker finds wrong (such as a
    full disk), for a partition that ends every worker that takes it, and if the cluster is lost again and again while
    nothing is committed.
    """
    with explained(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    before, fruitless = _committed(steps), 0
    try:
        while lost := _round(steps, partitions, log):
            now = _committed(steps)
            fruitless = 0 if now > before else fruitless + 1
            if fruitless == ROUNDS:
                raise UserError(_given_up(lost, steps, log))
            before = now
            through = len(set(partitions) & steps[-1].target.committed())
            LOG.warning(
                "%s; %d of %d partitions are through, and the rest is taken again", lost, through, len(partitions)
            )
    finally:
        _forget_tries(steps)


def _forget_tries(steps: Sequence[Step]) -> None:
    for step in steps:
        Tries(step.target.path).forget()


def _committed(steps: Sequence[Step]) -> int:
    return sum(len(step.target.committed()) for step in steps)


def _given_up(lost: str, steps: Sequence[Step], log: Path) -> str:
    open_ = [f"{step.stage.name} {partition}" for step in steps for partition in Tries(step.target.path).open()]
    listed = ", ".join(open_[:LISTED]) + (f" and {len(open_) - LISTED} others" if len(open_) > LISTED else "")
    at_work = f"At work was then, by stage and partition: {listed}. " if open_ else ""
    return (
        f"{lost}, and so it went {ROUNDS} times in a row without a commit. {at_work}Is there memory for so many "
        f"(ulimit, dmesg), and is the cluster whole? The log is {log}. What was committed is safe: start the same "
        "command again."
    )


def _round(steps: Sequence[Step], partitions: Sequence[int], log: Path) -> str:
    """Run what has no commit record; how the round was lost, in words, or "" if all is through."""
    _forget_tries(steps)  # what went down with a node did not end it
    warned: set[str] = set()
    with _process(steps, partitions, log) as (process, heard):
        while True:
            try:
                kind, text = heard.recv()
            except EOFError:
                process.join(STOP_S)
                return f"Ray ended under the build (status {process.exitcode}; its log is {log})"
            if kind == THROUGH:
                return ""
            if kind == LOST:
                return str(text)
            if kind == ERROR:
                raise UserError(text)
            if text not in warned:
                LOG.warning("%s", text)
                warned.add(text)


@contextmanager
def _process(steps: Sequence[Step], partitions: Sequence[int], log: Path) -> Iterator[tuple[SpawnProcess, Connection]]:
    """A process that runs a round, and where it is heard; it is gone once the block ends."""
    heard, said = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(said, steps, partitions, log, _address()), daemon=True
    )
    # Until it has left the terminal's group, a Ctrl-C is for this process alone.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        with _environment(SAFE_PATH), _without_main():
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    said.close()
    try:
        yield process, heard
    finally:
        heard.close()
        try:
            process.terminate()
            process.join(STOP_S)
        finally:
            process.kill()
            process.join()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What is started in the block has these variables; this process has its own again afterwards."""
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
    """A process that is started in the block does not run the script of this one, which may build without a guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _address() -> str | None:
    """The cluster to use: the one that this process is in, or that RAY_ADDRESS or `ray job submit` names."""
    if (ray := sys.modules.get("ray")) and ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    return os.environ.get("RAY_ADDRESS")


def _serve(said: Connection, steps: Sequence[Step], partitions: Sequence[int], log: Path, address: str | None) -> None:
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
            said.send((kind, text))

    from . import ray as dag  # Ray takes seconds to import

    dag.run(steps, partitions, address, say)
    said.close()


def _end_with_parent() -> None:
    """A command that was killed leaves nothing at work."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os._exit(1)
