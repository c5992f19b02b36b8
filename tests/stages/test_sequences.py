"""Tracks to rows of a layout: without audio, without a speech tokenizer, and the same whatever was stored beside."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.schema import TRACK, data_schema
from duplexgen.pipeline.layouts.bayling import Bayling
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.stages.tracks import TracksStage
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from tests.corpus import TURNS
from tests.stages.running import SCRATCH, dialogue, reasons, recipe, texts, through

SCENARIOS = ["turn_taking", "interruption"]
Tracks = Callable[[str], pa.Table]


@pytest.fixture(scope="module")
def tracks(said: pa.Table) -> Tracks:
    made = {name: through([TracksStage(recipe(timing={"scenario": name}))], said)[0] for name in SCENARIOS}
    return made.__getitem__


def checker(of: Recipe) -> Checker:
    stage = SequencesStage(of)
    stage.load(SCRATCH)
    margin = of.tokens.margin_frames
    return Checker(of, stage.layout, stage.text_tokenizer, stage.speech_tokenizer, stage.samples_per_frame, margin)


def written(stage: SequencesStage, row: dict[str, Any]) -> list[str]:
    """What each reply of a row says."""
    assert isinstance(stage.layout, Bayling)
    replies = stage.layout.decode(np.array(row["input_ids"])).replies
    return [stage.text_tokenizer.decode(list(reply.text_ids)) for reply in replies]


@pytest.mark.parametrize("sample_rate", [16000, 22050, 24000])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rows_keep_every_invariant(said: pa.Table, scenario: str, sample_rate: int) -> None:
    of = recipe(timing={"scenario": scenario, "takes": 2}, output={"sample_rate": sample_rate})
    stage = SequencesStage(of)
    made, outcome = through([TracksStage(of), stage], said)
    assert (made.num_rows, outcome.rejections) == (4, ())
    assert made.schema.equals(data_schema(Bayling.COLUMNS, sample_rate, with_audio=True), check_metadata=True)
    check = checker(of)
    for row in made.to_pylist():
        assert list(check.check(row)) == []
        assert row["num_blocks"] * 0.8 >= row["events"][-1]["end_sample"] / sample_rate + 0.8


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_row_says_what_is_said(tracks: Tracks, scenario: str) -> None:
    stage = SequencesStage(recipe(timing={"scenario": scenario}))
    for row in through([stage], tracks(scenario))[0].to_pylist():
        replies = [of for of in row["events"] if of["channel"] == "assistant"]
        for text, of in zip(written(stage, row), replies, strict=True):
            assert text == of["text"] or (of["cut_by"] is not None and of["text"].startswith(text))


def test_no_audio_is_read_and_no_speech_tokenizer_is_loaded(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the speech tokenizer was used")

    expected = through([SequencesStage(recipe())], tracks("turn_taking"))[0]
    for method in ("load", "encode", "decode"):
        monkeypatch.setattr(MelVQ, method, never)
    rows = tracks("turn_taking").to_pylist()
    damaged = [row | {"audio": {"bytes": b"no audio at all", "path": "x"}} for row in rows]
    made = through([SequencesStage(recipe())], pa.Table.from_pylist(damaged, schema=TRACK))[0]
    assert made.drop_columns(["audio"]).equals(expected.drop_columns(["audio"]))
    stage = SequencesStage(recipe())
    read = [
        {
            name: row[name]
            for name in (*(stage.reads or ()), "source", "language", "scenario", "acoustics", "speech_activity")
        }
        for row in rows
    ]
    assert stage.num_gpus == 0
    without = SequencesStage(recipe(output={"audio": "none"}))
    table = pa.Table.from_pylist(read, schema=TRACK.remove(TRACK.get_field_index("audio")))
    assert through([without], table)[0].equals(expected.drop_columns(["audio"]))


@pytest.mark.parametrize("section", [{"user_tokens": 5}, {"user_tokens": 20, "text_tokens": 7}, {"ast_offset": 0}])
def test_other_layouts_of_the_same_tracks(tracks: Tracks, section: dict[str, int]) -> None:
    of = recipe(layout=section)
    check = checker(of)
    stage = SequencesStage(of)
    for row in through([stage], tracks("turn_taking"))[0].to_pylist():
        assert list(check.check(row)) == []
        assert written(stage, row) == [each["text"] for each in row["events"][1::2]]


def test_a_larger_margin_changes_no_sequence(said: pa.Table) -> None:
    made = [
        through([TracksStage(of), SequencesStage(of)], said)[0]
        for of in (recipe(tokens={"margin_frames": margin}) for margin in (19, 40, 100))
    ]
    assert made[0]["input_ids"].equals(made[1]["input_ids"]) and made[1]["input_ids"].equals(made[2]["input_ids"])


class Named(BytePairTokenizer):
    """As the tokenizer of BayLing-Duplex's checkpoint: it has its states, and names all codes but the last ones."""

    codes: int

    def to_json(self) -> str:
        tokenizer = Tokenizer.from_str(super().to_json())
        audio = [f"<|audio_{code}|>" for code in range(self.codes)]
        tokenizer.add_special_tokens(["<|endoftext|>", "<|assistant|>", *audio, "[SILENCE]", "[PAD]", "[EPAD]"])
        return str(tokenizer.to_str())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_code_without_an_id_rejects_its_dialogue(tracks: Tracks, scenario: str) -> None:
    of = recipe(timing={"scenario": scenario})
    whole, _ = through([SequencesStage(of)], tracks(scenario))
    highest = [
        max(*row["user_codes"][0][: row["num_blocks"] * 10], *row["assistant_codes"][0][10 : row["num_blocks"] * 10])
        for row in whole.to_pylist()
    ]
    assert highest[0] != highest[1]
    stage = SequencesStage(of)
    stage.text_tokenizer = text = Named()
    text.codes = max(highest)  # one too few for one of the two
    made, outcome = through([stage], tracks(scenario))
    rejected = whole["dialogue_id"].to_pylist()[highest.index(max(highest))]
    assert reasons(outcome) == [(rejected, "code_without_id")]
    assert outcome.rejections[0].detail == (
        f"speech has code {max(highest)}: the text tokenizer has ids only for 0 … {max(highest) - 1}"
    )
    (left,) = made.to_pylist()
    (same,) = (row for row in whole.to_pylist() if row["dialogue_id"] != rejected)
    assert left["user_codes"] == same["user_codes"] and len(left["input_ids"]) == len(same["input_ids"])
    assert isinstance(stage.layout, Bayling)
    vocabulary = stage.layout.vocabulary
    assert max(left["input_ids"]) < vocabulary.audio_first_id + vocabulary.audio_size + 3


@settings(max_examples=10)
@given(words=st.lists(st.sampled_from(["<|endoftext|>", "[PAD]", "[EPAD]", "<|audio_5|>", "yes", "."]), max_size=4))
@example(words=["<|endoftext|>"])
def test_text_that_looks_like_a_token_is_text(tracks: Tracks, words: list[str]) -> None:
    row = tracks("turn_taking").to_pylist()[1]
    row["events"][1]["text"] = text = "".join(words)
    stage = SequencesStage(recipe())
    made, outcome = through([stage], pa.Table.from_pylist([row], schema=TRACK))
    assert outcome.rejections == ()
    assert isinstance(stage.layout, Bayling)
    assert stage.layout.vocabulary.end_of_text not in made["input_ids"].to_pylist()[0]
    assert written(stage, made.to_pylist()[0])[0] == text


def test_a_take_that_does_not_fit_is_named_and_the_others_come_out() -> None:
    """After a short question, some lead-ins leave no room for [ASSISTANT] before the reply."""
    early = recipe(timing={"scenario": "turn_taking", "takes": 40, "reply_delay_s": 0.0})
    hi = through([SpeechStage(recipe().speech, seed=1)], texts(dialogue("hi", "Hi.", TURNS[1])))[0]
    made, outcome = through([TracksStage(early), SequencesStage(early)], hi)
    rejected = [id_ for id_, _ in reasons(outcome)]
    assert {reason for _, reason in reasons(outcome)} == {"starts_too_early"}
    assert 0 < len(rejected) < 40
    assert sorted(rejected + made["dialogue_id"].to_pylist()) == sorted(
        ["hi", *(f"hi~{take}" for take in range(1, 40))]
    )
    assert (outcome.planned, outcome.emitted) == (40, made.num_rows)


def test_codes_that_are_too_few_are_an_error_of_their_dialogue(tracks: Tracks) -> None:
    rows = tracks("turn_taking").to_pylist()
    rows[0]["user_codes"] = [codebook[:30] for codebook in rows[0]["user_codes"]]
    made, outcome = through([SequencesStage(recipe())], pa.Table.from_pylist(rows, schema=TRACK))
    assert made["dialogue_id"].to_pylist() == ["c"]
    assert reasons(outcome) == [("a/b", "internal_error")]


def test_layout_and_text_tokenizer_shape_a_sequence_and_no_speech_does() -> None:
    def shape(**changes: Any) -> dict[str, Any]:
        return SequencesStage(recipe(**changes)).shaped_by()

    assert shape() != shape(layout={"user_tokens": 5})
    for changes in ({"seed": 1}, {"timing": {"scenario": "interruption"}}, {"rewriting": {"max_exchanges": 2}}):
        assert shape() == shape(**changes)


def test_what_the_checker_calls_wrong_is_wrong(tracks: Tracks) -> None:
    """A checker of another margin or another frame takes no row for right."""
    of = recipe()
    row = through([SequencesStage(of)], tracks("turn_taking"))[0].to_pylist()[0]
    check = checker(of)
    assert [*check.check(row)] == []
    assert [*replace(check, margin_frames=20).check(row)] and [*replace(check, samples_per_frame=640).check(row)]
