"""Timing metrics, on segments that are written down here, on speech, and on the audio of data sets."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks import replay
from duplexgen.pipeline.audio.activity import speech_segments
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.training.metrics.metrics import (
    Aside,
    Figure,
    Interruption,
    Pause,
    SilenceRequest,
    TurnTaking,
    aside,
    aside_figures,
    figure,
    interruption,
    interruption_figures,
    pause,
    pause_figures,
    silence_request,
    turn_taking,
    turn_taking_figures,
)

RATE = 16000
VAD_STEP_S = 0.032


@pytest.fixture(scope="module")
def spoken() -> NDArray[np.float32]:
    """A sentence of Kokoro's, trimmed to speech."""
    waveform, rate = soundfile.read(replay.RECORDING, dtype="float32")
    return np.asarray(soxr.resample(waveform, rate, RATE), dtype=np.float32)


def channels(row: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32", always_2d=True)
    assert rate == RATE
    return samples[:, 0], samples[:, 1]


@pytest.mark.parametrize(
    ("assistant", "delay_s", "success", "early"),
    [
        ([(2.8, 5.0)], 0.8, True, False),
        ([(2.8, 5.0), (9.0, 9.5)], 0.8, True, False),
        ([(5.0, 6.0)], 3.0, True, False),
        ([(5.25, 6.0)], 3.25, False, False),
        ([(1.0, 6.0)], -1.0, False, True),
        ([(1.0, 1.5), (2.8, 5.0)], 0.8, True, False),  # what it says in passing is no reply
        ([(0.9, 2.0), (2.8, 5.0)], -1.1, False, True),
        ([(1.0, 1.5)], None, False, False),
        ([(1.8, 2.1), (2.4, 5.0)], -0.2, False, True),  # a pause does not end it
        ([], None, False, False),
    ],
)
def test_turn_taking(assistant: list[Any], delay_s: float | None, success: bool, early: bool) -> None:
    timing = turn_taking([(0.1, 0.9), (1.2, 2.0)], assistant)
    assert timing.delay_s == pytest.approx(delay_s)
    assert (timing.success, timing.early) == (success, early)


@pytest.mark.parametrize(
    ("assistant", "speaking", "overlap_s", "answer_delay_s"),
    [
        ([(3.0, 6.0), (8.0, 9.0)], True, 1.0, 1.0),
        ([(3.0, 4.9), (5.2, 6.5), (8.0, 9.0)], True, 1.5, 1.0),  # a pause at the barge-in is no stop
        ([(3.0, 5.5), (5.9, 6.5), (8.0, 9.0)], True, 1.5, 1.0),  # nor is one after it
        ([(3.0, 5.5), (6.0, 6.5), (8.0, 9.0)], True, 0.5, 1.0),
        ([(3.0, 6.8), (7.2, 9.0)], True, 1.8, 0.2),  # after the question's end it is an answer, however soon
        ([(3.0, 12.0)], True, 7.0, None),  # never stops, never answers
        ([(3.0, 7.5), (7.7, 12.0)], True, 7.0, None),  # nor here: it pauses between two words
        ([(3.0, 4.4), (8.0, 9.0)], False, 0.0, 1.0),
        ([(5.2, 6.8), (11.5, 12.0)], False, 0.0, 4.5),
        ([], False, 0.0, None),
    ],
)
def test_interruption(assistant: list[Any], speaking: bool, overlap_s: float, answer_delay_s: float | None) -> None:
    timing = interruption([(0.5, 2.0), (5.1, 7.0)], assistant, barge_in_s=5.0)
    assert timing.speaking == speaking
    assert timing.overlap_s == pytest.approx(overlap_s)
    assert timing.answer_delay_s == pytest.approx(answer_delay_s)
    assert timing.success == (overlap_s <= 2)
    assert timing.answered == (answer_delay_s is not None and answer_delay_s <= 3)


@pytest.mark.parametrize(
    ("assistant", "overlap_s", "resumed_s", "success"),
    [
        ([(3.0, 6.0)], 1.0, None, True),
        ([(3.0, 6.0), (10.1, 12.0)], 1.0, 3.1, True),
        ([(3.0, 6.0), (10.0, 12.0)], 1.0, 3.0, False),  # it answers what asks for silence
        ([(3.0, 5.4), (6.0, 6.4)], 0.4, -1.0, False),  # so soon that the request is not over
        ([(3.0, 7.2)], 2.2, None, False),  # it stops too late
        ([(3.0, 14.0)], 9.0, None, False),
        ([], 0.0, None, True),  # it has nothing to stop
        ([(5.3, 6.0)], 0.0, -1.7, False),
    ],
)
def test_silence_request(assistant: list[Any], overlap_s: float, resumed_s: float | None, success: bool) -> None:
    timing = silence_request([(0.5, 2.0), (5.1, 7.0)], assistant, request_s=5.0)
    assert timing.overlap_s == pytest.approx(overlap_s)
    assert timing.resumed_s == pytest.approx(resumed_s)
    assert timing.success == success and timing.stopped == (overlap_s <= 2)


@pytest.mark.parametrize(
    ("assistant", "taken_over", "delay_s", "success"),
    [
        ([(6.8, 9.0)], False, 0.8, True),
        ([(3.2, 4.3), (6.8, 9.0)], True, -2.8, False),  # a second and more, from within the pause
        ([(3.2, 4.2), (6.8, 9.0)], True, -2.8, False),
        ([(3.2, 4.1), (6.8, 9.0)], False, 0.8, True),  # shorter: no turn
        ([(3.2, 3.7), (4.0, 4.5), (6.8, 9.0)], True, -2.8, False),  # a pause between two words
        ([(4.1, 5.4), (6.8, 9.0)], False, -1.9, False),  # after the pause: early, and no take-over
        ([(3.2, 9.0)], True, -2.8, False),
        ([(0.2, 3.4), (6.8, 9.0)], False, 0.8, True),  # the reply before goes on into the pause
        ([(0.2, 2.0), (3.9, 6.5)], True, -2.1, False),
        ([(6.3, 6.6)], False, 0.3, True),  # after the user's end, a short reply is one
        ([(9.1, 9.9)], False, 3.1, False),
        ([(3.2, 4.1)], False, None, False),
        ([], False, None, False),
    ],
)
def test_pause(assistant: list[Any], taken_over: bool, delay_s: float | None, success: bool) -> None:
    timing = pause([(1.0, 3.0), (4.0, 6.0)], assistant, turn_start_s=1.0, pauses=[(3.0, 4.0)])
    assert (timing.user_end_s, timing.taken_over, timing.success) == (6.0, taken_over, success)
    assert timing.delay_s == pytest.approx(delay_s)
    assert timing.early == (delay_s is not None and delay_s < 0)


def test_each_pause_of_a_turn_counts() -> None:
    spoken = [(1.0, 3.0), (4.0, 6.0), (7.0, 8.0)]
    for assistant, taken_over in (([(6.5, 8.0)], True), ([(5.0, 6.5)], False)):
        assert pause(spoken, assistant, 1.0, [(3.0, 4.0), (6.0, 7.0)]).taken_over == taken_over


@pytest.mark.parametrize(
    ("assistant", "control", "false_stop"),
    [
        ([(3.0, 6.0)], [(3.0, 9.0)], True),
        ([(3.0, 5.2)], [(3.0, 5.7)], True),
        ([(3.0, 6.0)], [(3.0, 6.0)], None),  # the reply ends there anyway
        ([(3.0, 6.0)], [(3.0, 6.4)], None),
        ([(3.0, 6.0)], [(3.0, 5.5)], None),
        ([(3.0, 6.0), (6.4, 9.0)], [(3.0, 9.0)], False),  # a pause of less than half a second
        ([(3.0, 6.0), (6.5, 9.0)], [(3.0, 9.0)], True),
        ([(3.0, 4.9), (5.1, 9.0)], [(3.0, 4.9), (5.1, 9.0)], False),  # the pause is where the aside starts
        ([(3.0, 7.1)], [(3.0, 9.0)], False),  # more than 2 s later
        ([(3.0, 12.0)], [(3.0, 9.0)], False),
    ],
)
def test_aside_while_the_assistant_speaks(assistant: list[Any], control: list[Any], false_stop: bool | None) -> None:
    timing = aside(assistant, control, start_s=5.0, end_s=5.6)
    assert timing.speaking and timing.false_start is None
    assert timing.false_stop is false_stop
    assert timing.success is (None if false_stop is None else not false_stop)


@pytest.mark.parametrize(
    ("assistant", "control", "false_start"),
    [
        ([(1.0, 4.0)], [(1.0, 4.0)], False),
        ([(1.0, 4.0), (7.0, 9.0)], [(1.0, 4.0)], True),
        ([(1.0, 4.0), (5.2, 6.0)], [(1.0, 4.0)], True),  # while the aside is said
        ([(1.0, 4.0), (8.7, 9.0)], [(1.0, 4.0)], False),  # more than 3 s after it
        ([(1.0, 4.0), (7.0, 9.0)], [(1.0, 4.0), (7.5, 9.0)], None),  # it starts anyway, such as a late reply
        ([(7.0, 9.0)], [], True),  # it had said nothing, and answers the aside
        ([(1.0, 4.0), (7.0, 9.0)], [(1.0, 4.0), (8.7, 9.0)], True),
        ([], [(6.0, 7.0)], False),
        ([], [], False),
    ],
)
def test_aside_while_the_assistant_is_silent(
    assistant: list[Any], control: list[Any], false_start: bool | None
) -> None:
    timing = aside(assistant, control, start_s=5.0, end_s=5.6)
    assert not timing.speaking and timing.false_stop is None
    assert timing.false_start is false_start
    assert timing.success is (None if false_start is None else not false_start)


def test_a_user_who_is_not_heard_is_rejected() -> None:
    with pytest.raises(DialogueRejected, match="user_not_heard"):
        turn_taking([], [(1.0, 2.0)])
    with pytest.raises(DialogueRejected, match="user_not_heard"):
        pause([], [(1.0, 2.0)], 0.0, [(0.5, 1.0)])
    with pytest.raises(DialogueRejected, match="user_not_heard"):
        silence_request([], [(1.0, 2.0)], 1.5)


def test_figures_of_turn_taking() -> None:
    items = [TurnTaking(2.0, delay) for delay in (0.8, 1.0, 3.5, -0.4, None)]
    figures = turn_taking_figures(items, seed=0)
    values = {name: (one.value, one.items) for name, one in figures.items()}
    assert values == {
        "tt_sr_3s": (0.4, 5),
        "early_share": (0.2, 5),
        "no_reply_share": (0.2, 5),
        "reply_delay_s": (pytest.approx((0.8 + 1.0 + 3.5) / 3), 3),
    }


def test_figures_of_interruptions() -> None:
    items = [Interruption(7.0, True, 1.0, 0.8), Interruption(7.0, True, 4.0, None), Interruption(7.0, False, 0.0, 3.5)]
    values = {name: (one.value, one.items) for name, one in interruption_figures(items, seed=0).items()}
    assert values == {
        "overlap_s": (pytest.approx(5 / 3), 3),
        "isr_2s": (pytest.approx(2 / 3), 3),
        "silent_at_barge_in_share": (pytest.approx(1 / 3), 3),
        "overlap_speaking_s": (2.5, 2),
        "isr_2s_speaking": (0.5, 2),
        "answered_3s": (pytest.approx(1 / 3), 3),
    }


def test_figures_of_silence_requests() -> None:
    """They count as interruptions, and not among those that are to be answered."""
    quiet, answering, late = (
        SilenceRequest(7.0, True, overlap_s, answer_s, answer_s)
        for overlap_s, answer_s in ((1.0, None), (1.5, 0.8), (4.0, None))
    )
    requests = {name: one.value for name, one in interruption_figures([quiet, answering, late], seed=0).items()}
    assert requests["isr_2s"] == pytest.approx(2 / 3) and requests["quiet_3s"] == pytest.approx(2 / 3)
    assert "answered_3s" not in requests
    both = interruption_figures([quiet, answering, Interruption(7.0, True, 1.0, 0.8)], seed=0)
    assert {name: one.items for name, one in both.items()} == {
        "overlap_s": 3,
        "isr_2s": 3,
        "silent_at_barge_in_share": 3,
        "overlap_speaking_s": 3,
        "isr_2s_speaking": 3,
        "answered_3s": 1,
        "quiet_3s": 2,
    }


def test_figures_of_pauses() -> None:
    items = [Pause(6.0, True, -2.0), Pause(6.0, False, -0.5), Pause(6.0, False, 1.0), Pause(6.0, False, None)]
    values = {name: (one.value, one.items) for name, one in pause_figures(items, seed=0).items()}
    assert values == {
        "take_over_share": (0.25, 4),
        "tt_sr_3s": (0.25, 4),
        "early_share": (0.5, 4),
        "no_reply_share": (0.25, 4),
        "reply_delay_s": (1.0, 1),
    }


def test_figures_of_asides() -> None:
    """What tells nothing is in no share of stops or starts."""
    items = [
        Aside(True, 1.0, 4.0, None, None),
        Aside(True, 5.0, 4.0, None, None),
        Aside(True, 5.0, 5.0, None, None),
        Aside(True, 1.0, 1.0, None, None),
        Aside(False, None, None, 1.0, None),
        Aside(False, None, None, None, None),
        Aside(False, None, None, 1.0, 1.0),
    ]
    values = {name: (one.value, one.items) for name, one in aside_figures(items, seed=0).items()}
    assert values == {
        "false_stop_share": (pytest.approx(1 / 3), 3),
        "false_start_share": (0.5, 2),
        "silent_at_aside_share": (pytest.approx(3 / 7), 7),
        "undecided_share": (pytest.approx(2 / 7), 7),
    }


def test_the_interval_is_that_of_the_bootstrap() -> None:
    share = figure([1.0] * 80 + [0.0] * 20, seed=0, name="share")
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    assert share.value == pytest.approx(0.8)
    assert [share.low, share.high] == pytest.approx([0.8 - half, 0.8 + half], abs=0.015)
    assert figure([1.0] * 80 + [0.0] * 20, seed=0, name="share") == share


def test_too_few_items_for_an_interval() -> None:
    assert figure([], 0, "none") == Figure(None, None, None, 0)
    assert figure([0.5], 0, "one") == Figure(0.5, None, None, 1)
    assert figure([1.0, 1.0], 0, "same") == Figure(1.0, 1.0, 1.0, 2)


def test_a_data_sets_own_assistant_takes_its_turns(data_sets: Callable[..., Dataset]) -> None:
    items = []
    for row in data_sets("turn_taking").rows():
        user, assistant = channels(row)
        question = row["events"][0]["end_sample"]
        items.append(turn_taking(speech_segments(user[:question], RATE, 0), speech_segments(assistant, RATE)))
    assert turn_taking_figures(items, seed=0)["tt_sr_3s"].value == 1.0
    assert [item.delay_s for item in items] == pytest.approx([0.8] * 4, abs=4 * VAD_STEP_S)


def test_a_data_sets_own_assistant_stops_when_it_says(data_sets: Callable[..., Dataset]) -> None:
    timings, expected = [], []
    for row in data_sets("interruption").rows():
        user, assistant = channels(row)
        cut = next(number for number, turn in enumerate(row["events"]) if turn["cut_by"] is not None)
        reply, second = row["events"][cut], row["events"][cut + 1]
        segments = speech_segments(user[: second["end_sample"]], RATE, 0)
        timings.append(interruption(segments, speech_segments(assistant, RATE), second["start_sample"] / RATE))
        expected.append((reply["end_sample"] - second["start_sample"]) / RATE)
    assert [item.overlap_s for item in timings] == pytest.approx(expected, abs=6 * VAD_STEP_S)
    assert [item.answer_delay_s for item in timings] == pytest.approx([0.8] * len(timings), abs=4 * VAD_STEP_S)
    assert all(item.speaking and item.answered for item in timings)
