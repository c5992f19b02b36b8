"""Dialogues of any shape: what the worked examples have, in all the ways it can come together."""

import numpy as np

from duplexgen.pipeline.dialogue import CHANNELS, TURN, Event, Role, Word
from duplexgen.pipeline.layouts.flm import Format
from tests.layouts.public import examples as ex

FRAMES = 90
MOST_IDS = 6


def moshi(rng: np.random.Generator) -> ex.MoshiExample:
    """Words of both channels, dense enough to share frames and to take the place of each other."""
    tokens: dict[str, tuple[int, ...]] = {}
    events = [_talk(rng, "assistant", tokens), _talk(rng, "user", tokens)]
    return ex.MoshiExample(ex.track(FRAMES, *sorted(events, key=lambda event: event.start_sample)), tokens)


def _talk(rng: np.random.Generator, channel: Role, tokens: dict[str, tuple[int, ...]]) -> Event:
    count, room = int(rng.integers(1, 40)), ex.at(FRAMES - MOST_IDS)
    starts = np.sort(rng.integers(0, room, count))
    borders = rng.random(count) < 0.3
    starts[borders] -= starts[borders] % ex.SPF
    starts = np.sort(starts)
    ends = [*starts[1:].tolist(), room]
    words = []
    for index, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        text = f"{channel}{index}"
        tokens[text] = tuple(rng.integers(10, ex.MOSHI_TEXT, rng.integers(1, MOST_IDS + 1)).tolist())
        words.append(Word(text, start, start if rng.random() < 0.1 else int(rng.integers(start, end + 1))))
    return Event(0, channel, TURN, words[0].start_sample, room, room, words=tuple(words))


def flm(rng: np.random.Generator, format_: Format) -> ex.FlmExample:
    """Turns that follow each other, or pieces, with any silence between them; a reply may be cut at any sample."""
    count = int(rng.integers(1, 6))
    if format_ == "asr_response_tts":
        count += count % 2  # a turn that nobody answers is not transcribed: no answer follows
    borders = np.sort(rng.choice(ex.at(FRAMES), 2 * count, replace=False)).reshape(-1, 2).tolist()
    only: dict[Format, tuple[Role, ...]] = {"tts": ("assistant",), "asr": ("user",)}
    channels = only.get(format_, CHANNELS)
    events, texts = [], []
    for index, (start, end) in enumerate(borders):
        channel = channels[index % len(channels)]
        whole_end = end + int(channel == "assistant" and rng.random() < 0.3)
        answers = index - 1 if channel == "assistant" and index else None
        events.append(Event(0, channel, TURN, start, end, whole_end, answers))
        texts.append(ex.ids(index, int(rng.integers(0, 8))))
    return ex.FlmExample(format_, ex.track(FRAMES, *events), tuple(texts))
