"""Timing of a conversation, measured only on its audio (BayLing-Duplex section 4.2).

Nothing here reads the text channel or the state tokens. "Ours" marks what the paper leaves open. The paper has turns
and barge-ins; requests for silence and asides are kinds of HumDial (arXiv 2604.21406).
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
TURN_FROM_S = 1.0
"""Shorter speech is no turn (Full-Duplex-Bench, arXiv 2503.04721: shorter, and of three words at most).

Ours: the duration alone decides, because on audio alone no words are known.
"""

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
    def stopped(self) -> bool:
        return self.overlap_s <= STOP_WITHIN_S

    @property
    def success(self) -> bool:
        return self.stopped

    @property
    def answered(self) -> bool:
        """Ours: whether the answer starts within 3 s, as after any question."""
        return self.answer_delay_s is not None and self.answer_delay_s <= REPLY_WITHIN_S


@dataclass(frozen=True, slots=True)
class SilenceRequest(Interruption):
    """The timing of the reaction to a barge-in that asks for silence. Ours: nothing may answer it."""

    resumed_s: float | None  # end of the request to the next start after the barge-in; negative if earlier; None: none

    @property
    def quiet(self) -> bool:
        """Whether the assistant starts to speak neither during the request nor within 3 s of its end."""
        return self.resumed_s is None or self.resumed_s > REPLY_WITHIN_S

    @property
    def success(self) -> bool:
        return self.stopped and self.quiet


@dataclass(frozen=True, slots=True)
class Pause:
    """The timing of the reply to a turn with a pause in it, in which the user has not finished."""

    user_end_s: float
    taken_over: bool  # whether the assistant's turn starts in a pause
    delay_s: float | None  # user's end to the start of the assistant's turn; negative if earlier; None: no turn

    @property
    def early(self) -> bool:
        """Ours: a turn that starts before the user's end, in a pause or after it: it may answer a pause late."""
        return self.delay_s is not None and self.delay_s < 0

    @property
    def success(self) -> bool:
        return self.delay_s is not None and 0 <= self.delay_s <= REPLY_WITHIN_S


@dataclass(frozen=True, slots=True)
class Aside:
    """What the assistant does at an aside, which it must ignore, and what it does without the aside (the control)."""

    speaking: bool  # whether the assistant was speaking at the aside's start
    stop_s: float | None  # aside's start to the stop of that speech; None: it was silent
    control_stop_s: float | None
    start_s: float | None  # aside's end to the next start of a silent assistant; negative if earlier; None: none
    control_start_s: float | None

    @property
    def false_stop(self) -> bool | None:
        """Whether the assistant falls silent within 2 s, although it speaks on for 0.5 s and more without the aside.

        None: it was silent, or its reply ends then without the aside, too, so that nothing can be said.
        """
        if self.stop_s is None or self.control_stop_s is None:
            return None
        if self.stop_s > STOP_WITHIN_S:
            return False
        return True if self.control_stop_s - self.stop_s >= PAUSE_S else None

    @property
    def false_start(self) -> bool | None:
        """Whether the assistant starts to speak, until 3 s after the aside's end, and does not without the aside.

        None: it was speaking, or it starts then without the aside, too, so that nothing can be said.
        """
        if self.speaking:
            return None
        if not _in_time(self.start_s):
            return False
        return None if _in_time(self.control_start_s) else True

    @property
    def success(self) -> bool | None:
        failure = self.false_stop if self.speaking else self.false_start
        return None if failure is None else not failure


def _in_time(delay_s: float | None) -> bool:
    return delay_s is not None and delay_s <= REPLY_WITHIN_S


Measured = TurnTaking | Interruption | Pause | Aside


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over items and its bootstrap interval; None where there are too few items."""

    value: float | None
    low: float | None
    high: float | None
    items: int


def turn_taking(user: Sequence[Segment], assistant: Sequence[Segment]) -> TurnTaking:
    """The timing of the reply to the only question. Before its end, speech of less than 1 s is no reply.

    Raises DialogueRejected if the user's channel has no speech.
    """
    user_end_s = _end(user)
    turns_s = _turns(assistant, user_end_s)
    return TurnTaking(user_end_s, turns_s[0] - user_end_s if turns_s else None)


def interruption(user: Sequence[Segment], assistant: Sequence[Segment], barge_in_s: float) -> Interruption:
    """The timing of the reaction to a barge-in.

    barge_in_s: where the second question starts, as it was laid out. The assistant stops at the end of the speech that
    goes on at the barge-in. Ours: a pause of less than 0.5 s does not end that speech. After the end of the second
    question, a pause of 0.3 s does: a stop and an answer may be 0.5 s apart, of which the detector hides a part.
    Raises DialogueRejected if the user's channel has no speech.
    """
    user_end_s = _end(user)
    runs = _runs(assistant, user_end_s)
    stop_s = _stop(runs, barge_in_s)
    answer_s = next((start for start, _ in runs if start >= user_end_s), None)
    return Interruption(
        user_end_s,
        stop_s is not None,
        0.0 if stop_s is None else stop_s - barge_in_s,
        None if answer_s is None else answer_s - user_end_s,
    )


def silence_request(user: Sequence[Segment], assistant: Sequence[Segment], request_s: float) -> SilenceRequest:
    """The timing of the reaction to a request for silence.

    request_s: where it starts, as it was laid out. Raises DialogueRejected if the user's channel has no speech.
    """
    timing = interruption(user, assistant, request_s)
    runs = _runs(assistant, timing.user_end_s)
    resumed_s = next((start for start, _ in runs if start > request_s), None)
    return SilenceRequest(
        timing.user_end_s,
        timing.speaking,
        timing.overlap_s,
        timing.answer_delay_s,
        None if resumed_s is None else resumed_s - timing.user_end_s,
    )


def pause(
    user: Sequence[Segment], assistant: Sequence[Segment], turn_start_s: float, pauses: Sequence[Segment]
) -> Pause:
    """The timing of the reply to a turn with pauses.

    turn_start_s, pauses: as they were laid out. Speech that goes on from before the turn belongs to the reply before
    it. Before the user's end, speech of less than 1 s is no turn. Raises DialogueRejected if the user's channel has no
    speech.
    """
    user_end_s = _end(user)
    turns_s = [start for start in _turns(assistant, user_end_s) if start >= turn_start_s]
    taken_over = any(start_s <= turn_s < end_s for turn_s in turns_s for start_s, end_s in pauses)
    return Pause(user_end_s, taken_over, turns_s[0] - user_end_s if turns_s else None)


def aside(assistant: Sequence[Segment], control: Sequence[Segment], start_s: float, end_s: float) -> Aside:
    """What the assistant does at an aside. Ours: a pause of less than 0.5 s does not end its speech.

    control: what it says if the aside is not heard, and all else is the same. start_s, end_s: of the aside, as it was
    laid out.
    """
    runs, control_runs = joined(assistant, PAUSE_S), joined(control, PAUSE_S)
    stop_s = _stop(runs, start_s)
    if stop_s is not None:
        control_stop_s = _stop(control_runs, start_s)
        return Aside(True, stop_s - start_s, (control_stop_s or start_s) - start_s, None, None)
    starts = (next((start for start, _ in each if start > start_s), None) for each in (runs, control_runs))
    return Aside(False, None, None, *(None if start is None else start - end_s for start in starts))


def _turns(assistant: Sequence[Segment], user_end_s: float) -> list[float]:
    """Where the assistant starts to speak, but for what it says in passing before the user's end."""
    runs = _runs(assistant, user_end_s)
    return [start for start, end in runs if start >= user_end_s or end - start >= TURN_FROM_S]


def _runs(assistant: Sequence[Segment], user_end_s: float) -> list[Segment]:
    """The assistant's speech, pauses included: of less than 0.5 s, or of less than 0.3 s at the user's end."""
    first, answers = ([at for at in assistant if (at[0] >= user_end_s) == after] for after in (False, True))
    runs = joined(first, PAUSE_S)
    while runs and answers and answers[0][0] - runs[-1][1] < WORD_PAUSE_S:
        runs[-1] = (runs[-1][0], answers.pop(0)[1])
    return runs + joined(answers, PAUSE_S)


def _stop(runs: Sequence[Segment], at_s: float) -> float | None:
    """Where the speech ends that goes on at some time; None: there is silence."""
    return next((end for start, end in runs if start <= at_s < end), None)


def _end(user: Sequence[Segment]) -> float:
    if not user:
        raise DialogueRejected("user_not_heard", "voice activity detection finds no speech in the user's channel")
    return user[-1][1]


def turn_taking_figures(items: Sequence[TurnTaking | Pause], seed: int) -> dict[str, Figure]:
    """TT SR@3s, and the figures behind it."""
    delays = [item.delay_s for item in items if item.delay_s is not None and not item.early]
    return {
        "tt_sr_3s": figure([item.success for item in items], seed, "tt_sr_3s"),
        "early_share": figure([item.early for item in items], seed, "early_share"),
        "no_reply_share": figure([item.delay_s is None for item in items], seed, "no_reply_share"),
        "reply_delay_s": figure(delays, seed, "reply_delay_s"),
    }


def interruption_figures(items: Sequence[Interruption], seed: int) -> dict[str, Figure]:
    """Overlap and ISR@2s over all items, as in the paper, and over those in which the assistant was speaking.

    Answers are counted after what asks for one, silence after requests for silence.
    """
    speaking = [item for item in items if item.speaking]
    requests = [item for item in items if isinstance(item, SilenceRequest)]
    others = [item for item in items if not isinstance(item, SilenceRequest)]
    figures = {
        "overlap_s": figure([item.overlap_s for item in items], seed, "overlap_s"),
        "isr_2s": figure([item.stopped for item in items], seed, "isr_2s"),
        "silent_at_barge_in_share": figure([not item.speaking for item in items], seed, "silent_at_barge_in_share"),
        "overlap_speaking_s": figure([item.overlap_s for item in speaking], seed, "overlap_speaking_s"),
        "isr_2s_speaking": figure([item.stopped for item in speaking], seed, "isr_2s_speaking"),
    }
    if others:
        figures["answered_3s"] = figure([item.answered for item in others], seed, "answered_3s")
    if requests:
        figures["quiet_3s"] = figure([item.quiet for item in requests], seed, "quiet_3s")
    return figures


def pause_figures(items: Sequence[Pause], seed: int) -> dict[str, Figure]:
    """Take-overs, and TT SR@3s of turns with a pause: the share whose reply starts within 3 s of their real end."""
    taken_over = figure([item.taken_over for item in items], seed, "take_over_share")
    return {"take_over_share": taken_over, **turn_taking_figures(items, seed)}


def aside_figures(items: Sequence[Aside], seed: int) -> dict[str, Figure]:
    """False stops over the asides during the assistant's speech, false starts over the others, each over those of which
    something can be said.
    """
    stops = [item.false_stop for item in items if item.false_stop is not None]
    starts = [item.false_start for item in items if item.false_start is not None]
    return {
        "false_stop_share": figure(stops, seed, "false_stop_share"),
        "false_start_share": figure(starts, seed, "false_start_share"),
        "silent_at_aside_share": figure([not item.speaking for item in items], seed, "silent_at_aside_share"),
        "undecided_share": figure([item.success is None for item in items], seed, "undecided_share"),
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
