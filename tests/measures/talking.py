"""Dialogues of two people that are drawn from a profile of timing."""

import numpy as np

from duplexgen.pipeline.audio.activity import Segment
from duplexgen.pipeline.scenarios.profile import Profile

SHORTEST_S, LONGEST_S = 3.0, 6.0  # of an IPU: longer than any overlap


def talk(profile: Profile, rng: np.random.Generator, turns: int) -> tuple[list[Segment], list[Segment]]:
    """The segments of two speakers who take turns, each of two IPUs with a pause between."""
    speech: tuple[list[Segment], list[Segment]] = ([], [])
    speakers_ms = profile.offset.draw_speakers_ms(rng)
    end_s = 5.0
    for turn in range(turns):
        start_s = end_s + profile.offset.draw_ms(speakers_ms, rng) / 1000
        for pause_ms in (0.0, profile.pause.draw_ms(rng)):
            start_s += pause_ms / 1000
            end_s = start_s + rng.uniform(SHORTEST_S, LONGEST_S)
            speech[turn % 2].append((start_s, end_s))
            start_s = end_s
    return speech


def rttm(name: str, speech: tuple[list[Segment], list[Segment]]) -> str:
    """To the microsecond."""
    lines = [
        f"SPEAKER {name} 1 {start:.6f} {end - start:.6f} <NA> <NA> {speaker} <NA> <NA>"
        for speaker, segments in zip(("ann", "bob"), speech, strict=True)
        for start, end in segments
    ]
    return "\n".join(lines) + "\n"
