"""Which part of a recording is the clip: speech from its first sound to its last, or between two pauses."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..audio.trim import PEAK, speech_span
from ..dialogue import Waveform
from ..errors import DialogueRejected
from ..measures.judge import MEASURE_HZ, at_measure_rate, needed

PAUSE_S = 0.25  # at least, of a pause at which a recording that is too long may be cut
CUT_MARGIN_S = 0.08  # of a pause, left on either side of the clip; less than half of PAUSE_S
Span = tuple[int, int]  # first sample, one past the last


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a recording that is its clip."""

    start: int  # first sample of the recording
    end: int  # one past the last
    whole: bool  # False: speech was left out, so a transcript of the recording is not one of the clip
    speech_share: float  # of the clip, in which there is speech


def cut(samples: Waveform, rate: int, shortest_s: float, longest_s: float) -> Cut:
    """The clip of a recording [samples]: all its speech, or the longest part between two pauses that is short enough.

    Raises DialogueRejected("silence" | "no_speech" | "too_short" | "no_pause").
    """
    if not np.abs(samples).max(initial=0.0) > 1e-3:
        raise DialogueRejected("silence", "no sample above -60 dBFS")
    start, end = speech_span(samples, rate)
    if end <= start:
        raise DialogueRejected("no_speech", "no voice activity")
    if (duration_s := (end - start) / rate) < shortest_s:
        raise DialogueRejected("too_short", f"{duration_s:.2f} s of speech, expected at least {shortest_s:g} s")
    segments = speech_segments(samples[start:end], rate)
    if not segments:
        raise DialogueRejected("no_speech", "no voice activity")
    segments = [(start + first, start + last) for first, last in segments]
    whole = duration_s <= longest_s
    if not whole:
        start, end = _longest(segments, rate, shortest_s, longest_s, (start, end))
    return Cut(start, end, whole, _speech_share(segments, start, end))


def speech_segments(samples: Waveform, rate: int) -> list[Span]:
    """Stretches of speech between pauses of PAUSE_S and more, by the Silero VAD of faster-whisper."""
    vad = needed("faster_whisper.vad")
    signal = at_measure_rate(samples * np.float32(PEAK / np.abs(samples).max()), rate)
    options = vad.VadOptions(min_silence_duration_ms=round(PAUSE_S * 1000), speech_pad_ms=0)
    scale = rate / MEASURE_HZ
    parts = vad.get_speech_timestamps(signal, options, MEASURE_HZ)
    return [(round(part["start"] * scale), min(len(samples), round(part["end"] * scale))) for part in parts]


def _longest(segments: list[Span], rate: int, shortest_s: float, longest_s: float, outer: Span) -> Span:
    """The longest run of segments within bounds, the first of several, with a margin that stays inside its pauses."""
    margin = round(CUT_MARGIN_S * rate)
    best: Span | None = None
    for index, (first, _) in enumerate(segments):
        for _, last in segments[index:]:
            start, end = max(outer[0], first - margin), min(outer[1], last + margin)
            if end - start > longest_s * rate:
                break
            if end - start >= shortest_s * rate and (best is None or end - start > best[1] - best[0]):
                best = start, end
    if best is None:
        longest = max((later[0] - earlier[1] for earlier, later in pairwise(segments)), default=0)
        raise DialogueRejected(
            "no_pause",
            f"{(outer[1] - outer[0]) / rate:.2f} s without pauses of {PAUSE_S:g} s to cut {shortest_s:g} to "
            f"{longest_s:g} s at; its longest pause has {longest / rate:.2f} s",
        )
    return best


def _speech_share(segments: list[Span], start: int, end: int) -> float:
    inside = sum(max(0, min(last, end) - max(first, start)) for first, last in segments)
    return inside / (end - start)
