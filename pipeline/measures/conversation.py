"""How two people take turns, from when each of them speaks: the quantities of dGSLM (arXiv 2203.16502).

    speaker 0   ███████               ██████
    speaker 1            █████   ████████
                       ↑      ↑       ↑
                      gap   pause   overlap

An *IPU* is speech bounded by 200 ms of silence of its speaker. A silence of both is a *pause* if the same speaker goes
on, and a *gap* if the other does. An *overlap* is time in which both are within an IPU. The *floor transfer offset* is
the time from the end of one speaker to the start of the next: the length of a gap, or minus that of an overlap after
which the newcomer goes on alone. An overlap that the newcomer ends, as a backchannel does, transfers no floor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..audio.activity import Segment, joined

IPU_SILENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Unit:
    """An IPU."""

    start_s: float
    end_s: float
    speaker: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turn-taking of one dialogue. All lengths are seconds, in order of time."""

    length_s: float
    ipus_s: tuple[float, ...]
    pauses_s: tuple[float, ...]
    gaps_s: tuple[float, ...]
    overlaps_s: tuple[float, ...]
    offsets_s: tuple[float, ...]  # negative: an overlap


def conversation(speech: tuple[Sequence[Segment], Sequence[Segment]], length_s: float) -> Conversation:
    """The turn-taking of two speakers. speech: the segments of each, in any order; length_s: of the recording."""
    units = sorted(
        (
            Unit(start, end, speaker)
            for speaker, segments in enumerate(speech)
            for start, end in joined(sorted(segments), IPU_SILENCE_S)
        ),
        key=lambda unit: (unit.start_s, -unit.end_s),
    )
    silences = [*_silences(units)]
    overlaps = [*_overlaps(units)]
    transfers = [pair for pair in silences if _changes(*pair)] + [pair for pair in overlaps if _transfers(*pair)]
    return Conversation(
        length_s,
        tuple(unit.end_s - unit.start_s for unit in units),
        tuple(after.start_s - before.end_s for before, after in silences if not _changes(before, after)),
        tuple(after.start_s - before.end_s for before, after in silences if _changes(before, after)),
        tuple(min(before.end_s, after.end_s) - after.start_s for before, after in overlaps),
        tuple(after.start_s - before.end_s for before, after in sorted(transfers, key=lambda pair: pair[1].start_s)),
    )


def _silences(units: Sequence[Unit]) -> Iterator[tuple[Unit, Unit]]:
    """Units with silence of both speakers between them. Of two that end together, the one that started last counts."""
    last = None
    for unit in units:
        if last and unit.start_s >= last.end_s:
            yield last, unit
        if last is None or (unit.end_s, unit.start_s) >= (last.end_s, last.start_s):
            last = unit


def _overlaps(units: Sequence[Unit]) -> Iterator[tuple[Unit, Unit]]:
    """Units of both speakers that overlap; the one that started first comes first."""
    latest: dict[int, Unit] = {}
    for unit in units:
        before = latest.get(1 - unit.speaker)
        if before and before.end_s > unit.start_s:
            yield before, unit
        latest[unit.speaker] = unit


def _changes(before: Unit, after: Unit) -> bool:
    return before.speaker != after.speaker


def _transfers(before: Unit, after: Unit) -> bool:
    """Whether the newcomer of an overlap goes on alone."""
    return before.start_s < after.start_s and before.end_s < after.end_s
