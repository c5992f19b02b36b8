"""Figures of an utterance, and what a recipe does not allow of them."""

from dataclasses import asdict, dataclass

from ...dialogue import Word
from ...measures.words import Misheard
from .. import section

ALLOWED_WORDS = 2  # one word is often misheard as two
SHOWN = 80  # characters of a transcript in a message


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one utterance; None: no threshold asks for it, or it could not be measured."""

    seconds_per_character: float  # of its speech, per letter, digit or Chinese character of its text; 0: no speech
    wer: float | None = None  # words wrong, missing or added, over those of the text; characters in Chinese
    dnsmos: float | None = None  # overall (OVRL), 1 to 5
    similarity: float | None = None  # cosine of the speaker embeddings of speech and prompt
    leading_silence_s: float | None = None  # before speech, as the engine gave it
    longest_pause_s: float | None = None  # between two stretches of speech
    repeats: int | None = None  # of the phrase that follows itself most often, beyond the text
    heard: str | None = None  # the transcript
    misheard: Misheard | None = None  # what the word error rate counts
    words: tuple[Word, ...] | None = None  # of the text, in samples of its trimmed speech; None: not known

    def figures(self) -> dict[str, float]:
        """The figures that were measured, by name."""
        return {name: float(value) for name, value in asdict(self).items() if isinstance(value, int | float)}


def problem(quality: Quality, spec: section.Gate) -> str | None:
    """What the recipe does not allow of an utterance, in words and figures; None if it passes.

    A figure that is asked for and could not be measured is a problem too.
    """
    if not quality.seconds_per_character:
        return "no speech"
    allowed = quality.misheard is not None and spec.max_wer is not None and _allowed(quality.misheard, spec.max_wer)
    problems = (
        _above("word error rate", quality.wer, None if allowed else spec.max_wer, "", quality.heard),
        _above("repeated phrases", quality.repeats, spec.max_repeats, "", quality.heard),
        _below("DNSMOS", quality.dnsmos, spec.min_dnsmos),
        _below("similarity to the prompt", quality.similarity, spec.min_similarity),
        _above("silence before speech", quality.leading_silence_s, spec.max_silence_s, " s"),
        _above("silence within speech", quality.longest_pause_s, spec.max_silence_s, " s"),
    )
    return "; ".join(each for each in problems if each) or None


def _allowed(errors: Misheard, max_wer: float) -> bool:
    """Whether so few words are misheard that the recogniser may be at fault, whatever the word error rate.

    Wrong letters must be few, or a text of one word would always pass: `Yeah.` heard as `Yes.` has two of four wrong.
    """
    if not max_wer or errors.words > ALLOWED_WORDS or errors.letters >= errors.of_letters:
        return False
    return errors.letters <= max(1, max_wer * errors.of_letters)


def _above(what: str, figure: float | None, most: float | None, unit: str, heard: str | None = None) -> str | None:
    if most is None or (figure is not None and figure <= most):
        return None
    transcript = f", heard {heard[:SHOWN]!r}" if heard is not None else ""
    return f"{what} {_figure(figure, unit)}, at most {most:g}{unit} allowed{transcript}"


def _below(what: str, figure: float | None, least: float | None) -> str | None:
    if least is None or (figure is not None and figure >= least):
        return None
    return f"{what} {_figure(figure)}, at least {least:g} wanted"


def _figure(figure: float | None, unit: str = "") -> str:
    if figure is None:
        return "could not be measured"
    return f"{figure}{unit}" if isinstance(figure, int) else f"{figure:.2f}{unit}"
