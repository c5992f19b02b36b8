"""What a model reads of a dialogue, over time: blocks of BayLing-Duplex, or the streams of FLM-Audio and Moshi.

A layout without a module here is shown as `inspect` shows it, line by line.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogue import CHANNELS, Event
from ..layouts.bayling import STATE_SIGNS, Bayling
from ..layouts.layout import Layout, Row
from ..layouts.streams import STREAMS, TEXT, Streams

Names = Callable[[int], str]
Grid = dict[str, Any]


def grid(layout: Layout, row: Row, names: Names, events: Sequence[Event], sample_rate: int) -> Grid:
    """The ids of a row, ready to be drawn. names: what a text id stands for. events: where it is known who speaks."""
    if isinstance(layout, Bayling):
        return _blocks(layout, row, names, events, sample_rate)
    if isinstance(layout, Streams):
        return _streams(layout, row, names, events, sample_rate)
    return {"type": "lines", "lines": [*layout.show(row, names, events, sample_rate)]}


def _blocks(layout: Bayling, row: Row, names: Names, events: Sequence[Event], sample_rate: int) -> Grid:
    """Per block: the codes of the user, of the assistant one block later, and the text."""
    n, m = layout.user_tokens, layout.text_tokens
    blocks = np.asarray(row[layout.IDS], np.int32).reshape(-1, layout.ids_per_block)
    kinds = layout.kinds(row).reshape(blocks.shape)
    written = layout.written(row)
    speaks = {channel: _speaking(layout, events, channel, (len(blocks) + 1) * n) for channel in CHANNELS}
    return {
        "type": "blocks",
        "block_s": layout.block_samples / sample_rate,
        "user_tokens": n,
        "text_tokens": m,
        "user": written.user_codes.reshape(-1, n).tolist(),
        "assistant": written.assistant_codes.reshape(-1, n).tolist(),
        "user_speaks": speaks["user"][: len(blocks) * n].reshape(-1, n).tolist(),
        "assistant_speaks": speaks["assistant"][n:].reshape(-1, n).tolist(),
        "known": _known(events),
        "text": [
            _signs(ids, of_block, layout.KINDS, STATE_SIGNS, names)
            for ids, of_block in zip(blocks[:, n : n + m].tolist(), kinds[:, n : n + m].tolist(), strict=True)
        ],
        "text_kinds": [[layout.KINDS[kind] for kind in of_block] for of_block in kinds[:, n : n + m].tolist()],
    }


def _streams(layout: Streams, row: Row, names: Names, events: Sequence[Event], sample_rate: int) -> Grid:
    """Per stream: its ids, and the kind of each as a digit of base 36, by its index in `kinds`.

    `speaks`: per channel that has events, "1" for each frame with speech.
    """
    ids, kinds = np.asarray(row[STREAMS], np.int32), layout.kinds(row)
    special = {special.id: f"[{name}]" for name, special in layout.vocabulary.special.items()}
    short = {special.id: layout.SIGNS[name] for name, special in layout.vocabulary.special.items()}
    q = layout.codebooks
    return {
        "type": "streams",
        "column_s": layout.samples_per_frame / sample_rate,
        "delay": layout.section.acoustic_delay,
        "names": ["text", *(f"assistant {number}" for number in range(q)), *(f"user {number}" for number in range(q))],
        "kinds": list(layout.KINDS),
        "ids": ids.tolist(),
        "speaks": {
            channel: "".join(map(str, _speaking(layout, events, channel, layout.length(row))))
            for channel in _known(events)
        },
        "kind_of": ["".join(np.base_repr(kind, 36) for kind in stream) for stream in kinds.tolist()],
        "text": [special.get(id_) or names(id_) or "␣" for id_ in ids[TEXT].tolist()],
        "signs": [short.get(id_, "") for id_ in ids[TEXT].tolist()],
    }


def _known(events: Iterable[Event]) -> list[str]:
    """Channels of which it is known when they speak: rows of pairs have no events of the user's."""
    return [channel for channel in CHANNELS if any(event.channel == channel for event in events)]


def _speaking(layout: Layout, events: Iterable[Event], channel: str, frames: int) -> NDArray[np.int64]:
    speaks, frame = np.zeros(frames, np.int64), layout.samples_per_frame
    for event in events:
        if event.channel == channel:
            speaks[event.start_sample // frame : -(-event.end_sample // frame)] = 1
    return speaks


def _signs(
    ids: Sequence[int], kinds: Sequence[int], names_of_kinds: Sequence[str], signs: dict[str, str], names: Names
) -> list[str]:
    return [
        signs.get(names_of_kinds[kind]) or names(id_) or "␣" for id_, kind in zip(ids, kinds, strict=True)
    ]  # fmt: skip
