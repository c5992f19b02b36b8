"""Where speech starts and ends in one utterance, as Silero VAD would find it in a track."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Waveform, Word
from . import vad
from .vad import FRAME_SAMPLES, RATE_HZ

PHASES = (0, FRAME_SAMPLES // 2)  # the detector runs twice, half a frame apart, and the edges are averaged
ENTER, LEAVE = (0.5, 0.35)  # speech starts at or above the first, ends below the second: Silero's own thresholds
MARGIN_S = 0.03  # Silero's own padding
CONTEXT_S = 1.5  # how much of the utterance the detector hears to find its end
ONSET_S = 0.06  # how far before the detected start a weak onset is kept
ONSET_DB = -30.0  # the level of a weak onset, at least, against the loud parts
PEAK = 0.5  # that the detector gets, so that all engines are equally loud to it


def trim(waveform: Waveform, sample_rate: int) -> Waveform:
    """The part with speech, with 30 ms kept on either side; an empty array if there is no speech.

    waveform: f32 [samples]. So a gap between two utterances of a timeline is a gap between speech.
    """
    start, end = speech_span(waveform, sample_rate)
    return waveform[start:end]


def words_within(words: Sequence[Word], start: int, end: int) -> tuple[Word, ...]:
    """Words of a waveform, moved to the part of it from sample `start` to `end`; a word that reaches beyond is cut."""

    def placed(sample: int) -> int:
        return min(max(sample, start), end) - start

    return tuple(Word(word.text, placed(word.start_sample), placed(word.end_sample)) for word in words)


def speech_span(waveform: Waveform, sample_rate: int) -> tuple[int, int]:
    """First sample of speech and one past the last, margins included; (0, 0) if there is none."""
    import soxr

    peak = float(np.abs(waveform).max(initial=0.0))
    if peak == 0.0:
        return 0, 0
    signal = np.asarray(soxr.resample(waveform * (PEAK / peak), sample_rate, RATE_HZ), dtype=np.float32)
    edges = _edges(signal)
    if edges is None:
        return 0, 0
    start, end = edges
    margin = round(MARGIN_S * RATE_HZ)
    first = min(start - margin, _onset(signal, start))
    scale = sample_rate / RATE_HZ
    return max(0, round(first * scale)), min(len(waveform), round((end + margin) * scale))


def _edges(signal: NDArray[np.float32]) -> tuple[float, float] | None:
    """Start and end of speech by the detector, in samples at 16 kHz; None if there is none."""
    starts = [_start(signal, phase) for phase in PHASES]
    ends = [_end(signal, phase) for phase in PHASES]
    if None in starts or None in ends:
        return None
    return float(np.mean(starts)), float(np.mean(ends))  # type: ignore[arg-type]


def _start(signal: NDArray[np.float32], phase: int) -> int | None:
    for index, probability in enumerate(speech_probabilities(signal, phase)):
        if probability >= ENTER:
            return index * FRAME_SAMPLES - phase
    return None


def _end(signal: NDArray[np.float32], phase: int) -> int | None:
    """The end of speech in the last CONTEXT_S; in the whole signal, if that part is silent."""
    for part in (signal[-round(CONTEXT_S * RATE_HZ) :], signal):
        speaking, end = False, None
        for index, probability in enumerate(speech_probabilities(part, phase)):
            speaking = probability >= (LEAVE if speaking else ENTER)
            if speaking:
                end = len(signal) - len(part) + (index + 1) * FRAME_SAMPLES - phase
        if end is not None:
            return end
    return None


def speech_probabilities(signal: NDArray[np.float32], phase: int) -> Iterator[float]:
    """Probability of speech, frame by frame; the first frame starts `phase` samples before the array."""
    frames = -(-(phase + len(signal)) // FRAME_SAMPLES) + 2  # two of silence, so that speech at the very end can end
    padded = np.zeros(frames * FRAME_SAMPLES, dtype=np.float32)
    padded[phase : phase + len(signal)] = signal
    detector = vad.detector()
    detector.reset()
    for frame in padded.reshape(frames, FRAME_SAMPLES):
        yield detector.probability(frame)


def _onset(signal: NDArray[np.float32], start: float) -> float:
    """Where a soft first consonant begins: the detector starts a little late on those."""
    hop = RATE_HZ // 200
    frames = signal[: len(signal) // hop * hop].reshape(-1, hop)
    level_db = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    first = max(0, int((start - ONSET_S * RATE_HZ) // hop))
    loud = np.flatnonzero(level_db[first:] > np.percentile(level_db, 95) + ONSET_DB)
    return float((first + loud[0]) * hop) if len(loud) else start
