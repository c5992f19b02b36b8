"""When each utterance is spoken: turn-taking and interruption (BayLing-Duplex section 3).

Seconds are drawn and become whole samples at once; everything after is integer arithmetic.
What the paper leaves open is marked "ours" in the documentation of each rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..dialogue import Placement, Role, Timeline
from ..errors import DialogueRejected
from ..recipe.sections import Range
from .section import Timing

SILENCE_AFTER_STOP_S = 0.5
"""Ours: an interrupted assistant is silent at least this long before it answers the interrupting turn."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Draws times of one dialogue in whole samples."""

    rng: np.random.Generator
    sample_rate: int

    def samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def draw(self, times: Range) -> int:
        return self.draw_between(self.samples(times.low), self.samples(times.high))

    def draw_between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))


def lay_out(
    spoken: Sequence[tuple[Role, int]],
    timing: Timing,
    rng: np.random.Generator,
    sample_rate: int,
    block_samples: int,
) -> Timeline:
    """Place the utterances of one dialogue on the time axis.

    spoken: role and length in samples of each turn; roles alternate and the user comes first.
    block_samples: the track's length is padded to a multiple of this (N · samples a frame).
    Raises DialogueRejected `nothing_to_interrupt` in the interruption scenario if no reply is long enough
    or followed by another turn of the user.
    """
    clock = Clock(rng, sample_rate)
    barge_ins = _choose_barge_ins(spoken, timing, clock) if timing.scenario == "interruption" else {}
    placements: list[Placement] = []
    cursor = clock.draw(timing.lead_in_s)
    for index, (role, length) in enumerate(spoken):
        start, natural_end = cursor, cursor + length
        if index not in barge_ins:
            placements.append(Placement(role, start, natural_end, natural_end))
            gap = clock.samples(timing.reply_delay_s) if role == "user" else clock.draw(timing.next_turn_gap_s)
            cursor = natural_end + gap
            continue
        barge_in, reaction = barge_ins[index]
        stop = start + barge_in + reaction
        placements.append(Placement(role, start, stop, natural_end, reaction))
        cursor = start + barge_in
    end = max(placement.end_sample for placement in placements) + clock.samples(timing.tail_s)
    return Timeline(tuple(placements), -(-end // block_samples) * block_samples)


def _choose_barge_ins(spoken: Sequence[tuple[Role, int]], timing: Timing, clock: Clock) -> dict[int, tuple[int, int]]:
    """Index of each reply to interrupt -> (barge-in after its start, reaction delay), in samples.

    Ours: `interruption_probability` of the eligible replies, at least one.
    """
    eligible = {
        index: window
        for index, (role, _) in enumerate(spoken[:-1])
        if role == "assistant" and (window := _reaction_window(index, spoken, timing, clock))
    }
    if not eligible:
        raise DialogueRejected(
            "nothing_to_interrupt",
            f"no reply is followed by a turn of the user and at least "
            f"{timing.heard_before_barge_in_s + timing.reaction_delay_s.low:g} s long",
        )
    chosen = [index for index in eligible if clock.rng.random() < timing.interruption_probability]
    if not chosen:
        chosen = [list(eligible)[clock.rng.integers(len(eligible))]]
    return {index: _draw_barge_in(spoken[index][1], eligible[index], timing, clock) for index in chosen}


def _reaction_window(
    index: int, spoken: Sequence[tuple[Role, int]], timing: Timing, clock: Clock
) -> tuple[int, int] | None:
    """Shortest and longest reaction delay that a reply allows, in samples, or None if it allows none.

    The assistant must have been heard before the barge-in, must still have audio to cut when it stops, and
    must be silent for a moment before it answers.
    """
    length, interrupting = spoken[index][1], spoken[index + 1][1]
    shortest = clock.samples(timing.reaction_delay_s.low)
    before_end = length - clock.samples(timing.heard_before_barge_in_s) - 1
    before_answer = interrupting + clock.samples(timing.reply_delay_s) - clock.samples(SILENCE_AFTER_STOP_S)
    longest = min(clock.samples(timing.reaction_delay_s.high), before_end, before_answer)
    return (shortest, longest) if longest >= shortest else None


def _draw_barge_in(length: int, window: tuple[int, int], timing: Timing, clock: Clock) -> tuple[int, int]:
    """Barge-in after the reply's start and reaction delay, in samples.

    The barge-in leaves the longest negative delay of preference pairs to be heard after it, where the reply is
    long enough (ours), and always the reaction.
    """
    reaction = clock.draw_between(*window)
    earliest = clock.samples(timing.heard_before_barge_in_s)
    roomy = length - max(clock.samples(timing.longest_negative_delay_s), reaction + 1)
    latest = roomy if roomy >= earliest else length - reaction - 1
    return clock.draw_between(earliest, latest), reaction


def talked_on(timeline: Timeline, longest_overlap_samples: int) -> Timeline:
    """The same timeline had the assistant not stopped: what preference pairs take their negatives from.

    Each interrupted reply runs on until `longest_overlap_samples` after the barge-in, its natural end or the
    start of the assistant's next reply, whichever comes first; never less than it does.
    """
    placements = list(timeline.placements)
    for index, placement in enumerate(placements):
        if not placement.interrupted:
            continue
        barge_in = placements[index + 1].start_sample
        next_reply = placements[index + 2].start_sample if index + 2 < len(placements) else timeline.num_samples
        cut = min(placement.natural_end_sample, barge_in + longest_overlap_samples, next_reply)
        stop = max(placement.end_sample, cut)
        placements[index] = replace(placement, end_sample=stop, reaction_samples=stop - barge_in)
    return Timeline(tuple(placements), timeline.num_samples)
