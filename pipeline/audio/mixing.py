"""Waveforms and a timeline to two channels."""

from collections.abc import Sequence

import numpy as np

from ..dialogue import CHANNELS, Event, Timeline, Track, Waveform
from .pcm import FULL_SCALE, LARGEST, to_int16


def mix(waveforms: Sequence[Waveform], timeline: Timeline, sample_rate: int, fade_s: float) -> Track:
    """Add utterances up on a track, user on channel 0 and assistant on channel 1, silence elsewhere.

    waveforms: one per utterance, at `sample_rate`. What is louder than full scale together is clipped.
    """
    samples = np.zeros((len(CHANNELS), timeline.num_samples), dtype=np.int16)
    for event in timeline.events:
        there = samples[CHANNELS.index(event.channel), event.start_sample : event.end_sample]
        sound = to_int16(audible(waveforms[event.utterance], event, sample_rate, fade_s))
        there[:] = sound if not there.any() else np.clip(there.astype(np.int32) + sound, -FULL_SCALE, LARGEST)
    return Track(samples, sample_rate)


def audible(waveform: Waveform, event: Event, sample_rate: int, fade_s: float) -> Waveform:
    """What is heard of an utterance: of one that is cut, its beginning, which fades out along half a cosine."""
    heard = waveform[: event.end_sample - event.start_sample]
    if not event.is_cut:
        return heard
    fade = _fade_out(round(fade_s * sample_rate))
    length = min(len(fade), len(heard))
    heard = heard.copy()
    heard[len(heard) - length :] *= fade[len(fade) - length :]
    return heard


def _fade_out(length: int) -> Waveform:
    """Half a cosine from 1 down to 0, `length` samples."""
    return (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, length))).astype(np.float32)
