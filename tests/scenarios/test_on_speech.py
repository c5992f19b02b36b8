"""The scenarios of FLM-Audio on recorded speech, without Ray: tracks, rows, what `verify` finds, and pairs."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.rows import read_events
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.tracks import TracksStage
from tests.corpus import recipe_dict, run_stages
from tests.pairs.conftest import pairs_recipe
from tests.stages.running import recipe, through

Row = dict[str, Any]
CASES: dict[str, Row] = {
    "tts": {"timing": {"scenario": "pieces"}, "layout": {"name": "flm", "format": "tts"}},
    "asr": {"timing": {"scenario": "pieces", "channel": "user"}, "layout": {"name": "flm", "format": "asr"}},
    "asr_response_tts": {
        "timing": {"scenario": "semi_duplex"},
        "layout": {"name": "flm", "format": "asr_response_tts"},
    },
    "response_tts": {"timing": {"scenario": "free_input"}, "layout": {"name": "flm", "format": "response_tts"}},
    "semi_duplex in blocks": {"timing": {"scenario": "semi_duplex"}},
    "free_input in blocks": {"timing": {"scenario": "free_input"}},
}
RATES = [16000, 24000]


def rows_of(case: str, said: pa.Table, sample_rate: int = 16000, **timing: Any) -> tuple[list[Row], Checker]:
    """Rows of two dialogues, of three and of two exchanges, and what checks them."""
    changes = CASES[case] | {"output": {"sample_rate": sample_rate}}
    of = recipe(**changes | {"timing": CASES[case]["timing"] | timing})
    stage = SequencesStage(of)
    made, outcome = through([TracksStage(of), stage], said)
    assert outcome.rejections == ()
    tokenizers = stage.text_tokenizer, stage.speech_tokenizer
    tokenizers[1].load()
    return made.to_pylist(), Checker(of, stage.layout, *tokenizers, stage.samples_per_frame, 40)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("case", CASES)
def test_rows_keep_every_invariant(said: pa.Table, case: str, sample_rate: int) -> None:
    rows, checker = rows_of(case, said, sample_rate, takes=3)
    assert len(rows) == 6 and len({tuple(of["start_sample"] for of in row["events"]) for row in rows}) == 6
    for row in rows:
        assert list(checker.check(row)) == []


@pytest.mark.parametrize("case", ["tts", "asr"])
def test_pieces_keep_the_voices_of_their_speakers_and_their_words(said: pa.Table, case: str) -> None:
    rows, checker = rows_of(case, said)
    for row, spoken in zip(rows, said.to_pylist(), strict=True):
        voices = [utterance["voice"] for utterance in spoken["utterances"]]
        assert [of["voice"] for of in row["events"]] == voices and len(set(voices)) == 2
        assert {of["channel"] for of in row["events"]} == {"user" if case == "asr" else "assistant"}
        for of, utterance in zip(row["events"], spoken["utterances"], strict=True):
            assert [word["text"] for word in of["words"]] == [word["text"] for word in utterance["words"]]
        for index, of in enumerate(row["events"]):
            damaged = copy.deepcopy(row)
            damaged["events"][index]["voice"] = row["events"][index - 1]["voice"]
            assert "has the voice" in " ".join(checker.check(damaged)), of["text"]
        damaged = copy.deepcopy(row)
        damaged["events"][1] |= {"answers": 0, "words": None}
        assert "event 1: answers is 0, expected an event of the other channel" in list(checker.check(damaged))


def test_the_reply_s_text_follows_its_transcript_in_the_next_column(said: pa.Table) -> None:
    rows, checker = rows_of("asr_response_tts", said)
    special = checker.layout.vocabulary.special  # type: ignore[attr-defined]
    encode = checker.text_tokenizer.encode
    for row in rows:
        text, replies = np.asarray(row["streams"][0]), 0
        for before, event in zip(row["events"][::2], row["events"][1::2], strict=True):
            asked, replied = encode(before["text"]), encode(event["text"])
            written = [special["asr"].id, *asked, special["answer"].id, *replied, special["wait"].id]
            first = 1 + -(-before["end_sample"] // 1280)
            assert text[first : first + len(written)].tolist() == written
            assert 1 + event["start_sample"] // 1280 == first + len(asked) + 2 + 2
            replies += len(written) - 1
        assert (text != special["wait"].id).sum() == replies, "nothing else is written"


def test_another_text_of_the_user_s_does_not_fit_its_room(said: pa.Table) -> None:
    rows, checker = rows_of("semi_duplex in blocks", said)
    for row in rows:
        event = row["events"][2]
        event |= {"text": event["text"] + " Now?", "spoken_text": event["text"] + " Now?", "words": None}
        (message,) = checker.check(row)
        assert message.startswith("event 3 starts ") and message.endswith("not when its transcript has been written")


def test_a_transcript_stands_in_silence(said: pa.Table) -> None:
    rows, checker = rows_of("asr", said, takes=5)
    wait = checker.layout.vocabulary.special["wait"].id  # type: ignore[attr-defined]
    for row in rows:
        text = np.asarray(row["streams"][0])
        for event in read_events(row["events"]):
            columns = slice(1 + event.start_sample // 1280, 1 + -(-event.end_sample // 1280))
            assert (text[columns] == wait).all(), "nothing is written while a piece is heard"


def test_only_tracks_that_need_text_ids_depend_on_the_text_tokenizer() -> None:
    def shape(case: str, **tokens: Any) -> Row:
        return TracksStage(recipe(**CASES[case] | {"tokens": tokens})).shaped_by()

    for case in CASES:
        tokenizer = shape(case)["text_tokenizer"]
        needs = case in ("asr", "asr_response_tts", "semi_duplex in blocks")
        assert (tokenizer is not None) == needs
        assert not needs or tokenizer["name"] == "bpe"
    assert shape("asr_response_tts") == shape("semi_duplex in blocks"), "the layout is not in it"


@pytest.fixture
def built(corpus: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The data set of a case, three dialogues long."""

    def make(case: str) -> Path:
        of = Recipe.model_validate(recipe_dict(corpus) | CASES[case])
        run_stages(prepare(of, Path("/"), tmp_path / "work", 3, Display()))
        build(of, Path("/"), tmp_path / "set", tmp_path / "work", 3, Display())
        return tmp_path / "set"

    return make


@pytest.mark.parametrize("case", CASES)
def test_a_data_set_verifies_and_so_do_its_pairs(built: Callable[[str], Path], tmp_path: Path, case: str) -> None:
    folder = built(case)
    assert list(verify(folder, lambda _: None)) == []
    statistics, events = Dataset(folder).manifest.statistics, 4 + 6 + 4
    if CASES[case]["timing"]["scenario"] == "pieces":
        assert statistics["silence_s"].count == events - 3 and "reply_delay_s" not in statistics
        with pytest.raises(UserError, match=r"scenario pieces, in which no reply can be late: no pairs can be made"):
            build_pairs(pairs_recipe(), folder, tmp_path / "pairs", tmp_path / "work", Display())
        return
    assert statistics["reply_delay_s"].count == events // 2 and "silence_s" not in statistics
    of = pairs_recipe(least_difference_s=0.3, reaction_delay_s=[0.8, 5.0], reply_delay_s=[2.0, 9.0])
    build_pairs(of, folder, tmp_path / "pairs", tmp_path / "work", Display())
    assert Dataset(tmp_path / "pairs").manifest.rows == 3
    assert list(verify(tmp_path / "pairs", lambda _: None)) == []
