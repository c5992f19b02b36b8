"""What of a dialogue is measured: the events of the user's that stimuli end with, as the row's events say."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...pipeline.dialogue import ASIDES, BARGE_IN, STOPPING, TURN, Event
from ...pipeline.errors import DialogueRejected
from ...pipeline.scenarios.interruption import Interruption

PAUSE = "pause"
"""The kind of a target that is a turn with a pause in it. Events are of no such kind: `Event.pauses` says it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one stimulus measures."""

    kind: str  # TURN, PAUSE, one of STOPPING or one of ASIDES
    event: Event  # the user's, the last one that is heard


def targets(events: Sequence[Event], scenario: str) -> list[Target]:
    """What the stimuli of a row measure.

    If the user takes turns and barges in, and nothing else happens: the first turn, or, if a reply is cut, the event
    that cuts it. Else the first event of each kind, so at most one target per kind.

    Raises DialogueRejected if there is none, or if the scenario cuts a reply in each row and none is cut.
    """
    return _firsts(events) if any(map(_is_of_a_kind, events)) else [_last_question(events, scenario)]


def _is_of_a_kind(event: Event) -> bool:
    """Whether the papers' scenarios have no such event."""
    of_a_kind = event.kind in ASIDES or (event.kind in STOPPING and event.kind != BARGE_IN)
    return event.channel == "user" and (of_a_kind or bool(event.pauses))


def _last_question(events: Sequence[Event], scenario: str) -> Target:
    """The event that the model has to answer."""
    first = next((event for event in events if event.channel == "user"), None)
    if first is None:
        raise DialogueRejected("no_turns", "the user says nothing")
    cut_by = next((event.cut_by for event in events if event.cut_by is not None), None)
    if cut_by is None and scenario != Interruption.name:
        return Target(TURN, first)
    if cut_by is None or not 0 <= cut_by < len(events):
        raise DialogueRejected("nothing_interrupted", "no reply is cut by another event")
    return Target(BARGE_IN, events[cut_by])


def _firsts(events: Sequence[Event]) -> list[Target]:
    found: dict[str, Event] = {}
    cutting = {event.cut_by for event in events}
    first_turn = next((event for event in events if event.channel == "user" and event.kind not in ASIDES), None)
    for index, event in enumerate(events):
        if event.channel == "user" and (kind := _kind(event, index in cutting, event is first_turn)):
            found.setdefault(kind, event)
    if not found:
        raise DialogueRejected("no_turns", "the user says nothing that is measured")
    return [Target(kind, event) for kind, event in found.items()]


def _kind(event: Event, cuts: bool, is_first: bool) -> str | None:
    """What an event of the user's measures; None: nothing. A turn that is not the first may come during the model's
    reply, which need not end where the row's does, so the delay of the reply to it would say little.
    """
    if event.kind in ASIDES:
        return event.kind
    if cuts:
        return event.kind if event.kind in STOPPING else BARGE_IN
    if event.pauses:
        return PAUSE
    return TURN if is_first else None
