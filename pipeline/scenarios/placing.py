"""Where the utterances of a natural conversation lie, with what is said and not said beside its turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from ..dialogue import BACKCHANNEL, SILENCE_REQUEST, STOPPING, TURN, Event, Pause, Role, Timeline, Word
from ..recipe.sections import Range, Seconds, Share
from .barge_in import SILENCE_AFTER_STOP_S
from .profile import Profile
from .scenario import Clock, Spoken
from .section import Timing
from .turns import Cut

CLAUSE_ENDS = tuple(".,;:!?…。，；：！？、")
QUOTES = "\"'”’)]»」』"
BESIDE_S = 0.5
"""An aside leaves so much of the turn that it accompanies before it and after it."""
APART_S = 0.3
"""Two utterances on one channel are so far apart at least, if one of them is an aside."""
LARGEST_OVERLAP = 0.3
"""So much of a reply, at most, is covered by a next turn that does not interrupt it."""


def largest_overlap(reply_samples: int, turn_samples: int) -> int:
    """How much of a reply the next turn may cover if it does not interrupt it: it is not over before the reply is."""
    return min(round(LARGEST_OVERLAP * reply_samples), turn_samples)


def _human(value: Any) -> Any:
    return {} if value == "human" else value


class NaturalTiming(Timing):
    scenario: Literal["natural"] = "natural"
    reply_delay_s: Seconds = 0.24  # the least; more, if the profile draws more
    next_turn_gap_s: Range = Range(low=1.0, high=3.0)  # after a silence request
    profile: Annotated[Profile, BeforeValidator(_human)] = Profile()  # or `human`, which is the default
    reaction_delay_s: Range = Range(low=0.2, high=0.8)
    heard_before_barge_in_s: Seconds = 0.5
    pause_share: Share = 0.3  # of the user's turns: so many have a pause
    pause_s: Range = Range(low=0.3, high=2.0)  # what the profile draws is kept within
    after_reply_share: Share = 0.3  # of bystanders and side talk: so many come after the reply, not during it


@dataclass
class Placing:
    """Lays out one dialogue. Events refer to others by utterance until `timeline` numbers them.

    Asides of each turn are drawn by themselves, where there is room for them: turns, and asides of other turns, lie as
    they would without them. Only an aside after a reply moves the next turn, and all that follows.
    """

    timing: NaturalTiming
    clock: Clock
    spoken: Sequence[Spoken]
    asides: Mapping[int, Sequence[int]]  # of each turn, by utterance
    speakers_ms: float = field(init=False)
    beside_seed: int = field(init=False)  # of the draws for asides
    beside: Clock = field(init=False)  # draws for the asides of the turn that is placed
    events: dict[int, Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.speakers_ms = self.timing.profile.offset.draw_speakers_ms(self.clock.rng)
        self.beside_seed = int(self.clock.rng.integers(2**63))

    def run(self, floor: Sequence[int]) -> Timeline:
        """floor: the utterances that are no asides, in order; the first is the user's."""
        start, answers = self.clock.draw(self.timing.lead_in_s), None
        cut: Event | None = None  # the reply that the turn now placed interrupts
        for number, (index, following) in enumerate(zip(floor, (*floor[1:], None), strict=True)):
            one = self.spoken[index]
            self.beside = replace(self.clock, rng=np.random.default_rng([self.beside_seed, number]))
            if one.channel == "user":
                if one.kind == SILENCE_REQUEST and cut is None:
                    continue  # nobody is to be silenced
                event = self._user_turn(index, start, one.kind if cut else TURN)
                silences = event.kind == SILENCE_REQUEST
                stopped = max(event.end_sample, cut.end_sample) if cut else event.end_sample
                start = stopped + self.clock.draw(self.timing.next_turn_gap_s) if silences else self._reply_start(event)
                answers, cut = None if silences else index, None
            else:
                cut, start = self._reply(index, start, answers, following)
                answers = None
        return self._timeline()

    def _user_turn(self, index: int, start: int, kind: str) -> Event:
        one = self.spoken[index]
        pauses = self._pauses(one)
        end = start + one.num_samples + sum(pause.num_samples for pause in pauses)
        event = Event(index, "user", kind, 0, end - start, end - start, pauses=pauses).later(start)
        self.events[index] = event
        self._accompany(event, hesitant_words(one.words, pauses), self.asides[index], end)
        return event

    def _pauses(self, one: Spoken) -> tuple[Pause, ...]:
        """At most one pause, between two words; in samples of the utterance with its pause."""
        words = one.words or ()
        edge = self.clock.samples(self.timing.pause_s.low)
        places = [
            (before.end_sample + after.start_sample) // 2
            for before, after in pairwise(words)
            if before.end_sample <= after.start_sample and edge <= before.end_sample <= one.num_samples - edge
        ]
        if not self.clock.rng.random() < self.timing.pause_share or not places:
            return ()
        at = places[self.clock.draw_between(0, len(places) - 1)]
        drawn = self.clock.samples(self.timing.profile.pause.draw_ms(self.clock.rng) / 1000)
        low, high = (self.clock.samples(edge_s) for edge_s in (self.timing.pause_s.low, self.timing.pause_s.high))
        return (Pause(at, at + min(max(drawn, low), high)),)

    def _reply_start(self, turn: Event) -> int:
        return turn.end_sample + max(self.clock.samples(self.timing.reply_delay_s), self._offset())

    def _offset(self) -> int:
        """From the end of a turn to the start of the next one, in samples; negative if they overlap."""
        return self.clock.samples(self.timing.profile.offset.draw_ms(self.speakers_ms, self.clock.rng) / 1000)

    def _reply(self, index: int, start: int, answers: int | None, following: int | None) -> tuple[Event | None, int]:
        """Place a reply; returns it if the next turn interrupts it, else None, and the start of the next turn."""
        one = self.spoken[index]
        cut = None if following is None else self._cut(one, self.spoken[following])
        whole_end = start + one.num_samples
        event = Event(index, "assistant", TURN, start, whole_end, whole_end, answers)
        if cut:
            event = replace(event, end_sample=start + cut.barge_in + cut.reaction, cut_by=following)
        self.events[index] = event
        next_start = start + cut.barge_in if cut else self._next_start(event, following)
        during, after = self._divided(self.asides[index], event)
        last = self._accompany(event, one.words, during, next_start - self.clock.samples(APART_S))
        if cut:
            return event, next_start
        for aside in after:
            last = self._put(aside, max(whole_end, last) + self.clock.samples(APART_S))
            next_start = max(next_start, last + self.clock.samples(APART_S))
        return None, next_start

    def _next_start(self, reply: Event, following: int | None) -> int:
        """Where the next turn starts if it does not interrupt the reply."""
        length = self.spoken[following].num_samples if following is not None else 0
        covered = largest_overlap(reply.end_sample - reply.start_sample, length)
        return reply.end_sample + max(-covered, self._offset())

    def _cut(self, reply: Spoken, turn: Spoken) -> Cut | None:
        """Where a turn interrupts a reply; None if it does not, or cannot.

        Some of the reply is heard before, there is some left to cut, and the assistant is silent before it answers.
        """
        if turn.kind not in STOPPING:
            return None
        timing, clock = self.timing, self.clock
        shortest, longest = clock.samples(timing.reaction_delay_s.low), clock.samples(timing.reaction_delay_s.high)
        if turn.kind != SILENCE_REQUEST:
            before_answer = turn.num_samples + clock.samples(timing.reply_delay_s)
            longest = min(longest, before_answer - clock.samples(SILENCE_AFTER_STOP_S))
        low, high = clock.samples(timing.heard_before_barge_in_s), reply.num_samples - shortest - 1
        at = _place(clock, reply.words, low, high, turn.at_word)
        if at is None or longest < shortest:
            return None
        return Cut(at, clock.draw_between(shortest, min(longest, reply.num_samples - at - 1)))

    def _divided(self, asides: Sequence[int], reply: Event) -> tuple[list[int], list[int]]:
        """Asides during a reply, and those after it; none comes after a reply that is cut."""
        after = [
            index
            for index in asides
            if self.spoken[index].kind != BACKCHANNEL
            and self.beside.rng.random() < self.timing.after_reply_share
            and not reply.is_cut
        ]
        return [index for index in asides if index not in after], after

    def _accompany(self, turn: Event, words: Sequence[Word] | None, asides: Sequence[int], latest: int) -> int:
        """Place asides during a turn, as far as there is room; returns where the last one ends, or the turn's start.

        words: in samples from the start of the turn. latest: the sample at which they must be over.
        """
        margin, apart = self.clock.samples(BESIDE_S), self.clock.samples(APART_S)
        high = min(latest, turn.end_sample - margin) - turn.start_sample
        end = turn.start_sample
        for number, index in enumerate(asides):
            one = self.spoken[index]
            low = max(margin, self._free(one.channel) - turn.start_sample)
            later = sum(self.spoken[other].num_samples + apart for other in asides[number + 1 :])
            room = high - later if high - later - one.num_samples >= low else high
            at = _place(self.beside, words, low, room - one.num_samples, one.at_word)
            if at is None:
                continue
            end = self._put(index, turn.start_sample + at)
        return end

    def _free(self, channel: Role) -> int:
        """The first sample at which somebody may say an aside on a channel, after all that is placed on it."""
        ends = [event.end_sample for event in self.events.values() if event.channel == channel]
        return max(ends) + self.clock.samples(APART_S) if ends else 0

    def _put(self, index: int, start: int) -> int:
        """Place an aside; returns where it ends."""
        one = self.spoken[index]
        end = start + one.num_samples
        self.events[index] = Event(index, one.channel, one.kind, start, end, end)
        return end

    def _timeline(self) -> Timeline:
        ordered = sorted(self.events.values(), key=lambda event: (event.start_sample, event.utterance))
        place: dict[int | None, int] = {event.utterance: index for index, event in enumerate(ordered)}
        events = tuple(
            replace(event, answers=place.get(event.answers), cut_by=place.get(event.cut_by)) for event in ordered
        )
        end = max(event.end_sample for event in events) + self.clock.samples(self.timing.tail_s)
        return Timeline(events, end)


def _place(clock: Clock, words: Sequence[Word] | None, low: int, high: int, at_word: int | None) -> int | None:
    """A sample within [low, high]: the end of the word that is asked for, of a clause, of a word, or any.

    None if there is no such sample.
    """
    if high < low:
        return None
    for places in _places(words or (), at_word):
        if within := [place for place in places if low <= place <= high]:
            return within[clock.draw_between(0, len(within) - 1)]
    return clock.draw_between(low, high)


def _places(words: Sequence[Word], at_word: int | None) -> Iterator[list[int]]:
    """Ends of words, the most wanted first."""
    if at_word is not None:
        yield [word.end_sample for word in words[at_word : at_word + 1]]
    yield [word.end_sample for word in words if word.text.rstrip(QUOTES).endswith(CLAUSE_ENDS)]
    yield [word.end_sample for word in words]


def hesitant_words(words: Sequence[Word] | None, pauses: Sequence[Pause]) -> tuple[Word, ...] | None:
    """Words as they are heard with pauses between them. pauses: in samples of the result, in order."""
    if words is None:
        return None
    for pause in pauses:
        words = [
            word
            if word.end_sample <= pause.start_sample
            else Word(word.text, word.start_sample + pause.num_samples, word.end_sample + pause.num_samples)
            for word in words
        ]
    return tuple(words)
