"""Columns of what is built (row format 2)."""

import json
from collections.abc import Iterable

import pyarrow as pa

from ..dialogue import FIGURES

WORD = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("start_sample", pa.int64(), nullable=False),
        pa.field("end_sample", pa.int64(), nullable=False),
    ]
)
QUALITY = pa.struct([pa.field(name, pa.float64()) for name in FIGURES])
CODES = pa.list_(pa.list_(pa.int16()))  # [codebooks, frames]
EVENT = pa.struct(
    [
        pa.field("channel", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("voice", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # what is spoken, whole
        pa.field("spoken_text", pa.string(), nullable=False),  # what is heard of it
        pa.field("start_sample", pa.int64(), nullable=False),
        pa.field("end_sample", pa.int64(), nullable=False),  # where its audio stops
        pa.field("whole_end_sample", pa.int64(), nullable=False),  # where it would have stopped
        pa.field("answers", pa.int32()),  # index of the event that it is the reply to
        pa.field("cut_by", pa.int32()),  # index of the event at which its speaker stops
        pa.field("words", pa.list_(WORD)),  # those that are heard; null: their times are not known
        pa.field("quality", QUALITY),
    ]
)
UNCUT = pa.struct(
    [
        pa.field("event", pa.int32(), nullable=False),
        pa.field("first_frame", pa.int32(), nullable=False),
        pa.field("codes", CODES, nullable=False),
    ]
)
ACOUSTICS = pa.struct(
    [
        pa.field("effect", pa.string(), nullable=False),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

TRACK = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("events", pa.list_(EVENT), nullable=False),  # in order of starts
        pa.field("user_codes", CODES, nullable=False),  # with the margin of silence after the last frame
        pa.field("assistant_codes", CODES, nullable=False),
        pa.field("assistant_uncut_codes", pa.list_(UNCUT)),  # of each reply that was cut: its codes had it not been
        pa.field("acoustics", pa.list_(ACOUSTICS)),  # what was drawn of each effect on the user's channel
        pa.field("audio", AUDIO),
    ]
)
"""The columns of a dialogue that do not depend on the layout."""
PAIRS = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("event", pa.int32(), nullable=False),  # index of the reply that is late
        # User's end to the reply's start; of a reply that was cut, barge-in to its stop.
        pa.field("chosen_delay_s", pa.float64(), nullable=False),
        pa.field("rejected_delay_s", pa.float64(), nullable=False),
        pa.field("capped", pa.bool_(), nullable=False),  # rejected_delay_s is less than was drawn, for want of audio
    ]
)
"""The columns of a preference pair that do not depend on the layout."""
SIDES = ("chosen", "rejected")
REJECTED = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("dialogue_id", "stage", "reason", "detail")]
)


def track_schema(with_audio: bool) -> pa.Schema:
    return TRACK if with_audio else TRACK.remove(TRACK.get_field_index("audio"))


def data_schema(columns: Iterable[pa.Field], sample_rate: int, with_audio: bool) -> pa.Schema:
    """The schema of `data/`: a track, and the columns of a layout.

    With the metadata from which `datasets` 3 and later know the audio column. Channel 0 of the audio is the user,
    channel 1 the assistant: version 3 mixes them unless `mono` is false, later ones are told by `num_channels`, and
    each passes over what it does not know.
    """
    track = track_schema(with_audio)
    schema = pa.schema([*track, *columns])
    features = {name: feature(schema.field(name).type) for name in schema.names}
    if with_audio:
        features["audio"] = {"sampling_rate": sample_rate, "mono": False, "num_channels": 2, "_type": "Audio"}
    return schema.with_metadata(
        {
            "huggingface": json.dumps({"info": {"features": features}}),
            "duplexgen": json.dumps({"channels": ["user", "assistant"]}),
        }
    )


def pairs_schema(columns: Iterable[pa.Field]) -> pa.Schema:
    """The schema of preference pairs: a layout's columns of either side."""
    sides = [field.with_name(f"{side}_{field.name}") for side in SIDES for field in columns]
    return pa.schema([*PAIRS, *sides])


def feature(type_: pa.DataType) -> object:
    """A column type as `datasets` reads its features: a list as version 3 writes it, as it knows no `List`."""
    if pa.types.is_list(type_):
        return [feature(type_.value_type)]
    if pa.types.is_struct(type_):
        return {field.name: feature(field.type) for field in type_}
    return {"dtype": str(type_), "_type": "Value"}
