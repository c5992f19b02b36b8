"""Evaluating by kind of event: rows written here, with the audio of speech, and assistants whose rule is known."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.replay import RECORDING
from duplexgen.pipeline.audio import flac
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dialogue import (
    BACKCHANNEL,
    BYSTANDER,
    FOLLOW_UP,
    NEGATION,
    SIDE_TALK,
    SILENCE_REQUEST,
    STOPPING,
    TURN,
)
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.measures.transcript import Transcript
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.live.live import Block
from duplexgen.training.live.stream import Sampling
from duplexgen.training.metrics import items
from duplexgen.training.metrics.evaluation import Content, evaluate
from duplexgen.training.metrics.evaluation_report import problems, table
from duplexgen.training.metrics.items import Item, Settings, Unmeasured, answers, run
from duplexgen.training.metrics.recipe import EvaluationRecipe
from duplexgen.training.metrics.stimuli import Stimulus, count, read, stimuli
from duplexgen.training.metrics.targets import PAUSE
from duplexgen.training.models.model import DuplexModel

RATE, BLOCK = 16000, 12800
RECIPE = EvaluationRecipe(name="some")
Row = dict[str, Any]


def speech(num_samples: int) -> NDArray[np.int16]:
    waveform, rate = soundfile.read(RECORDING, dtype="float32")
    samples = np.round(soxr.resample(waveform, rate, RATE) * 32767).astype(np.int16)
    return np.resize(samples, num_samples)


def event(channel: str, kind: str, start_s: float, end_s: float, **fields: Any) -> Row:
    """fields: `answers`, `cut_by`, and `pauses` in seconds."""
    start, end = round(start_s * RATE), round(end_s * RATE)
    pauses = [{"start_sample": round(a * RATE), "end_sample": round(b * RATE)} for a, b in fields.pop("pauses", ())]
    return {
        "channel": channel,
        "kind": kind,
        "text": f"{kind} of the {channel} at {start_s:g}",
        "start_sample": start,
        "end_sample": end,
        "whole_end_sample": end,
        "answers": None,
        "cut_by": None,
        "words": None,
        "pauses": pauses,
    } | fields


def row_of(events: Sequence[Row], name: str = "talk/1", noise: int = 0) -> Row:
    """A row with the user's audio: speech in each event, but for its pauses. noise: the amplitude of noise over it."""
    length = max(event["end_sample"] for event in events) + 4 * RATE
    samples = np.zeros((length, 2), np.int16)
    for one in events:
        if one["channel"] == "user":
            samples[one["start_sample"] : one["end_sample"], 0] = speech(one["end_sample"] - one["start_sample"])
        for pause in one["pauses"]:
            samples[pause["start_sample"] : pause["end_sample"], 0] = 0
    if noise:
        samples[:, 0] = np.clip(samples[:, 0] * 0.5, -30000, 30000)
        samples[:, 0] += np.random.default_rng(0).integers(-noise, noise, length).astype(np.int16)
    audio = {"bytes": flac.encode(samples, RATE), "path": "talk.flac"}
    return {"dialogue_id": name, "scenario": "natural", "events": list(events), "audio": audio}


def asking(*others: Row) -> list[Row]:
    """A question and a reply, and what else happens."""
    return sorted(
        [event("user", TURN, 0.4, 2.4), event("assistant", TURN, 3.2, 11.2, answers=0), *others],
        key=lambda one: int(one["start_sample"]),
    )


def cutting(kind: str) -> list[Row]:
    """A question, and the reply that an event of this kind cuts."""
    return [
        event("user", TURN, 0.4, 2.4),
        event("assistant", TURN, 3.2, 7.2, answers=0, cut_by=2),
        event("user", kind, 6.4, 8.0),
    ]


def everything() -> list[Row]:
    """Of every kind something, and of some kinds two."""
    events = [
        event("user", TURN, 0.4, 2.4),
        event("assistant", TURN, 3.2, 11.2, answers=0),
        event("user", BACKCHANNEL, 5.0, 5.6),
        event("user", BYSTANDER, 7.0, 8.5),
        event("user", BACKCHANNEL, 9.4, 10.0),
        event("user", SIDE_TALK, 11.8, 13.0),
        event("user", TURN, 14.0, 18.0, pauses=[(15.0, 16.0)]),
        event("assistant", BACKCHANNEL, 15.2, 15.6),
        event("assistant", TURN, 18.8, 22.0, answers=6),
    ]
    for kind in STOPPING:
        reply = len(events) - 1
        start_s = events[reply]["start_sample"] / RATE + 2
        events[reply] |= {"cut_by": reply + 1, "end_sample": round((start_s + 0.5) * RATE)}
        events.append(event("user", kind, start_s, start_s + 1.5))
        if kind != SILENCE_REQUEST:
            events.append(event("assistant", TURN, start_s + 2.3, start_s + 6, answers=reply + 1))
    return events


@dataclass
class Assistant:
    """An assistant of which the rule is known. A block after the user falls silent, it speaks for some blocks."""

    answers: int = 99  # so many times at most
    stops: bool = False  # whether any sound stops it
    blocks: int = 10

    def __post_init__(self) -> None:
        self.speaking, self.heard = 0, False

    def hear(self, user: NDArray[np.int16]) -> bool:
        """Whether it speaks in the next block. user: int16 [samples]; it listens to the last tenth of a second."""
        sounds = bool(np.abs(user.astype(int)).max() > 1000)
        ends = bool(np.abs(user[-RATE // 10 :].astype(int)).max() <= 1000)
        if self.speaking:
            self.speaking = 0 if self.stops and sounds else self.speaking - 1
        self.heard |= sounds
        if not self.speaking and self.heard and ends and self.answers:
            self.speaking, self.heard, self.answers = self.blocks, False, self.answers - 1
        return self.speaking > 0


Make = Callable[[int], Assistant]


@pytest.fixture
def measured(
    data_sets: Callable[..., Dataset], model: DuplexModel, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Item | Unmeasured]]:
    """The items of rows by the names of their stimuli; with a maker of assistants, by place in the batch."""

    def measure(rows: Sequence[Row], make: Make, batch: int = 16) -> dict[str, Item | Unmeasured]:
        play(monkeypatch, rows, make)
        found = list(run(model, data_sets("turn_taking"), Settings(RECIPE, batch=batch)))
        return {one.stimulus.name if isinstance(one, Item) else one.detail.split(":")[0]: one for one in found}

    return measure


def play(monkeypatch: pytest.MonkeyPatch, rows: Sequence[Row], make: Make) -> None:
    """Have the rows in every data set, and such assistants in place of every model."""
    voice = speech(60 * RATE).astype(np.float32) / 32768

    def converse(
        model: DuplexModel, ids: Sequence[str], user: NDArray[np.int16], sampling: Sampling
    ) -> Iterator[Block]:
        assistants = [make(place) for place in range(len(ids))]
        for at in range(0, user.shape[1], BLOCK):
            speaks = [one.hear(row[at : at + BLOCK]) for one, row in zip(assistants, user, strict=True)]
            spoken = (np.array(speaks)[:, None] * voice[at : at + BLOCK]).astype(np.float32)
            yield Block(np.zeros((len(ids), 1, 10), np.int16), np.zeros((len(ids), 5), np.int32), spoken, 0.0)

    monkeypatch.setattr(items, "converse", converse)
    monkeypatch.setattr(items, "check_length", lambda model, blocks: None)
    monkeypatch.setattr(Dataset, "rows", lambda self, columns=None: iter(rows))


def outcome(item: Item | Unmeasured) -> Any:
    assert isinstance(item, Item), item
    return item.measured


def by_kind(found: list[Stimulus]) -> dict[str, Stimulus]:
    assert len({one.kind for one in found}) == len(found)
    return {one.kind: one for one in found}


def test_a_row_of_every_kind_gives_one_stimulus_of_each(model: DuplexModel) -> None:
    row = row_of(everything())
    found = by_kind(stimuli(row, model.format))
    assert set(found) == {TURN, PAUSE, BACKCHANNEL, BYSTANDER, SIDE_TALK, *STOPPING}
    track = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0][:, 0]
    firsts = {one["kind"]: one for one in reversed(row["events"]) if one["channel"] == "user"}
    firsts |= {PAUSE: row["events"][6]}
    for kind, one in found.items():
        start, end = firsts[kind]["start_sample"], firsts[kind]["end_sample"]
        assert (one.start_sample, one.user_end_sample) == (start, end)
        assert np.array_equal(one.samples[:end], track[:end]) and not one.samples[end:].any()
        assert 7 * RATE <= len(one.samples) - end < 7 * RATE + BLOCK and len(one.samples) % BLOCK == 0
        assert one.barge_in_sample == (start if kind in STOPPING else None)
        assert one.name == f"talk/1.{kind}" and not one.is_only
        assert not any(aside in text for text in one.questions for aside in (BACKCHANNEL, BYSTANDER, SIDE_TALK))
    assert found[NEGATION].questions[-1] == firsts[NEGATION]["text"]
    assert [(pause.start_sample, pause.end_sample) for pause in found[PAUSE].pauses] == [(15 * RATE, 16 * RATE)]


@pytest.mark.parametrize("noise", [0, 300])
def test_the_control_of_an_aside_is_the_same_without_it(model: DuplexModel, noise: int) -> None:
    """In its place stands what is in the channel after it: silence, or noise."""
    for kind, one in by_kind(stimuli(row_of(everything(), noise=noise), model.format)).items():
        if kind not in (BACKCHANNEL, BYSTANDER, SIDE_TALK):
            assert one.without is None and one.control is None
            continue
        assert one.control is not None
        heard, start, end = one.control.samples, one.start_sample, one.user_end_sample
        assert np.array_equal(heard[:start], one.samples[:start]) and np.array_equal(heard[end:], one.samples[end:])
        assert np.abs(one.samples[start:end].astype(int)).max() > 3000
        levels = [np.abs(heard[at : at + 800].astype(int)).max() for at in range(start, end, 800)]
        assert max(levels) <= noise and (not noise or min(levels) > noise / 2)
        assert (one.control.dialogue_id, one.control.control) == (one.dialogue_id, None)


def test_a_row_whose_pauses_are_not_in_their_turn_is_named(model: DuplexModel) -> None:
    for pause in ((0.1, 1.0), (2.0, 1.5), (2.0, 2.6)):
        events = [event("user", TURN, 0.4, 2.4, pauses=[pause]), event("assistant", TURN, 3.2, 5.0, answers=0)]
        with pytest.raises(DialogueRejected, match="no_such_audio"):
            stimuli(row_of([events[0] | {"pauses": []}, events[1]]) | {"events": events}, model.format)


def test_an_aside_is_played_with_and_without_by_the_same_draws(model: DuplexModel) -> None:
    """So that what a model says before the aside, it says in both, in any batch."""
    events = [
        event("user", TURN, 0.4, 2.0),
        event("assistant", TURN, 2.8, 8.0, answers=0),
        event("user", BACKCHANNEL, 5.0, 5.6),
    ]
    (one,) = (one for one in stimuli(row_of(events), model.format) if one.kind == BACKCHANNEL)
    assert one.control is not None
    first, control, other = answers(model, [one, one.control, one], Settings(RECIPE))
    heard_at = -(-one.start_sample // BLOCK) * BLOCK  # the block in which the aside starts is answered after it
    assert first[:heard_at].any() and np.array_equal(first[:heard_at], control[:heard_at])
    assert not np.array_equal(first, control) and np.array_equal(first, other)


@pytest.mark.parametrize("kind", [BACKCHANNEL, BYSTANDER, SIDE_TALK])
@pytest.mark.parametrize("batch", [1, 16])
def test_false_stops(measured: Callable[..., dict[str, Item | Unmeasured]], kind: str, batch: int) -> None:
    rows = [row_of(asking(event("user", kind, 5.2, 6.0)))]
    for stops in (True, False):
        found = measured(rows, lambda _, stops=stops: Assistant(stops=stops), batch)
        assert set(found) == {f"talk/1.{TURN}", f"talk/1.{kind}"}
        timing = outcome(found[f"talk/1.{kind}"])
        assert timing.speaking and timing.false_stop is stops and timing.success is not stops
        assert outcome(found[f"talk/1.{TURN}"]).success


def test_a_reply_that_ends_anyway_is_no_false_stop(measured: Callable[..., dict[str, Item | Unmeasured]]) -> None:
    rows = [row_of(asking(event("user", BACKCHANNEL, 5.2, 6.0)))]
    item = measured(rows, lambda _: Assistant(answers=1, blocks=4))[f"talk/1.{BACKCHANNEL}"]
    timing = outcome(item)
    assert timing.speaking and timing.stop_s < 2 and timing.success is None
    assert isinstance(item, Item) and item.to_json()["false_stop"] is None


def test_false_starts(measured: Callable[..., dict[str, Item | Unmeasured]]) -> None:
    rows = [row_of(asking(event("user", BYSTANDER, 11.8, 13.0)))]
    for answers_all in (True, False):
        found = measured(rows, lambda _, most=99 if answers_all else 1: Assistant(answers=most, blocks=5))
        timing = outcome(found[f"talk/1.{BYSTANDER}"])
        assert not timing.speaking and timing.false_start is answers_all


def test_a_late_first_reply_is_no_false_start(measured: Callable[..., dict[str, Item | Unmeasured]]) -> None:
    """It comes without the aside, too."""

    class Late(Assistant):
        def hear(self, user: NDArray[np.int16]) -> bool:
            self.steps = getattr(self, "steps", 0) + 1
            return self.steps >= 10  # from 8 s on

    timing = outcome(
        measured([row_of(asking(event("user", SIDE_TALK, 6.0, 7.0)))], lambda _: Late())["talk/1.side_talk"]
    )
    assert not timing.speaking and timing.false_start is None and timing.success is None


def test_an_assistant_that_is_not_the_same_before_the_aside_is_not_measured(
    measured: Callable[..., dict[str, Item | Unmeasured]],
) -> None:
    rows = [row_of(asking(event("user", BACKCHANNEL, 5.2, 6.0)))]
    found = measured(rows, lambda place: Assistant(answers=99 if place % 2 else 0), 2)[f"talk/1.{BACKCHANNEL}"]
    assert isinstance(found, Unmeasured) and found.reason == "control_differs"


def test_take_overs(measured: Callable[..., dict[str, Item | Unmeasured]]) -> None:
    """A short pause is over before this assistant speaks; in a long one it does, until the user stops it."""
    for pause, stops, taken_over in (
        ((2.4, 5.2), False, True),
        ((2.4, 5.2), True, True),  # it has spoken for a second before the user goes on
        ((2.4, 3.6), True, False),  # it has not
        ((2.4, 2.9), False, False),
    ):
        rows = [row_of([event("user", TURN, 0.4, 7.2, pauses=[pause]), event("assistant", TURN, 8.0, 12, answers=0)])]
        (item,) = measured(rows, lambda _, stops=stops: Assistant(stops=stops)).values()
        timing = outcome(item)
        assert timing.taken_over == taken_over, (pause, stops)
        assert timing.success == (not taken_over)
        assert isinstance(item, Item) and item.to_json()["kind"] == PAUSE and item.stimulus.name == "talk/1"


def test_requests_for_silence(measured: Callable[..., dict[str, Item | Unmeasured]]) -> None:
    """Any other kind must be answered; a request must not."""
    for kind, most, success in (
        (SILENCE_REQUEST, 1, True),
        (SILENCE_REQUEST, 99, False),
        (FOLLOW_UP, 99, True),
    ):
        found = measured([row_of(cutting(kind))], lambda _, most=most: Assistant(answers=most, stops=True))
        timing = outcome(found[f"talk/1.{kind}"])
        assert timing.speaking and timing.stopped and timing.success == success
        assert timing.answered == (most == 99)
        deaf = outcome(measured([row_of(cutting(kind))], lambda _: Assistant())[f"talk/1.{kind}"])
        assert not deaf.success


def test_a_limit_counts_dialogues(
    data_sets: Callable[..., Dataset], model: DuplexModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row_of(everything(), f"talk/{number}") for number in range(2)] + [
        row_of(asking(), "talk/2"),
        row_of(asking()),
    ]
    rows[1]["audio"] = None
    play(monkeypatch, rows, lambda _: Assistant())
    data_set, of_each = data_sets("turn_taking"), len(stimuli(rows[0], model.format))
    for limit, stimuli_read, counted in ((1, of_each, of_each), (2, of_each + 1, 2 * of_each), (3, of_each + 2, None)):
        assert len(list(read(data_set, model.format, limit))) == stimuli_read
        assert count(data_set, limit) == (counted or 2 * of_each + 1)


def test_what_evaluate_writes_by_kind(
    data_sets: Callable[..., Dataset], model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that nobody has to answer is transcribed; each item has a file, and each aside one for its control."""

    class Recogniser:
        def transcribe(self, audio: Sequence[Any], skip_silence: bool) -> list[Transcript]:
            return [Transcript("Yes.", (), "en", 1.0, 0.0, 0.0) for _ in audio]

    play(monkeypatch, [row_of(everything())], lambda _: Assistant(stops=True))
    monkeypatch.setattr(Content, "of", lambda *_: Content(recogniser=Recogniser()))  # type: ignore[arg-type]
    recipe = EvaluationRecipe(name="some", keep_audio=True)
    result = evaluate(model_folder, [data_sets("turn_taking").path], tmp_path, Settings(recipe), Display())
    written = json.loads((tmp_path / "evaluation.json").read_text())
    kinds = [item["kind"] for item in written["items"]]
    assert kinds == sorted({TURN, PAUSE, BACKCHANNEL, BYSTANDER, SIDE_TALK, *STOPPING})
    ignored = {BACKCHANNEL, BYSTANDER, SIDE_TALK}
    for item in written["items"]:
        assert ("reply" in item) == (item["kind"] not in ignored | {SILENCE_REQUEST})
        assert ("control_segments_s" in item) == ("false_stop" in item) == (item["kind"] in ignored)
        assert item["start_sample"] < item["end_sample"]
    files = {path.name for path in (tmp_path / "audio" / "turn_taking").iterdir()}
    assert files == {f"talk%2F1.{kind}.wav" for kind in kinds} | {f"talk%2F1.{kind}.control.wav" for kind in ignored}
    figures = written["figures"]["turn_taking"]
    assert figures["tt_sr_3s"]["items"] == figures["pause.tt_sr_3s"]["items"] == 1
    assert figures["isr_2s"]["items"] == len(STOPPING)
    assert all(figures[f"{kind}.isr_2s"]["items"] == 1 for kind in STOPPING)
    assert figures["silence_request.quiet_3s"]["items"] == figures["quiet_3s"]["items"] == 1
    assert figures["answered_3s"]["items"] == len(STOPPING) - 1 and "silence_request.answered_3s" not in figures
    assert figures["undecided_share"]["items"] == 3 and figures["false_stop_share"]["value"] == 1
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table(result))
    shown = console.export_text()
    for label in (
        "pause: take-over in a pause",
        "side talk: false stops at asides",
        "topic switch: ISR@2s",
        "TT SR@3s",
    ):
        assert label in shown
    assert problems(result) == []
