"""Natural conversations on recorded speech, without Ray: what is heard, what layouts write, what `verify` finds."""

import copy
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from duplexgen.pipeline.audio.flac import encode as to_flac
from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.rows import read_events
from duplexgen.pipeline.dialogue import (
    ASIDES,
    BACKCHANNEL,
    BYSTANDER,
    FOLLOW_UP,
    SIDE_TALK,
    SILENCE_REQUEST,
    TURN,
    Dialogue,
    Turn,
)
from duplexgen.pipeline.stages.rows import read_speech_row
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.stages.tracks import TracksStage, at_rate
from tests.corpus import TURNS
from tests.stages.running import SCRATCH, recipe, texts, through

Row = dict[str, Any]
LAYOUTS: Mapping[str, Row] = {
    "bayling": {"name": "bayling"},
    "flm": {"name": "flm", "format": "response_tts"},
    "moshi": {"name": "moshi"},
}
SCRIPT = (
    Turn("user", TURNS[0]),
    Turn("assistant", "Mhm, right.", BACKCHANNEL),
    Turn("assistant", TURNS[1]),
    Turn("user", "I see, I see.", BACKCHANNEL),
    Turn("user", TURNS[2]),
    Turn("assistant", TURNS[3]),
    Turn("user", "By the way, " + TURNS[4], FOLLOW_UP),
    Turn("assistant", TURNS[1]),
    Turn("user", "Dinner is ready.", BYSTANDER),
    Turn("user", TURNS[0]),
    Turn("assistant", TURNS[3]),
    Turn("user", "Just put it there.", SIDE_TALK),
    Turn("user", TURNS[2]),
    Turn("assistant", TURNS[3]),
    Turn("user", "Stop it, please.", SILENCE_REQUEST),
)


def natural(layout: str = "bayling", **changes: Any) -> Recipe:
    timing = {
        "scenario": "natural",
        "reply_delay_s": 0.8,
        "reaction_delay_s": [0.8, 1.0],
        "pause_share": 1.0,
        "after_reply_share": 0.0,
        "takes": 3,
    }
    return recipe(timing=timing, layout=LAYOUTS[layout], **changes)


def speech_of(script: tuple[Turn, ...]) -> pa.Table:
    return through([SpeechStage(recipe().speech, seed=1)], texts(Dialogue("a", "test", "en", script)))[0]


@pytest.fixture(scope="module")
def speech() -> pa.Table:
    return speech_of(SCRIPT)


@pytest.fixture(scope="module")
def rows(speech: pa.Table) -> list[Row]:
    of = natural()
    table, outcome = through([TracksStage(of), SequencesStage(of)], speech)
    assert outcome.rejections == ()
    return table.to_pylist()  # type: ignore[no-any-return]


def checker(of: Recipe) -> Checker:
    stage = SequencesStage(of)
    stage.load(SCRATCH)
    stage.speech_tokenizer.load()
    tokenizers = stage.text_tokenizer, stage.speech_tokenizer
    return Checker(of, stage.layout, *tokenizers, stage.samples_per_frame, of.tokens.margin_frames)


def sound(row: Row) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
    return np.ascontiguousarray(samples.T)


def test_everything_happens(rows: list[Row]) -> None:
    kinds = {(event["channel"], event["kind"]) for row in rows for event in row["events"]}
    assert {("user", kind) for kind in (*ASIDES, TURN, FOLLOW_UP, SILENCE_REQUEST)} <= kinds
    assert ("assistant", BACKCHANNEL) in kinds
    assert all(
        event["pauses"]
        for row in rows
        for event in row["events"]
        if event["kind"] == TURN and event["channel"] == "user"
    )


def test_pauses_are_silent_and_lie_between_words(rows: list[Row], speech: pa.Table) -> None:
    """The speech around a pause is that of the utterance, but for a fade."""
    said = at_rate(read_speech_row(speech.to_pylist()[0]), 16000).utterances
    for row in rows:
        user = sound(row)[0]
        for event in read_events(row["events"]):
            for pause in event.pauses:
                assert 4800 <= pause.num_samples <= 32000
                assert not user[pause.start_sample : pause.end_sample].any()
                words = event.words or ()
                assert any(word.end_sample <= pause.start_sample for word in words)
                assert any(word.start_sample >= pause.end_sample for word in words)
                assert not any(w.start_sample < pause.end_sample and pause.start_sample < w.end_sample for w in words)
            if event.pauses:
                heard = event.end_sample - event.start_sample - sum(pause.num_samples for pause in event.pauses)
                assert heard in {len(utterance.waveform) for utterance in said}


def test_the_assistant_s_channel_is_the_same_without_what_is_said_beside_it(rows: list[Row]) -> None:
    """All that the user's side says during replies. The assistant's own backchannels stay."""
    without = tuple(turn for turn in SCRIPT if turn.role == "assistant" or turn.takes_floor)
    again = through([TracksStage(natural())], speech_of(without))[0].to_pylist()
    for row, bare in zip(rows, again, strict=True):
        left_out = [event for event in row["events"] if event["channel"] == "user" and event["kind"] in ASIDES]
        assert left_out and len(bare["events"]) == len(row["events"]) - len(left_out)
        assert np.array_equal(sound(row)[1], sound(bare)[1])
        assert row["assistant_codes"] == bare["assistant_codes"]
        assert row["assistant_uncut_codes"] and [one["codes"] for one in row["assistant_uncut_codes"]] == [
            one["codes"] for one in bare["assistant_uncut_codes"]
        ]
        assert not np.array_equal(sound(row)[0], sound(bare)[0])


def test_a_bystander_has_a_voice_of_its_own(rows: list[Row]) -> None:
    for row in rows:
        voices = {
            kind: {e["voice"] for e in row["events"] if e["channel"] == "user" and (e["kind"] == BYSTANDER) == kind}
            for kind in (True, False)
        }
        assert len(voices[True]) == len(voices[False]) == 1
        assert "assistant" not in voices[True] and not voices[True] & voices[False]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_write_what_is_said_and_verify_finds_nothing(speech: pa.Table, layout: str) -> None:
    of = natural(layout)
    stage = SequencesStage(of)
    table, outcome = through([TracksStage(of), stage], speech)
    assert outcome.rejections == () and table.num_rows == 3
    check = checker(of)
    for row in table.to_pylist():
        assert list(check.check(row)) == []
        replies = [event for event in row["events"] if event["channel"] == "assistant"]
        texts_ = [check.text_tokenizer.decode(list(one.text_ids)) for one in check.layout.written(row).replies]
        for text, event in zip(texts_, replies, strict=True):
            assert text == event["text"] or (event["cut_by"] is not None and event["text"].startswith(text))


def damaged(row: Row, index: int, **fields: Any) -> Row:
    other = copy.deepcopy(row)
    other["events"][index] |= fields
    return other


def test_each_damage_is_found(rows: list[Row]) -> None:
    check, row = checker(natural()), rows[0]
    assert list(check.check(row)) == []
    events = row["events"]
    index = next(i for i, e in enumerate(events) if e["pauses"])
    (pause,), words = events[index]["pauses"], events[index]["words"]
    bystander = next(i for i, e in enumerate(events) if e["kind"] == BYSTANDER)
    side_talk = next(i for i, e in enumerate(events) if e["kind"] == SIDE_TALK)
    length = pause["end_sample"] - pause["start_sample"]

    def paused(start: int, end: int) -> Row:
        return damaged(row, index, pauses=[{"start_sample": start, "end_sample": end}])

    within = words[1]["start_sample"] + 1
    last, start = events[index]["end_sample"], events[index]["start_sample"]
    noisy = copy.deepcopy(row)
    samples = sound(row)
    samples[0, pause["start_sample"] + length // 2] = 1
    noisy["audio"]["bytes"] = to_flac(samples.T, 16000)
    cases = {
        "within a word": paused(within, within + length),
        "has a pause": paused(start - 1, start - 1 + length),
        "has a pause at": paused(last - 10, last + length),
        "not between two words": damaged(row, index, words=None),
        "outside pause_s": paused(pause["start_sample"], pause["start_sample"] + 100),
        "has the voice of the user or the assistant": damaged(row, bystander, voice=events[0]["voice"]),
        "of the user or the assistant": damaged(row, bystander, voice="assistant"),
        "has the voice": damaged(row, side_talk, voice=events[bystander]["voice"]),
        "the user's channel is not silent between events": noisy,
        "is of the kind": damaged(row, bystander, kind="whisper"),
    }
    for says, other in cases.items():
        assert any(says in message for message in check.check(other)), says


def test_a_pause_before_the_first_word_or_after_the_last_is_found(rows: list[Row]) -> None:
    """Such silence is no hesitation, wherever the words are."""
    check, row = checker(natural()), rows[0]
    index = next(i for i, e in enumerate(row["events"]) if e["pauses"])
    event = row["events"][index]
    (pause,) = event["pauses"]
    for at, edge in ((0, pause["end_sample"]), (-1, pause["start_sample"])):
        words = [word for word in event["words"] if (word["start_sample"] >= edge) == (at == 0)]
        other = damaged(row, index, words=words)
        assert any("not between two words" in message for message in check.check(other))
