"""What of a row is measured."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import (
    ASIDES,
    BACKCHANNEL,
    BARGE_IN,
    BYSTANDER,
    FOLLOW_UP,
    NEGATION,
    SILENCE_REQUEST,
    STOPPING,
    TURN,
    Event,
    Pause,
    Role,
)
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.training.metrics.targets import PAUSE, targets

KINDS = (*STOPPING, *ASIDES, PAUSE)


def event(index: int, channel: Role, kind: str = TURN, cut_by: int | None = None, pauses: int = 0) -> Event:
    """One second long, at a second of its own. Whom it answers does not matter here."""
    start = 1000 * index
    within = tuple(Pause(start + 100 * number, start + 100 * number + 50) for number in range(1, pauses + 1))
    return Event(index, channel, kind, start, start + 1000, start + 1000, None, cut_by, None, within)


def found(*events: Event) -> list[tuple[str, int]]:
    """The kind of each target, and the place of its event."""
    return [(target.kind, target.event.utterance) for target in targets(events, "any")]


def talk(kinds: Sequence[str]) -> list[Event]:
    """A question, and for each kind a reply with such an event of the user's during or after it."""
    events = [event(0, "user")]
    for kind in kinds:
        index = len(events)
        cut_by = index + 1 if kind in STOPPING else None
        events.append(event(index, "assistant", cut_by=cut_by))
        events.append(event(index + 1, "user", TURN if kind == PAUSE else kind, pauses=kind == PAUSE))
    return events


@given(st.lists(st.sampled_from([TURN, BARGE_IN]), max_size=8), st.integers(0, 3))
def test_turns_and_barge_ins_give_one_target(kinds: list[str], in_passing: int) -> None:
    """The first reply that is cut decides, as in the papers' data sets; what the assistant says in passing does not."""
    events = talk(kinds)
    events += [event(len(events) + number, "assistant", BACKCHANNEL) for number in range(in_passing)]
    cut_by = [one.cut_by for one in events if one.cut_by is not None]
    assert found(*events) == [(BARGE_IN, cut_by[0]) if cut_by else (TURN, 0)]


@given(st.lists(st.sampled_from((TURN, *KINDS)), max_size=12).filter(lambda kinds: set(kinds) - {TURN, BARGE_IN}))
def test_else_the_first_event_of_each_kind(kinds: list[str]) -> None:
    events = talk(kinds)
    firsts = {kind: 2 + 2 * kinds.index(kind) for kind in KINDS if kind in kinds}
    assert dict(found(*events)) == {TURN: 0} | firsts
    assert len(found(*events)) == 1 + len(firsts), "no kind is there twice"


def test_a_question_with_a_pause_is_no_plain_question() -> None:
    assert found(event(0, "user", pauses=2), event(1, "assistant"), event(2, "user", BACKCHANNEL)) == [
        (PAUSE, 0),
        (BACKCHANNEL, 2),
    ]
    assert found(event(0, "user", pauses=1)) == [(PAUSE, 0)]


def test_an_aside_before_the_first_turn_is_no_question() -> None:
    assert found(event(0, "user", BYSTANDER), event(1, "user"), event(2, "assistant")) == [(BYSTANDER, 0), (TURN, 1)]


def test_what_interrupts_nothing_is_an_ordinary_turn() -> None:
    """The first turn is measured; a later one may come during the model's own reply."""
    assert found(event(0, "user", NEGATION), event(1, "assistant"), event(2, "user", FOLLOW_UP)) == [(TURN, 0)]


def test_a_pause_in_what_interrupts_is_no_target() -> None:
    events = (event(0, "user"), event(1, "assistant", cut_by=2), event(2, "user", SILENCE_REQUEST, pauses=1))
    assert found(*events) == [(TURN, 0), (SILENCE_REQUEST, 2)]


def test_pauses_and_backchannels_of_the_assistants_are_not_measured() -> None:
    events = (event(0, "user"), event(1, "assistant", BACKCHANNEL), event(2, "assistant", pauses=1))
    assert found(*events) == [(TURN, 0)]


def test_a_row_without_targets() -> None:
    with pytest.raises(DialogueRejected, match="no_turns"):
        found(event(0, "assistant"))
    with pytest.raises(DialogueRejected, match="nothing_interrupted"):
        found(event(0, "user"), event(1, "assistant", cut_by=7))
    with pytest.raises(DialogueRejected, match="nothing_interrupted"):
        targets([event(0, "user")], "interruption")
