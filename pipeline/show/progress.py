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
        with self.console.status("comparing checksums") as status:
            yield lambda rows: status.update(f"checking rows: {rows:,}")

    @contextmanager
    def making(self, folders: dict[str, PartitionFolder], partitions: int) -> Iterator[None]:
        """Watch the folders of the stages while they fill. folders: by the names of the stages."""
        printer = None if self.console.is_terminal else self.console
        with self._progress() as progress, _Watch(folders, partitions, progress, printer):
            yield

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self.console.status(what):
            yield

    @contextmanager
    def training(self, steps: int, start: int) -> Iterator[Callable[[int, str], None]]:
        """Yields a function to call with the number of steps so far, and with a text about the last one."""
        last = time.monotonic()

        def report(done: int, figures: str) -> None:
            nonlocal last
            progress.update(task, completed=done, rate=figures)
            if not self.console.is_terminal and (time.monotonic() - last > LINE_EVERY_S or done == steps):
                self.console.print(f"step {done}/{steps}: {figures}", soft_wrap=True)
                last = time.monotonic()

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
        last = time.monotonic()

        def report(done: int) -> None:
            nonlocal last
            progress.update(task, completed=done)
            if not self.console.is_terminal and time.monotonic() - last > LINE_EVERY_S:
                self.console.print(f"{done:,} of {rows:,} rows", soft_wrap=True)
                last = time.monotonic()

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
        self._say(f"{out}: {summary}. Look at it with: duplexgen inspect {out}")

    def _say(self, text: str) -> None:
        self.console.print(one_line(text), soft_wrap=True)


class _Watch:
    """Counts commit records, in a thread of its own. printer: prints a line from time to time; None: bars show it."""

    def __init__(
        self, folders: dict[str, PartitionFolder], total: int, progress: Progress, printer: Console | None
    ) -> None:
        self.folders, self.total, self.progress, self.printer = folders, total, progress, printer
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
        if there and self.printer:
            self.printer.print(f"{there} already there", soft_wrap=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self._look()

    def _run(self) -> None:
        last = time.monotonic()
        while not self.stop.wait(REFRESH_S):
            self._look()
            if self.printer and time.monotonic() - last > LINE_EVERY_S:
                self.printer.print(self._line())
                last = time.monotonic()

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
        left_s = self.progress.tasks[-1].time_remaining
        left = f", about {left_s / 60:.0f} min left" if left_s is not None else ""
        return f"{counts} partitions{left}"
