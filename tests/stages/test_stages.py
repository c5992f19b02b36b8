"""Each stage alone, without Ray, on a few dialogues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from benchmarks.replay import Replay
from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.schema import data_schema
from duplexgen.pipeline.dialogue import FIGURES, Dialogue, SpokenDialogue, Turn, Utterance, Word
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.making.stage import Stage, run_partition
from duplexgen.pipeline.speech.engine import Said
from duplexgen.pipeline.speech.engines import SpeechRequest
from duplexgen.pipeline.stages.data import DataStage
from duplexgen.pipeline.stages.rows import SPEECH, TEXT, read_speech_row, read_text_row, speech_row, text_row
from duplexgen.pipeline.stages.script import ScriptStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.storage.partitions import Outcome
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from tests.corpus import TURNS

SCRATCH = Path("unused")  # the engines of these tests keep nothing
REPLAY = {"engine": "replay", "assistant_voice": "assistant"}


def recipe(**changes: Any) -> Recipe:
    given = {
        "name": "stages",
        "sources": [{"name": "test", "shape": "ultrachat", "path": "none.jsonl"}],
        "speech": REPLAY,
        "timing": {"scenario": "turn_taking"},
    }
    return Recipe.model_validate(given | changes)


def dialogue(name: str, *texts: str) -> Dialogue:
    turns = tuple(Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts))
    return Dialogue(name, "test", "en", turns)


def texts(*dialogues: Dialogue) -> pa.Table:
    return pa.Table.from_pylist([text_row(each) for each in dialogues], schema=TEXT)


def loaded(stage: Stage) -> Stage:
    stage.load(SCRATCH)
    return stage


def through(stages: Sequence[Stage], table: pa.Table) -> tuple[pa.Table, Outcome]:
    for stage in stages:
        table, outcome = run_partition(loaded(stage), table)
    return table, outcome


def reasons(outcome: Outcome) -> list[tuple[str, str]]:
    return [(rejection.dialogue_id, rejection.reason) for rejection in outcome.rejections]


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


@settings(deadline=None)
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

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Said | DialogueRejected]:
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


def test_the_gate_keeps_figures_of_what_it_lets_pass() -> None:
    table = texts(dialogue("a", *TURNS[:2]), dialogue("b", *TURNS[:4]))
    plain, _ = through([SpeechStage(recipe().speech, seed=1)], table)
    gated, outcome = through(
        [SpeechStage(recipe(speech=REPLAY | {"gate": {"max_silence_s": 3.0}}).speech, seed=1)], table
    )
    assert outcome.statistics == {}  # of the data set's rows alone, when it is finished
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
    assert outcome.statistics == {}


class SickDevice(Replay):
    def speak(self, requests: Sequence[SpeechRequest]) -> list[Said | DialogueRejected]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_sick_device_stops_the_command_and_rejects_nothing() -> None:
    stage = SpeechStage(recipe().speech, seed=1)
    stage.engine = SickDevice()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        through([stage], texts(dialogue("a", *TURNS[:2])))


@pytest.fixture(scope="module")
def spoken() -> pa.Table:
    return through([SpeechStage(recipe().speech, seed=1)], texts(dialogue("a/b", *TURNS), dialogue("c", *TURNS[:4])))[0]


@pytest.mark.parametrize("sample_rate", [16000, 22050, 24000])
@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_rows_of_data_keep_every_invariant(spoken: pa.Table, scenario: str, sample_rate: int) -> None:
    built = recipe(timing={"scenario": scenario}, output={"sample_rate": sample_rate})
    stage = DataStage(built)
    made, outcome = through([stage], spoken)
    checker = Checker(built, stage.layout, stage.text_tokenizer, stage.speech_tokenizer)
    assert (made.num_rows, outcome.rejections) == (2, ())
    assert made.schema.equals(data_schema(sample_rate, with_audio=True), check_metadata=True)
    for row in made.to_pylist():
        assert list(checker.check(row)) == []
        assert row["num_blocks"] * 0.8 > row["turns"][-1]["end_sample"] / sample_rate
    assert made["audio"].to_pylist()[0]["path"] == "a%2Fb.flac"


class Bayling(BytePairTokenizer):
    """As the tokenizer of BayLing-Duplex's checkpoint: it has its states, and names all codes but the last ones."""

    codes: int

    def to_json(self) -> str:
        tokenizer = Tokenizer.from_str(super().to_json())
        audio = [f"<|audio_{code}|>" for code in range(self.codes)]
        tokenizer.add_special_tokens(["<|endoftext|>", "<|assistant|>", *audio, "[SILENCE]", "[PAD]", "[EPAD]"])
        return str(tokenizer.to_str())


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_a_code_without_an_id_rejects_its_dialogue(spoken: pa.Table, scenario: str) -> None:
    stage = DataStage(recipe(timing={"scenario": scenario}))
    whole, _ = through([stage], spoken)
    shift = stage.layout.block_frames
    highest = [max(*row["user_codes"][0], *row["assistant_codes"][0][shift:]) for row in whole.to_pylist()]
    assert highest[0] != highest[1]
    stage.text_tokenizer = Bayling()
    stage.text_tokenizer.codes = max(highest)  # one too few for one of the two
    made, outcome = through([stage], spoken)
    rejected = whole["dialogue_id"].to_pylist()[highest.index(max(highest))]
    assert reasons(outcome) == [(rejected, "code_without_id")]
    assert outcome.rejections[0].detail == (
        f"speech has code {max(highest)}: the text tokenizer has ids for 0 … {max(highest) - 1} alone"
    )
    (left,) = made.to_pylist()
    (same,) = (row for row in whole.to_pylist() if row["dialogue_id"] != rejected)
    assert left["user_codes"] == same["user_codes"] and len(left["input_ids"]) == len(same["input_ids"])
    assert max(left["input_ids"]) < stage.vocabulary.audio_first_id + stage.vocabulary.audio_size + 3


@settings(deadline=None, max_examples=10)
@given(words=st.lists(st.sampled_from(["<|endoftext|>", "[PAD]", "[EPAD]", "<|audio_5|>", "yes", "."]), max_size=4))
@example(words=["<|endoftext|>"])
def test_text_that_looks_like_a_token_is_text(spoken: pa.Table, words: list[str]) -> None:
    rows = spoken.to_pylist()[1:]
    rows[0]["utterances"][1]["text"] = text = "".join(words)
    stage = DataStage(recipe())
    made, outcome = through([stage], pa.Table.from_pylist(rows, schema=SPEECH))
    assert outcome.rejections == ()
    ids = made["input_ids"].to_pylist()[0]
    assert stage.vocabulary.end_of_text not in ids
    assert stage.text_tokenizer.decode(list(stage.layout.decode(np.array(ids)).replies[0].text_ids)) == text


def test_uncut_codes_speak_until_the_uncut_end_and_no_longer(spoken: pa.Table) -> None:
    stage = DataStage(recipe(timing={"scenario": "interruption"}))
    made, _ = through([stage], spoken)
    cut = [(row, turn) for row in made.to_pylist() for turn in row["turns"] if turn["interrupted"]]
    assert cut
    for row, turn in cut:
        assert turn["end_sample"] < turn["uncut_end_sample"] <= row["num_blocks"] * stage.layout.block_samples
        codes, uncut = (np.asarray(row[f"assistant_{kind}codes"])[0] for kind in ("", "uncut_"))
        past = -(-turn["uncut_end_sample"] // 1280)
        differs = np.flatnonzero(codes != uncut)
        assert any(turn["end_sample"] // 1280 - 1 <= frame < past for frame in differs)
        assert uncut[past - 2 : past].tolist() != codes[past - 2 : past].tolist()
        assert uncut[past] == codes[past]
    assert all(turn["uncut_end_sample"] is None for row in made.to_pylist() for turn in row["turns"][::2])


def test_rows_without_audio(spoken: pa.Table) -> None:
    with_audio, _ = through([DataStage(recipe())], spoken)
    without, _ = through([DataStage(recipe(output={"audio": "none"}))], spoken)
    assert without.equals(with_audio.drop_columns(["audio"]))


def test_dialogue_that_fits_no_interruption_is_rejected_alone(spoken: pa.Table) -> None:
    short = through([SpeechStage(recipe().speech, seed=1)], texts(dialogue("short", "Are you there?", "Yes.")))[0]
    stage = DataStage(recipe(timing={"scenario": "interruption"}))
    made, outcome = through([stage], pa.concat_tables([spoken, short]))
    assert made["dialogue_id"].to_pylist() == ["a/b", "c"]
    assert reasons(outcome) == [("short", "nothing_to_interrupt")]


def test_speech_that_cannot_be_decoded_is_an_error_of_its_dialogue(spoken: pa.Table) -> None:
    rows = spoken.to_pylist()
    rows[0]["utterances"][0]["flac"] = b"fLaC, but no more"
    made, outcome = through([DataStage(recipe())], pa.Table.from_pylist(rows, schema=SPEECH))
    assert made["dialogue_id"].to_pylist() == ["c"]
    assert reasons(outcome) == [("a/b", "internal_error")]
    alone, _ = through([DataStage(recipe())], spoken.slice(1))
    assert made.equals(alone)


def takes(number: int, scenario: str = "turn_taking") -> DataStage:
    return DataStage(recipe(timing={"scenario": scenario, "takes": number}))


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_takes_differ_in_timing_alone(spoken: pa.Table, scenario: str) -> None:
    one, _ = through([takes(1, scenario)], spoken)
    made, outcome = through([takes(3, scenario)], spoken)
    rows = made.to_pylist()
    assert [row["dialogue_id"] for row in rows] == ["a/b", "a/b~1", "a/b~2", "c", "c~1", "c~2"]
    assert (outcome.planned, outcome.emitted) == (6, 6)
    assert made.take([0, 3]).equals(one)
    for group in (rows[:3], rows[3:]):
        assert len({tuple(turn["start_sample"] for turn in row["turns"]) for row in group}) == 3
        said = [[(turn["role"], turn["text"], turn["voice"]) for turn in row["turns"]] for row in group]
        assert said[0] == said[1] == said[2]
    checker = Checker(recipe(timing={"scenario": scenario}), *loaded_parts(takes(1, scenario)))
    assert [list(checker.check(row)) for row in rows] == [[]] * 6


def loaded_parts(stage: DataStage) -> tuple[Any, Any, Any]:
    stage.load(SCRATCH)
    return stage.layout, stage.text_tokenizer, stage.speech_tokenizer


def test_more_takes_leave_the_first_as_they_were(spoken: pa.Table) -> None:
    few, _ = through([takes(2)], spoken)
    many, _ = through([takes(4)], spoken)
    assert many.take([0, 1, 4, 5]).equals(few)


def test_a_rejected_take_is_named_and_the_others_come_out() -> None:
    """After a short question, some lead-ins leave no room for [ASSISTANT] before the reply."""
    early = recipe(timing={"scenario": "turn_taking", "takes": 40, "reply_delay_s": 0.0})
    hi = through([SpeechStage(recipe().speech, seed=1)], texts(dialogue("hi", "Hi.", TURNS[1])))[0]
    made, outcome = through([DataStage(early)], hi)
    rejected = [id_ for id_, _ in reasons(outcome)]
    assert {reason for _, reason in reasons(outcome)} == {"starts_too_early"}
    assert 0 < len(rejected) < 40
    assert sorted(rejected + made["dialogue_id"].to_pylist()) == sorted(
        ["hi", *(f"hi~{take}" for take in range(1, 40))]
    )
    assert (outcome.planned, outcome.emitted) == (40, made.num_rows)


def test_speech_that_cannot_be_decoded_rejects_every_take(spoken: pa.Table) -> None:
    rows = spoken.to_pylist()
    rows[0]["utterances"][0]["flac"] = b"fLaC, but no more"
    made, outcome = through([takes(2)], pa.Table.from_pylist(rows, schema=SPEECH))
    assert made["dialogue_id"].to_pylist() == ["c", "c~1"]
    assert reasons(outcome) == [("a/b", "internal_error"), ("a/b~1", "internal_error")]


def test_statistics_are_those_of_the_rows_that_came_out(spoken: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = DataStage(recipe())
    make_row = DataStage.make_row

    def damaged(self: DataStage, given: Any) -> dict[str, Any]:
        row = make_row(self, given)
        return row | {"input_ids": row["input_ids"][:-1]} if given.id == "c" else row

    monkeypatch.setattr(DataStage, "make_row", damaged)
    _, outcome = through([stage], spoken)
    assert reasons(outcome) == [("c", "internal_error")]
    _, alone = through([DataStage(recipe())], spoken.slice(0, 1))
    assert outcome.statistics == alone.statistics


def test_a_row_depends_on_its_dialogue_alone(spoken: pa.Table) -> None:
    together, _ = through([DataStage(recipe())], spoken)
    for number in range(2):
        alone, _ = through([DataStage(recipe())], spoken.slice(number, 1))
        assert alone.equals(together.slice(number, 1))


def test_seed_moves_turns_and_changes_no_speech(spoken: pa.Table) -> None:
    one, other = (through([DataStage(recipe(seed=seed))], spoken)[0].to_pylist()[0] for seed in (1, 2))
    starts = [[turn["start_sample"] for turn in row["turns"]] for row in (one, other)]
    lengths = [[turn["end_sample"] - turn["start_sample"] for turn in row["turns"]] for row in (one, other)]
    assert starts[0] != starts[1]
    assert lengths[0] == lengths[1]


def test_speech_rows_round_trip_to_16_bit(spoken: pa.Table) -> None:
    row = spoken.to_pylist()[0]
    assert speech_row(read_speech_row(row)) == row
