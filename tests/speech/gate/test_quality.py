import pytest

from duplexgen.pipeline.measures.words import Misheard
from duplexgen.pipeline.speech.gate.quality import Quality, problem
from duplexgen.pipeline.speech.section import Gate

EVERY = Gate(max_wer=0.2, min_dnsmos=3.0, min_similarity=0.7, max_silence_s=1.0, max_repeats=1)
GOOD = {"wer": 0.2, "dnsmos": 3.0, "similarity": 0.7, "leading_silence_s": 1.0, "longest_pause_s": 1.0, "repeats": 1}


def quality(**changes: float | int | str | None) -> Quality:
    return Quality(**({"seconds_per_character": 0.07} | GOOD | changes))  # type: ignore[arg-type]


def test_a_figure_at_its_threshold_is_allowed() -> None:
    assert problem(quality(), EVERY) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"wer": 0.25, "heard": "hello"}, "word error rate 0.25, at most 0.2 allowed, heard 'hello'"),
        ({"dnsmos": 2.914}, "DNSMOS 2.91, at least 3 wanted"),
        ({"similarity": -0.1}, "similarity to the prompt -0.10, at least 0.7 wanted"),
        ({"leading_silence_s": 1.5}, "silence before speech 1.50 s, at most 1 s allowed"),
        ({"longest_pause_s": 2.0}, "silence within speech 2.00 s, at most 1 s allowed"),
        ({"repeats": 2}, "repeated phrases 2, at most 1 allowed"),
        ({"similarity": None}, "similarity to the prompt could not be measured, at least 0.7 wanted"),
        ({"seconds_per_character": 0.0}, "no speech"),
    ],
)
def test_what_is_not_allowed_is_named_with_its_figures(changes: dict[str, float], expected: str) -> None:
    assert problem(quality(**changes), EVERY) == expected


@pytest.mark.parametrize(
    ("words", "letters", "of_words", "of_letters", "allowed"),
    [
        (2, 2, 7, 25, True),  # Could I order a Jin Xuan please? gin-quan
        (2, 5, 7, 25, True),
        (2, 6, 7, 25, False),  # more than 0.2 of the letters
        (3, 2, 7, 25, False),  # more than two words
        (1, 1, 1, 3, True),  # Yes. Yet
        (1, 2, 1, 4, False),  # Yeah. Yes
        (1, 1, 1, 1, False),  # a Chinese character, or a digit, and all that there is
        (1, 1, 2, 2, True),
        (2, 2, 2, 2, False),
        (1, 3, 1, 3, False),  # nothing heard
    ],
)
def test_a_short_text_may_be_misheard_by_a_few_letters(
    words: int, letters: int, of_words: int, of_letters: int, allowed: bool
) -> None:
    found = Misheard(words, letters, of_words, of_letters)
    figures = quality(wer=found.rate, misheard=found)  # type: ignore[arg-type]
    assert found.rate > 0.2
    assert (problem(figures, EVERY) is None) is allowed
    assert problem(figures, Gate(max_wer=0.0)) is not None


def test_every_problem_is_named() -> None:
    found = problem(quality(wer=1.0, dnsmos=1.0), EVERY)
    assert found == "word error rate 1.00, at most 0.2 allowed; DNSMOS 1.00, at least 3 wanted"


def test_what_no_threshold_asks_for_is_no_problem() -> None:
    assert problem(Quality(0.07, wer=0.9, dnsmos=1.0), Gate(max_silence_s=None)) is None


def test_figures_are_those_that_were_measured() -> None:
    assert Quality(0.07, wer=0.5, repeats=0, heard="x").figures() == {
        "seconds_per_character": 0.07,
        "wer": 0.5,
        "repeats": 0.0,
    }
