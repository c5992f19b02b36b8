"""Pairs of natural conversations: a reply that stops for an aside, and one that answers into a pause."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import (
    ASIDES,
    BACKCHANNEL,
    BYSTANDER,
    CHANNELS,
    FOLLOW_UP,
    TURN,
    CodedTrack,
    Uncut,
    Word,
)
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.layout import Layout
from duplexgen.pipeline.pairs.pair import FALSE_STOP, TAKE_OVER, Pair
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.scenarios.scenario import Clock, Spoken
from duplexgen.pipeline.scenarios.scenarios import SCENARIOS, make_scenario
from tests.pairs.test_lateness import (
    GOES_ON,
    LAYOUT,
    MARGIN,
    PLAIN,
    RATE,
    SPF,
    TEXT,
    codes_of,
    complaints,
    maker,
    plain,
)

__all__ = ["plain"]  # a fixture
WORDS = 12


def spoken(lengths_s: list[float], asides: list[tuple[str, ...]], interrupted: list[bool]) -> list[Spoken]:
    """Exchanges: turns of 2 s and replies of these lengths, each with asides, some of them interrupted."""
    said = []
    for number, (length_s, during) in enumerate(zip(lengths_s, asides, strict=True)):
        kind = FOLLOW_UP if number and interrupted[number - 1] else TURN
        for role, seconds, own in (("user", 2.0, kind), ("assistant", length_s, TURN)):
            samples = round(seconds * RATE)
            said.append(Spoken(CHANNELS[role == "assistant"], samples, words(samples), kind=own))
        said += [Spoken("user", RATE // 2, words(RATE // 2), kind=aside) for aside in during]
    return said


def words(samples: int) -> Any:
    edges = np.linspace(0, samples, WORDS + 1).astype(int).tolist()
    return tuple(Word("word,", start, end) for start, end in pairwise(edges))


def coded(said: list[Spoken], seed: int, **timing: Any) -> CodedTrack:
    spec = SCENARIOS["natural"].Spec.model_validate({"scenario": "natural", "reply_delay_s": 0.8} | timing)
    timeline = make_scenario(spec).lay_out(said, Clock(RATE, SPF, generator(seed, "talk/0", "timing")))
    frames = -(-timeline.num_samples // SPF)
    user, assistant = (codes_of(timeline.events, channel, frames + MARGIN, 1) for channel in CHANNELS)
    uncut = [
        Uncut(index, event.end_sample // SPF, whole(-(-event.whole_end_sample // SPF) - event.end_sample // SPF))
        for index, event in enumerate(timeline.events)
        if event.is_cut
    ]
    events = tuple(replace(event, utterance=index) for index, event in enumerate(timeline.events))
    return CodedTrack(user, assistant, MARGIN, SPF, events, (TEXT,) * len(events), tuple(uncut))


def whole(frames: int) -> Any:
    return (GOES_ON + np.arange(frames, dtype=np.int16) % 200)[np.newaxis]


def pair_of(track: CodedTrack, layout: Layout, mistake: str, seed: int) -> Pair:
    pair = maker(layout, "natural", seed=seed, mistakes=[mistake]).pair("talk/0", track)
    assert complaints(pair, layout, "natural", mistakes=[mistake]) == []
    return pair


def check_users(pair: Pair, track: CodedTrack) -> None:
    """Both sides have the user's codes and events, and are of the same length, which is that of the chosen reply."""
    sides = pair.chosen, pair.rejected
    assert len({side.frames for side in sides}) == 1
    assert pair.chosen.frames == -(-track.events[pair.event].end_sample // SPF) + 1
    for side in sides:
        assert np.array_equal(side.user_codes[:, : side.frames], track.user_codes[:, : side.frames])
        starts = [event.start_sample for event in side.events]
        assert starts == sorted(starts) and starts[-1] < side.frames * SPF
        for event in side.events:
            own = track.events[event.utterance]
            assert event.channel == "assistant" or event.start_sample == own.start_sample
            for of_side, of_track in ((event.answers, own.answers), (event.cut_by, own.cut_by)):
                wrong = side is pair.rejected and event.utterance == pair.event  # what stops it is the aside
                assert wrong or of_side is None or of_track == side.events[of_side].utterance


LAYOUTS: dict[str, Layout] = {"bayling": LAYOUT, "plain": PLAIN}
conversations = st.builds(
    spoken,
    st.lists(st.floats(3, 12), min_size=3, max_size=3),
    st.lists(st.sampled_from([(), (BACKCHANNEL,), (BYSTANDER,), (BACKCHANNEL, BACKCHANNEL)]), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
)


@settings(deadline=None)
@given(conversations, st.sampled_from(sorted(LAYOUTS)), st.integers(0, 10_000))
def test_a_reply_stops_for_an_aside(said: list[Spoken], name: str, seed: int) -> None:
    layout, track = LAYOUTS[name], coded(said, seed)
    try:
        pair = pair_of(track, layout, FALSE_STOP, seed)
    except DialogueRejected:
        reject()
    check_users(pair, track)
    reply = track.events[pair.event]
    chosen, stopped = (side.assistant_codes[0, : side.frames] for side in (pair.chosen, pair.rejected))
    aside_starts = [event.start_sample for event in track.events if event.kind in ASIDES and event.channel == "user"]
    stop = next(event.end_sample for event in pair.rejected.events if event.utterance == reply.utterance)
    assert stop - pair.rejected_delay_samples in aside_starts and stop % SPF == 0
    assert 0.2 * RATE <= pair.rejected_delay_samples <= RATE
    assert pair.chosen_delay_samples - pair.rejected_delay_samples >= RATE
    assert np.array_equal(chosen, track.assistant_codes[0, : len(chosen)])
    assert np.array_equal(stopped[: stop // SPF], chosen[: stop // SPF]) and not stopped[stop // SPF :].any()


@settings(deadline=None)
@given(conversations, st.sampled_from(sorted(LAYOUTS)), st.integers(0, 10_000))
def test_a_reply_answers_into_a_pause(said: list[Spoken], name: str, seed: int) -> None:
    layout, track = LAYOUTS[name], coded(said, seed, pause_share=1.0)
    try:
        pair = pair_of(track, layout, TAKE_OVER, seed)
    except DialogueRejected:
        reject()
    check_users(pair, track)
    reply = track.events[pair.event]
    assert reply.answers is not None
    turn = track.events[reply.answers]
    start = next(event.start_sample for event in pair.rejected.events if event.utterance == reply.utterance)
    assert turn.pauses and any(pause.start_sample < start < pause.end_sample for pause in turn.pauses)
    assert start == turn.end_sample + pair.rejected_delay_samples
    assert (reply.start_sample - start) % (layout.step_frames * SPF) == 0
    frames, first = (reply.start_sample - start) // SPF, reply.start_sample // SPF
    past = -(-reply.end_sample // SPF)
    chosen, early = (side.assistant_codes[0, : side.frames] for side in (pair.chosen, pair.rejected))
    assert np.array_equal(early[first - frames : past - frames], chosen[first:past])
    assert np.array_equal(early[: first - frames], chosen[: first - frames]) and not early[past - frames :].any()


@pytest.mark.parametrize("mistake", [FALSE_STOP, TAKE_OVER])
def test_where_nothing_can_go_wrong_there_is_no_pair(mistake: str) -> None:
    track = coded(spoken([6.0, 6.0], [(), ()], [False, False]), 0, pause_share=0.0)
    with pytest.raises(DialogueRejected) as rejected:
        maker(LAYOUT, "natural", mistakes=[mistake]).pair("talk/0", track)
    assert rejected.value.reason == f"no_{mistake}"


def test_mistakes_are_made_about_equally_often() -> None:
    said = spoken([8.0, 8.0, 8.0], [(BACKCHANNEL,), (BYSTANDER,), (BACKCHANNEL,)], [False] * 3)
    track = coded(said, 1, pause_share=1.0, after_reply_share=0.0)
    mistakes = ["late", "false_stop", "take_over"]
    made = [maker(LAYOUT, "natural", seed=seed, mistakes=mistakes).pair("talk/0", track).mistake for seed in range(300)]
    counts = [made.count("late_start"), made.count(FALSE_STOP), made.count(TAKE_OVER)]
    assert sum(counts) == 300 and min(counts) > 70  # 100 expected, standard deviation 8


@pytest.mark.parametrize("damage", ["mistake", "stop", "texts", "sides"])
def test_damage_is_found(damage: str) -> None:
    said = spoken([8.0, 8.0], [(BACKCHANNEL,), (BACKCHANNEL,)], [False, False])
    pair = pair_of(coded(said, 3), PLAIN, FALSE_STOP, 3)
    damages: dict[str, dict[str, Any]] = {
        "mistake": {"mistake": TAKE_OVER},
        "stop": {"rejected_delay_samples": pair.rejected_delay_samples - 4 * SPF},
        "texts": {"rejected": replace(pair.rejected, texts=("Another text.",) * len(pair.rejected.texts))},
        "sides": {"chosen": pair.rejected, "rejected": pair.chosen},
    }
    assert complaints(replace(pair, **damages[damage]), PLAIN, "natural", mistakes=[FALSE_STOP])


def test_only_mistakes_of_the_recipe_are_right() -> None:
    said = spoken([8.0, 8.0], [(BACKCHANNEL,), (BACKCHANNEL,)], [False, False])
    pair = pair_of(coded(said, 3), LAYOUT, FALSE_STOP, 3)
    assert "the mistake is 'false_stop'" in complaints(pair, LAYOUT, "natural", mistakes=["late"])[0]
