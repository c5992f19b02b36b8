"""Changes of a coded track that both sides of a pair need: where it ends, and silence that is its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..dialogue import CodedTrack, Codes, Event, Role
from ..errors import DialogueRejected
from ..layouts.layout import Layout

LEAK_FRAMES = 1
"""A frame of silence next to speech may have codes of its own, so it is treated as part of the speech."""


@dataclass(frozen=True)
class Edits:
    """For the rows of one layout. No layout is named here, and no id is known."""

    layout: Layout

    @property
    def step_samples(self) -> int:
        return self.layout.step_frames * self.layout.samples_per_frame

    def last_end(self, track: CodedTrack, event: int) -> int:
        """The most frames that a side may have if its row is to tell nothing of an event of the assistant's."""
        start = track.events[event].start_sample
        frames = start // track.samples_per_frame - LEAK_FRAMES
        while frames > 0 and self.layout.announces(frames, start):
            frames -= 1
        return frames

    def ending(self, track: CodedTrack, end: int) -> CodedTrack:
        """A track of `end` frames: its first ones, and its own silence if it has fewer.

        Later events are dropped, and an event that goes on is cut. The margin has the user's codes as they are, and the
        assistant's up to its next reply.
        """
        frame, stop, length = track.samples_per_frame, end * track.samples_per_frame, end + track.margin_frames
        of_assistant = [event for event in track.events if event.channel == "assistant" and event.end_sample > stop]
        own = min([length, *(max(end, event.start_sample // frame - LEAK_FRAMES) for event in of_assistant)])
        indices = sorted(
            (index for index, event in enumerate(track.events) if event.start_sample < stop),
            key=lambda index: track.events[index].start_sample,
        )
        place: dict[int | None, int] = {index: new for new, index in enumerate(indices)}
        events = (track.events[index] for index in indices)
        return replace(
            track,
            user_codes=self._filled(track, "user", end, length, length),
            assistant_codes=self._filled(track, "assistant", end, own, length),
            events=tuple(
                replace(event.stopped(stop), answers=place.get(event.answers), cut_by=place.get(event.cut_by))
                for event in events
            ),
            texts=tuple(track.texts[index] for index in indices),
            uncut=(),
        )

    def _filled(self, track: CodedTrack, channel: Role, end: int, own: int, length: int) -> Codes:
        """The first `own` frames of a channel, or as many as it has, and then silence up to `length` frames."""
        codes = (track.user_codes if channel == "user" else track.assistant_codes)[:, :own]
        missing = length - codes.shape[1]
        return codes if missing <= 0 else np.append(codes, self.silence(track, channel, end, missing), axis=1)

    def silence(self, track: CodedTrack, channel: Role, end: int, frames: int) -> Codes:
        """Codes [codebooks, frames] of silence: the silent frames of a channel before `end`, repeated in order.

        Frames that a row leaves out are not used, because a check of the row alone must find each silent frame in it.
        """
        codes = (track.user_codes if channel == "user" else track.assistant_codes)[:, :end]
        if frames <= 0:
            return codes[:, :0]
        silent: NDArray[np.bool_] = np.ones(codes.shape[1], np.bool_)
        silent[: self.layout.first_assistant_frame if channel == "assistant" else 0] = False
        for event in track.events:
            if event.channel == channel:
                first = event.start_sample // track.samples_per_frame - LEAK_FRAMES
                past = -(-event.end_sample // track.samples_per_frame) + LEAK_FRAMES
                silent[max(first, 0) : max(past, 0)] = False
        places = np.flatnonzero(silent)
        if not len(places):
            raise DialogueRejected(
                "no_silence", f"the {channel} speaks in every frame, so that silence cannot be added"
            )
        return codes[:, np.resize(places, frames)]


def of_assistant(events: Sequence[Event], after: int) -> list[int]:
    """Indices of the assistant's events after one of them."""
    return [index for index in range(after + 1, len(events)) if events[index].channel == "assistant"]
