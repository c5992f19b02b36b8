"""Whether a recording has a clip from which a voice can be cloned, and its measurements."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from ..dialogue import Waveform
from ..errors import DialogueRejected
from ..measures.embedding import Embedding
from ..measures.transcript import LEAST_LOGPROB, MOST_NO_SPEECH, Transcript
from ..measures.words import error_rate, words
from .clips import Recording
from .measuring import Measurements, Models
from .recipe import VoicesRecipe

LEAST_SPEECH_SHARE = 0.6  # of a clip; the rest is pauses
LEAST_LANGUAGE_PROBABILITY = 0.5
MOST_ERRORS = 0.5  # words of a given transcript that the recogniser hears differently; numerals cause a few
COMPARED_BY_GATE = frozenset({"en", "zh"})  # the gate brings their numerals and spellings to one form
UNSPACED = frozenset({"ja", "th", "my", "lo", "yue"})  # written without spaces


@dataclass(frozen=True, slots=True)
class Figures:
    """Measurements of a recording; None if it was rejected before that measurement."""

    duration_s: float | None = None
    speech_share: float | None = None
    dnsmos: float | None = None
    coherence: float | None = None
    no_speech_prob: float | None = None
    mean_logprob: float | None = None
    word_error_rate: float | None = None  # of a given transcript
    similarity: float | None = None  # cosine to the voice for which it was left out, or to the nearest other voice

    def rounded(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A recording that gives no voice, and why."""

    where: str
    reason: str
    detail: str
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A clip that is good enough; the other clips decide whether it stays."""

    where: str
    sha256: str  # of the recording it is from
    speaker: str | None
    sex: Literal["female", "male"] | None
    language: str
    text: str
    license: str
    start_s: float  # in the recording
    end_s: float
    figures: Figures
    embedding: Embedding

    @property
    def dnsmos(self) -> float:
        return self.figures.dnsmos or 0.0


class Judge:
    """Judges recordings. Raises UserError if a package or a model is missing."""

    def __init__(self, recipe: VoicesRecipe) -> None:
        self.recipe = recipe
        self._models = Models(recipe.whisper)
        error_rate(units("one", "en"), units("one", "en"))  # now is the time to miss a package, not after a recording

    def judge(self, recording: Recording, sha256: str) -> tuple[Candidate, Waveform, int] | Rejected:
        """The clip of a recording, with f32 [samples] and their rate in Hz; or why it has none."""
        figures: dict[str, float] = {}
        measured = Measurements(self._models, recording, sha256)
        try:
            return self._judge(recording, sha256, measured, figures)
        except DialogueRejected as rejected:
            return Rejected(recording.where, rejected.reason, rejected.detail, Figures(**figures))
        finally:
            measured.save()

    def _judge(
        self, recording: Recording, sha256: str, measured: Measurements, figures: dict[str, float]
    ) -> tuple[Candidate, Waveform, int]:
        recipe, about = self.recipe, recording.about
        clip = measured.clip(recipe.shortest_s, recipe.longest_s)
        figures |= {"duration_s": clip.duration_s, "speech_share": clip.cut.speech_share}
        if clip.cut.speech_share < LEAST_SPEECH_SHARE:
            raise DialogueRejected(
                "little_speech", f"{clip.cut.speech_share:.0%} is speech, expected at least {LEAST_SPEECH_SHARE:.0%}"
            )
        figures["dnsmos"] = quality = measured.dnsmos(clip)
        if quality < recipe.min_dnsmos:
            raise DialogueRejected("poor_quality", f"DNSMOS {quality:.2f}, expected at least {recipe.min_dnsmos:g}")
        figures["coherence"] = alike = measured.coherence(clip)
        if alike < recipe.min_coherence:
            raise DialogueRejected(
                "two_speakers",
                f"two parts of it have a cosine of {alike:.2f}, expected at least {recipe.min_coherence:g}",
            )
        language = about.language or recipe.language
        transcript = measured.transcript(clip, language)
        text = self._text(transcript, about.text if clip.cut.whole else None, language, figures)
        candidate = Candidate(
            where=recording.where,
            sha256=sha256,
            speaker=about.speaker,
            sex=about.sex,
            language=transcript.language,
            text=text,
            license=about.license or recipe.license,
            start_s=clip.cut.start / clip.rate,
            end_s=clip.cut.end / clip.rate,
            figures=Figures(**figures),
            embedding=measured.embedding(clip),
        )
        return candidate, measured.samples(clip), clip.rate

    def _text(self, heard: Transcript, given: str | None, language: str | None, figures: dict[str, float]) -> str:
        """The transcript of a clip: the given one if the recogniser agrees, otherwise the recogniser's."""
        figures |= {"no_speech_prob": heard.no_speech_prob, "mean_logprob": heard.mean_logprob}
        if not heard.text or (heard.no_speech_prob > MOST_NO_SPEECH and heard.mean_logprob < LEAST_LOGPROB):
            raise DialogueRejected("no_words", f"the recogniser hears no words: {heard.text!r}")
        if heard.mean_logprob < LEAST_LOGPROB:
            raise DialogueRejected("not_understood", f"the recogniser guesses: {heard.text!r}")
        if language is not None and heard.language != language:
            raise DialogueRejected("language_not_heard", f"the recogniser hears {heard.language} instead of {language}")
        if language is None and heard.language_probability < LEAST_LANGUAGE_PROBABILITY:
            raise DialogueRejected(
                "unsure_language",
                f"taken for {heard.language} with {heard.language_probability:.0%}: name the language",
            )
        if given is None:
            return heard.text
        figures["word_error_rate"] = errors = error_rate(
            units(given, heard.language), units(heard.text, heard.language)
        )
        if errors > MOST_ERRORS:
            raise DialogueRejected(
                "wrong_transcript", f"said to be {given!r}, heard as {heard.text!r}: error rate {errors:.2f}"
            )
        return given


def units(text: str, language: str) -> list[str]:
    """What two transcripts are compared by: words, or characters where words are written without spaces."""
    if language in COMPARED_BY_GATE:
        return words(text, language)
    plain = "".join(character if character.isalnum() or character.isspace() else " " for character in text.lower())
    return list("".join(plain.split())) if language in UNSPACED else plain.split()
