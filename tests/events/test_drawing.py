"""What is drawn, and how it is woven into a dialogue by rule."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import ASIDES, BARGE_IN, STOPPING, TURN
from duplexgen.pipeline.events.drawing import ALONE, TAKE_NEXT, draw
from duplexgen.pipeline.events.phrases import ASSISTANT_BACKCHANNEL, PHRASES
from duplexgen.pipeline.events.section import Events
from duplexgen.pipeline.events.writing import RulesWriter
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.events.llm.conftest import TALK, always, dialogue

texts = st.lists(st.integers(1, 60).map(lambda words: " ".join(["word"] * words)), min_size=2, max_size=12)


def test_kinds_are_those_of_dialogues() -> None:
    assert {*ALONE, *TAKE_NEXT, BARGE_IN} == set(STOPPING)
    for phrases in PHRASES.values():
        assert phrases.keys() <= {*STOPPING, *ASIDES, ASSISTANT_BACKCHANNEL}


@given(texts, st.integers(0, 2**31), st.sampled_from(["en", "zh"]))
def test_by_rule_the_dialogue_stays_and_events_are_added(said: list[str], seed: int, language: str) -> None:
    before = dialogue(*said, language=language)
    events = list(draw(Events(), seed, before))
    after = RulesWriter(Events(), Rewriting(), seed).write(before)
    floor = [turn for turn in after.turns if turn.kind not in (*ASIDES, *ALONE)]
    again = sum(event.kind == "repetition" for event in events)
    assert len(floor) == len(before.turns) + again
    assert len(after.turns) == len(before.turns) + again + sum(event.kind not in TAKE_NEXT for event in events)
    for event in events:
        assert before.turns[event.during].role == ("user" if event.kind == ASSISTANT_BACKCHANNEL else "assistant")
        if event.kind in TAKE_NEXT:
            following = next(turn for turn in after.turns if turn.kind == event.kind)
            assert following.text.endswith(before.turns[event.during + 1].text) or len(events) > 1


def test_shares_hold() -> None:
    kinds = Counter(
        event.kind for seed in range(2000) for event in draw(Events(), seed, dialogue("Is it?", "It is.", *TALK))
    )
    replies = 2000 * 3
    assert abs(kinds["backchannel"] / replies - 0.3) < 0.02
    assert abs(sum(kinds[kind] for kind in ALONE) / replies - 0.3 * 0.3) < 0.02


def test_an_interruption_needs_a_next_turn_unless_it_is_one() -> None:
    for kind in (*TAKE_NEXT, *ALONE):
        after = RulesWriter(always(kind), Rewriting(), 0).write(dialogue("Is it?", "It is."))
        kinds = [turn.kind for turn in after.turns]
        assert kinds[:2] == [TURN, TURN] and (kind in kinds) == (kind in ALONE)
