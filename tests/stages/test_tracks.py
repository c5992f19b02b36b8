"""Utterances to tracks, without Ray: what is heard where, its codes, and nothing of a layout."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from duplexgen.pipeline.acoustics.effect import Effect, EffectSection
from duplexgen.pipeline.acoustics.effects import EFFECTS
from duplexgen.pipeline.audio.activity import clean_segments
from duplexgen.pipeline.audio.mixing import mix
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.rows import read_activity, read_events
from duplexgen.pipeline.dataset.schema import ACTIVITY, track_schema
from duplexgen.pipeline.dialogue import FIGURES, Event, Timeline, Track
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making.stage import stage_key
from duplexgen.pipeline.stages.rows import SPEECH, read_speech_row
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.stages.tracks import TracksStage, at_rate, resampled
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.track import tokenize_all, with_margin
from tests.corpus import TURNS
from tests.stages.running import dialogue, reasons, recipe, texts, through
from tests.tokens import tiny

SCENARIOS = ["turn_taking", "interruption"]
RATES = [16000, 22050, 24000]


def stage(scenario: str = "turn_taking", sample_rate: int = 16000, **changes: Any) -> TracksStage:
    output = {"sample_rate": sample_rate} | changes.pop("output", {})
    timing = {"scenario": scenario} | changes.pop("timing", {})
    return TracksStage(recipe(timing=timing, output=output, **changes))


def rows_of(made: TracksStage, said: pa.Table) -> list[dict[str, Any]]:
    return through([made], said)[0].to_pylist()  # type: ignore[no-any-return]


def channels(row: dict[str, Any]) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
    return np.ascontiguousarray(samples.T)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_track_is_its_utterances_where_its_events_say(said: pa.Table, scenario: str, sample_rate: int) -> None:
    made, outcome = through([stage(scenario, sample_rate)], said)
    assert (made.num_rows, outcome.rejections) == (2, ())
    assert made.schema.equals(track_schema(with_audio=True))
    for row, spoken in zip(made.to_pylist(), said.to_pylist(), strict=True):
        dialogue_ = read_speech_row(spoken)
        events = read_events(row["events"])
        frames = len(row["user_codes"][0]) - 40
        timeline = Timeline(events, frames * (1280 * sample_rate // 16000))
        waveforms = [resampled(utterance, sample_rate).waveform for utterance in dialogue_.utterances]
        track = mix(waveforms, timeline, sample_rate, 0.03)
        assert np.array_equal(channels(row), track.samples)
        samples = with_margin(track.samples, sample_rate, MelVQ(), 40)
        (codes,) = tokenize_all([samples], sample_rate, MelVQ())
        assert np.array_equal([row["user_codes"], row["assistant_codes"]], codes)
        assert [of["text"] for of in row["events"]] == [utterance.text for utterance in dialogue_.utterances]
        assert [of["voice"] for of in row["events"]] == [utterance.voice for utterance in dialogue_.utterances]
    assert made["audio"].to_pylist()[0]["path"] == "a%2Fb.flac"


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_speech_is_measured_on_the_audio_of_the_first_dialogue(said: pa.Table, scenario: str, sample_rate: int) -> None:
    first, second = rows_of(stage(scenario, sample_rate), said)
    assert second["speech_activity"] is None
    found = read_activity(first["speech_activity"], sample_rate)
    for channel, segments in zip(channels(first), found, strict=True):
        assert segments == [
            (start / sample_rate, end / sample_rate) for start, end in clean_segments(channel, sample_rate)
        ]
    starts = [of["start_sample"] for of in first["speech_activity"]]
    assert starts == sorted(starts) and {of["channel"] for of in first["speech_activity"]} == {"user", "assistant"}


def test_speech_is_measured_in_one_track_of_so_many(said: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplexgen.pipeline.stages.tracks.MEASURED_ONE_IN", 3)
    rows = rows_of(TracksStage(recipe(timing={"scenario": "turn_taking", "takes": 4})), said)
    assert [number for number, row in enumerate(rows) if row["speech_activity"] is not None] == [0, 3, 6]


def test_speech_is_measured_in_the_first_dialogue_that_becomes_a_track(said: pa.Table) -> None:
    """And without audio in the row, before effects: it is the same."""
    alone = rows_of(stage("turn_taking"), said)[0]["speech_activity"]
    no_audio = TracksStage(recipe(timing={"scenario": "turn_taking"}))
    assert rows_of(no_audio, said)[0]["speech_activity"] == alone
    broken = said.to_pylist()
    broken[0]["utterances"][0]["flac"] = b"no sound"
    made, outcome = through([no_audio], pa.Table.from_pylist(broken, schema=said.schema))
    assert len(outcome.rejections) == 1
    assert made["speech_activity"].to_pylist()[0]


@pytest.mark.parametrize("sample_rate", RATES)
def test_uncut_codes_are_those_of_a_track_on_which_the_reply_is_whole(said: pa.Table, sample_rate: int) -> None:
    made = stage("interruption", sample_rate)
    frame = 1280 * sample_rate // 16000
    for row, spoken in zip(rows_of(made, said), said.to_pylist(), strict=True):
        events = read_events(row["events"])
        waveforms = [one.waveform for one in at_rate(read_speech_row(spoken), sample_rate).utterances]
        cut = [index for index, event in enumerate(events) if event.is_cut]
        assert cut and [uncut["event"] for uncut in row["assistant_uncut_codes"]] == cut
        for index, uncut in zip(cut, row["assistant_uncut_codes"], strict=True):
            event = events[index]
            past = -(-event.whole_end_sample // frame)
            assert uncut["first_frame"] + len(uncut["codes"][0]) == past
            assert uncut["first_frame"] <= event.end_sample // frame
            expected = _whole_reply_codes(events, index, waveforms, sample_rate, frame)
            assert np.array_equal(uncut["codes"], expected[:, uncut["first_frame"] : past])
            if sample_rate == 16000:  # a resampler hears a little ahead
                before = np.asarray(row["assistant_codes"])[:, : uncut["first_frame"]]
                assert np.array_equal(expected[:, : uncut["first_frame"]], before), "up to there nothing differs"
            assert not np.array_equal(expected[:, :past], np.asarray(row["assistant_codes"])[:, :past])


def _whole_reply_codes(events: tuple[Event, ...], index: int, waveforms: Any, rate: int, frame: int) -> np.ndarray:
    """Of the assistant's channel as it is up to a reply, of the reply whole, and of silence after it."""
    whole = replace(events[index], end_sample=events[index].whole_end_sample)
    frames = -(-whole.end_sample // frame)
    track = mix(waveforms, Timeline((*events[:index], whole), (frames + 5) * frame), rate, 0.03)
    codes: np.ndarray = tokenize_all([track.samples[1:]], rate, MelVQ())[0][0]
    return codes


class Swell(MelVQ):
    """A codec that looks around: half of what follows and of what was before sounds in each frame."""

    frame_by_frame = False

    def encode(self, samples: Any) -> Any:
        wide = np.pad(samples.astype(np.int32), ((0, 0), (1280, 1280)))
        around = wide[:, 1280:-1280] + (wide[:, 2560:] + wide[:, :-2560]) // 2
        return super().encode(np.clip(around, -32768, 32767).astype(np.int16))


def test_uncut_codes_of_a_codec_that_looks_around_start_from_the_track_as_it_is(said: pa.Table) -> None:
    made = stage("interruption")
    made.tokenizer = Swell()
    (row, _) = rows_of(made, said)
    spoken = read_speech_row(said.to_pylist()[0])
    waveforms = [resampled(utterance, 16000).waveform for utterance in spoken.utterances]
    events = read_events(row["events"])
    uncut = row["assistant_uncut_codes"][0]
    first, past = uncut["first_frame"], uncut["first_frame"] + len(uncut["codes"][0])
    cut = events[uncut["event"]]
    whole = replace(cut, end_sample=cut.whole_end_sample)
    track = mix(waveforms, Timeline((*events[: uncut["event"]], whole), past * 1280), 16000, 0.03)
    assert np.array_equal(uncut["codes"], Swell().encode(track.samples[1:])[0][:, first:])
    alone = Swell().encode(track.samples[1:, first * 1280 :])[0]
    assert not np.array_equal(uncut["codes"], alone), "what was before is heard"


class Together(MelVQ):
    """Remembers what it gets at once, and cannot encode signals of a length."""

    def __init__(self, failing: int = -1, error: Exception | None = None) -> None:
        super().__init__()
        self.failing, self.error = failing, error or ValueError("no such sound")
        self.seconds: list[list[float]] = []

    def encode_all(self, tracks: Sequence[Any]) -> Any:
        self.seconds.append([samples.size / 16000 for samples in tracks])
        if any(samples.shape[1] == self.failing for samples in tracks):
            raise self.error
        return super().encode_all(tracks)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("slice_s", [0, 50, 1200])
def test_tracks_of_a_partition_are_tokenized_together(
    said: pa.Table, monkeypatch: pytest.MonkeyPatch, scenario: str, slice_s: int
) -> None:
    """With the replies that are whole, a slice of some length at a time, and the rows are those of each alone."""
    monkeypatch.setattr("duplexgen.pipeline.tokens.track.SLICE_S", slice_s)
    made = stage(scenario, timing={"takes": 3})
    made.tokenizer = together = Together()
    rows, outcome = through([made], said)
    assert rows.equals(through([stage(scenario, timing={"takes": 3})], said)[0]) and outcome.emitted == 6
    assert len(together.seconds) == {0: 6, 50: len(together.seconds), 1200: 1}[slice_s]
    signals = sum(len(seconds) for seconds in together.seconds)
    assert signals == 6 + sum(len(row["assistant_uncut_codes"] or []) for row in rows.to_pylist())
    longest = max(len(row["user_codes"][0]) * 0.08 * 2 for row in rows.to_pylist())
    for seconds in together.seconds:
        assert sum(seconds) < slice_s + 3 * longest


def test_a_track_that_cannot_be_tokenized_is_rejected_alone(said: pa.Table) -> None:
    whole, _ = through([stage(timing={"takes": 2})], said)
    failing = len(whole["user_codes"][2].as_py()[0]) * 1280
    made = stage(timing={"takes": 2})
    made.tokenizer = Together(failing)
    rows, outcome = through([made], said)
    assert reasons(outcome) == [(whole["dialogue_id"][2].as_py(), "internal_error")]
    assert "no such sound" in outcome.rejections[0].detail
    assert rows.equals(whole.take([0, 1, 3]))


def test_a_gpu_that_fails_rejects_nobody(said: pa.Table) -> None:
    whole, _ = through([stage()], said)
    made = stage()
    failing = len(whole["user_codes"][0].as_py()[0]) * 1280
    made.tokenizer = together = Together(failing, UserError("the device has no memory left"))
    with pytest.raises(UserError, match="no memory left"):
        through([made], said)
    assert len(together.seconds) == 1, "no track is tried alone"


def test_nothing_is_cut_when_all_take_turns(said: pa.Table) -> None:
    for row in rows_of(stage(), said):
        assert row["assistant_uncut_codes"] is None and row["acoustics"] is None
        assert all(of["spoken_text"] == of["text"] for of in row["events"])


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_words_and_figures_are_carried_on(said: pa.Table, scenario: str, sample_rate: int) -> None:
    """At the rate of the track, from the start of the event, and up to where it is cut."""
    for row, spoken in zip(rows_of(stage(scenario, sample_rate), said), said.to_pylist(), strict=True):
        for of, utterance in zip(row["events"], spoken["utterances"], strict=True):
            assert of["quality"] == utterance["quality"] and set(of["quality"]) == set(FIGURES)
            heard = [word["text"] for word in of["words"]]
            whole = [word["text"] for word in utterance["words"]]
            assert heard == whole[: len(heard)] and (of["cut_by"] is not None or heard == whole)
            for word, original in zip(of["words"], utterance["words"], strict=False):
                start = of["start_sample"] + original["start_sample"] * sample_rate / 24000
                end = of["start_sample"] + original["end_sample"] * sample_rate / 24000
                assert start - 1 < word["start_sample"] <= start
                assert word["end_sample"] == of["end_sample"] or end - 1 < word["end_sample"] <= end
                assert word["end_sample"] <= of["end_sample"]
            assert "".join(heard).replace(" ", "") == of["spoken_text"].replace(" ", "")
            if of["cut_by"] is not None:
                assert len(heard) < len(whole) and of["spoken_text"] == of["text"][: len(of["spoken_text"])]


def test_speech_of_which_nobody_knows_the_words(said: pa.Table) -> None:
    rows = said.to_pylist()
    for row in rows:
        row["utterances"] = [utterance | {"words": None, "quality": None} for utterance in row["utterances"]]
    for row in rows_of(stage("interruption"), pa.Table.from_pylist(rows, schema=SPEECH)):
        assert {(of["words"], of["quality"]) for of in row["events"]} == {(None, None)}
        cut = [of for of in row["events"] if of["cut_by"] is not None]
        assert cut and all(of["text"].startswith(of["spoken_text"]) and of["spoken_text"] != of["text"] for of in cut)


class LouderSection(EffectSection):
    by: float = 2.0


class Louder(Effect):
    """A hum under the user's channel, of drawn loudness."""

    name: ClassVar[str] = "louder"
    Spec: ClassVar[type[EffectSection]] = LouderSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, LouderSection)
        self.by = spec.by

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        level = float(rng.uniform(100, 200) * self.by)
        samples = track.samples.copy()
        samples[0] = np.clip(samples[0] + hum(samples.shape[1], level), -32768, 32767)
        return Track(samples, track.sample_rate), {"level": level}


def hum(length: int, level: float) -> np.ndarray:
    wave: np.ndarray = np.rint(level * np.sin(0.1 * np.arange(length))).astype(np.int64)
    return wave


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_effect_changes_what_the_microphone_hears_alone(
    said: pa.Table, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EFFECTS, Louder.name, Louder)
    clean = rows_of(stage(scenario), said)
    section = [{"effect": "louder"}, {"effect": "louder", "by": 3.0}]
    noisy = rows_of(stage(scenario, acoustics=section), said)
    for row, other in zip(clean, noisy, strict=True):
        of_user = {"user_codes": None, "audio": None, "acoustics": None}
        assert row | of_user == other | of_user
        assert row["user_codes"] != other["user_codes"]
        levels = [drawn["value"] for drawn in other["acoustics"]]
        assert [(drawn["effect"], drawn["quantity"]) for drawn in other["acoustics"]] == [("louder", "level")] * 2
        assert 200 <= levels[0] <= 400 and 300 <= levels[1] <= 600 and levels[0] / 2 != levels[1] / 3
        (user, assistant), heard = channels(row), channels(other)
        assert np.array_equal(assistant, heard[1])
        for level in levels:
            user = np.clip(user + hum(len(user), level), -32768, 32767)
        assert np.array_equal(user, heard[0])
    one = rows_of(stage(scenario, acoustics=section[:1]), said)
    assert [row["acoustics"] for row in one] == [row["acoustics"][:1] for row in noisy], "another effect moves no draw"


def test_rows_without_audio(said: pa.Table) -> None:
    with_audio, _ = through([stage()], said)
    without, _ = through([stage(output={"audio": "none"})], said)
    assert without.equals(with_audio.drop_columns(["audio"]))


def test_dialogue_that_fits_no_interruption_is_rejected_alone(said: pa.Table) -> None:
    short = through([SpeechStage(recipe().speech, seed=1)], texts(dialogue("short", "Are you there?", "Yes.")))[0]
    made, outcome = through([stage("interruption")], pa.concat_tables([said, short]))
    assert made["dialogue_id"].to_pylist() == ["a/b", "c"]
    assert reasons(outcome) == [("short", "nothing_to_interrupt")]


def test_speech_that_cannot_be_decoded_is_an_error_of_its_dialogue(said: pa.Table) -> None:
    rows = said.to_pylist()
    rows[0]["utterances"][0]["flac"] = b"fLaC, but no more"
    made, outcome = through([stage(timing={"takes": 2})], pa.Table.from_pylist(rows, schema=SPEECH))
    assert made["dialogue_id"].to_pylist() == ["c", "c~1"]
    assert reasons(outcome) == [("a/b", "internal_error"), ("a/b~1", "internal_error")]
    alone, _ = through([stage(timing={"takes": 2})], said.slice(1))
    assert made.equals(alone)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_takes_differ_in_timing_alone_and_more_leave_the_first_as_they_were(said: pa.Table, scenario: str) -> None:
    one, _ = through([stage(scenario)], said)
    made, outcome = through([stage(scenario, timing={"takes": 3})], said)
    rows = made.to_pylist()
    assert [row["dialogue_id"] for row in rows] == ["a/b", "a/b~1", "a/b~2", "c", "c~1", "c~2"]
    assert (outcome.planned, outcome.emitted) == (6, 6)
    assert made.take([0, 3]).equals(one)
    assert made.take([0, 1, 3, 4]).equals(through([stage(scenario, timing={"takes": 2})], said)[0])
    for group in (rows[:3], rows[3:]):
        assert len({tuple(of["start_sample"] for of in row["events"]) for row in group}) == 3
        spoken = [[(of["channel"], of["text"], of["voice"]) for of in row["events"]] for row in group]
        assert spoken[0] == spoken[1] == spoken[2]


def test_a_row_depends_on_its_dialogue_alone(said: pa.Table) -> None:
    together, _ = through([stage()], said)
    for number in range(2):
        alone, _ = through([stage()], said.slice(number, 1))
        left, right = (table.drop_columns([ACTIVITY]) for table in (alone, together.slice(number, 1)))
        assert left.equals(right), "only which tracks are measured depends on others"


def test_seed_moves_turns_and_changes_no_speech(said: pa.Table) -> None:
    one, other = (read_events(rows_of(stage(seed=seed), said)[0]["events"]) for seed in (1, 2))
    assert [event.start_sample for event in one] != [event.start_sample for event in other]
    lengths = [[event.end_sample - event.start_sample for event in events] for events in (one, other)]
    assert lengths[0] == lengths[1]


def test_no_layout_and_no_text_tokenizer_shapes_a_track() -> None:
    def shape(**changes: Any) -> dict[str, Any]:
        return TracksStage(Recipe.model_validate(recipe().model_dump() | changes)).shaped_by()

    assert shape() == shape(layout={"user_tokens": 5, "text_tokens": 3, "ast_offset": 0})
    assert shape() == shape(tokens={"text_tokenizer": "pretrained", "pretrained": {"folder": "nowhere"}})
    assert shape() == shape(name="another", description="words")
    for changes in ({"seed": 1}, {"tokens": {"margin_frames": 41}}, {"output": {"sample_rate": 24000}}):
        assert shape() != shape(**changes)


def test_the_margin_is_silence(said: pa.Table) -> None:
    silence = tokenize_all([np.zeros((1, 1280 * 7), np.int16)], 16000, MelVQ())[0][0]
    few, many = (rows_of(stage(tokens={"margin_frames": margin}), said)[0] for margin in (3, 10))
    for column in ("user_codes", "assistant_codes"):
        assert np.array_equal(np.asarray(many[column])[:, :-7], few[column])
        assert np.array_equal(np.asarray(many[column])[:, -7:], silence)


def test_what_is_too_short_to_be_answered_is_still_a_track() -> None:
    """Whether [ASSISTANT] fits before a reply is the layout's question, not the track's."""
    hi = through([SpeechStage(recipe().speech, seed=1)], texts(dialogue("hi", "Hi.", TURNS[1])))[0]
    made, outcome = through([stage(timing={"takes": 40, "reply_delay_s": 0.0})], hi)
    assert (made.num_rows, outcome.rejections) == (40, ())


@pytest.mark.parametrize("kind", [TracksStage, SequencesStage])
def test_naming_a_decoder_makes_no_stage_run_again(tmp_path: Path, kind: type[TracksStage | SequencesStage]) -> None:
    """A decoder is for what a trained model says. Its folder need not be where the data set is built."""
    section: dict[str, Any] = {"checkpoint": str(tiny.write_glm4voice(tmp_path)), "device": "cpu"}

    def key(**changes: Any) -> str:
        tokens = {"speech_tokenizer": "glm4voice", "glm4voice": section | changes}
        return stage_key(kind(recipe(tokens=tokens)), ["what came before"])

    assert key(decoder=str(tmp_path / "nowhere")) == key(decoder=None) == key()
    assert kind is SequencesStage or key(mode="streaming") != key()
