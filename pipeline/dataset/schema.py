"""The columns of data sets (row format 4)."""

import json
from collections.abc import Iterable

import pyarrow as pa

from ..dialogue import FIGURES

ACTIVITY = "speech_activity"
WORD = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("start_sample", pa.int64(), nullable=False),
        pa.field("end_sample", pa.int64(), nullable=False),
    ]
)
PAUSE = pa.struct(
    [
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
        pa.field("text", pa.string(), nullable=False),  # the whole text of the utterance
        pa.field("spoken_text", pa.string(), nullable=False),  # the part of it that is heard
        pa.field("start_sample", pa.int64(), nullable=False),
        pa.field("end_sample", pa.int64(), nullable=False),  # where its audio stops
        pa.field("whole_end_sample", pa.int64(), nullable=False),  # where it would have stopped
        pa.field("answers", pa.int32()),  # index of the event that it is the reply to
        pa.field("cut_by", pa.int32()),  # index of the event at which its speaker stops
        pa.field("words", pa.list_(WORD)),  # the words that are heard; null: their times are not known
        pa.field("pauses", pa.list_(PAUSE), nullable=False),  # silence between its words; no event that is cut has any
        pa.field("quality", QUALITY),
    ]
)
UNCUT = pa.struct(
    [
        pa.field("event", pa.int32(), nullable=False),
        pa.field("first_frame", pa.int32(), nullable=False),
        pa.field("codes", CODES, nullable=False),
        pa.field("words", pa.list_(WORD)),  # of the whole reply, on the track; null: their times are not known
    ]
)
ACOUSTICS = pa.struct(
    [
        pa.field("effect", pa.string(), nullable=False),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
SPEECH = pa.struct(
    [
        pa.field("channel", pa.string(), nullable=False),
        pa.field("start_sample", pa.int64(), nullable=False),
        pa.field("end_sample", pa.int64(), nullable=False),
    ]
)
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

TRACK = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("events", pa.list_(EVENT), nullable=False),  # in order of their starts
        pa.field("user_codes", CODES, nullable=False),  # after the last frame comes a margin of silence
        pa.field("assistant_codes", CODES, nullable=False),
        pa.field("assistant_uncut_codes", pa.list_(UNCUT)),  # of each reply that is cut: its codes had it not been cut
        pa.field("acoustics", pa.list_(ACOUSTICS)),  # the drawn values of each effect on the user's channel
        # Where each channel has speech, by voice activity on its audio before effects; null: it was not measured.
        pa.field(ACTIVITY, pa.list_(SPEECH)),
        pa.field("audio", AUDIO),
    ]
)
"""The columns of a dialogue that do not depend on the layout."""
PAIRS = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("event", pa.int32(), nullable=False),  # index of the reply that is wrong on the rejected side
        pa.field("mistake", pa.string(), nullable=False),  # one of pairs.pair.MISTAKES
        # Of a start, from the user's end; of a stop, from the start of the barge-in or aside.
        pa.field("chosen_delay_s", pa.float64(), nullable=False),
        pa.field("rejected_delay_s", pa.float64(), nullable=False),
        pa.field("capped", pa.bool_(), nullable=False),  # there was no room for the rejected_delay_s that was drawn
    ]
)
"""The columns of a preference pair that do not depend on the layout."""
SIDES = ("chosen", "rejected")
REJECTED = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("dialogue_id", "stage", "reason", "detail")]
)


def track_schema(with_audio: bool) -> pa.Schema:
    return pa.schema([field for field in TRACK if with_audio or field.name != "audio"])


def data_schema(columns: Iterable[pa.Field], sample_rate: int, with_audio: bool) -> pa.Schema:
    """The schema of `data/`: the columns of a track and those of a layout. sample_rate: of the audio, Hz.

    Its metadata tells `datasets` 3 and later about the audio column, whose channel 0 is the user and channel 1 the
    assistant. Version 3 mixes the channels unless `mono` is false; later versions read `num_channels`. Each version
    ignores the key that it does not know.
    """
    schema = pa.schema([*track_schema(with_audio), *columns])
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
    """The schema of preference pairs: PAIRS, and the columns of a layout for each side."""
    sides = [field.with_name(f"{side}_{field.name}") for side in SIDES for field in columns]
    return pa.schema([*PAIRS, *sides])


def feature(type_: pa.DataType) -> object:
    """A column type as a feature of `datasets`. Lists are written as in version 3, which does not know `List`."""
    if pa.types.is_list(type_):
        return [feature(type_.value_type)]
    if pa.types.is_struct(type_):
        return {field.name: feature(field.type) for field in type_}
    return {"dtype": str(type_), "_type": "Value"}
