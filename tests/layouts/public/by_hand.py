"""Rows as the formats describe them, built without our layouts: what those and the public programs are held against."""

import numpy as np

from duplexgen.pipeline.dialogue import CodedTrack, Event, Role, Word
from tests.layouts.public import examples as ex

DELAY = 1


def audio(codes: np.ndarray, frames: int) -> np.ndarray:
    """[codebooks, 1 + frames + DELAY]: frame f of codebook 0 in column f + 1, of the others DELAY columns later."""
    columns = 1 + frames + DELAY
    rows = np.full((len(codes), columns), ex.AUDIO_PAD)
    for codebook, of_codebook in enumerate(codes):
        for column in range(columns):
            frame = column - 1 - (DELAY if codebook else 0)
            if frame >= 0:
                rows[codebook, column] = of_codebook[frame]
    return rows


def streams(text: np.ndarray, speak: np.ndarray, listen: np.ndarray) -> np.ndarray:
    """[17, T]"""
    return np.concatenate([text[None], speak, listen])


def flm_text(example: ex.FlmExample, lead: int = 2) -> np.ndarray:
    """[T]: wait, and what is written over it."""
    text = np.full(1 + example.track.frames + DELAY, ex.WAIT)

    def write(column: int, written: list[int], end: int = len(text)) -> None:
        for offset, id_ in enumerate(written):
            if column + offset < end:
                assert text[column + offset] == ex.WAIT, "two texts meet"
                text[column + offset] = id_

    for event, ids in zip(example.track.events, example.texts, strict=True):
        after = 1 + -(-event.end_sample // ex.SPF)  # the column after that of its last frame
        if event.channel == "assistant":
            write(1 + event.start_sample // ex.SPF - lead, list(ids), after if event.is_cut else len(text))
        elif example.format == "asr_response_tts":
            write(after, [ex.ASR, *ids, ex.ANSWER])
        elif example.format == "asr":
            write(after, list(ids))
    return text


def flm(example: ex.FlmExample) -> np.ndarray:
    """[17, T]"""
    speak = audio(example.track.assistant_codes, example.track.frames)
    listen = audio(example.track.user_codes, example.track.frames)
    if example.format == "asr":
        speak = np.full_like(speak, ex.AUDIO_PAD)
    if example.format == "tts":
        listen = np.full_like(listen, ex.AUDIO_PAD)
    return streams(flm_text(example), speak, listen)


def moshi_text(example: ex.MoshiExample, channel: Role) -> np.ndarray:
    """[T]: the words of a channel, each from the frame in which it starts."""
    columns = 1 + example.track.frames + DELAY
    starts: dict[int, tuple[int, ...]] = {}
    for word in spoken(example.track, channel):
        if word.end_sample > word.start_sample:
            starts[1 + word.start_sample // ex.SPF] = example.tokens[word.text]
    text = np.full(columns, ex.PAD)
    left: list[int] = []
    for column in range(1, columns):
        left = [*starts.get(column, left)]
        if left:
            text[column] = left.pop(0)
            if text[column - 1] == ex.PAD and column > 1:
                text[column - 1] = ex.EPAD
    text[0] = ex.INITIAL
    return text


def spoken(track: CodedTrack, channel: Role) -> list[Word]:
    events: list[Event] = [event for event in track.events if event.channel == channel]
    return [word for event in events for word in event.words or ()]


def moshi(example: ex.MoshiExample, channel: Role = "assistant") -> np.ndarray:
    """[17, T], as the speaker of that channel sees it."""
    sides = {"user": example.track.user_codes, "assistant": example.track.assistant_codes}
    other = "user" if channel == "assistant" else "assistant"
    speak, listen = (audio(sides[side], example.track.frames) for side in (channel, other))
    return streams(moshi_text(example, channel), speak, listen)
