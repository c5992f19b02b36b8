"""What is said: Whisper (arXiv 2212.04356) through faster-whisper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.dialogue import Waveform
from pipeline.errors import UserError
from pipeline.speech.measures import at_measure_rate, needed, versions


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str  # "" if nothing was heard
    words: tuple[Word, ...]
    language: str  # ISO 639-1: what was asked for, or what the recogniser takes it for
    language_probability: float
    no_speech_prob: float  # highest of any part; 1 if nothing was heard
    mean_logprob: float  # of the tokens, weighted by the length of their parts; 0 if nothing was heard


def fingerprint() -> dict[str, str]:
    """Versions that shape transcripts; the model is its user's to name."""
    return versions("faster-whisper", "ctranslate2")


class Recogniser:
    """whisper: a size that faster-whisper knows, such as large-v3, or a folder with a converted model.
    language: ISO 639-1; None recognises it. English-only models take everything for English.

    Raises UserError if faster-whisper is not installed or the model cannot be loaded.
    """

    def __init__(self, whisper: str, language: str | None, threads: int = 1) -> None:
        model = needed("faster_whisper").WhisperModel
        on_gpu = needed("ctranslate2").get_cuda_device_count() > 0
        device, precision = ("cuda", "float16") if on_gpu else ("cpu", "float32")
        self.language = language
        try:
            self._model: Any = model(whisper, device=device, compute_type=precision, cpu_threads=threads)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"the Whisper model {whisper} cannot be loaded: {error}. Expected the name of a size, such as "
                "large-v3, or a folder with a model that faster-whisper reads."
            ) from error

    def transcribe(self, clips: Sequence[tuple[Waveform, int]], language: str | None = None) -> list[Transcript]:
        """Transcripts of clips, each one channel [samples] and its rate in Hz, in their order.

        language: of these clips, if it is another than the recogniser was made for.

        Beam 5 at temperature 0, nothing carried over: a clip's transcript does not depend on the others. Whisper
        invents words in long silences: trim first.
        """
        return [self._transcribe(samples, rate, language or self.language) for samples, rate in clips]

    def _transcribe(self, samples: Waveform, rate: int, language: str | None) -> Transcript:
        heard = at_measure_rate(samples, rate)
        if not len(heard):
            return Transcript("", (), language or "", 0.0, 1.0, 0.0)
        parts, about = self._model.transcribe(
            heard,
            language=language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        found = list(parts)
        spoken_s = sum(part.end - part.start for part in found)
        return Transcript(
            " ".join(part.text.strip() for part in found).strip(),
            tuple(
                Word(word.word.strip(), float(word.start), float(word.end), float(word.probability))
                for part in found
                for word in part.words or ()
            ),
            str(about.language),
            float(about.language_probability),
            max((float(part.no_speech_prob) for part in found), default=1.0),
            sum(part.avg_logprob * (part.end - part.start) for part in found) / spoken_s if spoken_s else 0.0,
        )
