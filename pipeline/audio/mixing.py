"""Mixes waveforms into two channels, as a timeline places them, and puts pauses into waveforms."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..dialogue import CHANNELS, Event, Pause, Timeline, Track, Waveform
from .pcm import FULL_SCALE, LARGEST, to_int16

EDGE_S = 0.005
"""Speech fades out before a pause and in after it, so that no click is heard."""


def hesitating(waveform: Waveform, pauses: Sequence[Pause], sample_rate: int) -> Waveform:
    """A waveform with silence in it, f32 [samples]. pauses: in samples of the result, in order."""
    fade = _fade_out(round(EDGE_S * sample_rate))
    parts, taken, position = [], 0, 0
    for pause in pauses:
        length = pause.start_sample - position
        parts += [waveform[taken : taken + length].copy(), np.zeros(pause.num_samples, np.float32)]
        taken, position = taken + length, pause.end_sample
    parts.append(waveform[taken:].copy())
    for before, after in pairwise(parts[::2]):
        ending, starting = min(len(fade), len(before)), min(len(fade), len(after))
        before[len(before) - ending :] *= fade[len(fade) - ending :]
        after[:starting] *= fade[::-1][:starting]
    return np.concatenate(parts)


def mix(waveforms: Sequence[Waveform], timeline: Timeline, sample_rate: int, fade_s: float) -> Track:
    """Add up utterances on a track, user on channel 0 and assistant on channel 1, silence elsewhere.

    waveforms: one per utterance, f32 [samples] at `sample_rate`. Sums beyond full scale are clipped.
    """
    samples = np.zeros((len(CHANNELS), timeline.num_samples), dtype=np.int16)
    for event in timeline.events:
        place = samples[CHANNELS.index(event.channel), event.start_sample : event.end_sample]
        sound = to_int16(audible(waveforms[event.utterance], event, sample_rate, fade_s))
        place[:] = sound if not place.any() else np.clip(place.astype(np.int32) + sound, -FULL_SCALE, LARGEST)
    return Track(samples, sample_rate)


def audible(waveform: Waveform, event: Event, sample_rate: int, fade_s: float) -> Waveform:
    """The part of an utterance that is heard, f32 [samples]. A cut utterance fades out along half a cosine."""
    part = waveform[: event.end_sample - event.start_sample]
    if not event.is_cut:
        return part
    fade = _fade_out(round(fade_s * sample_rate))
    length = min(len(fade), len(part))
    part = part.copy()
    part[len(part) - length :] *= fade[len(fade) - length :]
    return part


def _fade_out(length: int) -> Waveform:
    """Half a cosine from 1 down to 0, `length` samples."""
    return (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, length))).astype(np.float32)
