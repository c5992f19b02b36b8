"""Script and speech, each alone, without Ray, on a few dialogues."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.replay import Replay
from duplexgen.pipeline.dialogue import FIGURES, SpokenDialogue, Utterance, Word
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech.engine import RawSpeech
from duplexgen.pipeline.speech.engines import SpeechRequest
from duplexgen.pipeline.stages.rows import SPEECH, TEXT, read_speech_row, read_text_row, speech_row
from duplexgen.pipeline.stages.script import ScriptStage
from duplexgen.pipeline.stages.speech import SpeechStage
from tests.corpus import TURNS
from tests.stages.running import REPLAY, dialogue, reasons, recipe, texts, through


def test_script_makes_text_one_can_speak() -> None:
    table = texts(
        dialogue("sum", "What is 2 + 2?", "It is **4**."),
        dialogue("code", "Show me a loop.", "```\nfor x in y:\n    print(x)\n```"),
        dialogue("long", "Tell me more.", "It is on the corner. " * 40),
    )
    made, outcome = through([ScriptStage(recipe().rewriting)], table)
    spoken = [read_text_row(row) for row in made.to_pylist()]
    assert [each.id for each in spoken] == ["sum", "long"]
    assert [turn.text for turn in spoken[0].turns] == ["What is two plus two?", "It is four."]
    assert len(spoken[1].turns[1].text.split()) == 60
    assert reasons(outcome) == [("code", "code")]
    assert outcome.notes == {"reply_cut": 1}
    assert made.schema == TEXT


def test_speech_of_kokoro() -> None:
    spec = recipe(speech={"assistant_voice": "af_heart", "user_voices": ["am_michael"]}).speech
    made, outcome = through([SpeechStage(spec, seed=1)], texts(dialogue("hello", "Hello there.", "Good morning.")))
    assert (made.schema, outcome.rejections) == (SPEECH, ())
    spoken = read_speech_row(made.to_pylist()[0])
    assert [utterance.voice for utterance in spoken.utterances] == ["am_michael", "af_heart"]
    for utterance in spoken.utterances:
        assert utterance.sample_rate == 24000
        assert utterance.quality is None
        assert utterance.words is not None
        assert [word.text for word in utterance.words] == utterance.text.split()
        first, last = utterance.words[0].start_sample, utterance.words[-1].end_sample
        assert 0 <= first < 0.15 * 24000  # the margin and the soft onset that trimming keeps are a part of it
        assert len(utterance.waveform) - 0.1 * 24000 < last <= len(utterance.waveform)
        assert 0.3 < len(utterance.waveform) / 24000 < 3
        assert 0.05 < np.abs(utterance.waveform).max() <= 1


def test_renditions_share_the_assistants_speech() -> None:
    table = texts(dialogue("a", *TURNS[:2]), dialogue("b", *TURNS[:2]))
    made, outcome = through([SpeechStage(recipe(speech=REPLAY | {"renditions": 2}).speech, seed=1)], table)
    rows = made.to_pylist()
    assert [row["dialogue_id"] for row in rows] == ["a", "a#1", "b", "b#1"]
    assert (outcome.planned, outcome.emitted) == (4, 4)
    assert rows[0]["utterances"][1] == rows[1]["utterances"][1]
    assert rows[0]["utterances"][0]["voice"] != rows[1]["utterances"][0]["voice"]


WORDS = st.lists(st.builds(Word, st.text(max_size=5), st.integers(0, 2**40), st.integers(0, 2**40)), max_size=4)
MEASURED = st.dictionaries(st.sampled_from(FIGURES), st.floats(allow_nan=False))


@given(st.none() | WORDS.map(tuple), st.none() | MEASURED)
def test_words_and_figures_come_back_from_a_table_as_they_were(
    words: tuple[Word, ...] | None, quality: dict[str, float] | None
) -> None:
    utterance = Utterance("user", "text", "voice", np.full(2400, 0.25, dtype=np.float32), 24000, words, quality)
    row = speech_row(SpokenDialogue("id", "source", "en", (utterance,)))
    (again,) = pa.Table.from_pylist([row], schema=SPEECH).to_pylist()
    assert again == row
    (read,) = read_speech_row(again).utterances
    assert (read.words, read.quality) == (words, quality)


class Faulty(Replay):
    """Cannot read one text, and breaks on another."""

    def speak(self, requests: Sequence[SpeechRequest]) -> list[RawSpeech | DialogueRejected]:
        if any("broken" in request.text for request in requests):
            raise IndexError("no such phoneme")
        unreadable = DialogueRejected("unspeakable", "no letters")
        return [unreadable if "odd" in request.text else self._speak(request.text) for request in requests]


def test_speech_that_fails_rejects_all_renditions_of_its_dialogue_alone() -> None:
    stage = SpeechStage(recipe(speech=REPLAY | {"renditions": 2}).speech, seed=1)
    stage.engine = Faulty()
    table = texts(dialogue("a", "It is odd.", "Yes."), dialogue("b", *TURNS[:2]), dialogue("c", "It is broken.", "No."))
    made, outcome = through([stage], table)
    assert made["dialogue_id"].to_pylist() == ["b", "b#1"]
    assert reasons(outcome) == [
        ("a", "unspeakable"),
        ("a#1", "unspeakable"),
        ("c", "internal_error"),
        ("c#1", "internal_error"),
    ]
    assert (outcome.planned, outcome.emitted) == (6, 2)


def test_the_gate_lets_pass_what_is_well() -> None:
    table = texts(dialogue("a", *TURNS[:2]), dialogue("b", *TURNS[:4]))
    plain, _ = through([SpeechStage(recipe().speech, seed=1)], table)
    gated, _ = through([SpeechStage(recipe(speech=REPLAY | {"gate": {"max_silence_s": 3.0}}).speech, seed=1)], table)
    kept = {"seconds_per_character", "leading_silence_s", "longest_pause_s"}
    for bare, row in zip(plain.to_pylist(), gated.to_pylist(), strict=True):
        for utterance in row["utterances"]:
            measured = {name: figure for name, figure in utterance["quality"].items() if figure is not None}
            assert measured.keys() == kept
            assert 0 <= measured["longest_pause_s"] < 3
        assert [one | {"quality": None} for one in row["utterances"]] == bare["utterances"]
    assert all(utterance.quality for row in gated.to_pylist() for utterance in read_speech_row(row).utterances)


def test_the_gate_rejects_with_figures() -> None:
    strict = SpeechStage(recipe(speech=REPLAY | {"gate": {"max_silence_s": 0.001}}).speech, seed=1)
    made, outcome = through([strict], texts(dialogue("a", *TURNS[:2])))
    assert made.num_rows == 0 and reasons(outcome) == [("a", "speech_failed")]
    assert "at most 0.001 s allowed" in outcome.rejections[0].detail


class SickDevice(Replay):
    def speak(self, requests: Sequence[SpeechRequest]) -> list[RawSpeech | DialogueRejected]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_sick_device_stops_the_command_and_rejects_nothing() -> None:
    stage = SpeechStage(recipe().speech, seed=1)
    stage.engine = SickDevice()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        through([stage], texts(dialogue("a", *TURNS[:2])))


def test_speech_rows_round_trip_to_16_bit() -> None:
    table = texts(dialogue("a", *TURNS[:2]))
    for section in (REPLAY, REPLAY | {"gate": {"max_silence_s": 3.0}}):
        row = through([SpeechStage(recipe(speech=section).speech, seed=1)], table)[0].to_pylist()[0]
        assert speech_row(read_speech_row(row)) == row
