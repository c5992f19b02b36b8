import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.speech.recorded import RecordedBank


def write_bank(folder: Path, names: tuple[str, ...] = ("anna", "ben"), **changes: Any) -> list[dict[str, Any]]:
    """A bank of noise; `changes` are made to the first row."""
    (folder / "clips").mkdir(parents=True)
    rows = []
    for number, name in enumerate(names):
        file = folder / "clips" / f"{name}.wav"
        samples = np.random.Generator(np.random.Philox(number)).integers(-9000, 9000, 16000 * 3).astype(np.int16)
        soundfile.write(file, samples, 16000 + 6050 * number, subtype="PCM_16")
        rows.append(
            {
                "name": name,
                "languages": ["en"],
                "sex": None,
                "split": "eval" if number else "train",
                "file": f"clips/{name}.wav",
                "text": f"I am {name}.",
                "duration_s": 3.0,
                "dnsmos": 3.2,
                "license": "CC0-1.0",
                "provenance": "noise",
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        )
    rows[0] |= changes
    (folder / "bank.json").write_text(json.dumps({"format_version": 1, "voices": rows}), encoding="utf-8")
    return rows


def test_voices_say_where_they_come_from_and_which_side_they_are_on(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank")
    voices = RecordedBank.read(tmp_path / "bank").voices
    assert list(voices) == ["anna", "ben"]
    assert (voices["anna"].split, voices["ben"].split) == ("train", "eval")
    assert voices["anna"].languages == ("en",)
    assert voices["anna"].sex is None
    assert voices["anna"].provenance == "noise"


def test_a_prompt_is_the_clip_at_its_own_rate(tmp_path: Path) -> None:
    rows = write_bank(tmp_path / "bank")
    prompt = RecordedBank.read(tmp_path / "bank").prompt("ben")
    samples, rate = soundfile.read(tmp_path / "bank" / "clips" / "ben.wav", dtype="int16")
    assert prompt.sample_rate == rate == 22050
    assert prompt.samples.dtype == np.float32
    assert np.array_equal(prompt.samples * 32768, samples)
    assert prompt.text == "I am ben."
    assert prompt.sha256 == rows[1]["sha256"]


def test_it_travels_to_workers(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank")
    bank = RecordedBank.read(tmp_path / "bank")
    there = pickle.loads(pickle.dumps(bank))
    assert there.checksum() == bank.checksum()
    assert np.array_equal(there.prompt("anna").samples, bank.prompt("anna").samples)


def test_the_checksum_is_of_what_is_spoken_with_and_not_of_the_folder(tmp_path: Path) -> None:
    write_bank(tmp_path / "one")
    write_bank(tmp_path / "two", provenance="elsewhere")
    write_bank(tmp_path / "three", text="I am somebody else.")
    write_bank(tmp_path / "four", split="eval")
    one, two, three, four = (RecordedBank.read(tmp_path / name).checksum() for name in ("one", "two", "three", "four"))
    assert one == two
    assert len({one, three, four}) == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split": None}, "voices.0.split"),
        ({"languages": []}, "voices.0.languages"),
        ({"name": "../anna"}, "voices.0.name"),
        ({"file": "clips/../../secret.wav"}, "expected the file clips/anna.wav"),
        ({"sha256": "0" * 64}, "is damaged: sha256"),
        ({"text": ""}, "voices.0.text"),
        ({"mood": "happy"}, "voices.0.mood"),
        ({"name": "Ben", "file": "clips/Ben.wav"}, "two voices of one name: ben"),
    ],
)
def test_a_damaged_index_says_what_is_wrong(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_bank(tmp_path / "bank", **changes)
    with pytest.raises(UserError, match="bank") as raised:
        RecordedBank.read(tmp_path / "bank")
    assert says in str(raised.value)
    assert "duplexgen voices prepare" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not a voice bank"),
        ("{", "cannot be read"),
        ("[]", "format_version is None, expected 1"),
        ('{"format_version": 2, "voices": []}', "format_version is 2, expected 1"),
        ('{"format_version": 1, "voices": []}', "voices"),
    ],
)
def test_a_folder_that_is_no_bank_says_so(content: str | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "bank.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        RecordedBank.read(tmp_path)


def test_a_clip_that_changed_or_is_gone_is_found_when_the_bank_is_read_and_later(tmp_path: Path) -> None:
    write_bank(tmp_path)
    bank = RecordedBank.read(tmp_path)
    clip = tmp_path / "clips" / "anna.wav"
    whole = clip.read_bytes()
    clip.write_bytes(whole[:-2])
    with pytest.raises(UserError, match=r"anna\.wav is damaged"):
        bank.prompt("anna")
    with pytest.raises(UserError, match=r"anna\.wav is damaged"):
        RecordedBank.read(tmp_path)
    clip.unlink()
    with pytest.raises(UserError, match="the clip of voice anna, cannot be read"):
        RecordedBank.read(tmp_path)


def test_an_unknown_voice_has_no_prompt(tmp_path: Path) -> None:
    write_bank(tmp_path)
    with pytest.raises(KeyError, match="carl"):
        RecordedBank.read(tmp_path).prompt("carl")
