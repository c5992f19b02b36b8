"""Whether an utterance can be what its text says, judged by its length. Later gates may listen to it."""

import numpy as np

from ..dialogue import Waveform

FASTEST_S = {"en": 0.03, "zh": 0.08}  # seconds a letter (en), a character (zh)
SLOWEST_S = {"en": 0.13, "zh": 0.5}
SPELLED = 5  # a letter that is said by its name lasts as long as this many that are not
ALLOWANCE_S = 1.2  # a word on its own takes its time


class BadSpeechError(Exception):
    """The engine gave something that is not the text; another attempt may succeed."""


def check_raw(waveform: Waveform) -> None:
    """Raises BadSpeechError for what no later step could use."""
    if waveform.ndim != 1 or not len(waveform):
        raise BadSpeechError(f"no samples, shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise BadSpeechError("samples that are not numbers")
    if not np.abs(waveform).max() > 1e-3:
        raise BadSpeechError("silence")


def check_duration(speech: Waveform, sample_rate: int, text: str, language: str) -> None:
    """Raises BadSpeechError if trimmed speech is too short or too long for its text."""
    duration_s = len(speech) / sample_rate
    shortest_s, longest_s = bounds_s(text, language)
    if not shortest_s <= duration_s <= longest_s:
        raise BadSpeechError(f"{duration_s:.2f} s of speech, expected {shortest_s:.2f} to {longest_s:.2f} s")


def bounds_s(text: str, language: str) -> tuple[float, float]:
    """Shortest and longest that speech of this text can last, in seconds."""
    key = "zh" if language == "zh" else "en"
    shortest = longest = 0
    for word in text.split():
        characters = sum(character.isalnum() for character in word)
        spelled = key == "en" and (word.isupper() or characters == 1)
        shortest += characters
        longest += characters * SPELLED if spelled else characters
    return FASTEST_S[key] * shortest, SLOWEST_S[key] * longest + ALLOWANCE_S
