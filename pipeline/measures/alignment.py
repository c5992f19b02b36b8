"""When the words of a known text are said, by a recogniser that may have heard some of them otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .. import dialogue
from ..dialogue import words_of
from . import transcript
from .judge import needed
from .words import read_out

LEAST_MATCHED = 0.5  # of the letters of a text: with fewer, the recogniser tells of something else


@dataclass(slots=True)
class _Unit:
    """A word in the form in which it is compared; one that is written may be several that are said."""

    form: str
    owner: int  # which word of its text
    start_s: float = 0.0
    end_s: float = 0.0


def words_said(
    text: str, language: str, heard: Sequence[transcript.Word], num_samples: int, sample_rate: int
) -> tuple[dialogue.Word, ...] | None:
    """`words_of` a text on the clip in which these were heard, in samples; None if too few of them were.

    num_samples, sample_rate: of the clip, in samples and Hz. Words that were heard otherwise, or not at all, share the
    time between those around them by their letters.
    """
    written = words_of(text, language)
    units = [_Unit(form, owner) for owner, word in enumerate(written) for form in _forms(word, language)]
    said = list(_said(heard, language))
    matched = 0
    for own, other in _blocks([unit.form for unit in units], [unit.form for unit in said]):
        block, times = units[own], said[other]
        if [unit.form for unit in block] == [unit.form for unit in times]:
            matched += sum(len(unit.form) for unit in block)
            for unit, time in zip(block, times, strict=True):
                unit.start_s, unit.end_s = time.start_s, time.end_s
            continue
        before_s = said[other.start - 1].end_s if other.start else 0.0
        after_s = said[other.stop].start_s if other.stop < len(said) else num_samples / sample_rate
        _share(block, *((times[0].start_s, times[-1].end_s) if times else (before_s, after_s)))
    if not matched or matched < LEAST_MATCHED * sum(len(unit.form) for unit in units):
        return None
    _give_time_to_all(units)
    return tuple(_placed(written, units, num_samples, sample_rate))


@lru_cache(maxsize=8192)
def _forms(word: str, language: str) -> tuple[str, ...]:
    """What is compared of a word; nothing of a sign."""
    return tuple(read_out(word, language))


def _said(heard: Sequence[transcript.Word], language: str) -> Iterator[_Unit]:
    for number, word in enumerate(heard):
        units = [_Unit(form, number) for form in _forms(word.text, language)]
        _share(units, word.start_s, word.end_s)
        yield from units


def _share(units: Sequence[_Unit], start_s: float, end_s: float) -> None:
    """Give units the time from one to the other, by their letters; none if there is none between."""
    letters = sum(len(unit.form) for unit in units)
    passed = 0
    for unit in units:
        length_s = max(0.0, end_s - start_s) / letters
        unit.start_s = start_s + passed * length_s
        passed += len(unit.form)
        unit.end_s = start_s + passed * length_s


def _give_time_to_all(units: Sequence[_Unit]) -> None:
    """What takes no time, by the recogniser or for want of room, has a part of the time of what stands before it."""
    group: list[_Unit] = []
    for unit in units:
        if group and group[-1].end_s > group[0].start_s and unit.end_s > unit.start_s:
            _share(group, group[0].start_s, group[-1].end_s)
            group = []
        group.append(unit)
    _share(group, group[0].start_s, group[-1].end_s)


def _blocks(units: Sequence[str], said: Sequence[str]) -> Iterator[tuple[slice, slice]]:
    """What of both belongs together, in order, as few edits as can be: runs that are equal, and what is between."""
    levenshtein = needed("rapidfuzz.distance").Levenshtein
    own, other = 0, 0
    for run in levenshtein.opcodes(units, said).as_matching_blocks():
        if own < run.a:
            yield slice(own, run.a), slice(other, run.b)
        own, other = run.a + run.size, run.b + run.size
        if run.size:
            yield slice(run.a, own), slice(run.b, other)


def _placed(
    written: Sequence[str], units: Sequence[_Unit], num_samples: int, sample_rate: int
) -> Iterator[dialogue.Word]:
    """Each word from its first unit to its last, none before the one before it; a sign stands where that ends."""
    end = 0
    for number, word in enumerate(written):
        own = [unit for unit in units if unit.owner == number]
        start = min(max(end, round(own[0].start_s * sample_rate)), num_samples) if own else end
        end = min(max(start, round(own[-1].end_s * sample_rate)), num_samples) if own else end
        yield dialogue.Word(word, start, end)
