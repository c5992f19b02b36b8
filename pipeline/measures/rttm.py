"""Reads who speaks when from RTTM, the text format of diarization (NIST, Rich Transcription)."""

import math
from pathlib import Path

from ..audio.activity import Segment
from ..errors import UserError
from ..escapes import visible
from ..storage.paths import read_text

LARGEST_BYTES = 200_000_000
SPEAKER = "SPEAKER"
OTHER_TYPES = {
    *("SPKR-INFO", "SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH"),
    *("FILLER", "EDIT", "IP", "SU", "CB", "A/P"),
}
EXPECTED = "expected SPEAKER, a recording, a channel, a start and a duration in seconds, two fields, and a speaker"

Speakers = dict[str, list[Segment]]


def read_rttm(file: Path) -> dict[str, Speakers]:
    """The segments of each speaker, by recording. Lines of other types, comments and empty lines are left out.

    Raises UserError, with file and line, if the file cannot be read or a line does not parse.
    """
    recordings: dict[str, Speakers] = {}
    for number, line in enumerate(read_text(file, LARGEST_BYTES).splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";") or fields[0] in OTHER_TYPES:
            continue
        try:
            recording, speaker, start_s, duration_s = _parsed(fields)
        except ValueError as error:
            raise UserError(f"{file}: line {number}: {error}") from None
        segments = recordings.setdefault(recording, {}).setdefault(speaker, [])
        if duration_s > 0:
            segments.append((start_s, start_s + duration_s))
    return recordings


def _parsed(fields: list[str]) -> tuple[str, str, float, float]:
    """Recording, speaker, start and duration. Raises ValueError, in words, if the line is none of a speaker."""
    if fields[0] != SPEAKER:
        raise ValueError(f"the type is {visible(fields[0])}; {EXPECTED}")
    if not 8 <= len(fields) <= 10:
        raise ValueError(f"it has {len(fields)} fields; {EXPECTED}")
    return fields[1], fields[7], _seconds("start", fields[3]), _seconds("duration", fields[4])


def _seconds(what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e7:
        raise ValueError(f"the {what} is {visible(text)}, expected seconds, 0 or more")
    return value
