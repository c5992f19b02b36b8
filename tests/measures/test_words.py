import pytest

WHY = "needs the extra `voices`"
pytest.importorskip("rapidfuzz", reason=WHY)
pytest.importorskip("whisper_normalizer", reason=WHY)

from duplexgen.pipeline.measures.words import error_rate, misheard, repeats, words  # noqa: E402


@pytest.mark.parametrize(
    ("spoken", "heard"),
    [
        ("Meet me at three forty five PM.", "Meet me at 3:45 p.m."),
        ("Meet me at three forty five PM.", "Meet me at 3.45pm."),
        ("That makes twenty one dollars.", "That makes $21."),
        ("It was the year nineteen eighty four.", "It was the year 1984."),
        ("I will not change the colour.", "I won't change the color"),
        ("Fifty percent of them, at least.", "50% of them at least."),
        ("The twenty first time.", "the 21st time"),
        ("OK, all right then.", "Okay, alright then."),
        ("A.I. and U S A, by e-mail.", "AI and USA by email."),
    ],
)
def test_the_same_words_written_otherwise_are_no_errors(spoken: str, heard: str) -> None:
    assert error_rate(words(spoken, "en"), words(heard, "en")) == 0.0


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("one small step for a man", 0.0),
        ("one small step for man", 1 / 6),
        ("one small stop for a man", 1 / 6),
        ("one small step for a man man", 1 / 6),
        ("", 1.0),
    ],
)
def test_error_rate_counts_words_missing_wrong_and_added(heard: str, expected: float) -> None:
    assert error_rate(words("One small step for a man.", "en"), words(heard, "en")) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("spoken", "heard", "found"),
    [
        ("I want one Matcha Latte.", "I want one match a latte.", (2, 0)),
        ("Yes it is.", "I'm serious.", (3, 7)),
        ("Yes.", "", (1, 3)),
        ("", "Yes.", (1, 3)),
    ],
)
def test_letters_are_compared_without_spaces(spoken: str, heard: str, found: tuple[int, int]) -> None:
    compared = misheard(words(spoken, "en"), words(heard, "en"))
    assert (compared.words, compared.letters) == found
    assert compared.of_letters == len("".join(words(spoken, "en")))


def test_numbers_that_differ_are_errors() -> None:
    assert error_rate(words("It costs fifteen dollars.", "en"), words("It costs $50.", "en")) > 0


def test_chinese_counts_characters_in_one_script_with_numbers_read_out() -> None:
    spoken = words("我们二零二四年在北京见。", "zh")
    assert len(spoken) == 11
    assert error_rate(spoken, words("我們2024年在北京見", "zh")) == 0.0
    assert error_rate(spoken, words("我们2024年在南京见", "zh")) == pytest.approx(1 / 11)


def test_latin_words_in_chinese_are_words() -> None:
    assert words("我用Python写", "zh") == ["我", "用", "python", "写"]


def test_nothing_to_say() -> None:
    assert error_rate([], []) == 0.0
    assert error_rate([], ["hello"]) == 1.0


@pytest.mark.parametrize(
    ("spoken", "heard", "expected"),
    [
        ("so we talk", "so we talk", 0),
        ("so we talk", "so so so we talk", 2),
        ("so we talk", "so we talk so we talk so we talk", 2),
        ("ha ha ha that is good", "ha ha ha that is good", 0),
        ("ha ha that is good", "ha ha ha ha that is good", 2),
        ("we talk and we talk", "we talk and we talk", 0),
        ("so we talk", "", 0),
        ("ha ha ha", "ha", 0),
    ],
)
def test_repeats_are_those_beyond_the_text(spoken: str, heard: str, expected: int) -> None:
    assert repeats(spoken.split(), heard.split()) == expected
