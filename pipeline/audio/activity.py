"""Where somebody speaks in one channel, by the voice activity detector and Silero's own rules."""

from collections.abc import Iterator, Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from ..dialogue import Waveform
from . import vad
from .pcm import to_float

ENTER, LEAVE = 0.5, 0.35  # these, and the next line: the defaults of Silero's get_speech_timestamps
SHORTEST_SPEECH_S, SHORTEST_SILENCE_S, MARGIN_S = 0.25, 0.1, 0.03
APART_S, CONTEXT_S = 1.0, 0.3  # digital silence that parts a clean channel, and how much of it the detector hears

Segment = tuple[float, float]  # start and end of speech, seconds


def speech_segments(waveform: Waveform, sample_rate: int, shortest_s: float = SHORTEST_SPEECH_S) -> list[Segment]:
    """Segments in which Silero VAD finds speech in one channel [samples], in order of time.

    shortest_s: shorter segments are dropped as noise; 0 for a clean channel, of which every frame counts.
    """
    samples = np.asarray(soxr.resample(waveform, sample_rate, vad.RATE_HZ), dtype=np.float32)
    padded = np.pad(samples, (0, -len(samples) % vad.FRAME_SAMPLES))
    detector = vad.detector()
    detector.reset()
    probabilities = [detector.probability(frame) for frame in padded.reshape(-1, vad.FRAME_SAMPLES)]
    length_s, frame_s = len(samples) / vad.RATE_HZ, vad.FRAME_SAMPLES / vad.RATE_HZ
    return [
        (max(0.0, start * frame_s - MARGIN_S), min(length_s, end * frame_s + MARGIN_S))
        for start, end in _runs(probabilities)
        if (end - start) * frame_s > shortest_s
    ]


def clean_segments(samples: NDArray[np.int16], sample_rate: int) -> list[tuple[int, int]]:
    """Segments of speech in a channel [samples] that is digitally silent between utterances, in samples.

    Each part between silences of a second is heard alone, which takes less than half of the time: the detector takes as
    long over silence as over speech.
    """
    return [
        (first + min(round(start * sample_rate), past - first), first + min(round(end * sample_rate), past - first))
        for first, past in _sounding(samples, sample_rate)
        for start, end in speech_segments(to_float(samples[first:past]), sample_rate, 0)
    ]


def _sounding(samples: NDArray[np.int16], sample_rate: int) -> Iterator[tuple[int, int]]:
    """The parts of a channel that hold sound, with some silence on either side."""
    sounding = np.flatnonzero(samples)
    if not len(sounding):
        return
    context = round(CONTEXT_S * sample_rate)
    cuts = np.flatnonzero(np.diff(sounding) > APART_S * sample_rate)
    firsts = sounding[np.concatenate([[0], cuts + 1])]
    lasts = sounding[np.concatenate([cuts, [len(sounding) - 1]])]
    for first, last in zip(firsts, lasts, strict=True):
        yield max(0, int(first) - context), min(len(samples), int(last) + 1 + context)


def _runs(probabilities: Sequence[float]) -> list[tuple[int, int]]:
    """The first frame of each run of speech and one past its last, by Silero's two thresholds."""
    silence_frames = SHORTEST_SILENCE_S * vad.RATE_HZ / vad.FRAME_SAMPLES
    runs = []
    start = quiet_since = None
    for index, probability in enumerate(probabilities):
        if probability >= ENTER:
            start, quiet_since = index if start is None else start, None
        elif start is not None and (probability < LEAVE or quiet_since is not None):
            quiet_since = index if quiet_since is None else quiet_since
            if probability < LEAVE and index - quiet_since >= silence_frames:
                runs.append((start, quiet_since))
                start = quiet_since = None
    return runs if start is None else [*runs, (start, len(probabilities))]


def joined(segments: Sequence[Segment], pause_s: float) -> list[Segment]:
    """The segments, with those that are less than `pause_s` apart joined into one."""
    runs: list[Segment] = []
    for start, end in segments:
        if runs and start - runs[-1][1] < pause_s:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs
