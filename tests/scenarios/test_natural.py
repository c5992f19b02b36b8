"""Natural conversations, for any lengths, words, kinds, profiles and draws."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from duplexgen.pipeline.dialogue import (
    ASIDES,
    BACKCHANNEL,
    BYSTANDER,
    CHANNELS,
    FOLLOW_UP,
    NEGATION,
    REPETITION,
    SIDE_TALK,
    SILENCE_REQUEST,
    STOPPING,
    TURN,
    Event,
    Pause,
    Role,
    Word,
)
from duplexgen.pipeline.recipe.sections import Range
from duplexgen.pipeline.scenarios.barge_in import SILENCE_AFTER_STOP_S
from duplexgen.pipeline.scenarios.natural import Natural
from duplexgen.pipeline.scenarios.placing import (
    APART_S,
    BESIDE_S,
    CLAUSE_ENDS,
    LARGEST_OVERLAP,
    NaturalTiming,
    hesitant_words,
)
from duplexgen.pipeline.scenarios.scenario import Grid, Late, Spoken
from tests.scenarios.spoken import RATES, SEEDS, changed, frame, moved, wrong
from tests.scenarios.talking import Script, Talk, exchange, lay_out, talks

RATE = 16000


def floor_of(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind not in ASIDES]


def user_asides(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind in ASIDES and event.channel == "user"]


def turn_of(aside: Event, events: Sequence[Event]) -> Event:
    """The turn that an aside is beside, or after."""
    before = [event for event in floor_of(events) if event.utterance < aside.utterance]
    return max(before, key=lambda event: event.utterance)


def pauses_in(event: Event) -> int:
    return sum(pause.num_samples for pause in event.pauses)


@given(talks)
def test_nothing_is_wrong_with_what_is_laid_out(talk: Talk) -> None:
    timing, rate, script, _ = talk
    timeline = lay_out(*talk)
    assert wrong(Natural(timing), timeline.events, rate) == []
    assert timeline.num_samples == max(event.end_sample for event in timeline.events) + round(0.8 * rate)
    assert [event.start_sample for event in timeline.events] == sorted(event.start_sample for event in timeline.events)
    for event in timeline.events:
        one = script[event.utterance]
        assert event.channel == one.channel
        assert event.whole_end_sample - event.start_sample == one.num_samples + pauses_in(event)
        assert event.is_cut == (event.cut_by is not None) and event.end_sample <= event.whole_end_sample


@given(talks)
def test_turns_keep_their_order_and_only_what_has_no_place_is_left_out(talk: Talk) -> None:
    _, _, script, _ = talk
    events = lay_out(*talk).events
    placed = [event.utterance for event in floor_of(events)]
    assert placed == sorted(placed)
    for index, one in enumerate(script):
        if index not in placed and one.kind not in ASIDES:
            assert one.kind == SILENCE_REQUEST
    for index, event in enumerate(events):
        kind = script[event.utterance].kind
        interrupts = any(other.cut_by == index for other in events)
        assert event.kind == (kind if kind in ASIDES or interrupts else TURN)
        assert interrupts <= (kind in STOPPING), "nobody interrupts who was not asked to"


@given(talks)
def test_everybody_answers_whom_they_should(talk: Talk) -> None:
    events = lay_out(*talk).events
    for index, event in enumerate(events):
        answers = [other for other in events if other.answers == index]
        is_answered = event.channel == "user" and event.kind not in (*ASIDES, SILENCE_REQUEST)
        assert len(answers) == is_answered
        if event.channel == "user" or event.kind in ASIDES:
            assert event.answers is None and event.cut_by is None


@given(talks)
def test_nobody_says_two_things_at_once(talk: Talk) -> None:
    _, rate, _, _ = talk
    events = lay_out(*talk).events
    for channel in CHANNELS:
        own = sorted((e for e in events if e.channel == channel), key=lambda event: event.start_sample)
        for before, event in pairwise(own):
            apart = round(APART_S * rate) if {before.kind, event.kind} & {*ASIDES} else 0
            assert event.start_sample >= before.end_sample + apart


@given(talks)
def test_replies_and_stops_are_in_time(talk: Talk) -> None:
    timing, rate, _, _ = talk
    grid = Grid(rate, frame(rate))
    events = lay_out(*talk).events
    for event in events:
        if event.answers is not None:
            delay = event.start_sample - events[event.answers].end_sample
            assert round(timing.reply_delay_s * rate) <= delay
            assert delay <= max(timing.reply_delay_s, timing.profile.offset.high_ms / 1000) * rate + 1
        if event.cut_by is not None:
            barge_in = events[event.cut_by]
            assert grid.within(event.end_sample - barge_in.start_sample, timing.reaction_delay_s)
            assert barge_in.start_sample - event.start_sample >= round(0.5 * rate)
            for answer in (other for other in events if other.answers == event.cut_by):
                assert answer.start_sample - event.end_sample >= round(SILENCE_AFTER_STOP_S * rate)
    for before, event in pairwise(floor_of(events)):
        if before.channel == "assistant" and not before.is_cut:
            covered = before.end_sample - event.start_sample
            assert covered <= round(LARGEST_OVERLAP * (before.end_sample - before.start_sample))
            assert event.end_sample >= before.end_sample
        if before.kind == SILENCE_REQUEST:
            silent = max(other.end_sample for other in events if other.start_sample < event.start_sample)
            assert grid.within(event.start_sample - silent, timing.next_turn_gap_s)


@given(talks)
def test_asides_are_said_during_a_turn_or_after_a_reply(talk: Talk) -> None:
    timing, rate, _, _ = talk
    events, margin = lay_out(*talk).events, round(BESIDE_S * rate)
    for event in (event for event in events if event.kind in ASIDES):
        turn = turn_of(event, events)
        assert turn.channel != event.channel
        if event.start_sample >= turn.end_sample:
            assert event.kind != BACKCHANNEL and timing.after_reply_share > 0 and not turn.is_cut
            assert event.start_sample >= turn.end_sample + round(APART_S * rate)
        else:
            assert turn.start_sample + margin <= event.start_sample < event.end_sample <= turn.end_sample - margin
    if timing.after_reply_share == 1.0:
        for event in user_asides(events):
            turn = turn_of(event, events)
            assert (event.start_sample >= turn.end_sample) == (event.kind != BACKCHANNEL)


def places(events: Sequence[Event], script: Script) -> list[tuple[Spoken, int, int, object]]:
    """Where each utterance lies, whatever its number is."""
    return [(script[event.utterance], event.start_sample, event.end_sample, event.pauses) for event in events]


def is_aside(one: Spoken) -> bool:
    return one.kind in ASIDES


@given(talks, st.data())
def test_asides_during_turns_move_nothing(talk: Talk, data: st.DataObject) -> None:
    """Neither turns, nor asides of other turns: that of the assistant lies as without those of the user."""
    timing, rate, script, seed = talk
    events = lay_out(*talk).events
    turns = {event.utterance: event for event in floor_of(events)}
    after = {e.utterance for e in user_asides(events) if e.start_sample >= turn_of(e, events).end_sample}
    left_out: set[int] = set()
    for index in turns:
        following = next((at for at in range(index + 1, len(script)) if not is_aside(script[at])), len(script))
        of_turn = {*range(index + 1, following)}
        if not after & of_turn and data.draw(st.booleans()):
            left_out |= of_turn
    without = [one for index, one in enumerate(script) if index not in left_out]
    again = lay_out(timing, rate, without, seed)
    assert places(again.events, without) == places([e for e in events if e.utterance not in left_out], script)


@given(talks)
def test_an_aside_after_a_reply_moves_what_follows_as_far_as_it_must(talk: Talk) -> None:
    timing, rate, script, seed = talk
    events = floor_of(lay_out(*talk).events)
    alone_script = [one for one in script if one.kind not in ASIDES]
    alone = lay_out(timing, rate, alone_script, seed).events
    assert len(alone) == len(events)
    latest = {event.end_sample + round(APART_S * rate) for event in user_asides(lay_out(*talk).events)}
    later = 0
    for one, other in zip(events, alone, strict=True):
        assert script[one.utterance] == alone_script[other.utterance] and one.kind == other.kind
        moved_by = one.start_sample - other.start_sample
        assert moved_by == later or (moved_by > later and one.channel == "user" and one.start_sample in latest)
        assert other.later(moved_by).pauses == one.pauses and one.end_sample - one.start_sample == (
            other.end_sample - other.start_sample
        )
        later = moved_by


@given(talks)
def test_pauses_lie_between_words(talk: Talk) -> None:
    _, rate, script, _ = talk
    for event in lay_out(*talk).events:
        if event.channel == "assistant" or event.kind in ASIDES or script[event.utterance].words is None:
            assert event.pauses == ()
        for pause in event.later(-event.start_sample).pauses:
            assert round(0.3 * rate) <= pause.num_samples <= round(2.0 * rate)
            words = hesitant_words(script[event.utterance].words, [pause]) or ()
            before = [word for word in words if word.end_sample <= pause.start_sample]
            after = [word for word in words if word.start_sample >= pause.end_sample]
            assert before and after and len(before) + len(after) == len(words)
            assert [word.text for word in words] == [word.text for word in script[event.utterance].words or ()]


@given(RATES, SEEDS, st.sampled_from([FOLLOW_UP, SILENCE_REQUEST, BACKCHANNEL, BYSTANDER]), st.booleans())
def test_what_comes_during_a_reply_comes_at_clause_ends(rate: int, seed: int, kind: str, at_word: bool) -> None:
    """If there is one in reach, or at the word that is asked for."""
    reply = exchange(rate, ("user", 2, TURN), ("assistant", 9, TURN))
    words = reply[1].words or ()
    asked = next(index for index, word in enumerate(words) if 3 * rate < word.end_sample < 5 * rate)
    said = Spoken("user", 2 * rate, None, None, kind, asked if at_word else None)
    script = [*reply, said, *exchange(rate, ("assistant", 3, TURN))][: 3 if kind != FOLLOW_UP else 4]
    timing = NaturalTiming(after_reply_share=0.0)
    events = lay_out(timing, rate, script, seed).events
    (event,) = [event for event in events if event.utterance == 2]
    (reply_event,) = [event for event in events if event.utterance == 1]
    at = event.start_sample - reply_event.start_sample
    if at_word:
        assert at == words[asked].end_sample
        return
    ends = [word.end_sample for word in words if word.text.rstrip('"').endswith(CLAUSE_ENDS)]
    assert [end for end in ends if rate < end < 6 * rate], "else this shows nothing"
    assert at in ends


@pytest.mark.parametrize("texts", [["a", "b", "c"], None])
def test_without_clauses_it_comes_at_words_and_without_words_anywhere(texts: list[str] | None) -> None:
    words = texts and tuple(Word(text, RATE * index, RATE * (index + 1)) for index, text in enumerate(texts * 3))
    script = [Spoken("user", RATE, words=None), Spoken("assistant", 9 * RATE, words or None)]
    script += [Spoken("user", 2 * RATE, kind=NEGATION), Spoken("assistant", RATE)]
    starts = set()
    for seed in range(40):
        events = lay_out(NaturalTiming(), RATE, script, seed).events
        starts.add(events[2].start_sample - events[1].start_sample)
    assert (starts == {RATE * at for at in range(1, 9)}) if texts else len(starts) == 40


@given(SEEDS, st.sampled_from([kind for kind in STOPPING if kind != SILENCE_REQUEST]))
def test_an_interruption_without_room_is_a_turn_after_the_reply(seed: int, kind: str) -> None:
    for reply_s, turn_s in ((0.6, 3.0), (8.0, 0.2)):  # a reply that ends too soon, and a turn that does
        said: list[tuple[Role, float, str]] = [("user", 2, TURN), ("assistant", reply_s, TURN), ("user", turn_s, kind)]
        script = exchange(RATE, *said, ("assistant", 2, TURN))
        events = lay_out(NaturalTiming(), RATE, script, seed).events
        assert [(event.kind, event.is_cut) for event in events] == [(TURN, False)] * 4


@given(SEEDS)
def test_a_silence_request_with_nobody_to_silence_is_left_out(seed: int) -> None:
    script = exchange(
        RATE,
        ("user", 2, TURN),
        ("assistant", 0.6, TURN),
        ("user", 1, SILENCE_REQUEST),
        ("assistant", 0.3, BACKCHANNEL),
        ("user", 2, FOLLOW_UP),
        ("assistant", 2, TURN),
    )
    events = lay_out(NaturalTiming(), RATE, script, seed).events
    assert [(event.utterance, event.kind) for event in events] == [(index, TURN) for index in (0, 1, 4, 5)]
    assert wrong(Natural(NaturalTiming()), events, RATE) == []


def test_after_a_silence_request_nobody_speaks_until_the_user_does() -> None:
    script = exchange(
        RATE,
        ("user", 2, TURN),
        ("assistant", 9, TURN),
        ("user", 1, SILENCE_REQUEST),
        ("user", 2, TURN),
        ("assistant", 2, TURN),
    )
    for seed in range(50):
        events = lay_out(NaturalTiming(), RATE, script, seed).events
        assert [event.kind for event in events] == [TURN, TURN, SILENCE_REQUEST, TURN, TURN]
        silent = max(events[1].end_sample, events[2].end_sample)
        assert RATE <= events[3].start_sample - silent <= 3 * RATE


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_turns_hesitate(share: float) -> None:
    both: list[tuple[Role, float, str]] = [("user", 4.0, TURN), ("assistant", 2.0, TURN)]
    script = exchange(RATE, *both * 6)
    timelines = [lay_out(NaturalTiming(pause_share=share), RATE, script, seed) for seed in range(200)]
    turns = [event for timeline in timelines for event in timeline.events if event.channel == "user"]
    assert len(turns) == 1200
    assert binomtest(sum(bool(event.pauses) for event in turns), len(turns), share).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_asides_come_after_the_reply(share: float) -> None:
    kinds = [BYSTANDER, SIDE_TALK, BACKCHANNEL]
    said = [one for kind in kinds for one in (("user", 2, TURN), ("assistant", 6, TURN), ("user", 1, kind))]
    timelines = [
        lay_out(NaturalTiming(after_reply_share=share), RATE, exchange(RATE, *said), seed)  # type: ignore[arg-type]
        for seed in range(200)
    ]
    after = dict.fromkeys(kinds, 0)
    for timeline in timelines:
        for event in user_asides(timeline.events):
            replies = [e for e in timeline.events if e.channel == "assistant" and e.start_sample < event.start_sample]
            after[event.kind] += event.start_sample >= replies[-1].end_sample
    assert after[BACKCHANNEL] == 0
    assert binomtest(after[BYSTANDER] + after[SIDE_TALK], 400, share).pvalue > 1e-4


def full(seed: int) -> tuple[Natural, list[Event]]:
    """A conversation in which everything happens."""
    script = exchange(
        RATE,
        ("user", 6, TURN),
        ("assistant", 0.5, BACKCHANNEL),
        ("assistant", 9, TURN),
        ("user", 0.5, BACKCHANNEL),
        ("user", 3, TURN),
        ("assistant", 9, TURN),
        ("user", 3, FOLLOW_UP),
        ("assistant", 9, TURN),
        ("user", 1.5, BYSTANDER),
        ("user", 3, TURN),
        ("assistant", 9, TURN),
        ("user", 2, REPETITION),
        ("assistant", 9, TURN),
        ("user", 2, SILENCE_REQUEST),
        ("user", 3, TURN),
        ("assistant", 9, TURN),
    )
    scenario = Natural(NaturalTiming(pause_share=1.0, after_reply_share=0.0, reaction_delay_s=Range(low=0.8, high=1.6)))
    timeline = lay_out(scenario.timing, RATE, script, seed)
    events = list(timeline.events)
    assert len(events) == len(script) and wrong(scenario, events, RATE) == []
    return scenario, events


@given(st.integers(0, 300), st.data())
def test_each_change_is_found(seed: int, data: st.DataObject) -> None:
    scenario, events = full(seed)

    def one_of(*kinds: str, channel: str = "user", cut: bool = False) -> int:
        found = [
            index
            for index, event in enumerate(events)
            if event.kind in kinds and event.channel == channel and event.is_cut == cut
        ]
        return data.draw(st.sampled_from(found))

    turn, reply, cut = one_of(TURN), one_of(TURN, channel="assistant"), one_of(TURN, channel="assistant", cut=True)
    aside, own_aside = one_of(BACKCHANNEL, BYSTANDER), one_of(BACKCHANNEL, channel="assistant")
    stopping, silence = one_of(FOLLOW_UP, REPETITION), one_of(SILENCE_REQUEST)
    barge_in = events[cut].cut_by
    assert barge_in is not None
    floor = [index for index, event in enumerate(events) if event.kind not in ASIDES]
    after_silence = floor[floor.index(silence) + 1]
    answer = next(index for index, event in enumerate(events) if event.answers is not None)
    long_pause = Pause(events[turn].start_sample + 100, events[turn].start_sample + 100 + 2 * RATE + 1)
    short_pause = Pause(events[turn].start_sample + 100, events[turn].start_sample + 100 + round(0.3 * RATE) - 1)
    some_pause = Pause(events[reply].start_sample + RATE, events[reply].start_sample + 2 * RATE)
    turn_of = {index: floor[floor.index(index) - 1] for index in floor[1:]}
    changes = {
        "starts too late": moved(events, 0, round(0.8 * RATE) + 1),
        "answered too soon": moved(events, answer, -(events[answer].start_sample - events[answer - 1].end_sample)),
        "answered too late": moved(events, answer, 3 * RATE),
        "the next turn too late": moved(events, after_silence, 4 * RATE),
        "the next turn too soon": moved(events, after_silence, -3 * RATE),
        "stops at once": changed(events, cut, end_sample=events[barge_in].start_sample + 1),
        "stops too late": changed(events, cut, end_sample=events[cut].end_sample + RATE),
        "cut by nobody": changed(events, cut, cut_by=None),
        "cut by its question": changed(events, cut, cut_by=turn_of[cut]),
        "cut by an aside": changed(events, reply, cut_by=aside),
        "the last reply is cut": changed(events, len(events) - 1, cut_by=silence),
        "the user is cut": changed(events, turn, end_sample=events[turn].end_sample - 1),
        "the user answers": changed(events, turn, answers=reply),
        "answers nobody": changed(events, reply, answers=None),
        "answers an aside": changed(events, reply, answers=aside),
        "answers a silence request": changed(events, reply, answers=silence),
        "an aside answers": changed(events, aside, answers=reply),
        "an aside is cut": changed(events, aside, end_sample=events[aside].end_sample - 1),
        "an aside has a pause": changed(events, aside, pauses=(some_pause,)),
        "an aside as a turn": changed(events, aside, kind=TURN),
        "an aside as an interruption": changed(events, aside, kind=NEGATION),
        "an aside over the end of a turn": changed(events, own_aside, end_sample=events[0].end_sample + 10),
        "the assistant's aside is a bystander's": changed(events, own_aside, kind=BYSTANDER),
        "the assistant's aside as a turn": changed(events, own_aside, kind=TURN),
        "a turn as a backchannel": changed(events, turn, kind=BACKCHANNEL),
        "a turn that interrupts": changed(events, turn, kind=FOLLOW_UP),
        "an interruption as a turn": changed(events, stopping, kind=TURN),
        "an interruption as a silence request": changed(events, stopping, kind=SILENCE_REQUEST),
        "a silence request as a follow-up": changed(events, silence, kind=FOLLOW_UP),
        "a reply as an interruption": changed(events, reply, kind=NEGATION),
        "a kind that is none": changed(events, turn, kind="chat"),
        "a pause that is too long": changed(events, turn, pauses=(long_pause,)),
        "a pause that is too short": changed(events, turn, pauses=(short_pause,)),
        "the assistant pauses": changed(events, reply, pauses=(some_pause,)),
        "a lost reply": [*events[:reply], *events[reply + 1 :]],
        "lost the last reply": events[:-1],
        "nothing": [],
        "an aside first": [replace(events[aside], start_sample=0, end_sample=10, whole_end_sample=10), *events],
    }  # fmt: skip
    for what, changed_events in changes.items():
        messages = wrong(scenario, changed_events, RATE)
        assert messages, what
        assert all(message.isprintable() for message in messages)


@pytest.mark.parametrize("seed", range(5))
def test_a_backchannel_in_nobody_s_turn_is_found(seed: int) -> None:
    """Before all turns but the first, between them, and after the last one."""
    scenario, events = full(seed)
    (index,) = [at for at, event in enumerate(events) if (event.kind, event.channel) == (BACKCHANNEL, "user")]
    rest = [event for event in events if event.kind != BACKCHANNEL]
    for before in floor_of(events)[1::2]:
        start = before.end_sample + 1
        placed = replace(events[index], start_sample=start, end_sample=start + 10, whole_end_sample=start + 10)
        everything = sorted([*rest, placed], key=lambda event: event.start_sample)
        assert any("is an aside" in message for message in wrong(scenario, everything, RATE))


def test_an_aside_after_a_reply_may_not_come_elsewhere() -> None:
    """A bystander who speaks when nobody does has heard a reply before, and no turn of the user's."""
    scenario = Natural(NaturalTiming(after_reply_share=1.0))
    script = exchange(
        RATE,
        ("user", 3, TURN),
        ("assistant", 5, TURN),
        ("user", 0.1, BYSTANDER),
        ("user", 3, TURN),
        ("assistant", 5, TURN),
    )
    events = list(lay_out(scenario.timing, RATE, script, 1).events)
    assert [event.kind for event in events] == [TURN, TURN, BYSTANDER, TURN, TURN]
    question, answer = events[3], events[4]
    assert answer.start_sample - question.end_sample > 0.2 * RATE
    at = question.end_sample + 10
    early = [*events[:2], *(replace(event, answers=2) if event.answers == 3 else event for event in events[3:])]
    early.insert(3, replace(events[2], start_sample=at, end_sample=at + 1600, whole_end_sample=at + 1600))
    assert any("not said during one turn" in message for message in wrong(scenario, early, RATE))


@given(talks)
def test_replies_are_late_in_the_way_that_they_can_be(talk: Talk) -> None:
    timing, rate, _, _ = talk
    scenario, grid = Natural(timing), Grid(rate, frame(rate))
    events = lay_out(*talk).events
    lates = scenario.late(events, rate)
    replies = [index for index, event in enumerate(events) if event.channel == "assistant" and event.kind == TURN]
    own = [index for index, event in enumerate(events) if event.channel == "assistant"]
    assert [late.event for late in lates] == replies
    longest = {
        True: timing.reaction_delay_s.high,
        False: max(timing.reply_delay_s, timing.profile.offset.high_ms / 1000),
    }
    for late in lates:
        reply, number = events[late.event], own.index(late.event)
        assert late.stops == reply.is_cut
        if reply.cut_by is not None:
            assert late.delay_samples == reply.end_sample - events[reply.cut_by].start_sample
            assert late.most_samples == reply.whole_end_sample - events[reply.cut_by].start_sample
            assert late.most_samples > late.delay_samples
        else:
            assert reply.answers is not None and late.most_samples is None
            assert late.delay_samples == reply.start_sample - events[reply.answers].end_sample
        assert [*scenario.check_late(late, number, grid)] == []
        too_late = grid.samples(longest[late.stops]) + 1
        for wrong_late in (
            Late(late.event, late.stops, too_late, None),
            Late(late.event, late.stops, -1, None),
            Late(number, late.stops, late.delay_samples, None),
        ):
            assert len([*scenario.check_late(wrong_late, number, grid)]) == 1


def test_what_is_measured() -> None:
    scenario, events = full(1)
    figures = [*scenario.measure(events, RATE)]
    counts = {name: value for name, value in figures if not name.endswith("_s")}
    assert counts == {
        "follow_up": 1, "negation": 0, "repetition": 1, "topic_switch": 0, "silence_request": 1,
        "backchannel": 1, "bystander": 1, "side_talk": 0, "assistant_backchannel": 1,
    }  # fmt: skip
    measured = {name: [value for other, value in figures if other == name] for name, _ in figures}
    assert len(measured["reply_delay_s"]) == 6 and len(measured["reaction_delay_s"]) == 3
    pauses = [pause.num_samples / RATE for event in events for pause in event.pauses]
    assert measured["hesitation_s"] == pauses and pauses


@given(talks)
def test_what_is_written_the_other_way_round_is_left_out(talk: Talk) -> None:
    """An aside of the speaker's own is said by nobody: one cannot speak beside oneself."""
    timing, rate, script, seed = talk
    own = replace(script[0], kind=BYSTANDER)
    longer = [script[0], own, *script[1:]]
    assert places(lay_out(timing, rate, longer, seed).events, longer) == places(lay_out(*talk).events, script)
