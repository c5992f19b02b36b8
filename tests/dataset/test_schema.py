"""What the schema of shards tells `datasets`, letter for letter: versions 3.6 to 5.2 were seen to read this form."""

import json

import pyarrow as pa
import pytest

from duplexgen.pipeline.dataset.schema import data_schema, pairs_schema
from duplexgen.pipeline.layouts.bayling import Bayling

TEXT, INT16, INT32, INT64 = ({"dtype": name, "_type": "Value"} for name in ("string", "int16", "int32", "int64"))
FLOAT64 = {"dtype": "double", "_type": "Value"}
FIGURES = ("wer", "dnsmos", "similarity", "seconds_per_character", "leading_silence_s", "longest_pause_s", "repeats")
WORDS = [{"text": TEXT, "start_sample": INT64, "end_sample": INT64}]
FEATURES = {
    "dialogue_id": TEXT,
    "source": TEXT,
    "language": TEXT,
    "scenario": TEXT,
    "events": [
        {
            "channel": TEXT,
            "kind": TEXT,
            "voice": TEXT,
            "text": TEXT,
            "spoken_text": TEXT,
            "start_sample": INT64,
            "end_sample": INT64,
            "whole_end_sample": INT64,
            "answers": INT32,
            "cut_by": INT32,
            "words": WORDS,
            "pauses": [{"start_sample": INT64, "end_sample": INT64}],
            "quality": dict.fromkeys(FIGURES, FLOAT64),
        }
    ],
    "user_codes": [[INT16]],
    "assistant_codes": [[INT16]],
    "assistant_uncut_codes": [{"event": INT32, "first_frame": INT32, "codes": [[INT16]], "words": WORDS}],
    "acoustics": [{"effect": TEXT, "quantity": TEXT, "value": FLOAT64}],
    "speech_activity": [{"channel": TEXT, "start_sample": INT64, "end_sample": INT64}],
    "input_ids": [INT32],
    "num_blocks": INT32,
}
AUDIO = {"sampling_rate": 24000, "mono": False, "num_channels": 2, "_type": "Audio"}


@pytest.mark.parametrize("with_audio", [True, False])
def test_the_form_that_every_version_reads(with_audio: bool) -> None:
    metadata = data_schema(Bayling.COLUMNS, 24000, with_audio).metadata
    expected = FEATURES | ({"audio": AUDIO} if with_audio else {})
    assert json.loads(metadata[b"huggingface"]) == {"info": {"features": expected}}


@pytest.mark.parametrize("with_audio", [True, False])
def test_the_installed_version_reads_the_types_as_they_are(with_audio: bool) -> None:
    datasets = pytest.importorskip("datasets")
    schema = data_schema(Bayling.COLUMNS, 24000, with_audio)
    features = datasets.Features.from_arrow_schema(schema)
    assert {field.name: field.type for field in features.arrow_schema} == {
        field.name: _nullable(field.type) for field in schema
    }
    if with_audio:
        assert (features["audio"].sampling_rate, features["audio"].num_channels) == (24000, 2)


def _nullable(type_: pa.DataType) -> pa.DataType:
    """The type as `datasets` has it, which says of no field that it is never null."""
    if pa.types.is_struct(type_):
        return pa.struct({field.name: _nullable(field.type) for field in type_})
    return pa.list_(_nullable(type_.value_type)) if pa.types.is_list(type_) else type_


def test_columns_of_a_layout_stand_on_either_side_of_a_pair() -> None:
    names = pairs_schema(Bayling.COLUMNS).names
    sides = ["chosen_input_ids", "chosen_num_blocks", "rejected_input_ids", "rejected_num_blocks"]
    assert names[-4:] == sides and "input_ids" not in names
    assert pairs_schema(Bayling.COLUMNS).field("rejected_input_ids").type == pa.list_(pa.int32())
