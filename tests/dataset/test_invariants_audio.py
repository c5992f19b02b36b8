"""Each invariant of a row's audio by a row that breaks it, and nothing else."""

import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from duplexgen.pipeline.acoustics.effect import EffectSection
from duplexgen.pipeline.audio.flac import encode as to_flac
from duplexgen.pipeline.dataset.dialogues import Dialogues
from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.tokens.speech.melvq import MelVQ

Row = dict[str, Any]
Check = Callable[[Row], list[str]]
RATE = 16000


def samples(row: Row) -> NDArray[np.int16]:
    decoded: NDArray[np.int16] = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0]
    return decoded


def put(row: Row, track: NDArray[np.int16], rate: int = RATE) -> None:
    row["audio"]["bytes"] = to_flac(track, rate)


def test_audio_that_the_recipe_keeps(row: Row, checkers: dict[str, Checker]) -> None:
    assert list(checkers["turn_taking"].check(row)) == ["it has no audio, and output.audio of the recipe is flac"]


def test_audio_that_is_none(row_with_audio: Row, check: Check) -> None:
    row_with_audio["audio"]["bytes"] = b"RIFF"
    (message,) = check(row_with_audio)
    assert message.startswith("audio cannot be decoded: ")


def test_shape_of_audio(row_with_audio: Row, check: Check) -> None:
    track = samples(row_with_audio)
    put(row_with_audio, track[:-1])
    assert check(row_with_audio) == [f"audio is {(len(track) - 1, 2)} at 16000 Hz, expected {track.shape} at 16000 Hz"]
    put(row_with_audio, track, 8000)
    assert check(row_with_audio) == [f"audio is {track.shape} at 8000 Hz, expected {track.shape} at 16000 Hz"]
    put(row_with_audio, track[:, 0])
    assert check(row_with_audio) == [f"audio is {(len(track), 1)} at 16000 Hz, expected {track.shape} at 16000 Hz"]


def test_silent_event(row_with_audio: Row, check: Check) -> None:
    track, event = samples(row_with_audio), row_with_audio["events"][3]
    track[event["start_sample"] : event["end_sample"], 1] = 0
    put(row_with_audio, track)
    assert check(row_with_audio) == [
        f"the assistant's event at sample {event['start_sample']} is silent",
        "assistant_codes are not the codes of the audio",
    ]


def test_sound_between_turns(row_with_audio: Row, check: Check) -> None:
    track = samples(row_with_audio)
    track[row_with_audio["events"][0]["end_sample"], 0] = 1
    put(row_with_audio, track)
    assert check(row_with_audio)[0] == "the user's channel is not silent between events"


def test_words_where_nothing_is_heard(row_with_audio: Row, check: Check) -> None:
    track = samples(row_with_audio)
    for event in row_with_audio["events"][1::2]:
        words = {"start_sample": event["start_sample"], "end_sample": event["start_sample"] + 400}
        event["words"] = [word | words for word in event["words"]]
        track[event["start_sample"] : words["end_sample"], 1] = 0
    put(row_with_audio, track)
    expected = "the assistant's channel is not louder within its words than elsewhere"
    assert check(row_with_audio)[0] == f"{expected}: expected more than 2 times the mean power"


def test_words_that_are_late(row_with_audio: Row, check: Check) -> None:
    """Every word but the first starts and ends 0.3 s later, within its event: pauses of the texts then hold speech."""
    for event in row_with_audio["events"]:
        for word in event["words"][1:]:
            word["start_sample"] = min(word["start_sample"] + 4800, event["end_sample"])
            word["end_sample"] = min(word["end_sample"] + 4800, event["end_sample"])
    assert any("is louder between its words than within them" in message for message in check(row_with_audio))


def test_channels_the_other_way_round(row_with_audio: Row, check: Check) -> None:
    put(row_with_audio, samples(row_with_audio)[:, ::-1])
    messages = check(row_with_audio)
    for role in ("user", "assistant"):
        assert f"the {role}'s channel is not silent between events" in messages
        assert f"{role}_codes are not the codes of the audio" in messages


@pytest.mark.parametrize("column", ["user_codes", "assistant_codes"])
def test_codes_of_the_audio(row_with_audio: Row, check: Check, column: str) -> None:
    row_with_audio[column][1][20] ^= 1  # of another codebook than the one in the sequence
    assert check(row_with_audio) == [f"{column} are not the codes of the audio"]


def test_the_margin_is_silence(row_with_audio: Row, check: Check) -> None:
    row_with_audio["assistant_codes"][1][-1] ^= 1
    assert check(row_with_audio) == ["assistant_codes are not the codes of the audio"]


def test_sound_that_the_recipe_puts_between_events(row_with_audio: Row, checkers: dict[str, Checker]) -> None:
    """What effects do to the user's channel is no event; the assistant's stays clean."""
    checker = checkers["turn_taking"]
    recipe = checker.recipe.model_copy(update={"acoustics": [EffectSection(effect="hum")]})
    for channel, role in enumerate(("user", "assistant")):
        track = samples(row_with_audio)
        track[row_with_audio["events"][channel]["end_sample"], channel] = 1
        row = row_with_audio | {"audio": dict(row_with_audio["audio"])}
        put(row, track)
        messages = [says for says in replace(checker, recipe=recipe).check(row) if "silent" in says]
        assert messages == ([] if role == "user" else ["the assistant's channel is not silent between events"])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tracks the tokenizer got at once, each time that it got any."""
    counts: list[int] = []
    encode_all = MelVQ.encode_all

    def counted(tokenizer: MelVQ, tracks: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        counts.extend([len(tracks)] if tracks else [])
        return encode_all(tokenizer, tracks)

    monkeypatch.setattr(MelVQ, "encode_all", counted)
    return counts


def test_rows_of_a_data_set_are_tokenized_together(data_sets: Callable[[str], Path], at_once: list[int]) -> None:
    assert list(verify(data_sets("turn_taking"), lambda _: None)) == []
    assert at_once == [3]


@pytest.mark.parametrize(("slice_s", "together"), [(0, [1, 1, 1]), (1200, [3])])
def test_a_row_is_checked_as_alone_whatever_is_wrong_with_others(
    data_sets: Callable[[str], Path],
    rows: dict[str, list[Row]],
    checkers: dict[str, Checker],
    at_once: list[int],
    monkeypatch: pytest.MonkeyPatch,
    slice_s: int,
    together: list[int],
) -> None:
    whole, swapped, unreadable = (copy.deepcopy(row) for row in rows["turn_taking"])
    put(swapped, samples(swapped)[:, ::-1])
    unreadable["audio"]["bytes"] = unreadable["audio"]["bytes"][:99]
    several = [swapped, unreadable, whole, swapped]
    alone = [list(checkers["turn_taking"].check(row)) for row in several]
    assert not alone[2] and sum("are not the codes of the audio" in says for says in alone[0]) == 2
    at_once.clear()
    monkeypatch.setattr("duplexgen.pipeline.tokens.track.SLICE_S", slice_s)
    dataset = Dataset(data_sets("turn_taking"))
    assert list(Dialogues().checker(dataset).check_all(several, 20)) == alone
    assert at_once == together
    for most in range(1, len(alone[0]) + 1):
        assert list(Dialogues().checker(dataset).check_all(several, most)) == [says[:most] for says in alone]


@pytest.mark.parametrize("channel", ["user", "assistant"])
def test_voice_activity_is_that_of_the_audio(
    rows: dict[str, list[Row]], checkers: dict[str, Checker], channel: str
) -> None:
    """A segment less is found; of a channel with effects, which were added afterwards, nothing is said."""
    built, checker = copy.deepcopy(rows["turn_taking"][0]), checkers["turn_taking"]
    assert list(checker.check(built)) == []
    lost = next(number for number, one in enumerate(built["speech_activity"]) if one["channel"] == channel)
    del built["speech_activity"][lost]
    assert list(checker.check(built)) == [f"speech_activity is not where the {channel} speaks"]
    effect = EffectSection(effect="noise")
    noisy = replace(checker, recipe=checker.recipe.model_copy(update={"acoustics": [effect]}))
    expected = [f"speech_activity is not where the {channel} speaks"] if channel == "assistant" else []
    assert list(noisy.check(built)) == expected
