"""Recordings of people to a voice bank: clips that are one voice, clean, understood and unlike the others.

prepare("recordings", Path("bank"), VoicesRecipe(), Display())
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DialogueRejected, UserError
from ..show.progress import Display
from .choosing import choose
from .clips import Recording, Unread, audio_files, may_be_data_set, read_folder
from .hub import read_hub
from .judging import Candidate, Judge, Rejected
from .recipe import DataSet, VoicesRecipe
from .writing import Summary, Writer, writing

__all__ = ["Summary", "VoicesRecipe", "prepare"]


def prepare(source: str, out: Path, recipe: VoicesRecipe, display: Display) -> Summary:
    """Make a bank of a folder of recordings, or of a data set by its name or its folder.

    Measurements are stored: after a kill, or with other thresholds, only the rest is measured. If no clip is
    kept, `out` holds a report of the reasons and no bank.

    Raises UserError if there is nothing to read, a package or a model is missing, or a bank is there already.
    """
    with writing(out) as writer:
        recordings, total = _recordings(source, recipe.data_set)
        judge = Judge(recipe)
        with _counting(display, total) as report:
            candidates, rejected = _judged(recordings, judge, writer, report)
        chosen, left_out = choose(candidates, recipe)
        return writer.finish(chosen, [*rejected, *left_out], recipe, source)


def _recordings(source: str, part: DataSet) -> tuple[Iterable[Recording | Unread], int | None]:
    folder = Path(source).expanduser()
    if folder.is_file():
        raise UserError(f"{folder} is a file; expected a folder of recordings, or the name of a data set")
    if folder.is_dir() and (next(audio_files(folder), None) is not None or not may_be_data_set(folder)):
        recordings = list(read_folder(folder))
        return recordings, len(recordings)
    if not folder.is_dir() and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise UserError(f"{folder}: no such folder")
    return read_hub(str(folder) if folder.is_dir() else source, part.config, part.split, part.revision), None


def _judged(
    recordings: Iterable[Recording | Unread], judge: Judge, writer: Writer, report: Callable[[int], None]
) -> tuple[list[Candidate], list[Rejected]]:
    candidates: list[Candidate] = []
    rejected: list[Rejected] = []
    seen: dict[str, str] = {}
    for number, recording in enumerate(recordings, 1):
        report(number)
        if isinstance(recording, Unread):
            rejected.append(Rejected(recording.where, recording.reason, recording.detail))
            continue
        try:
            sha256 = recording.sha256()
        except DialogueRejected as broken:
            rejected.append(Rejected(recording.where, broken.reason, broken.detail))
            continue
        if sha256 in seen:
            rejected.append(Rejected(recording.where, "same_file", f"the same bytes as {seen[sha256]}"))
            continue
        seen[sha256] = recording.where
        verdict = judge.judge(recording, sha256)
        if isinstance(verdict, Rejected):
            rejected.append(verdict)
            continue
        candidate, samples, rate = verdict
        writer.keep(candidate, samples, rate)
        candidates.append(candidate)
    return candidates, rejected


@contextmanager
def _counting(display: Display, total: int | None) -> Iterator[Callable[[int], None]]:
    if total is None:  # a data set that is streamed
        with display.waiting("listening to clips"):
            yield lambda _: None
        return
    with display.counting("clips", total) as report:
        yield report
