"""Each invariant of a row's audio by a row that breaks it, and nothing else."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from duplexgen.pipeline.acoustics.effect import EffectSection
from duplexgen.pipeline.audio.flac import encode as to_flac
from duplexgen.pipeline.dataset.invariants import Checker

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


def test_audio_that_is_none(heard: Row, check: Check) -> None:
    heard["audio"]["bytes"] = b"RIFF"
    (message,) = check(heard)
    assert message.startswith("audio cannot be decoded: ")


def test_shape_of_audio(heard: Row, check: Check) -> None:
    track = samples(heard)
    put(heard, track[:-1])
    assert check(heard) == [f"audio is {(len(track) - 1, 2)} at 16000 Hz, expected {track.shape} at 16000 Hz"]
    put(heard, track, 8000)
    assert check(heard) == [f"audio is {track.shape} at 8000 Hz, expected {track.shape} at 16000 Hz"]
    put(heard, track[:, 0])
    assert check(heard) == [f"audio is {(len(track), 1)} at 16000 Hz, expected {track.shape} at 16000 Hz"]


def test_silent_event(heard: Row, check: Check) -> None:
    track, event = samples(heard), heard["events"][3]
    track[event["start_sample"] : event["end_sample"], 1] = 0
    put(heard, track)
    assert check(heard) == [
        f"the assistant's event at sample {event['start_sample']} is silent",
        "assistant_codes are not the codes of the audio",
    ]


def test_sound_between_turns(heard: Row, check: Check) -> None:
    track = samples(heard)
    track[heard["events"][0]["end_sample"], 0] = 1
    put(heard, track)
    assert check(heard)[0] == "the user's channel is not silent between events"


def test_channels_the_other_way_round(heard: Row, check: Check) -> None:
    put(heard, samples(heard)[:, ::-1])
    found = check(heard)
    for role in ("user", "assistant"):
        assert f"the {role}'s channel is not silent between events" in found
        assert f"{role}_codes are not the codes of the audio" in found


@pytest.mark.parametrize("column", ["user_codes", "assistant_codes"])
def test_codes_of_the_audio(heard: Row, check: Check, column: str) -> None:
    heard[column][1][20] ^= 1  # of another codebook than the one in the sequence
    assert check(heard) == [f"{column} are not the codes of the audio"]


def test_the_margin_is_silence(heard: Row, check: Check) -> None:
    heard["assistant_codes"][1][-1] ^= 1
    assert check(heard) == ["assistant_codes are not the codes of the audio"]


def test_sound_that_the_recipe_puts_between_events(heard: Row, checkers: dict[str, Checker]) -> None:
    """What effects do to the user's channel is no event; the assistant's stays clean."""
    checker = checkers["turn_taking"]
    recipe = checker.recipe.model_copy(update={"acoustics": [EffectSection(effect="hum")]})
    for channel, role in enumerate(("user", "assistant")):
        track = samples(heard)
        track[heard["events"][channel]["end_sample"], channel] = 1
        row = heard | {"audio": dict(heard["audio"])}
        put(row, track)
        found = [says for says in replace(checker, recipe=recipe).check(row) if "silent" in says]
        assert found == ([] if role == "user" else ["the assistant's channel is not silent between events"])
