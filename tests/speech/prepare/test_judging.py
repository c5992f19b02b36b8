import dataclasses
import inspect

import numpy as np
import pytest

import cli
from pipeline.speech.prepare.judging import Figures, Settings, coherence, units


@pytest.mark.parametrize(
    ("said", "heard", "language"),
    [
        ("It costs twenty dollars, doesn't it?", "It costs $20, doesn't it", "en"),
        ("你好，世界！", "你好 世界", "zh"),
        ("Où est-il ?", "où est il", "fr"),
        ("こんにちは、世界。", "こんにちは 世界", "ja"),
    ],
)
def test_spelling_is_no_error(said: str, heard: str, language: str) -> None:
    pytest.importorskip("whisper_normalizer", reason="pip install 'duplexgen[voices]'")
    assert units(said, language) == units(heard, language)


@pytest.mark.parametrize(
    ("text", "language", "number"), [("red house", "en", 2), ("世界", "ja", 2), ("deux mots", "fr", 2)]
)
def test_words_are_compared_or_characters(text: str, language: str, number: int) -> None:
    pytest.importorskip("whisper_normalizer", reason="pip install 'duplexgen[voices]'")
    assert len(units(text, language)) == number


def test_figures_name_only_what_was_measured() -> None:
    assert Figures(dnsmos=3.14159, duration_s=0.0).rounded() == {"dnsmos": 3.1416, "duration_s": 0.0}


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


def test_the_command_has_the_defaults_of_the_settings() -> None:
    command = inspect.signature(cli.prepare_voices).parameters
    renamed = {"held_out_share": "held_out"}
    for field in dataclasses.fields(Settings):
        if field.name not in ("shortest_s", "longest_s"):
            assert command[renamed.get(field.name, field.name)].default == field.default
