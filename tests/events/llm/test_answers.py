"""What an answer must be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import words_of
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.events.drawing import Drawn
from duplexgen.pipeline.events.llm.answers import MARK_NOT_FOUND, REPEATED_VERBATIM, place, said
from duplexgen.pipeline.events.writing import Said
from duplexgen.pipeline.rewriting.characters import EMOJI_LEFT_OUT, check_speakable
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.events.llm.conftest import REPLY, TEXTS, dialogue

ALL = [Drawn(kind, 2 if kind == "assistant_backchannel" else 1, "") for kind in TEXTS]
ZH = ("城堡几点开门？", "城堡九点开门，你可以从老桥走上去，门票四镑。", "下午有车上去吗？", "有，每小时一班。")


def entry(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "text": TEXTS[kind], "after": "at nine", "reply": "It opens at nine."} | changes


def answered(*entries: dict[str, Any], **limits: Any) -> tuple[list[Said], tuple[str, ...]]:
    wanted = [Drawn(one["kind"], 1, "") for one in entries]
    return said(json.dumps({"events": entries}), dialogue(), wanted, Rewriting(**limits))


def test_each_kind_is_read() -> None:
    events, notes = said(json.dumps({"events": [entry(one.kind) for one in ALL]}), dialogue(), ALL, Rewriting())
    assert [event.text for event in events] == list(TEXTS.values())
    assert [event.at_word for event in events] == [4] * 5 + [None] * 4
    assert [event.reply for event in events if event.reply] == ["It opens at nine."]
    assert notes == ()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (entry("negation", text=" "), "answer_without_text"),
        (entry("negation", text=7), "answer_without_text"),
        (entry("negation", text="No \ud83d."), "answer_without_text"),
        (entry("negation", text="..."), "answer_nothing_to_say"),
        (entry("negation", text="Это так."), "answer_unspeakable"),
        (entry("negation", text="See ![](x.png) that."), "answer_not_spoken"),
        (entry("negation", text="one two three four five six seven."), "answer_user_turn_too_long"),
        (entry("repetition", reply=""), "answer_without_text"),
        (entry("repetition", reply=None), "answer_without_text"),
        (entry("repetition", reply="one two three four. Five six seven."), "answer_reply_too_long"),
        (entry("repetition", text="word " * 21), "answer_user_turn_too_long"),
        (entry("backchannel", text="I see what you mean."), "answer_user_turn_too_long"),
        (entry("assistant_backchannel", text="I see. Say no more now."), "answer_reply_too_long"),
        (entry("bystander", text="word " * 21), "answer_user_turn_too_long"),
    ],
)
def test_what_cannot_be_said_or_is_too_long_is_no_answer(bad: dict[str, Any], reason: str) -> None:
    with pytest.raises(DialogueRejected) as rejected:
        answered(entry("side_talk"), bad, max_user_words=6, max_reply_words=6)
    assert rejected.value.reason == reason
    assert rejected.value.detail.startswith(f"entry 2 of 2 ({bad['kind']})") and "turn 1" not in rejected.value.detail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("I cannot do that.", "answer_not_json"),
        ('{"events": [{"kind": "negation"', "answer_not_json"),
        ('{"turns": []}', "answer_not_json"),
        ('{"events": "none"}', "answer_not_events"),
        ('{"events": []}', "answer_other_events"),
        (json.dumps({"events": [entry("backchannel")]}), "answer_other_events"),
        (json.dumps({"events": [entry("negation")] * 2}), "answer_other_events"),
    ],
)
def test_what_is_not_as_asked_is_no_answer(content: str, reason: str) -> None:
    with pytest.raises(DialogueRejected) as rejected:
        said(content, dialogue(), [Drawn("negation", 1, "")], Rewriting())
    assert rejected.value.reason == reason


def test_what_a_rewriter_may_still_write_is_read_out_here_too() -> None:
    events, notes = answered(entry("negation", text="No, the one for **$5** 😀"))
    assert events[0].text == "No, the one for five dollars."
    assert notes == (EMOJI_LEFT_OUT,)


def test_english_in_a_chinese_dialogue_is_no_answer() -> None:
    talk, wanted = dialogue(*ZH, language="zh"), [Drawn("negation", 1, ""), Drawn("backchannel", 1, "")]

    def of(text: str) -> str:
        back = entry("backchannel", text="OK")
        return json.dumps({"events": [entry("negation", text=text, after="九点开门"), back]})

    events, notes = said(of("不对，我问的是车。"), talk, wanted, Rewriting())
    assert (events[0].text, events[0].at_word, events[1].text) == ("不对，我问的是车。", 5, "OK。")
    assert words_of(ZH[1], "zh")[5] == "门，" and notes == ()
    with pytest.raises(DialogueRejected, match="answer_other_language"):
        said(of("No, I asked about the bus."), talk, wanted, Rewriting())


@pytest.mark.parametrize("after", ["on the moon", "", "...", None, 7, "the", REPLY, "at the gate", ["at nine"]])
def test_a_place_that_is_not_told_is_left_to_the_scenario(after: object) -> None:
    events, notes = answered(entry("negation", after=after))
    assert events[0].at_word is None and notes == (MARK_NOT_FOUND,)
    bare = {key: value for key, value in entry("silence_request").items() if key != "after"}
    assert answered(bare)[1] == (MARK_NOT_FOUND,)


@pytest.mark.parametrize(
    "after", ["at nine", "OPENS at nine", "“opens at nine,”", "… at  nine", "the castle opens at nine"]
)
def test_marks_and_case_of_a_quotation_do_not_count(after: str) -> None:
    assert place(after, REPLY, "en") == 4


def test_a_reply_that_is_repeated_as_it_was_is_counted() -> None:
    events, notes = answered(entry("repetition", reply=REPLY.upper().capitalize()))
    assert notes == (REPEATED_VERBATIM,)
    assert events[0].reply


words = st.sampled_from(["one", "two,", "three", "-", "four.", "can't"])


@given(st.lists(words, min_size=1, max_size=12), st.data())
def test_a_place_is_the_end_of_its_only_quotation(told: list[str], data: st.DataObject) -> None:
    text = " ".join(told)
    start = data.draw(st.integers(0, len(told) - 1))
    end = data.draw(st.integers(start, len(told) - 1))
    at = place(" ".join(told[start : end + 1]), text, "en")
    if at is not None:
        quoted = [word for word in told[start : end + 1] if word != "-"]
        assert [word for word in told[: at + 1] if word != "-"][-len(quoted) :] == quoted
        assert any(word != "-" for word in told[at + 1 :])


@given(st.lists(st.text(max_size=40), min_size=3, max_size=3), st.sampled_from(["en", "zh"]))
def test_whatever_a_model_says_comes_out_speakable_or_not_at_all(text: list[str], language: str) -> None:
    talk = dialogue(*(ZH if language == "zh" else ()), language=language)
    content = json.dumps({"events": [entry("repetition", text=text[0], reply=text[1], after=text[2])]})
    try:
        events, _ = said(content, talk, [Drawn("repetition", 1, "")], Rewriting())
    except DialogueRejected:
        return
    for one in (events[0].text, events[0].reply):
        check_speakable(one, language)
