"""Moves the audio of a late reply and tokenizes it again, in place of moving its codes."""

from dataclasses import replace

import numpy as np

from ..dataset.audio import read_audio
from ..dialogue import CHANNELS, CodedTrack
from ..tokens.protocols import SpeechTokenizer
from ..tokens.track import tokenize
from .lateness import Pair


def retokenized(pair: Pair, track: CodedTrack, flac: bytes, sample_rate: int, tokenizer: SpeechTokenizer) -> Pair:
    """The same pair, but the codes of the rejected side's assistant are those of the audio, moved.

    track, flac: of the dialogue that the pair was made of, two channels at `sample_rate`. The new channel is silent
    outside its replies.
    """
    assistant = read_audio(flac, sample_rate)[:, CHANNELS.index("assistant")]
    event, later = track.events[pair.event], pair.difference_samples
    rejected = pair.rejected
    channel = np.zeros(rejected.frames * rejected.samples_per_frame, np.int16)
    channel[: event.start_sample] = assistant[: event.start_sample]
    channel[event.start_sample + later : event.end_sample + later] = assistant[event.start_sample : event.end_sample]
    codes = tokenize(channel[np.newaxis], sample_rate, tokenizer, rejected.margin_frames)[0]
    return replace(pair, rejected=replace(rejected, assistant_codes=codes))
