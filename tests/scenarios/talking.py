"""Dialogues as the script gives them to the scenario `natural`: turns, interruptions of every kind, and asides."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import (
    ASIDES,
    BACKCHANNEL,
    REPETITION,
    SILENCE_REQUEST,
    STOPPING,
    TURN,
    Role,
    Timeline,
    Word,
)
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.scenarios.natural import Natural
from duplexgen.pipeline.scenarios.placing import NaturalTiming
from duplexgen.pipeline.scenarios.scenario import Clock, Spoken
from tests.scenarios.spoken import RATES, SEEDS, frame

Script = list[Spoken]
timings = st.builds(
    lambda delay_s, reaction_s, pauses, after, profile: NaturalTiming.model_validate(
        {
            "reply_delay_s": delay_s,
            "reaction_delay_s": reaction_s,
            "pause_share": pauses,
            "after_reply_share": after,
            "profile": profile,
        }
    ),
    st.sampled_from([0.0, 0.24, 0.8]),
    st.sampled_from([[0.2, 0.8], [0.8, 1.6], [0.5, 0.5]]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from(
        [
            "human",
            {"offset": {"mean_ms": 900, "sd_ms": 900, "high_ms": 4000}},
            {"offset": {"overlap_share": 1.0, "overlap_median_ms": 3000, "overlap_sigma": 2}},
            {"offset": {"low_ms": -5000, "mean_ms": -3000, "high_ms": -2000}},
            {"offset": {"sd_ms": 1, "speaker_sd_ms": 5000}, "pause": {"median_ms": 5000, "sigma": 3}},
        ]
    ),
)


def worded(length_s: float, rate: int, seed: int) -> tuple[Word, ...]:
    """Words that fill an utterance, some of them with silence before the next, and some at the end of a clause."""
    rng, length = np.random.default_rng(seed), round(length_s * rate)
    edges = np.unique(rng.integers(0, length, endpoint=True, size=2 * max(1, round(length_s * 3))))
    edges = edges if len(edges) > 1 else np.array([0, length])
    ends = [
        end if rng.random() < 0.5 else after for end, after in zip(edges[1::2], [*edges[2::2], length], strict=False)
    ]
    signs = rng.choice(["", "", "", ",", ".", '."', "，"], size=len(ends))
    return tuple(
        Word(f"word{sign}", int(start), int(end)) for start, end, sign in zip(edges[::2], ends, signs, strict=False)
    )


@st.composite
def utterances(draw: st.DrawFn, rate: int, role: Role, kind: str = TURN) -> Spoken:
    length_s = draw(st.floats(0.2, 2.5) if kind in ASIDES else st.floats(0.3, 12))
    words = draw(st.none() | SEEDS.map(lambda seed: worded(length_s, rate, seed)))
    at_word = draw(st.none() | st.integers(0, 40)) if kind != TURN else None
    return Spoken(role, round(length_s * rate), words, None, kind, at_word)


@st.composite
def scripts(draw: st.DrawFn, rate: int) -> Script:
    """Up to six exchanges. After a silence request the user speaks again, if anybody does."""
    said: Script = []
    interrupting = st.sampled_from([kind for kind in STOPPING if kind not in (REPETITION, SILENCE_REQUEST)])
    kind = TURN
    for _ in range(draw(st.integers(1, 6))):
        said.append(draw(utterances(rate, "user", kind)))
        said += [draw(utterances(rate, "assistant", BACKCHANNEL)) for _ in range(draw(st.integers(0, 2)))]
        said.append(draw(utterances(rate, "assistant")))
        kind = TURN
        match draw(st.sampled_from(["turn", "asides", "interruption", SILENCE_REQUEST, REPETITION])):
            case "asides":
                kinds = draw(st.lists(st.sampled_from(ASIDES), min_size=1, max_size=3))
                said += [draw(utterances(rate, "user", aside)) for aside in kinds]
            case "interruption":
                kind = draw(interrupting)
            case "silence_request":
                said.append(draw(utterances(rate, "user", SILENCE_REQUEST)))
            case "repetition":
                said += [draw(utterances(rate, "user", REPETITION)), said[-1]]
    return said


Talk = tuple[NaturalTiming, int, Script, int]
"""Timing, sample rate, utterances and a seed."""
talks: st.SearchStrategy[Talk] = RATES.flatmap(lambda rate: st.tuples(timings, st.just(rate), scripts(rate), SEEDS))


def lay_out(timing: NaturalTiming, rate: int, script: Sequence[Spoken], seed: int) -> Timeline:
    clock = Clock(rate, frame(rate), generator(seed, "dialogue", "timing"))
    return Natural(timing).lay_out(script, clock)


def exchange(rate: int, *said: tuple[Role, float, str], words: bool = True) -> Script:
    """Utterances: whose channel, how long in seconds, and of which kind."""
    return [
        Spoken(role, round(length_s * rate), worded(length_s, rate, index) if words else None, None, kind)
        for index, (role, length_s, kind) in enumerate(said)
    ]
