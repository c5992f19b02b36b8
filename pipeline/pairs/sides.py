"""The two sides of a stored pair, as far as their rows tell them: in frames, text ids and codes."""

from dataclasses import dataclass

import numpy as np

from ..dialogue import Codes
from ..layouts.layout import Layout, Written, WrittenReply


@dataclass(frozen=True, slots=True)
class Sides:
    """What the two rows of a pair say, and which reply differs. Where one side is late, it is the rejected one."""

    chosen: Written
    rejected: Written
    number: int  # of that reply among the replies, from 0
    frames: int  # of each side
    later: int  # samples between the delays of the two sides; negative if the rejected side is early
    layout: Layout

    @property
    def replies(self) -> tuple[WrittenReply, WrittenReply]:
        return self.chosen.replies[self.number], self.rejected.replies[self.number]

    @property
    def stops(self) -> bool:
        """Whether the reply stops at another time, and does not start at another."""
        left, right = self.replies
        return left.start_frames == right.start_frames

    @property
    def how(self) -> str:
        return "stops" if self.stops else "starts"

    @property
    def differ_as_told(self) -> bool:
        """Whether the stops of the replies can differ by `later`; a row tells each only to within some frames."""
        left, right = self.replies
        frame = self.layout.samples_per_frame
        least = (right.end_frames.start - left.end_frames.stop) * frame
        most = (right.end_frames.stop - left.end_frames.start) * frame
        return least < self.later < most

    @property
    def silence(self) -> Codes:
        """Codes of the chosen side's assistant outside its replies, [codebooks, frames]."""
        codes = self.chosen.assistant_codes
        silent = np.ones(codes.shape[1], np.bool_)
        for reply in self.chosen.replies:
            edges = (reply.start_frames[-1], reply.end_frames.start)
            first, past = (frame - self.layout.first_assistant_frame for frame in edges)
            silent[max(0, first) : max(0, past)] = False
        return codes[:, silent]


def later(frames: range, by: int) -> range:
    return range(frames.start + by, frames.stop + by)


def among(codes: Codes, others: Codes) -> bool:
    """Whether each frame of `codes` [codebooks, frames] is a frame of `others`, in all codebooks."""
    return {*map(tuple, codes.T.tolist())} <= {*map(tuple, others.T.tolist())}


def whole_blocks(frames: int, block: int) -> int:
    """How many frames a row has that holds so many of the track."""
    return -(-frames // block) * block
