"""Pairs of tracks: what stays, what moves and how far, and where there is no room for a late reply."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dialogue import BARGE_IN, TURN, CodedTrack, Event, Uncut
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.bayling import Bayling, BaylingSection
from duplexgen.pipeline.layouts.layout import Layout
from duplexgen.pipeline.layouts.layouts import LAYOUTS
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.pairs.checks import PairChecker
from duplexgen.pipeline.pairs.maker import PairMaker
from duplexgen.pipeline.pairs.pair import Pair
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.scenarios.scenarios import make_scenario
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from duplexgen.pipeline.tokens.tokenizers import TEXT_TOKENIZERS
from tests.seams.layout import Plain, PlainSection

SPF, RATE, TALK, USER, GOES_ON = 1280, 16000, 500, 300, 250
SECOND = RATE
MARGIN = 40
VOCABULARY = SharedVocabulary.build(BaylingSection(), BytePairTokenizer(), MelVQ())
LAYOUT = Bayling(BaylingSection(name="bayling"), VOCABULARY, SPF)


def plain_layout(codebooks: int = 1) -> Plain:
    """A layout without blocks and without a shift, to show that pairs know no layout."""
    return Plain(PlainSection(name="plain", codebooks=codebooks, shift=0), VOCABULARY, SPF)


PLAIN = plain_layout()
ENCODE = TEXT_TOKENIZERS["bpe"](Tokens()).encode
TEXT = "It is on the corner of the market square."


@pytest.fixture(autouse=True, scope="module")
def plain() -> Iterator[None]:
    LAYOUTS["plain"] = Plain
    yield
    del LAYOUTS["plain"]


def maker(layout: Any = LAYOUT, scenario: str = "turn_taking", **changes: Any) -> PairMaker:
    recipe = PairsRecipe.model_validate({"name": "test"} | changes)
    about = made_of(layout, scenario)
    return PairMaker(recipe, make_scenario(about.timing), layout, RATE)


def made_of(layout: Any, scenario: str) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "talk",
            "sources": [{"name": "talk", "shape": "ultrachat", "path": "talk.jsonl"}],
            "speech": {"engine": "kokoro", "assistant_voice": "assistant"},
            "timing": {"scenario": scenario},
            "layout": layout.section.model_dump(),
        }
    )


def turn(role: Any, start: int, end: int, **changes: Any) -> Event:
    return replace(Event(0, role, TURN, start, end, end), **changes)


def numbered(events: list[Event]) -> tuple[Event, ...]:
    """Turns that alternate: each of the assistant's answers the one before it."""
    return tuple(
        replace(event, utterance=index, answers=index - 1 if event.channel == "assistant" else None)
        for index, event in enumerate(events)
    )


def codes_of(events: tuple[Event, ...], channel: str, frames: int, codebooks: int) -> Any:
    """Codes [codebooks, frames] that differ by event and frame, so that a frame out of place shows; silence is 0."""
    codes = np.zeros(frames, np.int16)
    for index, event in enumerate(events):
        if event.channel == channel:
            first, past = event.start_sample // SPF, -(-event.end_sample // SPF)
            codes[first:past] = speech_codes(index, channel)[: past - first]
    return np.stack([codes + codebook * (codes > 0) for codebook in range(codebooks)]).astype(np.int16)


def speech_codes(event: int, channel: str = "assistant") -> Any:
    """Codes of all frames of an event."""
    return {"user": USER, "assistant": TALK}[channel] + 100 * event + np.arange(1000) % 100


def track(events: list[Event], tail: int = SECOND, codebooks: int = 1, text: str = TEXT) -> CodedTrack:
    laid_out = numbered(events)
    frames = -(-(max(event.end_sample for event in laid_out) + tail) // SPF)
    user, assistant = (codes_of(laid_out, channel, frames + MARGIN, codebooks) for channel in ("user", "assistant"))
    uncut = []
    for index, event in enumerate(laid_out):
        if event.is_cut:
            first, past = event.end_sample // SPF, -(-event.whole_end_sample // SPF)
            whole = GOES_ON + np.arange(past - first, dtype=np.int16)
            uncut.append(Uncut(index, first, np.stack([whole] * codebooks)))
    return CodedTrack(user, assistant, MARGIN, SPF, laid_out, (text,) * len(laid_out), tuple(uncut))


def two_exchanges(gap: int = 3 * SECOND) -> list[Event]:
    """A user's turn of 2 s and a reply of 4 s, the user again after `gap`, and a reply."""
    first = turn("user", 0, 2 * SECOND), turn("assistant", 44800, 44800 + 4 * SECOND)
    again = first[1].end_sample + gap
    answer = again + 2 * SECOND + 12800
    return [*first, turn("user", again, again + 2 * SECOND), turn("assistant", answer, answer + 4 * SECOND)]


def interrupted(question: int = 5 * SECOND, uncut: int = 6 * SECOND, reaction: int = SECOND) -> list[Event]:
    """A reply that the user interrupts after 3 s with a question of this length; times are from the barge-in."""
    barge_in = 44800 + 3 * SECOND
    answer = barge_in + question + 12800
    return [
        turn("user", 0, 2 * SECOND),
        turn("assistant", 44800, barge_in + reaction, whole_end_sample=barge_in + uncut, cut_by=2),
        turn("user", barge_in, barge_in + question, kind=BARGE_IN),
        turn("assistant", answer, answer + 4 * SECOND),
    ]


def interrupted_twice(question: int, into_answer: int) -> list[Event]:
    """The answer is interrupted too, so many samples after its start."""
    events = interrupted(question)
    again = events[3].start_sample + into_answer
    answer = again + 2 * SECOND + 12800
    cut = turn("assistant", events[3].start_sample, again + SECOND, whole_end_sample=again + 6 * SECOND, cut_by=4)
    return [
        *events[:3],
        cut,
        turn("user", again, again + 2 * SECOND, kind=BARGE_IN),
        turn("assistant", answer, answer + 4 * SECOND),
    ]


def channel(side: CodedTrack) -> list[int]:
    """The assistant's codes, without the margin."""
    codes: list[int] = side.assistant_codes[0, : side.frames].tolist()
    return codes


def rows(pair: Pair, layout: Layout) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        texts = [ENCODE(text) for text in side.texts]
        row |= {f"{name}_{column}": value for column, value in layout.encode(side, texts).items()}
    return row


def complaints(pair: Pair, layout: Layout, scenario: str, **changes: Any) -> list[str]:
    """What `PairChecker` finds in the row of a pair."""
    row = rows(pair, layout) | {
        "scenario": scenario,
        "event": pair.event,
        "mistake": pair.mistake,
        "chosen_delay_s": pair.chosen_delay_samples / RATE,
        "rejected_delay_s": pair.rejected_delay_samples / RATE,
        "capped": pair.capped,
    }
    recipe = PairsRecipe.model_validate({"name": "test"} | changes)
    return list(PairChecker(recipe, made_of(layout, scenario), layout).check(row))


def check_sides(pair: Pair, given_track: CodedTrack) -> None:
    """Both sides have the same user and the same length, and events name each other by their new indices."""
    assert pair.chosen.user_codes.tolist() == pair.rejected.user_codes.tolist()
    for own_track in (pair.chosen, pair.rejected):
        assert own_track.assistant_codes.shape == own_track.user_codes.shape
        common = min(own_track.user_codes.shape[1], given_track.user_codes.shape[1])
        assert own_track.user_codes[:, :common].tolist() == given_track.user_codes[:, :common].tolist()
        assert [event.start_sample for event in own_track.events] == sorted(
            event.start_sample for event in own_track.events
        )
        assert len(own_track.events) == len(own_track.texts)
        for event in own_track.events:
            given_event = given_track.events[event.utterance]
            assert 0 <= event.start_sample < event.end_sample <= own_track.frames * SPF
            for ours, theirs in ((event.answers, given_event.answers), (event.cut_by, given_event.cut_by)):
                if ours is not None:
                    assert own_track.events[ours].utterance == theirs
            if event.channel == "user":
                assert (event.start_sample, event.utterance) == (given_event.start_sample, given_event.utterance)
                assert event.end_sample == min(given_event.end_sample, own_track.frames * SPF)
    own = [event for event in pair.chosen.events if event.channel == "assistant"]
    for event in own:
        assert event.start_sample == given_track.events[event.utterance].start_sample


def seeds(events: list[Event], number: int = 40, layout: Layout = LAYOUT, **changes: Any) -> list[Pair]:
    scenario = "interruption" if any(event.is_cut for event in events) else "turn_taking"
    pairs = []
    for seed in range(number):
        given_track = track(events)
        pairs.append(maker(layout, scenario, seed=seed, **changes).pair("talk/0", given_track))
        check_sides(pairs[-1], given_track)
        assert complaints(pairs[-1], layout, scenario, **changes) == []
    return pairs


def test_late_reply_by_hand() -> None:
    """Frames and slots of one reply, moved by 1.28 s: 16 frames, 8 slots."""
    given_track = track(two_exchanges()[:2])
    pair = maker(reply_delay_s=[2.08, 2.08]).pair("talk/0", given_track)
    assert (pair.event, pair.chosen_delay_samples, pair.rejected_delay_samples) == (1, 12800, 33280)
    assert pair.chosen.frames == pair.rejected.frames == 85 + 16 + 1  # ceil(108800 / 1280) = 85
    words = speech_codes(1)[:50].tolist()
    assert channel(pair.chosen) == [0] * 35 + words + [0] * 17
    assert channel(pair.rejected) == [0] * 51 + words + [0]
    late, chosen = pair.rejected.events[1], pair.chosen.events[1]
    assert (late.start_sample, late.end_sample) == (chosen.start_sample + 20480, chosen.end_sample + 20480)
    row = rows(pair, LAYOUT)
    text, late_text = (
        np.reshape(row[f"{side}_input_ids"], (-1, 25))[:, 10:15].reshape(-1) for side in ("chosen", "rejected")
    )
    assert (text.tolist().index(4097), late_text.tolist().index(4097)) == (11, 19)  # (35 - 10) * 5 // 10 - 1
    assert (text.tolist().index(4099), late_text.tolist().index(4099)) == (38, 46)  # ceil((85 - 10) / 2)
    assert text[12:38].tolist() == late_text[20:46].tolist()
    assert row["chosen_num_blocks"] == row["rejected_num_blocks"] == 11


@pytest.mark.parametrize("layout", [LAYOUT, PLAIN], ids=["bayling", "plain"])
@pytest.mark.parametrize("turn_", ["random", "last"])
def test_starting_late(layout: Layout, turn_: str) -> None:
    pairs = seeds(two_exchanges(), layout=layout, turn=turn_)
    assert {pair.event for pair in pairs} == ({1, 3} if turn_ == "random" else {3})
    for pair in pairs:
        assert pair.difference_samples % (layout.step_frames * SPF) == 0
        assert pair.chosen_delay_samples == 12800
        assert 2 * SECOND <= pair.rejected_delay_samples <= 5 * SECOND
        chosen, late = (np.array(channel(side)) for side in (pair.chosen, pair.rejected))
        assert chosen[chosen > 0].tolist() == late[late > 0].tolist()
        frames = pair.difference_samples // SPF
        own = np.flatnonzero(chosen > 0) >= two_exchanges()[pair.event].start_sample // SPF
        assert np.flatnonzero(late > 0).tolist() == (np.flatnonzero(chosen > 0) + frames * own).tolist()
        assert late[-1] == 0 < late[-2]
    assert len({pair.rejected_delay_samples for pair in pairs}) > 10


def test_after_the_end_both_sides_go_on_with_silence_of_their_own() -> None:
    given_track = track(two_exchanges())
    pairs = [maker(seed=seed, turn="last").pair("talk/0", given_track) for seed in range(20)]
    longest = max(pairs, key=lambda pair: pair.chosen.frames).chosen
    assert longest.frames > given_track.frames
    for codes, own in (
        (longest.user_codes, given_track.user_codes),
        (longest.assistant_codes, given_track.assistant_codes),
    ):
        assert codes[:, : own.shape[1]].tolist() == own.tolist()
        assert not codes[:, own.shape[1] :].any()


@pytest.mark.parametrize("layout", [LAYOUT, PLAIN], ids=["bayling", "plain"])
def test_neither_side_holds_anything_of_the_next_reply(layout: Layout) -> None:
    for gap in range(8000, 2 * SECOND, 1234):
        for pair in seeds(two_exchanges(gap), 10, layout):
            for side in (pair.chosen, pair.rejected):
                assert any(event.utterance == 3 for event in side.events) == (pair.event == 3)
                assert pair.event == 3 or not np.isin(speech_codes(3)[:50], side.assistant_codes).any()


def test_nothing_is_to_be_said_of_a_reply_that_is_not_there() -> None:
    """The row is a block ahead: where [ASSISTANT] would be due, one that ends early must not teach silence."""
    for gap in range(8000, 3 * SECOND, 777):
        start = two_exchanges(gap)[3].start_sample
        for pair in seeds(two_exchanges(gap), 5):
            assert pair.event == 3 or not LAYOUT.announces(pair.chosen.frames, start)


def test_first_reply_is_left_alone_where_the_next_comes_too_soon() -> None:
    events = two_exchanges(8000)
    events[2] = turn("user", events[2].start_sample, events[2].end_sample - 25600)  # a question of 0.4 s
    events[3] = turn("assistant", events[3].start_sample - 25600, events[3].end_sample - 25600)
    assert {pair.event for pair in seeds(events)} == {3}
    with pytest.raises(DialogueRejected) as rejected:
        maker(reply_delay_s=[0.5, 0.9]).pair("talk/0", track(events))
    assert rejected.value.reason == "delays_out_of_range"


@pytest.mark.parametrize("layout", [LAYOUT, PLAIN], ids=["bayling", "plain"])
def test_talking_on(layout: Layout) -> None:
    """The question is long enough for the answer to stay where it is."""
    given_track = track(interrupted())
    for pair in seeds(interrupted(), layout=layout):
        assert (pair.event, pair.chosen_delay_samples, pair.capped) == (1, SECOND, False)
        assert 3 * SECOND <= pair.rejected_delay_samples <= 5 * SECOND
        stop = given_track.events[2].start_sample + pair.rejected_delay_samples
        first, past = given_track.uncut[0].first_frame, -(-stop // SPF)
        chosen, late = channel(pair.chosen), channel(pair.rejected)
        assert chosen == given_track.assistant_codes[0, : len(chosen)].tolist()
        assert late[:first] == chosen[:first] and late[past:] == chosen[past:]
        assert late[first:past] == given_track.uncut[0].codes[0, : past - first].tolist()
        event = pair.rejected.events[1]
        assert (event.end_sample, event.cut_by, event.is_cut) == (stop, 2, True)
        assert pair.rejected.events[3] == pair.chosen.events[3]


@pytest.mark.parametrize("layout", [LAYOUT, PLAIN], ids=["bayling", "plain"])
def test_an_answer_that_would_come_too_soon_moves(layout: Layout) -> None:
    """The assistant answers only after it has stopped."""
    for question in range(SECOND, 4 * SECOND, 3333):
        events = interrupted(question)
        for pair in seeds(events, 8, layout):
            assert not pair.capped
            stop = pair.rejected.events[1].end_sample
            answer, own = pair.rejected.events[3], pair.chosen.events[3]
            moved = answer.start_sample - own.start_sample
            assert moved % (layout.step_frames * SPF) == 0
            assert answer.start_sample >= stop + 2560 and layout.may_follow(stop, answer.start_sample)
            before = answer.start_sample - layout.step_frames * SPF
            assert moved == 0 or before < stop + 2560 or not layout.may_follow(stop, before), "no later than it must"
            late = channel(pair.rejected)
            start = answer.start_sample // SPF
            assert late[start : start + 50] == speech_codes(3)[:50].tolist()
            assert not any(late[-(-stop // SPF) : start])
            assert (answer.answers, answer.is_cut) == (2, False)


def test_text_of_a_reply_that_was_cut_in_the_middle_goes_on() -> None:
    events = interrupted()
    events[3] = turn("assistant", events[3].start_sample, events[3].end_sample + 20 * SECOND)
    given_track = track(events, text=TEXT * 6)
    for seed in range(10):
        pair = maker(scenario="interruption", seed=seed).pair("talk/0", given_track)
        row = rows(pair, LAYOUT)
        chosen, late = (LAYOUT.decode(row[f"{side}_input_ids"]).replies[0] for side in ("chosen", "rejected"))
        assert late.text_ids == tuple(ENCODE(TEXT * 6))[: late.room]
        assert late.text_ids[: chosen.room] == chosen.text_ids and len(late.text_ids) > chosen.room
        assert complaints(pair, LAYOUT, "interruption") == []


def test_a_reply_that_ends_by_itself_is_capped_there() -> None:
    for pair in seeds(interrupted(uncut=2 * SECOND + 100)):
        assert (pair.capped, pair.rejected_delay_samples) == (True, 2 * SECOND + 100)
        event = pair.rejected.events[1]
        assert (event.is_cut, event.cut_by) == (False, None)


@pytest.mark.parametrize("layout", [LAYOUT, PLAIN], ids=["bayling", "plain"])
@pytest.mark.parametrize("into_answer", [8000, 20000, 40000])
def test_an_answer_that_is_cut_itself(layout: Layout, into_answer: int) -> None:
    """Both sides end before the user's next turn, though not before the late stop, and the answer where they end."""
    for question in range(SECOND, 5 * SECOND, 5555):
        events = interrupted_twice(question, into_answer)
        pairs = [pair for pair in seeds(events, 20, layout) if pair.event == 1]
        assert pairs
        for pair in pairs:
            end, stop = pair.chosen.frames, pair.rejected.events[1].end_sample
            past = -(-stop // SPF) + 1
            assert end in (past, events[4].start_sample // SPF) and end >= past
            assert all(event.utterance != 5 for side in (pair.chosen, pair.rejected) for event in side.events)
            for side in (pair.chosen, pair.rejected):
                talks = [event for event in side.events if event.channel == "assistant"]
                assert all(left.end_sample <= right.start_sample for left, right in pairwise(talks))
                assert not np.isin(side.assistant_codes[:, end:], speech_codes(3)[:50]).any(), "no more than the event"


def test_no_room() -> None:
    events = interrupted(uncut=2 * SECOND - 160)
    with pytest.raises(DialogueRejected) as rejected:
        maker(scenario="interruption").pair("talk/0", track(events))
    assert rejected.value.reason == "reply_ends_too_soon"
    assert rejected.value.detail.startswith("event 1 can be 0.99 s later at most")
    near = maker(scenario="interruption", least_difference_s=0.3).pair("talk/0", track(events))
    assert near.difference_samples < SECOND


def test_a_scenario_that_knows_nothing_of_late_replies() -> None:
    with pytest.raises(DialogueRejected) as rejected:
        maker(scenario="interruption").pair("talk/0", track(two_exchanges()))
    assert rejected.value.reason == "nothing_late"


def test_no_silence_to_go_on_with() -> None:
    """The user speaks to the end of a track that has no margin, and the late reply ends after it."""
    talking = [turn("user", 0, 44800), turn("assistant", 44800, 76800), turn("user", 44800, 76800)]
    given_track = track(talking, tail=0)
    codes = (given_track.user_codes[:, :-MARGIN], given_track.assistant_codes[:, :-MARGIN])
    alone = replace(given_track, user_codes=codes[0], assistant_codes=codes[1], margin_frames=0)
    with pytest.raises(DialogueRejected) as rejected:
        maker(PLAIN).pair("talk/0", alone)
    assert rejected.value.reason == "no_silence"
    assert maker(PLAIN).pair("talk/0", given_track).difference_samples > SECOND


def test_draws_depend_on_seed_and_dialogue_alone() -> None:
    given_track = track(two_exchanges())
    same, again = (maker().pair("talk/0", given_track) for _ in range(2))
    assert channel(same.rejected) == channel(again.rejected)
    others = [maker(seed=1).pair("talk/0", given_track), maker().pair("talk/1", given_track)]
    assert all(other.rejected_delay_samples != same.rejected_delay_samples for other in others)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([(10, 5), (20, 10), (5, 3), (4, 4), (6, 4), (13, 26)]),
    st.sampled_from([-1, 0]),
    st.integers(0, 40000),
    st.integers(30000, 90000),
    st.integers(8000, 60000),
    st.integers(0, 99),
    st.integers(1, 3),
)
def test_starting_late_in_any_blocks(
    ratio: tuple[int, int], offset: int, shift: int, length: int, gap: int, seed: int, codebooks: int
) -> None:
    section = BaylingSection(name="bayling", user_tokens=ratio[0], text_tokens=ratio[1], ast_offset=offset)
    layout = Bayling(section, VOCABULARY, SPF)
    events = [turn(one.channel, one.start_sample + shift, one.end_sample + shift) for one in two_exchanges(gap)]
    events[3] = turn("assistant", events[3].start_sample, events[3].start_sample + length + 40000)
    given_track = track(events, codebooks=codebooks)
    own: Layout
    for own in (layout, plain_layout(codebooks)):
        pair = maker(own, seed=seed).pair("talk/0", given_track)
        check_sides(pair, given_track)
        assert pair.difference_samples % (own.step_frames * SPF) == 0
        assert complaints(pair, own, "turn_taking") == []


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([(10, 5), (20, 10), (5, 3), (4, 4), (6, 4), (13, 26)]),
    st.sampled_from([-1, 0]),
    st.integers(8000, 90000),
    st.integers(33000, 100000),
    st.integers(12800, 32000),
    st.integers(8000, 60000) | st.none(),
    st.integers(0, 99),
)
def test_stopping_late_in_any_blocks(
    ratio: tuple[int, int], offset: int, question: int, uncut: int, reaction: int, into: int | None, seed: int
) -> None:
    """A check of the rows alone finds nothing, however long question, reply and answer are."""
    section = BaylingSection(name="bayling", user_tokens=ratio[0], text_tokens=ratio[1], ast_offset=offset)
    layout = Bayling(section, VOCABULARY, SPF)
    events = interrupted(question) if into is None else interrupted_twice(question, into)
    barge_in = events[2].start_sample
    events[1] = replace(events[1], end_sample=barge_in + reaction, whole_end_sample=barge_in + reaction + uncut)
    given_track = track(events)
    try:
        layout.encode(given_track, [ENCODE(text) for text in given_track.texts])
    except DialogueRejected:
        reject()
    for own in (layout, PLAIN):
        pair = maker(own, "interruption", seed=seed).pair("talk/0", given_track)
        check_sides(pair, given_track)
        assert complaints(pair, own, "interruption") == []


@given(st.booleans(), st.booleans(), st.integers(0, 99), st.data())
def test_no_code_of_either_side_changes_unseen(cut: bool, plain: bool, seed: int, data: st.DataObject) -> None:
    """Except frames that the other side does not have, and those in which a row does not tell where a reply ends.

    Only the rejected side has speech after the chosen stop, and only the chosen one all silence after its last reply.
    """
    events, scenario = (interrupted(2 * SECOND), "interruption") if cut else (two_exchanges(), "turn_taking")
    layout = PLAIN if plain else LAYOUT
    given_track = track(events)
    pair = maker(layout, scenario, seed=seed).pair("talk/0", given_track)
    side = data.draw(st.sampled_from(["chosen", "rejected"]))
    changed = getattr(pair, side)
    role = data.draw(st.sampled_from(["user", "assistant"]))
    stops = [one.events[1].end_sample // SPF for one in (pair.chosen, pair.rejected)]
    alone = range(stops[0] - 2, stops[1] + 3) if cut and role == "assistant" else range(0)
    columns = layout.encode(changed, [ENCODE(text) for text in changed.texts])
    ends = layout.written(columns).replies[-1].end_frames
    silence = range(ends[-1], changed.frames) if side == "rejected" else range(0)
    shown = [*range(10, ends.start), *silence] if role == "assistant" else range(changed.frames)
    frame = data.draw(st.sampled_from([frame for frame in shown if frame not in alone]))
    codes = getattr(changed, f"{role}_codes").copy()
    codes[0, frame] = 1999
    damaged = replace(changed, **{f"{role}_codes": codes})
    assert complaints(replace(pair, **{side: damaged}), layout, scenario)
