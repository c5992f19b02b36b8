"""Events that are written into dialogues: a function of seed and id, in the shares that a recipe says."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from duplexgen.pipeline.dialogue import (
    ASIDES,
    BACKCHANNEL,
    BARGE_IN,
    FOLLOW_UP,
    REPETITION,
    SILENCE_REQUEST,
    STOPPING,
    TURN,
    Dialogue,
    Turn,
)
from duplexgen.pipeline.events.phrases import ASSISTANT_BACKCHANNEL, PHRASES
from duplexgen.pipeline.events.section import BargeIns, DuringReplies, Events
from duplexgen.pipeline.events.writing import LONG_TURN_WORDS, EventWriter
from duplexgen.pipeline.rewriting.rules import RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.kokoro import READERS, vocabulary

SPLITS = ("train", "held_out")
KINDS = {*ASIDES, *STOPPING, ASSISTANT_BACKCHANNEL} - {BARGE_IN, FOLLOW_UP}
"""Those that have phrases: a follow-up says what the next turn says, and of a mere barge-in no more is known."""
LANGUAGES = sorted(PHRASES)
LINES = {
    "en": (
        "Tell me of the harbour, please.",
        "It lies in the north, where the river is wide, and ships come and go all day.",
    ),
    "zh": ("请跟我说说那个港口。", "它在北边，河面很宽，船整天来来往往。"),
}
LONG = {
    "en": "I would like to know everything that you can tell me of the old harbour.",
    "zh": "我想知道关于那个老港口的所有事情，请都告诉我。",
}


def talk(name: str, language: str = "en", exchanges: int = 3, user: Mapping[str, str] | None = None) -> Dialogue:
    asked, replied = (user or {}).get(language, LINES[language][0]), LINES[language][1]
    return Dialogue(name, "test", language, (Turn("user", asked), Turn("assistant", replied)) * exchanges)


def phrases(language: str, split: str) -> list[str]:
    return [text for kind in PHRASES[language].values() for text in kind[split]]


dialogues = st.builds(
    talk, st.text(max_size=8), st.sampled_from(LANGUAGES), st.integers(1, 8), st.sampled_from([None, LONG])
)
sections = st.builds(
    lambda during, share, split: Events(
        during_replies=DuringReplies.model_validate(during), assistant_backchannel=share, phrases=split
    ),
    st.sampled_from(
        [{}, *({kind: float(kind == one) for kind in DuringReplies.model_fields} for one in DuringReplies.model_fields)]
    ),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from(SPLITS),
)


@given(sections, st.integers(0, 99), dialogues)
def test_what_is_written_is_a_function_of_section_seed_and_dialogue(
    spec: Events, seed: int, dialogue: Dialogue
) -> None:
    writer = EventWriter(spec, seed)
    once = writer.write(dialogue)
    writer.write(talk("another"))
    assert once == writer.write(dialogue) == EventWriter(spec, seed).write(dialogue)


def test_other_seeds_and_other_ids_give_other_events() -> None:
    def written(seed: int, name: str) -> tuple[Turn, ...]:
        return EventWriter(Events(), seed).write(talk(name, exchanges=8)).turns

    assert len({written(seed, "a") for seed in range(20)}) == len({written(0, str(name)) for name in range(20)}) == 20


@given(sections, st.integers(0, 99), dialogues)
def test_every_turn_is_kept_and_what_is_added_is_of_its_split(spec: Events, seed: int, dialogue: Dialogue) -> None:
    """An interruption is the next turn, after its phrase; after a repetition comes the reply again."""
    turns = [*EventWriter(spec, seed).write(dialogue).turns]
    known, kept = set(phrases(dialogue.language, spec.phrases)), [*dialogue.turns]
    for before, turn in zip((None, *turns), turns, strict=False):
        if turn.kind in (*ASIDES, REPETITION, SILENCE_REQUEST):
            assert turn.text in known
        elif before is not None and before.kind == REPETITION:
            assert turn.role == "assistant" and turn.text in {one.text for one in dialogue.turns}
        else:
            original = kept.pop(0)
            assert turn.role == original.role and turn.text.endswith(original.text)
            added = turn.text.removesuffix(original.text).strip()
            assert added in known if added else turn.kind in (TURN, FOLLOW_UP)
    assert kept == []
    floor = [turn for turn in turns if turn.takes_floor]
    for one, other in pairwise(floor):
        assert one.role != other.role or one.kind == SILENCE_REQUEST
    assert all(turn.kind in (TURN, BACKCHANNEL) for turn in turns if turn.role == "assistant")


@pytest.mark.parametrize("language", LANGUAGES)
def test_shares_are_those_of_the_recipe(language: str) -> None:
    """Of 4,800 replies that a turn follows. After the last reply of a dialogue, no next turn can interrupt."""
    spec = Events()
    counts: Counter[str] = Counter()
    users = 0
    for number in range(1200):
        turns = EventWriter(spec, 5).write(talk(str(number), language, 5, LONG)).turns
        floor = [index for index, turn in enumerate(turns) if turn.takes_floor]
        replies = 0
        for before, at, following in zip((None, *floor), floor, (*floor[1:], len(turns)), strict=False):
            asides = turns[at + 1 : following]
            if turns[at].role == "user":
                users += turns[at].kind not in (REPETITION, SILENCE_REQUEST)
                counts[ASSISTANT_BACKCHANNEL] += bool(asides)
            elif before is not None and turns[before].kind != REPETITION and (replies := replies + 1) < 5:
                counts.update({turn.kind for turn in asides})
                counts[turns[following].kind] += 1
    during, how = spec.during_replies, spec.barge_ins.shares()
    wanted = {kind: during.barge_in * share for kind, share in how.items()}
    wanted |= {kind: getattr(during, kind) for kind in ASIDES}
    for kind, share in wanted.items():
        assert binomtest(counts[kind], 4800, share).pvalue > 1e-4, kind
    assert users == 6000
    assert binomtest(counts[ASSISTANT_BACKCHANNEL], users, spec.assistant_backchannel).pvalue > 1e-4


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_phrase_is_said_about_as_often_as_any_other(language: str) -> None:
    spec = Events(during_replies=DuringReplies(barge_in=0, backchannel=0, bystander=1, side_talk=0))
    said = Counter(
        turn.text
        for number in range(400)
        for turn in EventWriter(spec, 1).write(talk(str(number), language, 4)).turns
        if turn.kind in ASIDES
    )
    expected = PHRASES[language]["bystander"]["train"]
    assert set(said) == set(expected) and said.total() == 1600
    assert all(binomtest(count, 1600, 1 / len(expected)).pvalue > 1e-5 for count in said.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_long_turns_are_accompanied_by_the_assistant(language: str) -> None:
    spec = Events(
        during_replies=DuringReplies(barge_in=0, backchannel=0, bystander=0, side_talk=0), assistant_backchannel=1
    )
    for user, expected in ((LONG, 3), (None, 0)):
        turns = EventWriter(spec, 0).write(talk("a", language, 3, user)).turns
        assert sum(turn.kind == BACKCHANNEL for turn in turns) == expected * (user is LONG)
    assert LONG_TURN_WORDS == 10


def test_longer_replies_have_more_backchannels() -> None:
    spec = Events(during_replies=DuringReplies(barge_in=0, backchannel=1, bystander=0, side_talk=0))
    for words, expected in ((5, 1), (24, 1), (25, 2), (50, 3), (400, 3)):
        dialogue = Dialogue(
            "a", "test", "en", (Turn("user", "Hello."), Turn("assistant", "word " * (words - 1) + "end."))
        )
        assert [turn.kind for turn in EventWriter(spec, 0).write(dialogue).turns[2:]] == [BACKCHANNEL] * expected


def test_a_barge_in_after_the_last_reply_is_one_that_needs_no_next_turn() -> None:
    spec = Events(during_replies=DuringReplies(barge_in=1, backchannel=0, bystander=0, side_talk=0))
    ends = {EventWriter(spec, seed).write(talk("a", exchanges=1)).turns[2:][:1] for seed in range(100)}
    assert {end[0].kind if end else None for end in ends} == {None, REPETITION, SILENCE_REQUEST}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_phrases_of_every_kind_and_split(language: str) -> None:
    assert set(PHRASES[language]) == KINDS
    for kind, splits in PHRASES[language].items():
        assert set(splits) == set(SPLITS), kind
        for split, texts in splits.items():
            assert texts and len(set(texts)) == len(texts), (kind, split)


def bare(text: str) -> str:
    """A phrase as it is heard, without signs."""
    return "".join(character for character in text.lower() if character.isalnum())


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_kind_shares_a_phrase_of_evaluation_with_one_of_training(language: str) -> None:
    """The assistant's own backchannels are apart: what the user hears is no stimulus."""
    for own in (True, False):
        trained, held_out = (
            {
                bare(text)
                for kind, of in PHRASES[language].items()
                if (kind == ASSISTANT_BACKCHANNEL) == own
                for text in of[split]
            }
            for split in SPLITS
        )
        assert not trained & held_out


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_each_phrase_has_phonemes_for_each_word_and_needs_no_rewriting(language: str, split: str) -> None:
    symbols, rules = vocabulary(), RulesRewriter(Rewriting())
    for text in phrases(language, split):
        pieces = READERS[language](text, symbols)
        assert any(piece.phonemes.strip() for piece in pieces), text
        assert all(symbol in symbols for piece in pieces for symbol in piece.phonemes), text
        dialogue = Dialogue("a", "test", language, (Turn("user", text), Turn("assistant", text)))
        (result,) = rules.rewrite_all([dialogue])
        assert result.dialogue == dialogue  # type: ignore[union-attr]
    assert any(language in voice.languages for voice in bank.voices().values())


def test_shares_that_do_not_add_up() -> None:
    with pytest.raises(ValueError, match=r"expected shares that add up to 1 at most, got 1\.2"):
        DuringReplies(barge_in=0.7)
    with pytest.raises(ValueError, match=r"expected shares that add up to 1, got 0\.8"):
        BargeIns(repetition=0)
    assert DuringReplies(barge_in=0.5).shares() and BargeIns(repetition=0, follow_up=0.5).shares()
