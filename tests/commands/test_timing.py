"""`duplexgen timing fit`: profiles from RTTM and audio, and what it says of files that it cannot use."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from benchmarks import replay
from duplexgen.pipeline.commands.timing import figures, fit_timing
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures.conversation import conversation
from duplexgen.pipeline.measures.timing_fit import Estimate, fit
from duplexgen.pipeline.scenarios.placing import NaturalTiming
from duplexgen.pipeline.scenarios.profile import HIGH_MS, LOW_MS, Profile
from duplexgen.pipeline.show.progress import Display
from tests.measures.talking import rttm, talk

RATE = 8000
SPOKEN_AGAIN_S = 0.3  # a pause that is longer than any within the recording's parts


def random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings, two of them in one file."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = [rttm(f"call{number}", talk(Profile(), random(number), 30)) for number in range(5)]
    (folder / "below").mkdir()
    for name, text in (("two.rttm", texts[0] + texts[1]), *zip(("a.rttm", "b.RTTM"), texts[2:4], strict=True)):
        (folder / name).write_text(text)
    (folder / "below" / "c.rttm").write_text(texts[4])
    (folder / "notes.txt").write_text("nothing")
    return folder


def test_a_profile_is_what_was_fitted(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "profile.yaml"
    found = fit_timing([corpus, corpus / "a.rttm"], out, Display())
    text = out.read_text()
    talks = [conversation(talk(Profile(), random(number), 30), 300.0) for number in range(5)]
    expected = fit(talks, LOW_MS / 1000, HIGH_MS / 1000)
    assert found.fit.transfers == expected.transfers == 5 * 29
    assert found.fit.mean_ms.value == pytest.approx(expected.mean_ms.value, rel=1e-2)
    timing = yaml.safe_load(text)["timing"]
    profile = Profile.model_validate(timing["profile"])
    assert NaturalTiming.model_validate(timing).profile == profile
    assert profile.offset.mean_ms == pytest.approx(found.fit.mean_ms.value, abs=0.06)
    assert profile.pause.sigma == pytest.approx(found.fit.pause_sigma.value, abs=6e-4)
    assert text.startswith("# Timing of 5 dialogues, ") and "145 floor transfers" in text
    assert text.count("±") == 9
    assert not found.rejected
    assert any("Levinson" in line for line in figures(found))


def test_what_cannot_be_used_is_left_out_with_the_reason(corpus: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "line.rttm").write_text(";; fine\nSPEAKER a 1 0 ten <NA> <NA> ann <NA> <NA>\n")
    (bad / "three.rttm").write_text("".join(f"SPEAKER m\x1b[1m 1 {n} 1 <NA> <NA> {n} <NA> <NA>\n" for n in range(3)))
    (bad / "empty.rttm").write_text("")
    (bad / "damaged.flac").write_bytes(b"fLaC and no more")
    soundfile.write(bad / "mono.wav", np.zeros(RATE), RATE)
    soundfile.write(bad / "silent.wav", np.zeros((RATE, 2)), RATE)
    soundfile.write(bad / "numbers.wav", np.full((RATE, 2), np.nan), RATE, subtype="FLOAT")
    soundfile.write(bad / "none.wav", np.zeros((0, 2)), RATE)
    found = fit_timing([bad, corpus], tmp_path / "profile.yaml", Display())
    says = {Path(line.split(": ")[0]).name: line.split(": ", 1)[1] for line in found.rejected}
    assert says["line.rttm"] == "line 2: the duration is ten, expected seconds, 0 or more"
    assert says["three.rttm"] == r"recording m\x1b[1m: has 3 speakers, expected 2"
    assert says["empty.rttm"] == "has no line of a speaker"
    assert says["damaged.flac"].startswith("cannot be read (") and says["damaged.flac"].endswith("expected WAV or FLAC")
    assert says["mono.wav"] == "has 1 channel, expected 2, one per speaker"
    assert says["silent.wav"] == "no speech is found in channel 0 and 1, expected a speaker in each"
    assert says["numbers.wav"] == "is damaged: it holds samples that are no numbers"
    assert says["none.wav"] == "is damaged: it holds 0 samples of 0"
    assert found.fit.transfers == 5 * 29


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["notes.txt"], "notes.txt: expected a file that ends in .rttm, .wav, .flac, or a folder of such files"),
        (["hollow"], "hollow: holds no file that ends in .rttm, .wav, .flac"),
        (["a.rttm"], "there is too little to fit: 1 dialogues (expected 3 or more)"),
    ],
)
def test_nothing_is_written_unless_all_is_well(corpus: Path, tmp_path: Path, paths: list[str], says: str) -> None:
    (corpus / "hollow").mkdir(exist_ok=True)
    with pytest.raises(UserError) as raised:
        fit_timing([corpus / name for name in paths], tmp_path / "profile.yaml", Display())
    assert says in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "profile.yaml"
    out.write_text("mine")
    with pytest.raises(UserError, match=r"profile\.yaml exists already"):
        fit_timing([corpus], out, Display())
    assert out.read_text() == "mine"


@pytest.fixture(scope="module")
def sentence() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """A part of Kokoro's recording without a pause, at 8 kHz."""
    waveform, rate = soundfile.read(replay.RECORDING, dtype="float32")
    return np.asarray(soxr.resample(waveform, rate, RATE)[: round(2.0 * RATE)])


def test_offsets_of_audio_are_those_that_it_was_made_with(
    sentence: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", tmp_path: Path
) -> None:
    """To some steps of the detector, which has one side early and the other late."""
    made_s, rng = [], random(7)
    for number, suffix in enumerate(("wav", "flac", "wav")):
        samples = np.zeros((RATE * 130, 2), np.float32)
        at = RATE
        for turn in range(20):
            samples[at : at + len(sentence), turn % 2] = sentence
            at += len(sentence) + round(0.6 * RATE)
            samples[at : at + len(sentence), turn % 2] = sentence
            offset_s = float(rng.choice([-0.4, 0.3, 0.5]))
            made_s.append(offset_s)
            at += len(sentence) + round(offset_s * RATE)
        soundfile.write(tmp_path / f"{number}.{suffix}", samples, RATE)
    found = fit_timing([tmp_path], tmp_path / "profile.yaml", Display())
    offsets = found.statistics.get("transfer_offset_s")
    assert offsets and offsets.count == 3 * 19 and not found.rejected
    assert offsets.mean == pytest.approx(np.mean(made_s), abs=0.1)
    assert found.fit.pause_median_ms.value == pytest.approx(600, abs=100)


@pytest.mark.parametrize("one", [Estimate(1.0, None)])
def test_what_the_data_does_not_determine_is_said(one: Estimate, corpus: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from duplexgen.pipeline.commands.timing import profile_text

    found = fit_timing([corpus], tmp_path / "profile.yaml", Display())
    text = profile_text(replace(found.fit, overlap_sigma=one), 5, 50.0)
    assert "overlap_sigma: 1.000  # not determined by these recordings" in text
