"""Whether an utterance can be its text, judged by its speech tokens and its start.

The known failures of CosyVoice are no speech, a loop, no end, a stop at the first chance, and silence at the start.
"""

from itertools import groupby

import numpy as np

from ...dialogue import Waveform
from ..guard import BadSpeechError
from .decoding import DecodedRow

FEWEST_PER_TEXT_TOKEN = 2  # speech tokens: CosyVoice's own limits
MOST_PER_TEXT_TOKEN = 20
EQUAL = 25  # speech tokens in a row, from which on they are a loop
LEADING_SILENCE_S = 1.0
SILENT_DB = -40.0  # against the loudest part
PART_S = 0.02


def check_tokens(decoded: DecodedRow, text_tokens: int) -> None:
    """Raises BadSpeechError for speech tokens that cannot be this many tokens of text."""
    count = len(decoded.tokens)
    if not count:
        raise BadSpeechError("no speech tokens")
    ratio = f"{count} speech tokens for {text_tokens} of text"
    if not decoded.ended:
        raise BadSpeechError(f"no end within {ratio}")
    if count <= FEWEST_PER_TEXT_TOKEN * text_tokens:
        raise BadSpeechError(f"ended as soon as it could, at {ratio}")
    if (longest := max(len(list(run)) for _, run in groupby(decoded.tokens))) >= EQUAL:
        raise BadSpeechError(f"{longest} equal speech tokens in a row, expected fewer than {EQUAL}")


def check_start(waveform: Waveform, sample_rate: int) -> None:
    """Raises BadSpeechError if the first sound comes late. f32 [samples]."""
    part = round(PART_S * sample_rate)
    parts = waveform[: len(waveform) // part * part].reshape(-1, part)
    loudness = np.sqrt(np.square(parts, dtype=np.float64).mean(axis=1))
    loud = np.flatnonzero(loudness > loudness.max(initial=0.0) * 10 ** (SILENT_DB / 20))
    silent_s = (loud[0] if len(loud) else len(parts)) * PART_S
    if silent_s > LEADING_SILENCE_S:
        raise BadSpeechError(f"{silent_s:.2f} s of silence before speech, expected at most {LEADING_SILENCE_S:.0f} s")
