"""How much of a text a listener hears before its speaker is cut off."""

from collections.abc import Sequence

import numpy as np

from ..dialogue import Waveform, Word, words_of

FRAME_S = 0.01
PAUSE_DB = -40.0  # against the loud parts; quieter frames carry no words


def heard_text(
    text: str, words: Sequence[Word] | None, waveform: Waveform, heard_samples: int, sample_rate: int, language: str
) -> str:
    """The beginning of `text` up to the last of its words that is heard for the most part.

    words: `words_of` the text, in samples of the waveform; None: their times are not known and are estimated.
    waveform: the whole utterance, f32 [samples] at `sample_rate` Hz. heard_samples: how much of it is heard.
    language: of the text, ISO 639-1.
    """
    if heard_samples >= len(waveform):
        return text
    texts = words_of(text, language)
    if words is None:
        middles = _estimate(texts, waveform, sample_rate)
    else:
        middles = [(word.start_sample + word.end_sample) / 2 for word in words]
    position = 0
    for word, middle in zip(texts, middles, strict=True):
        if middle > heard_samples:
            break
        position = text.index(word, position) + len(word)
    return text[:position]


def _estimate(texts: Sequence[str], waveform: Waveform, sample_rate: int) -> list[float]:
    """The middle of each word, in samples, if words last in proportion to their letters and none is in a pause."""
    hop = round(FRAME_S * sample_rate)
    frames = waveform[: len(waveform) // hop * hop].reshape(-1, hop)
    level_db = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    speaking = np.cumsum(level_db > np.percentile(level_db, 95) + PAUSE_DB)
    lengths = np.array([1 + sum(character.isalnum() for character in word) for word in texts])
    shares = (np.cumsum(lengths) - lengths / 2) / lengths.sum()
    return [float(np.searchsorted(speaking, share * speaking[-1]) + 1) * hop for share in shares]
