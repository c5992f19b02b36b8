"""Timing of a conversation, measured only on its audio (BayLing-Duplex section 4.2).

Nothing here reads the text channel or the state tokens. "Ours" marks what the paper leaves open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...pipeline.audio.activity import Segment, joined
from ...pipeline.errors import DialogueRejected
from ...pipeline.randomness import generator

REPLY_WITHIN_S = 3.0  # TT SR@3s
STOP_WITHIN_S = 2.0  # ISR@2s
PAUSE_S = 0.5  # ours: a shorter silence is no stop
WORD_PAUSE_S = (
    0.3  # ours: after the second question, a shorter silence is no stop; after a longer one, an answer starts
)

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """The timing of the reply to one question."""

    user_end_s: float
    delay_s: float | None  # user's end to the assistant's first sound; negative if that is earlier; None: no sound

    @property
    def early(self) -> bool:
        """Ours: a start before the user's end is no reply and no success; it is counted separately."""
        return self.delay_s is not None and self.delay_s < 0

    @property
    def success(self) -> bool:
        return self.delay_s is not None and 0 <= self.delay_s <= REPLY_WITHIN_S


@dataclass(frozen=True, slots=True)
class Interruption:
    """The timing of the reaction to one barge-in."""

    user_end_s: float  # of the second question
    speaking: bool  # whether the assistant was speaking at the barge-in
    overlap_s: float  # barge-in to the assistant's stop; 0 if it was not speaking
    answer_delay_s: float | None  # end of the second question to the assistant's next start; None: it stays silent

    @property
    def success(self) -> bool:
        return self.overlap_s <= STOP_WITHIN_S

    @property
    def answered(self) -> bool:
        """Ours: whether the answer starts within 3 s, as after any question."""
        return self.answer_delay_s is not None and self.answer_delay_s <= REPLY_WITHIN_S


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over items and its bootstrap interval; None where there are too few items."""

    value: float | None
    low: float | None
    high: float | None
    items: int


def turn_taking(user: Sequence[Segment], assistant: Sequence[Segment]) -> TurnTaking:
    """The timing of the reply to the only question. Raises DialogueRejected if the user's channel has no speech."""
    user_end_s = _end(user)
    return TurnTaking(user_end_s, assistant[0][0] - user_end_s if assistant else None)


def interruption(user: Sequence[Segment], assistant: Sequence[Segment], barge_in_s: float) -> Interruption:
    """The timing of the reaction to a barge-in.

    barge_in_s: where the second question starts, as it was laid out. The assistant stops at the end of the speech that
    goes on at the barge-in. Ours: a pause of less than 0.5 s does not end that speech. After the end of the second
    question, a pause of 0.3 s does: a stop and an answer may be 0.5 s apart, of which the detector hides a part.
    Raises DialogueRejected if the user's channel has no speech.
    """
    user_end_s = _end(user)
    first, answers = ([at for at in assistant if (at[0] >= user_end_s) == after] for after in (False, True))
    runs = joined(first, PAUSE_S)
    while runs and answers and answers[0][0] - runs[-1][1] < WORD_PAUSE_S:
        runs[-1] = (runs[-1][0], answers.pop(0)[1])
    runs += joined(answers, PAUSE_S)
    stop_s = next((end for start, end in runs if start <= barge_in_s < end), None)
    answer_s = next((start for start, _ in runs if start >= user_end_s), None)
    return Interruption(
        user_end_s,
        stop_s is not None,
        0.0 if stop_s is None else stop_s - barge_in_s,
        None if answer_s is None else answer_s - user_end_s,
    )


def _end(user: Sequence[Segment]) -> float:
    if not user:
        raise DialogueRejected("user_not_heard", "voice activity detection finds no speech in the user's channel")
    return user[-1][1]


def turn_taking_figures(items: Sequence[TurnTaking], seed: int) -> dict[str, Figure]:
    """TT SR@3s, and the figures behind it."""
    delays = [item.delay_s for item in items if item.delay_s is not None and not item.early]
    return {
        "tt_sr_3s": figure([item.success for item in items], seed, "tt_sr_3s"),
        "early_share": figure([item.early for item in items], seed, "early_share"),
        "no_reply_share": figure([item.delay_s is None for item in items], seed, "no_reply_share"),
        "reply_delay_s": figure(delays, seed, "reply_delay_s"),
    }


def interruption_figures(items: Sequence[Interruption], seed: int) -> dict[str, Figure]:
    """Overlap and ISR@2s over all items, as in the paper, and over those in which the assistant was speaking."""
    speaking = [item for item in items if item.speaking]
    return {
        "overlap_s": figure([item.overlap_s for item in items], seed, "overlap_s"),
        "isr_2s": figure([item.success for item in items], seed, "isr_2s"),
        "silent_at_barge_in_share": figure([not item.speaking for item in items], seed, "silent_at_barge_in_share"),
        "overlap_speaking_s": figure([item.overlap_s for item in speaking], seed, "overlap_speaking_s"),
        "isr_2s_speaking": figure([item.success for item in speaking], seed, "isr_2s_speaking"),
        "answered_3s": figure([item.answered for item in items], seed, "answered_3s"),
    }


def figure(values: Sequence[float], seed: int, name: str) -> Figure:
    """Mean of values, one per item, and its 95 % bootstrap interval (percentiles). seed, name: of the draws."""
    if not values:
        return Figure(None, None, None, 0)
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) == 1:
        return Figure(float(sample[0]), None, None, 1)
    interval = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 1_000_000 // len(sample)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=generator(seed, name, "bootstrap"),
    ).confidence_interval
    return Figure(float(sample.mean()), float(interval.low), float(interval.high), len(sample))
