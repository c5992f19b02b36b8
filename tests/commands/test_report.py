"""What `inspect` shows of one dialogue: who speaks when, what is cut, and its rows as the layout shows them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.commands.planned import IDS_PER_WORD, planned
from duplexgen.pipeline.commands.report import describe_dialogue
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.show.progress import Display
from tests.corpus import TURNS, recipe_dict, run_stages
from tests.dataset.conftest import data_sets

__all__ = ["data_sets"]
Sets = Callable[[str], Path]


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_a_dialogue_is_shown_event_by_event_and_block_by_block(data_sets: Sets, scenario: str) -> None:
    dataset = Dataset(data_sets(scenario))
    row = list(dataset.rows())[1]
    head, *lines = describe_dialogue(dataset, "1").splitlines()
    assert head == f"talk/1  talk, {scenario}" and lines == describe_dialogue(dataset, "talk/1").splitlines()[1:]
    for line, of in zip(lines, row["events"], strict=False):
        channel, start, _, end, _, rest = line.split(maxsplit=5)
        assert (channel, start, end) == (
            of["channel"], f"{of['start_sample'] / 16000:.2f}", f"{of['end_sample'] / 16000:.2f}",
        )  # fmt: skip
        cut = f"  — cut, heard: {of['spoken_text']}" if of["cut_by"] is not None else ""
        kind = " [barge in]" if of["kind"] == "barge_in" else ""
        assert rest == f"{of['voice']}{kind}: {of['text']}{cut}"
    assert any("— cut" in line for line in lines) == (scenario == "interruption")
    assert lines[len(row["events"])] == ""
    assert len(lines) == len(row["events"]) + 2 + row["num_blocks"] + 2


def test_an_id_that_is_a_number_is_an_id(tmp_path: Path) -> None:
    """Sources often number their rows: the id wins, and a number that is no id counts rows."""
    corpus = tmp_path / "talk.jsonl"
    lines = [{"id": id_, "data": TURNS[:2]} for id_ in ("2", "0", "7")]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    recipe = Recipe.model_validate(recipe_dict(corpus))
    run_stages(prepare(recipe, Path("/"), tmp_path / "work", None, Display()))
    build(recipe, Path("/"), tmp_path / "out", tmp_path / "work", None, Display())
    dataset = Dataset(tmp_path / "out")
    shown = {wanted: describe_dialogue(dataset, wanted).split()[0] for wanted in ("0", "1", "2", "7")}
    assert shown == {"0": "0", "1": "0", "2": "2", "7": "7"}


def test_a_dialogue_that_is_not_there(data_sets: Sets) -> None:
    dataset = Dataset(data_sets("turn_taking"))
    with pytest.raises(UserError, match=r"has no dialogue '7': expected an id, or a number from 0 to 2"):
        describe_dialogue(dataset, "7")


USER_WORDS, REPLY_WORDS = (sum(len(turn.split()) for turn in TURNS[side::2]) for side in (0, 1))
USER_IDS, REPLY_IDS = (round(words * IDS_PER_WORD) for words in (USER_WORDS, REPLY_WORDS))


@pytest.mark.parametrize(
    ("timing", "pauses_s"),
    [
        ({"scenario": "turn_taking", "next_turn_gap_s": [1.0, 4.0]}, 3 * (0.8 + 2.5)),
        ({"scenario": "interruption"}, 3 * (0.8 + 1.75)),
        ({"scenario": "free_input"}, 3 * (0.24 + 1.75)),
        ({"scenario": "semi_duplex", "reply_delay_s": 50.0}, 3 * (4.5 * 0.08 + 1.75) + USER_IDS * 0.08),
        ({"scenario": "pieces", "reply_delay_s": 50.0, "next_turn_gap_s": [9.0, 9.0]}, 6 * 1.25),
        ({"scenario": "pieces", "channel": "user"}, 6 * 1.25 + (USER_IDS + REPLY_IDS) * 0.08),
    ],
)
def test_a_plan_counts_the_pauses_of_its_scenario(tmp_path: Path, timing: dict[str, Any], pauses_s: float) -> None:
    corpus, takes = tmp_path / "talk.jsonl", 10_000  # so many that the two decimals show a difference
    corpus.write_text(json.dumps({"id": "one", "data": TURNS}) + "\n", encoding="utf-8")
    recipe = Recipe.model_validate(recipe_dict(corpus, timing=timing | {"takes": takes}))
    plan = planned(prepare(recipe, Path("/"), tmp_path / "work", None, Display()))
    assert plan.hours_of_speech == pytest.approx((USER_WORDS + REPLY_WORDS) / 2.5 * takes / 3600, abs=0.01)
    assert plan.hours - plan.hours_of_speech == pytest.approx(pauses_s * takes / 3600, abs=0.02)
