"""The rules by which Full-Duplex-Bench scores, restated from v1_v1.5/evaluation at d7336bd. Times are seconds.

Its scorers see what a model says as the words of a recogniser. Ours: where no words are known, segments of speech stand
in their place, and a turn is told from its duration alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon

from ....pipeline.audio.activity import Segment, joined
from ..metrics import TURN_FROM_S

MOST_WORDS = 3  # of what is no turn, and shorter than TURN_FROM_S
MOST_BACKCHANNEL_WORDS = 2  # eval_backchannel.py has another limit, for each segment of speech
LONG_S = 3.0  # eval_backchannel.py: a longer segment is a turn, and ends the count
WINDOW_S = 0.2  # eval_backchannel.py: of the histogram of backchannels
EMPTY = 1e-10  # eval_backchannel.py: added to each count
USER_PAUSE_S, MODEL_PAUSE_S = 0.6, 0.5  # get_timing.py: segments that are closer are joined


@dataclass(frozen=True, slots=True)
class Chunk:
    """A word with its times; or a segment of speech, whose text is not known."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """What a model says, in order."""

    chunks: tuple[Chunk, ...]
    are_words: bool
    text: str = ""

    @property
    def takes_turn(self) -> bool:
        """eval_pause_handling.py, eval_smooth_turn_taking.py, eval_user_interruption.py: from the first word to the
        last one it takes 1 s, or it has more than three words.
        """
        if not self.chunks:
            return False
        if self.are_words and len(self.chunks) > MOST_WORDS:
            return True
        return self.chunks[-1].end_s - self.chunks[0].start_s >= TURN_FROM_S

    def latency_s(self, user_end_s: float) -> float | None:
        """eval_smooth_turn_taking.py, eval_user_interruption.py: from the user's end to the first word, at least 0.

        None: no turn is taken.
        """
        return max(0.0, self.chunks[0].start_s - user_end_s) if self.takes_turn else None

    def words_in(self, start_s: float, end_s: float) -> int | None:
        """eval_backchannel.py: how many words overlap with a segment; None: they are not known."""
        if not self.are_words:
            return None
        return sum(
            chunk.start_s <= end_s and (chunk.end_s > start_s or chunk.start_s >= start_s) for chunk in self.chunks
        )


@dataclass(frozen=True, slots=True)
class Backchannels:
    """What eval_backchannel.py says of one item."""

    takes_turn: bool
    segments_s: tuple[Segment, ...]  # what counts as backchannels
    length_s: float  # of the item

    @property
    def per_s(self) -> float:
        return len(self.segments_s) / self.length_s


def backchannels(segments: Sequence[Segment], speech: Speech, length_s: float) -> Backchannels:
    """eval_backchannel.py. A segment of more than 3 s is a turn, and nothing after it counts. Every shorter one is
    counted as a backchannel; the last of them decides whether a turn was taken: it was if that segment has 1 s or
    more, or more than two words.
    """
    takes_turn, counted = False, list[Segment]()
    for start_s, end_s in segments:
        if end_s - start_s > LONG_S:
            takes_turn = True
            break
        words = speech.words_in(start_s, end_s)
        takes_turn = end_s - start_s >= TURN_FROM_S or (words is not None and words > MOST_BACKCHANNEL_WORDS)
        counted.append((start_s, end_s))
    return Backchannels(takes_turn, tuple(counted), length_s)


def divergence(of: Backchannels, people: Sequence[float]) -> float:
    """eval_backchannel.py: the Jensen-Shannon distance (natural logarithm) of the times of backchannels from people's.

    people: their distribution over the item, in windows of equal length. 1 if there are no backchannels.
    """
    if not of.segments_s:
        return 1.0
    counts = np.full(int(of.length_s / WINDOW_S) + 1, EMPTY)
    for start_s, end_s in of.segments_s:
        counts[int(start_s / WINDOW_S) : int(end_s / WINDOW_S) + 1] += 1
    places = (np.linspace(0, 1, len(counts)), np.linspace(0, 1, len(people)))
    return float(jensenshannon(counts / counts.sum(), np.interp(*places, people)))


@dataclass(frozen=True, slots=True)
class Intervals:
    """What get_timing.py says of one item of v1.5."""

    overlaps_s: list[Segment]  # in which both speak: the model has not stopped yet
    gaps_s: list[Segment]  # from an end of the user's speech to the model's next start

    def stop_latency_s(self, start_s: float, end_s: float) -> float | None:
        """Ours: the length of the first overlap that meets an event of the user's channel; None: there is none.

        get_timing.py gives intervals, and leaves it open which of them count.
        """
        return next((end - start for start, end in self.overlaps_s if start < end_s and end > start_s), None)

    def response_latency_s(self, start_s: float) -> float | None:
        """Ours: the length of the first gap after the start of an event; None: the model does not speak again."""
        return next((end - start for start, end in self.gaps_s if start > start_s), None)


def intervals(user: Sequence[Segment], model: Sequence[Segment]) -> Intervals:
    """get_timing.py, on segments of speech of both channels. Its intervals have whole milliseconds."""
    users, models = joined(user, USER_PAUSE_S), joined(model, MODEL_PAUSE_S)
    both = [(max(mine[0], its[0]), min(mine[1], its[1])) for mine in users for its in models]
    gaps = dict[float, float]()
    for _, user_end_s in users:  # of several ends before a start, the last one counts
        if (next_s := next((start for start, _ in models if start > user_end_s), None)) is not None:
            gaps[next_s] = user_end_s
    return Intervals(
        [(round(start, 3), round(end, 3)) for start, end in sorted(both, key=lambda one: one[1]) if end > start],
        [(round(start, 3), round(end, 3)) for end, start in gaps.items()],
    )
