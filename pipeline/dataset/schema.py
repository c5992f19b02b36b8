"""Columns of what is built."""

import json

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
TURN = pa.struct(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # what is spoken, whole
        pa.field("spoken_text", pa.string(), nullable=False),  # what is heard of it; estimated if interrupted
        pa.field("voice", pa.string(), nullable=False),
        pa.field("start_sample", pa.int64(), nullable=False),
        pa.field("end_sample", pa.int64(), nullable=False),  # where its audio stops
        pa.field("interrupted", pa.bool_(), nullable=False),
        pa.field("reaction_samples", pa.int64()),  # barge-in to stop
        pa.field("uncut_end_sample", pa.int64()),  # where the audio of assistant_uncut_codes stops; only of these
    ]
)
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

DATA = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("num_blocks", pa.int32(), nullable=False),
        pa.field("turns", pa.list_(TURN), nullable=False),
        pa.field("user_codes", CODES, nullable=False),
        pa.field("assistant_codes", CODES, nullable=False),
        # The assistant's codes had it talked on, at most longest_negative_delay_s past each barge-in: for negatives.
        pa.field("assistant_uncut_codes", CODES),
        pa.field("audio", AUDIO),
    ]
)
PAIRS = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("turn", pa.int32(), nullable=False),  # index of the reply that is late
        pa.field("chosen_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("rejected_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("num_blocks", pa.int32(), nullable=False),  # of either side
        # User's end to the reply's start; of an interrupted reply, barge-in to its stop.
        pa.field("chosen_delay_s", pa.float64(), nullable=False),
        pa.field("rejected_delay_s", pa.float64(), nullable=False),
        pa.field("capped", pa.bool_(), nullable=False),  # rejected_delay_s is less than was drawn, for want of room
    ]
)
REJECTED = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("dialogue_id", "stage", "reason", "detail")]
)


def data_schema(sample_rate: int, with_audio: bool) -> pa.Schema:
    """The schema of `data/`, with the metadata from which `datasets` 3 and later know the audio column.

    Channel 0 of the audio is the user, channel 1 the assistant: version 3 mixes them unless `mono` is false, later
    ones are told by `num_channels`, and each passes over what it does not know.
    """
    schema = DATA if with_audio else DATA.remove(DATA.get_field_index("audio"))
    features = {name: _feature(schema.field(name).type) for name in schema.names}
    if with_audio:
        features["audio"] = {"sampling_rate": sample_rate, "mono": False, "num_channels": 2, "_type": "Audio"}
    return schema.with_metadata(
        {
            "huggingface": json.dumps({"info": {"features": features}}),
            "duplexgen": json.dumps({"channels": ["user", "assistant"]}),
        }
    )


def _feature(type_: pa.DataType) -> object:
    """A column type as `datasets` reads its features: a list as version 3 writes it, as it knows no `List`."""
    if pa.types.is_list(type_):
        return [_feature(type_.value_type)]
    if pa.types.is_struct(type_):
        return {field.name: _feature(field.type) for field in type_}
    return {"dtype": str(type_), "_type": "Value"}
