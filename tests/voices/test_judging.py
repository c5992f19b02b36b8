import pytest

from duplexgen.pipeline.voices.judging import Figures, units


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
