"""Transcripts, by Whisper (arXiv 2212.04356) through faster-whisper."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..dialogue import Waveform
from ..errors import UserError
from .judge import MEASURE_HZ, at_measure_rate, needed, versions

Device = Literal["auto", "cpu", "cuda"]

LONGEST_S = 30  # that Whisper takes at once; shorter clips are padded
LONGEST_SAMPLES = LONGEST_S * MEASURE_HZ
SEEK_HZ = 100  # frames of the log-mel spectrogram per second; faster-whisper counts the start of a part in them
BATCH = 16  # clips decoded together
# Of silence before each clip of a batch. By the package's rules, a word gets another start if the word before it, or
# the start of the whole, is less than 2.8 s before it: a clip's times would depend on the clip before it.
GAP_S = 3
MOST_NO_SPEECH = 0.6  # Whisper's own limits; a part beyond both counts as silence
LEAST_LOGPROB = -1.0
NO_MEMORY = (
    "not even one clip fits into the free memory of the GPU for Whisper. Put fewer actors on a GPU, or "
    "use the processor (speech.gate.num_gpus: 0 in a recipe, CUDA_VISIBLE_DEVICES= before a command)."
)
CODES = (  # of faster-whisper, which need not be installed to read metadata
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu "
    "hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt "
    "ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo zh yue"
)
KNOWN_LANGUAGES = frozenset(CODES.split())  # ISO 639-1, but for haw, jw and yue

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a clip."""

    text: str  # "" if nothing was heard
    words: tuple[Word, ...]  # empty if their times were not asked for


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str  # "" if nothing was heard
    words: tuple[Word, ...]
    language: str  # ISO 639-1: what was asked for, or what the recogniser takes it for
    language_probability: float
    no_speech_prob: float  # highest of any part; 1 if nothing was heard
    mean_logprob: float  # of the tokens, weighted by the length of their parts; 0 if nothing was heard


def fingerprint() -> dict[str, str]:
    """Versions that shape transcripts. The caller adds the model."""
    return versions("faster-whisper", "ctranslate2")


class Recogniser:
    """Whisper, loaded.

    whisper: a size that faster-whisper knows, such as large-v3, or a folder with a converted model.
    language: ISO 639-1; None: it is recognised. English-only models take everything for English.
    device: auto is a GPU if there is one. Whisper computes in float16 on a GPU, in float32 on the processor.

    Raises UserError if faster-whisper is not installed, or the model cannot be loaded or run.
    """

    def __init__(self, whisper: str, language: str | None, threads: int = 1, device: Device = "auto") -> None:
        package = needed("faster_whisper")
        self.language = language
        self.device = choose_device(device)
        precision = "float16" if self.device == "cuda" else "float32"
        try:
            self._model: Any = package.WhisperModel(
                whisper, device=self.device, compute_type=precision, cpu_threads=threads
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"the Whisper model {whisper} cannot be loaded: {error}. Expected the name of a size, such as "
                "large-v3, or a folder with a model that faster-whisper reads."
            ) from error
        self._batched: Any = package.BatchedInferencePipeline(self._model)
        self._most: int | None = None  # clips that the memory has room for, once it had none for more
        if self.device == "cuda":
            self._try()

    def _try(self) -> None:
        """Transcribe silence: the libraries for a GPU are loaded at their first use, and may be missing."""
        try:
            self.texts([(np.zeros(MEASURE_HZ, dtype=np.float32), MEASURE_HZ)], "en")
        except RuntimeError as error:
            raise UserError(
                f"Whisper cannot run on this GPU: {error}. It needs libraries of CUDA 12, which a torch for CUDA 13 "
                "does not bring. If one is missing: pip install nvidia-cublas-cu12 nvidia-cudnn-cu12, and name the "
                "folders nvidia/cublas/lib and nvidia/cudnn/lib of the site-packages in LD_LIBRARY_PATH; or leave it "
                "to the processor (speech.gate.num_gpus: 0 in a recipe, CUDA_VISIBLE_DEVICES= before a command)."
            ) from error

    def transcribe(
        self, clips: Sequence[tuple[Waveform, int]], language: str | None = None, skip_silence: bool = False
    ) -> list[Transcript]:
        """Transcripts of clips, each one channel [samples] and its rate in Hz, in their order.

        language: of these clips, if it is another than the recogniser was made for.

        Beam 5 at temperature 0, nothing carried over: a clip's transcript does not depend on the others. Whisper
        invents words in long silences: trim first, or set skip_silence, and Silero VAD removes them.
        """
        language = language or self.language
        return [self._transcribe(samples, rate, language, skip_silence) for samples, rate in clips]

    def texts(self, clips: Sequence[tuple[Waveform, int]], language: str, batch: int = BATCH) -> list[str]:
        """The text of each clip, in order; see `wordings`."""
        return [wording.text for wording in self.wordings(clips, language, False, batch)]

    def wordings(
        self, clips: Sequence[tuple[Waveform, int]], language: str, timed: bool, batch: int = BATCH
    ) -> list[Wording]:
        """The words of each clip, in order. A clip is one channel [samples] and its rate in Hz.

        timed: also find the times of the words, in seconds from the start of their clip.
        Beam 5 at temperature 0, `batch` clips in one pass of the model, each padded to 30 s by itself; a longer clip
        has a pass of its own. Rounding may depend on the batch; in float16, that changes a word now and then.
        """
        signals = [at_measure_rate(samples, rate) for samples, rate in clips]
        wordings = [Wording("", ())] * len(signals)
        short = []
        for number, samples in enumerate(signals):
            if len(samples) > LONGEST_SAMPLES:
                alone = self._transcribe(samples, MEASURE_HZ, language)
                wordings[number] = Wording(alone.text, alone.words if timed else ())
            elif len(samples):
                short.append(number)
        short.sort(key=lambda number: len(signals[number]))  # a batch takes as long as its longest text
        while short:
            numbers = short[: min(batch, self._most or batch)]
            together = self._wordings([signals[number] for number in numbers], language, timed)
            for number, wording in zip(numbers, together, strict=False):
                wordings[number] = wording
            short = short[len(together) :]
        return wordings

    def _wordings(self, clips: Sequence[Waveform], language: str, timed: bool) -> list[Wording]:
        """Wordings of clips [samples] at 16 kHz, none empty or longer than 30 s; of none, if memory is short.

        Then fewer clips are given together from now on.
        """
        try:
            return self._wordings_together(clips, language, timed)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            if len(clips) == 1:
                raise UserError(NO_MEMORY) from error
        self._most = len(clips) // 2
        LOG.warning("out of memory with %d clips together in Whisper, trying %d", len(clips), self._most)
        return []

    def _wordings_together(self, clips: Sequence[Waveform], language: str, timed: bool) -> list[Wording]:
        rows = np.zeros((len(clips), (GAP_S + LONGEST_S) * MEASURE_HZ), dtype=np.float32)
        for place, samples in zip(rows[:, GAP_S * MEASURE_HZ :], clips, strict=True):
            place[: len(samples)] = samples
        starts = [GAP_S + (GAP_S + LONGEST_S) * number for number in range(len(clips))]
        half_s = 0.5 / MEASURE_HZ  # the package rounds times down to samples
        parts, _ = self._batched.transcribe(
            rows.reshape(-1),
            language=language,
            beam_size=5,
            temperature=0.0,
            batch_size=len(clips),
            word_timestamps=timed,
            clip_timestamps=[
                {"start": start, "end": start + len(samples) / MEASURE_HZ + half_s}
                for start, samples in zip(starts, clips, strict=True)
            ],
        )
        wordings = [Wording("", ())] * len(clips)
        for part in parts:
            if part.no_speech_prob > MOST_NO_SPEECH and part.avg_logprob <= LEAST_LOGPROB:
                continue  # as Whisper does where it is given one clip
            number = part.seek // ((GAP_S + LONGEST_S) * SEEK_HZ)
            before, words = wordings[number], _words([part], starts[number])
            wordings[number] = Wording(f"{before.text} {part.text.strip()}".strip(), before.words + words)
        return wordings

    def _transcribe(self, samples: Waveform, rate: int, language: str | None, skip_silence: bool = False) -> Transcript:
        signal = at_measure_rate(samples, rate)
        if not len(signal):
            return Transcript("", (), language or "", 0.0, 1.0, 0.0)
        try:
            parts, info = self._model.transcribe(
                signal,
                language=language,
                beam_size=5,
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=True,
                vad_filter=skip_silence,
            )
            segments = list(parts)  # decoded as they are asked for
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            raise UserError(NO_MEMORY) from error
        spoken_s = sum(part.end - part.start for part in segments)
        return Transcript(
            " ".join(part.text.strip() for part in segments).strip(),
            _words(segments),
            str(info.language),
            float(info.language_probability),
            max((float(part.no_speech_prob) for part in segments), default=1.0),
            sum(part.avg_logprob * (part.end - part.start) for part in segments) / spoken_s if spoken_s else 0.0,
        )


def _words(parts: Sequence[Any], start_s: float = 0.0) -> tuple[Word, ...]:
    """Words of the package's segments, in seconds from `start_s`."""
    return tuple(
        Word(word.word.strip(), float(word.start) - start_s, float(word.end) - start_s, float(word.probability))
        for part in parts
        for word in part.words or ()
    )


def choose_device(wanted: Device) -> Literal["cpu", "cuda"]:
    """Raises UserError if a GPU is asked for and there is none."""
    if wanted == "cpu":
        return "cpu"
    if needed("ctranslate2").get_cuda_device_count() > 0:
        return "cuda"
    if wanted == "auto":
        return "cpu"
    raise UserError(
        "Whisper is to run on cuda, and there is no GPU here. Set speech.gate.num_gpus to 0 to run it on the processor."
    )
