"""Shows a person how far a command is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import UserError
from ..escapes import one_line
from ..storage.objects import Place
from ..storage.partitions import PartitionFolder
from .terminal import Console

REFRESH_S = 1.0
LINE_EVERY_S = 20.0  # where the output is not a terminal
LEAST_DONE = 0.15  # before there is an estimate of the time left
SPEED_OVER_S = 3600.0  # partitions take long and end in bursts, one per worker


class Display:
    """Progress bars on a terminal; elsewhere, a line from time to time."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)

    @contextmanager
    def reading_sources(self) -> Iterator[Callable[[int], None]]:
        with self.console.status("reading sources") as status:
            yield lambda rows: status.update(f"reading sources: {rows:,} rows") if rows % 100 == 0 else None

    @contextmanager
    def verifying(self) -> Iterator[Callable[[int], None]]:
        log = _Log(self.console)
        with self.console.status("comparing checksums") as status:

            def report(rows: int) -> None:
                status.update(f"checking rows: {rows:,}")
                log.say(f"{rows:,} rows are checked")

            yield report

    @contextmanager
    def making(self, folders: dict[str, PartitionFolder], partitions: int) -> Iterator[None]:
        """Watch the folders of the stages while they fill. folders: by the names of the stages."""
        with self._progress() as progress, _Watch(folders, partitions, progress, self.console):
            yield

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self.console.status(what):
            yield

    @contextmanager
    def training(self, steps: int, start: int) -> Iterator[Callable[[int, str], None]]:
        """Yields a function to call with the number of steps so far, and with a text about the last one."""
        log = _Log(self.console)

        def report(done: int, figures: str) -> None:
            progress.update(task, completed=done, rate=figures)
            log.say(f"step {done}/{steps}: {figures}", is_last=done == steps)

        with self._progress() as progress:
            task = progress.add_task("steps", total=steps, completed=start, rate="")
            yield report

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yields a function to call with the count so far."""
        with self._progress() as progress:
            task = progress.add_task(one_line(what), total=total, rate="")
            yield lambda done: progress.update(task, completed=done)

    @contextmanager
    def exporting(self, rows: int) -> Iterator[Callable[[int], None]]:
        """Yields a function to call with the number of rows so far."""
        log = _Log(self.console)

        def report(done: int) -> None:
            progress.update(task, completed=done)
            log.say(f"{done:,} of {rows:,} rows")

        with self._progress() as progress:
            task = progress.add_task("rows", total=rows, rate="")
            yield report

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:>8}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            speed_estimate_period=SPEED_OVER_S,
            disable=not self.console.is_terminal,
        )

    def already_there(self, out: Place) -> None:
        self._say(f"{out} is this recipe's finished data set already. Check it with: duplexgen verify {out}")

    def already_trained(self, out: Path) -> None:
        self._say(f"{out} is this recipe's trained model already.")

    def trained(self, out: Path, can_talk: bool) -> None:
        talk = f" Talk to it: duplexgen talk {out} --user user.wav" if can_talk else ""
        self._say(f"{out}: trained. Losses: tensorboard --logdir {out}.{talk}")

    def done(self, out: Place, summary: str) -> None:
        look = "Look and listen: duplexgen view" if isinstance(out, Path) else "Look at it with: duplexgen inspect"
        self._say(f"{out}: {summary}. {look} {out}")

    def _say(self, text: str) -> None:
        self.console.print(one_line(text), soft_wrap=True)


class _Log:
    """Prints a line from time to time, where the output is not a terminal: there, bars show it."""

    def __init__(self, console: Console) -> None:
        self.console, self.last = console, time.monotonic()

    def say(self, line: str, is_last: bool = False) -> None:
        """is_last: print it, even if there was a line just now."""
        if not self.console.is_terminal and (is_last or time.monotonic() - self.last > LINE_EVERY_S):
            self.console.print(line, soft_wrap=True)
            self.last = time.monotonic()


class _Watch:
    """Counts commit records, in a thread of its own."""

    def __init__(self, folders: dict[str, PartitionFolder], total: int, progress: Progress, console: Console) -> None:
        self.folders, self.total, self.progress, self.log = folders, total, progress, _Log(console)
        self.start = time.monotonic()
        self.committed = {name: folder.committed() for name, folder in folders.items()}
        self.dialogues = dict.fromkeys(folders, 0)
        self.tasks = {
            name: progress.add_task(name, total=total, completed=len(done), rate="")
            for name, done in self.committed.items()
        }
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Watch:
        there = ", ".join(f"{name} {len(done)}/{self.total}" for name, done in self.committed.items() if done)
        if there:
            self.log.say(f"{there} already there", is_last=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._look()

    def _run(self) -> None:
        while not self.stop.wait(REFRESH_S):
            self._look()
            self.log.say(self._line())

    def _look(self) -> None:
        for name, folder in self.folders.items():
            now = folder.committed()
            for partition in now - self.committed[name]:
                with suppress(UserError):  # of a damaged record, which the build itself reports
                    record = folder.record(partition)
                    self.dialogues[name] += record.outcome.emitted if record else 0
            self.committed[name] = now
            rate = self.dialogues[name] / (time.monotonic() - self.start)
            self.progress.update(self.tasks[name], completed=len(now), rate=f"partitions {rate:6.2f} dialogues/s")

    def _line(self) -> str:
        counts = ", ".join(f"{name} {len(done)}/{self.total}" for name, done in self.committed.items())
        return f"{counts} partitions{self._left()}"

    def _left(self) -> str:
        last = self.progress.tasks[-1]
        if last.time_remaining is None or last.completed < LEAST_DONE * self.total:
            return ""
        minutes = round(last.time_remaining / 60)
        return f", about {minutes} min left" if minutes else ", less than a minute left"
