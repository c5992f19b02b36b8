"""Whether an utterance can be what its text says, judged by its length. The gate may listen to it later."""

import numpy as np

from ..dialogue import Waveform

FASTEST_S = {"en": 0.03, "zh": 0.08}  # per letter (en), per character (zh)
SLOWEST_S = {"en": 0.13, "zh": 0.5}
SPELLED = 5  # a letter spoken by its name lasts as long as this many letters of a word
ALLOWANCE_S = 1.2  # a single word is spoken slowly


class BadSpeechError(Exception):
    """Speech that cannot be its text; another attempt may succeed."""


def check_raw(waveform: Waveform) -> None:
    """Raises BadSpeechError for a waveform, f32 [samples], that no later step could use."""
    if waveform.ndim != 1 or not len(waveform):
        raise BadSpeechError(f"no samples, shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise BadSpeechError("samples that are not numbers")
    if not np.abs(waveform).max() > 1e-3:
        raise BadSpeechError("silence")


def check_duration(speech: Waveform, sample_rate: int, text: str, language: str) -> None:
    """Raises BadSpeechError if trimmed speech, f32 [samples], is too short or too long for its text."""
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
