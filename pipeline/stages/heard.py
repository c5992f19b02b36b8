"""How much of a text is heard before its speaker is cut off: an estimate, as voices do not say when words end."""

from collections.abc import Sequence

import numpy as np

from ..dialogue import Waveform, Word

FRAME_S = 0.01
PAUSE_DB = -40.0  # against the loud parts; quieter frames carry no words


def heard_text(
    text: str, words: Sequence[Word] | None, waveform: Waveform, heard_samples: int, sample_rate: int, language: str
) -> str:
    """The words of `text` that are heard for the most part before the utterance stops.

    waveform: the whole utterance, [samples]. Words are taken to last as long as their letters are many, and pauses to
    hold none. Text without spaces, such as Chinese, is cut between any two characters.
    """
    share = _share_heard(waveform, heard_samples, sample_rate)
    between = " " if " " in text else ""
    parts = text.split(between) if between else list(text)
    lengths = np.array([1 + sum(character.isalnum() for character in word) for word in parts])
    middles = (np.cumsum(lengths) - lengths / 2) / lengths.sum()
    return between.join(parts[: int((middles <= share).sum())])


def _share_heard(waveform: Waveform, heard_samples: int, sample_rate: int) -> float:
    """Share of an utterance's speech, without pauses, that lies in its first samples."""
    hop = round(FRAME_S * sample_rate)
    frames = waveform[: len(waveform) // hop * hop].reshape(-1, hop)
    level_db = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    speaking = level_db > np.percentile(level_db, 95) + PAUSE_DB
    return float(speaking[: heard_samples // hop].sum() / speaking.sum())
