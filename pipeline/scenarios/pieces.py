"""Pieces: the utterances of a dialogue on one channel, one after the other (FLM-Audio section 3.1).

The paper's TTS style has them on the assistant's channel, its ASR style on the user's. Nothing answers anything. In ASR
style, the text of a piece is written after it, one id per frame, before the next piece starts.
"""

import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from ..dialogue import CHANNELS, TURN, Event, Role, Timeline
from ..recipe.sections import Range
from .scenario import Amount, Clock, Grid, Late, Lateness, Spoken
from .section import Timing


class PiecesTiming(Timing):
    scenario: Literal["pieces"] = "pieces"
    channel: Role = "assistant"  # user: room for a transcript is left after each piece
    # Ours: the paper says only that it is random. It starts where a piece ends, or its transcript.
    silence_s: Range = Range(low=0.5, high=2.0)
    lead_in_s: Range = Range(low=0.16, high=0.8)  # two frames of 80 ms, for text that leads the first piece

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"reply_delay_s", "next_turn_gap_s", "fade_s"})

    @property
    def channels(self) -> frozenset[Role]:
        return frozenset({self.channel})


@dataclass(frozen=True)
class Pieces:
    """Each utterance keeps the voice of its speaker, on whichever channel it stands."""

    timing: PiecesTiming

    name: ClassVar[str] = "pieces"
    Spec: ClassVar[type[Timing]] = PiecesTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ()
    TAKES_EVENTS: ClassVar[bool] = False

    @property
    def needs_text_ids(self) -> bool:
        return self.timing.channel == "user"

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        events: list[Event] = []
        start, written = clock.draw(self.timing.lead_in_s), 0
        for index, utterance in enumerate(spoken):
            end = start + utterance.num_samples
            events.append(Event(index, self.timing.channel, TURN, start, end, end))
            written = self._written(end, utterance.text_ids, clock)
            start = written + clock.draw(self.timing.silence_s)
        return Timeline(tuple(events), written + clock.samples(self.timing.tail_s))

    def _written(self, end_sample: int, text_ids: int | None, grid: Grid) -> int:
        """The sample at which a piece and its transcript are over. text_ids: of the piece."""
        if not self.needs_text_ids:
            return end_sample
        if text_ids is None:
            raise ValueError("the number of text ids of a piece is not known")
        return (grid.frames(end_sample) + text_ids) * grid.frame_samples

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        for index, event in enumerate(events):
            if event.channel != self.timing.channel:
                yield f"event {index} is on the channel of the {event.channel}, expected {self.timing.channel}"
            if event.kind != TURN:
                yield f"event {index} is of the kind {reprlib.repr(event.kind)}, expected {TURN}"
            if event.answers is not None or event.is_cut:
                yield f"event {index} answers another event or is cut, and pieces do neither"
        if events and not grid.within(events[0].start_sample, self.timing.lead_in_s):
            yield f"the first piece starts at sample {events[0].start_sample}, outside lead_in_s"
        for index, (before, event) in enumerate(pairwise(events), start=1):
            ids = None if text_ids is None else text_ids[index - 1]
            silence = event.start_sample - self._written(before.end_sample, ids, grid)
            if not grid.within(silence, self.timing.silence_s):
                over = "the transcript of the piece" if self.needs_text_ids else "the piece"
                yield f"event {index} starts {silence} samples after {over} before it, outside silence_s"

    def speakers(self, events: Sequence[Event]) -> Sequence[Role]:
        """They take turns, and the user is first."""
        return [CHANNELS[index % 2] for index in range(len(events))]

    def pauses_s(self, amount: Amount) -> float:
        transcripts_s = sum(amount.text_ids.values()) * amount.frame_s if self.needs_text_ids else 0.0
        return transcripts_s + 2 * amount.exchanges * self.timing.silence_s.mean

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        for before, event in pairwise(events):
            yield "silence_s", (event.start_sample - before.end_sample) / sample_rate

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        return []

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        yield "a reply is late: in this scenario nothing is a reply"
