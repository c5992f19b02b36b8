"""Times of the words of a known text, from a recogniser that may have misheard some of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .. import dialogue
from ..dialogue import words_of
from . import transcript
from .judge import needed
from .words import read_out

LEAST_MATCHED = 0.5  # of the letters of a text; with fewer, the recogniser heard something else


@dataclass(slots=True)
class _Unit:
    """A word in the form in which it is compared. One written word may have several: 45 is forty five."""

    form: str
    owner: int  # index of the word in its text
    start_s: float = 0.0
    end_s: float = 0.0


def words_said(
    text: str, language: str, heard: Sequence[transcript.Word], num_samples: int, sample_rate: int
) -> tuple[dialogue.Word, ...] | None:
    """The words of a text (`words_of`), each with its place in a clip, in samples; None if too few were recognised.

    heard: words of the clip's transcript. num_samples, sample_rate: of the clip, in samples and Hz. Words that were
    misheard or missed share the time between the words around them, by their letters.
    """
    written = words_of(text, language)
    units = [_Unit(form, owner) for owner, word in enumerate(written) for form in _forms(word, language)]
    clip_units = list(_clip_units(heard, language))
    matched = 0
    for own, other in _blocks([unit.form for unit in units], [unit.form for unit in clip_units]):
        block, times = units[own], clip_units[other]
        if [unit.form for unit in block] == [unit.form for unit in times]:
            matched += sum(len(unit.form) for unit in block)
            for unit, time in zip(block, times, strict=True):
                unit.start_s, unit.end_s = time.start_s, time.end_s
            continue
        before_s = clip_units[other.start - 1].end_s if other.start else 0.0
        after_s = clip_units[other.stop].start_s if other.stop < len(clip_units) else num_samples / sample_rate
        _share(block, *((times[0].start_s, times[-1].end_s) if times else (before_s, after_s)))
    if not matched or matched < LEAST_MATCHED * sum(len(unit.form) for unit in units):
        return None
    _give_time_to_all(units)
    return tuple(_timed_words(written, units, num_samples, sample_rate))


@lru_cache(maxsize=8192)
def _forms(word: str, language: str) -> tuple[str, ...]:
    """The forms of a word that are compared; a sign has none."""
    return tuple(read_out(word, language))


def _clip_units(heard: Sequence[transcript.Word], language: str) -> Iterator[_Unit]:
    for number, word in enumerate(heard):
        units = [_Unit(form, number) for form in _forms(word.text, language)]
        _share(units, word.start_s, word.end_s)
        yield from units


def _share(units: Sequence[_Unit], start_s: float, end_s: float) -> None:
    """Divide the time from `start_s` to `end_s` among units, by their letters; if it is negative, they get none."""
    letters = sum(len(unit.form) for unit in units)
    passed = 0
    for unit in units:
        length_s = max(0.0, end_s - start_s) / letters
        unit.start_s = start_s + passed * length_s
        passed += len(unit.form)
        unit.end_s = start_s + passed * length_s


def _give_time_to_all(units: Sequence[_Unit]) -> None:
    """A unit without time, by the recogniser or for want of room, gets a part of the time of the units before it."""
    group: list[_Unit] = []
    for unit in units:
        if group and group[-1].end_s > group[0].start_s and unit.end_s > unit.start_s:
            _share(group, group[0].start_s, group[-1].end_s)
            group = []
        group.append(unit)
    _share(group, group[0].start_s, group[-1].end_s)


def _blocks(text_forms: Sequence[str], clip_forms: Sequence[str]) -> Iterator[tuple[slice, slice]]:
    """Slices of text and clip that belong together, with the fewest edits: equal runs, and what is between them."""
    levenshtein = needed("rapidfuzz.distance").Levenshtein
    own, other = 0, 0
    for run in levenshtein.opcodes(text_forms, clip_forms).as_matching_blocks():
        if own < run.a:
            yield slice(own, run.a), slice(other, run.b)
        own, other = run.a + run.size, run.b + run.size
        if run.size:
            yield slice(run.a, own), slice(run.b, other)


def _timed_words(
    written: Sequence[str], units: Sequence[_Unit], num_samples: int, sample_rate: int
) -> Iterator[dialogue.Word]:
    """Each word from its first unit to its last, never before the word before it. A sign stands where that one ends."""
    end = 0
    for number, word in enumerate(written):
        own = [unit for unit in units if unit.owner == number]
        start = min(max(end, round(own[0].start_s * sample_rate)), num_samples) if own else end
        end = min(max(start, round(own[-1].end_s * sample_rate)), num_samples) if own else end
        yield dialogue.Word(word, start, end)
