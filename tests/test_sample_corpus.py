"""The corpus that ships: its shape, its size, and that a laptop can speak the short part of it in a few minutes."""

import json
import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.dialogue import Dialogue, Rejection, Turn
from duplexgen.pipeline.rewriting.rules import REPLY_CUT, RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.sources.reading import Read, joined, read
from duplexgen.pipeline.speech.kokoro import vocabulary
from duplexgen.pipeline.speech.mandarin import phonemize

SAMPLE = Path(__file__).parent.parent / "recipes" / "sample"


@pytest.fixture(scope="module")
def dialogues() -> list[dict[str, Any]]:
    lines = (SAMPLE / "ultrachat.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def instructions() -> list[dict[str, str]]:
    items: list[dict[str, str]] = json.loads((SAMPLE / "alpaca.json").read_text("utf-8"))
    return items


def test_counts_and_shapes(dialogues: list[dict[str, Any]], instructions: list[dict[str, str]]) -> None:
    assert len(dialogues) == 48
    assert len(instructions) == 12
    assert all(set(dialogue) == {"id", "data"} for dialogue in dialogues)
    assert all(set(item) == {"instruction", "input", "output"} for item in instructions)
    assert any(item["input"] for item in instructions)
    assert any(not item["input"] for item in instructions)


def test_ids_and_texts_are_unique(dialogues: list[dict[str, Any]], instructions: list[dict[str, str]]) -> None:
    assert len({dialogue["id"] for dialogue in dialogues}) == len(dialogues)
    questions = [dialogue["data"][0] for dialogue in dialogues] + [item["instruction"] for item in instructions]
    assert len(set(questions)) == len(questions)
    replies = [text for dialogue in dialogues for text in dialogue["data"][1::2]]
    assert len(set(replies)) == len(replies)


def test_dialogues_alternate_and_end_with_a_reply(dialogues: list[dict[str, Any]]) -> None:
    for dialogue in dialogues:
        texts = dialogue["data"]
        assert len(texts) % 2 == 0, dialogue["id"]
        assert all(isinstance(text, str) and text.strip() == text != "" for text in texts), dialogue["id"]


def test_every_number_of_exchanges_from_one_to_six(dialogues: list[dict[str, Any]]) -> None:
    exchanges = [len(dialogue["data"]) // 2 for dialogue in dialogues]
    assert set(exchanges) == {1, 2, 3, 4, 5, 6}
    assert sum(count >= 2 for count in exchanges) >= 44


def test_turns_that_come_in_on_a_reply_are_long_enough_to_be_heard(dialogues: list[dict[str, Any]]) -> None:
    for dialogue in dialogues:
        for text in dialogue["data"][2::2]:
            assert len(text.split()) >= 5, (dialogue["id"], text)


def test_one_reply_is_long(dialogues: list[dict[str, Any]]) -> None:
    lengths = [len(text.split()) for dialogue in dialogues for text in dialogue["data"][1::2]]
    assert sum(100 <= length <= 140 for length in lengths) == 1


def test_written_text_has_what_real_answers_have(dialogues: list[dict[str, Any]]) -> None:
    replies = "\n".join(text for dialogue in dialogues for text in dialogue["data"][1::2])
    for mark in (
        "**",
        "\n- ",
        "\n1. ",
        "## ",
        "|---",
        "```",
        "`",
        "https://",
        "$",
        "€",
        "%",
        "°C",
        "p.m.",
        "i.e.",
        "🎉",
    ):
        assert mark in replies, mark


def chinese() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / "chinese.jsonl").read_text("utf-8").splitlines()]


def test_sixty_chinese_dialogues_of_two_or_four_turns_each_another() -> None:
    dialogues = chinese()
    assert len(dialogues) == len({dialogue["id"] for dialogue in dialogues}) == 60
    assert sorted(len(dialogue["data"]) for dialogue in dialogues) == [2] * 20 + [4] * 40
    turns = [text for dialogue in dialogues for text in dialogue["data"]]
    assert len(set(turns)) == len(turns)
    for mark in ("**", "\n1. ", "```", "°C", "%", "11:20", "2024", "WiFi", "App", "GHz", "😊"):
        assert mark in "\n".join(turns), mark


def test_all_of_the_chinese_but_the_code_block_is_spoken_whole() -> None:
    recipe, _ = checking.load("turn_taking_zh")
    written = [
        Dialogue(
            one["id"], "sample", "zh", tuple(Turn(("user", "assistant")[i % 2], t) for i, t in enumerate(one["data"]))
        )
        for one in chinese()
    ]
    results = RulesRewriter(recipe.rewriting).rewrite_all(written)
    rejected = {result.dialogue_id: result.reason for result in results if isinstance(result, Rejection)}
    assert rejected == {"rename-files": "code"}
    for result in results:
        if not isinstance(result, Rejection):
            assert REPLY_CUT not in result.notes, result.dialogue.id
            for turn in result.dialogue.turns:
                assert phonemize(turn.text, vocabulary()), turn.text


@pytest.fixture(scope="module")
def spoken(dialogues: list[dict[str, Any]], instructions: list[dict[str, str]]) -> list[Dialogue | Rejection]:
    texts = {dialogue["id"]: dialogue["data"] for dialogue in dialogues}
    for number, item in enumerate(instructions):
        request = "\n\n".join(filter(None, (item["instruction"], item["input"])))
        texts[f"alpaca-{number}"] = [request, item["output"]]
    written = [
        Dialogue(name, "sample", "en", tuple(Turn(("user", "assistant")[i % 2], text) for i, text in enumerate(turns)))
        for name, turns in texts.items()
    ]
    results = RulesRewriter(Rewriting()).rewrite_all(written)
    return [result if isinstance(result, Rejection) else result.dialogue for result in results]


def test_only_the_two_code_blocks_are_rejected(spoken: list[Dialogue | Rejection]) -> None:
    rejected = [result.dialogue_id for result in spoken if isinstance(result, Rejection)]
    assert rejected == ["rename-photos", "alpaca-11"]


def test_all_of_it_is_spoken_in_a_quarter_of_an_hour(spoken: list[Dialogue | Rejection]) -> None:
    turns = [turn for result in spoken if isinstance(result, Dialogue) for turn in result.turns]
    assert 1900 <= sum(len(turn.text.split()) for turn in turns) <= 2300  # at about three words a second


def test_replies_are_long_enough_to_be_interrupted(spoken: list[Dialogue | Rejection]) -> None:
    for dialogue in spoken:
        if isinstance(dialogue, Dialogue):
            for turn in dialogue.turns[1:-1:2]:
                assert len(turn.text.split()) >= 14, (dialogue.id, turn.text)


@pytest.fixture(scope="module")
def long() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / "long.jsonl").read_text("utf-8").splitlines()]


def test_long_dialogues_of_one_to_three_exchanges(long: list[dict[str, Any]]) -> None:
    assert len(long) == len({dialogue["id"] for dialogue in long}) == 503
    assert all(set(dialogue) == {"id", "data"} for dialogue in long)
    assert Counter(len(dialogue["data"]) for dialogue in long) == {2: 254, 4: 222, 6: 27}


def test_long_replies_are_spoken_whole_in_several_clauses(long: list[dict[str, Any]]) -> None:
    recipe, _ = checking.load("train_long")
    for one in long:
        turns = tuple(Turn(("user", "assistant")[number % 2], text) for number, text in enumerate(one["data"]))
        rewritten = RulesRewriter(recipe.rewriting).rewrite(Dialogue(one["id"], "long", "en", turns))
        assert not rewritten.notes, one["id"]  # nothing is cut or left out
        for turn in rewritten.dialogue.turns:
            words = len(turn.text.split())
            if turn.role == "user":
                assert 5 <= words <= 25, turn.text
            else:
                assert 29 <= words <= 60, turn.text
                assert len(re.findall(r"[.?!]", turn.text)) >= 2, turn.text
                assert len(re.findall(r"[.?!,;:]", turn.text)) >= 3, turn.text


def test_in_the_long_recipe_every_user_comes_back() -> None:
    recipe, base = checking.load("train_long")
    items = [item for source in recipe.sources for item in joined(read(source, base), source.join)]
    assert all(isinstance(item, Read) and len(item.dialogue.turns) >= 4 for item in items)


def test_long_dialogues_repeat_neither_each_other_nor_the_short_ones(
    long: list[dict[str, Any]], dialogues: list[dict[str, Any]], instructions: list[dict[str, str]]
) -> None:
    asked = [dialogue["data"][0::2] for dialogue in [*long, *dialogues]]
    asked.append([item["instruction"] for item in instructions])
    questions = [re.sub(r"\W", "", text).lower() for text in chain.from_iterable(asked)]
    assert len(set(questions)) == len(questions)
    runs = Counter(run for dialogue in long for run in {*chain.from_iterable(map(seven_words, dialogue["data"]))})
    assert [run for run, count in runs.items() if count > 1] == []


def seven_words(text: str) -> set[tuple[str, ...]]:
    """Every run of seven words of a text."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + 7]) for start in range(len(words) - 6)}


def test_long_replies_are_varied(long: list[dict[str, Any]]) -> None:
    replies = [text for dialogue in long for text in dialogue["data"][1::2]]
    openings = Counter(" ".join(reply.split()[:2]) for reply in replies)
    assert max(openings.values()) <= len(replies) / 100
    assert max(Counter(reply.split()[0] for reply in replies).values()) <= len(replies) / 25
    assert len({word for reply in replies for word in re.findall(r"[a-z']+", reply.lower())}) >= 6500
