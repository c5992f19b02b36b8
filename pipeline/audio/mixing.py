"""Waveforms and a timeline to two channels."""

from collections.abc import Sequence

import numpy as np

from ..dialogue import CHANNELS, Timeline, Track, Waveform
from .pcm import to_symmetric_int16


def compose(waveforms: Sequence[Waveform], timeline: Timeline, sample_rate: int, fade_s: float) -> Track:
    """Place utterances on a track, user on channel 0 and assistant on channel 1, silence elsewhere.

    waveforms: one a placement, at `sample_rate`, each `natural_end_sample - start_sample` samples long.
    A reply that stops before its natural end fades out over its last `fade_s` seconds, along half a cosine, and
    is exactly silent from `end_sample` on.
    """
    samples = np.zeros((len(CHANNELS), timeline.num_samples), dtype=np.int16)
    fade = _fade_out(round(fade_s * sample_rate))
    for waveform, placement in zip(waveforms, timeline.placements, strict=True):
        audible = waveform[: placement.end_sample - placement.start_sample]
        if placement.end_sample < placement.natural_end_sample:
            audible = audible.copy()
            length = min(len(fade), len(audible))
            audible[len(audible) - length :] *= fade[len(fade) - length :]
        channel = CHANNELS.index(placement.role)
        samples[channel, placement.start_sample : placement.end_sample] = to_symmetric_int16(audible)
    return Track(samples, sample_rate)


def _fade_out(length: int) -> Waveform:
    """Half a cosine from 1 down to 0, `length` samples."""
    return (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, length))).astype(np.float32)
