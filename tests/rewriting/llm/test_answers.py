import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.characters import EMOJI_LEFT_OUT, check_speakable
from duplexgen.pipeline.rewriting.llm.answers import check_rewritten, spoken, texts
from duplexgen.pipeline.rewriting.rules import RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.rewriting.llm.conftest import dialogue

BOTH = ("user", "assistant")
GOOD = '{"turns": [{"role": "user", "text": "Is it?"}, {"role": "assistant", "text": "It is."}]}'

SHOWN = GOOD.replace("It is", "It was")


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure! Here it is:\n{GOOD}\nDid you like it?",
        f'<think>Maybe {{"turns": [{{"role": "user", "text": "No"}}]}}? No.</think>{GOOD}',
        f"I was given this:\n{SHOWN}\nSo:\n" + GOOD.replace('{"turns": ', '{\n  "turns" : ', 1),
    ],
)
def test_what_stands_around_an_answer_is_passed_over(content):
    assert texts(content, BOTH) == ["Is it?", "It is."]


def test_a_line_break_in_a_string_is_let_pass():
    assert texts(GOOD.replace("Is it?", "Is\nit?"), BOTH)[0] == "Is\nit?"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "answer_not_json"),
        ("I cannot do that.", "answer_not_json"),
        (GOOD[:-3], "answer_not_json"),
        (f"{SHOWN}\n{GOOD[:-3]}", "answer_not_json"),
        (f"{SHOWN}\n{GOOD[:-1]}", "answer_not_json"),
        (f"{SHOWN} becomes {{'turns': []}}", "answer_not_json"),
        (f'{SHOWN}\n```json\n[{{"role": "user",', "answer_not_json"),
        (f"<think>I was given {SHOWN}</think> I cannot do that.", "answer_not_json"),
        (f"<think>I was given {SHOWN} and so", "answer_not_json"),
        (f"{SHOWN}</think>", "answer_not_json"),
        ('{"turns": ' + "[" * 100_000, "answer_not_json"),
        ('{"turns": "Is it?"}', "answer_not_turns"),
        ('{"turns": ["Is it?", "It is."]}', "answer_not_turns"),
        ('{"turns": []}', "answer_other_turns"),
        (GOOD.replace("assistant", "user"), "answer_other_turns"),
        (GOOD.replace("]}", ', {"role": "user", "text": "Oh?"}]}'), "answer_other_turns"),
        ('{"turns": [{"role": ["user"], "text": "A"}, {"text": "B"}]}', "answer_other_turns"),
        (GOOD.replace('"It is."', "7"), "answer_without_text"),
        (GOOD.replace("It is.", " "), "answer_without_text"),
        (GOOD.replace("It is.", r"\ud83d it is."), "answer_without_text"),
        (GOOD.replace('"text": "It is."', '"said": "It is."'), "answer_without_text"),
    ],
)
def test_what_is_not_as_asked_is_no_answer(content, reason):
    with pytest.raises(DialogueRejected) as rejected:
        texts(content, BOTH)
    assert rejected.value.reason == reason
    assert len(rejected.value.detail) < 300


@pytest.mark.parametrize(
    ("text", "language"),
    [("Is it 5%?", "en"), ("- One\n- Two", "en"), ("It is **that**.", "en"), ("是3个。", "zh"), ("See a/b.", "en")],
)
def test_what_was_shown_and_cannot_be_said_as_it_stands_is_no_answer(text, language):
    with pytest.raises(DialogueRejected, match="answer_not_rewritten"):
        check_rewritten(["Yes.", text + "\n"], ["Yes.", text], language)
    check_rewritten(["Yes!", text], ["Yes.", text], language)


@pytest.mark.parametrize(
    ("text", "language"),
    [("It’s  fine", "en"), ("Where is the café?", "en"), ("是三个。", "zh"), ("Well, Dr. Who?\nYes!", "en")],
)
def test_what_could_be_said_already_may_come_back_as_it_was(text, language):
    check_rewritten([text], [text], language)


def rules(**limits):
    return RulesRewriter(Rewriting(**limits))


def test_digits_and_symbols_that_a_model_still_writes_are_read_out():
    result = spoken(dialogue("What's 5% of $20?", "**One dollar** — that's all 😀."), rules())
    assert [turn.text for turn in result.dialogue.turns] == [
        "What's five percent of twenty dollars?",
        "One dollar, that's all.",
    ]
    assert result.notes == (EMOJI_LEFT_OUT,)


@pytest.mark.parametrize(
    ("user", "reply", "reason"),
    [
        ("Is it?", "one two three four five. Six.", "answer_reply_too_long"),
        ("One two three four five six?", "No.", "answer_user_turn_too_long"),
        ("Is it?", "Это так.", "answer_unspeakable"),
        ("Is it?", "...", "answer_nothing_to_say"),
        ("Is it?", "Yes. ![](x.png)", "answer_not_spoken"),
    ],
)
def test_what_cannot_be_said_as_it_is_is_no_answer(user, reply, reason):
    with pytest.raises(DialogueRejected) as rejected:
        spoken(dialogue(user, reply), rules(max_user_words=5, max_reply_words=5))
    assert rejected.value.reason == reason


def test_an_english_answer_to_a_chinese_dialogue_is_none():
    assert spoken(dialogue("iPhone 好用吗？", "好用。", language="zh"), rules()).dialogue.turns[1].text == "好用。"
    with pytest.raises(DialogueRejected, match="answer_other_language"):
        spoken(dialogue("Is it good?", "Yes, 好.", language="zh"), rules())


@given(st.lists(st.text(max_size=60), min_size=2, max_size=2), st.sampled_from(["en", "zh"]))
def test_whatever_a_model_says_comes_out_speakable_or_not_at_all(said, language):
    content = json.dumps({"turns": [{"role": role, "text": text} for role, text in zip(BOTH, said, strict=True)]})
    try:
        user, reply = texts(content, BOTH)
        result = spoken(dialogue(user, reply, language=language), rules())
    except DialogueRejected:
        return
    for turn in result.dialogue.turns:
        check_speakable(turn.text, language)
