"""CosyVoice v1, v2 and v3: zero-shot cloning of the voices of a bank, many utterances at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ...dialogue import Waveform
from ...errors import DialogueRejected, UserError
from ...recipe.file import Location, Problem
from ...storage.model_files import place
from ..engine import Prompt, RawSpeech, SpeechRequest, Voice
from ..guard import BadSpeechError, check_raw
from ..recorded import RecordedBank
from ..section import CosyVoice, Speech
from . import clips
from .batches import Batches
from .decoding import DecodedRow
from .folder import ModelFolder
from .guards import check_start, check_tokens
from .parts import Parts, budgets, load
from .prompts import Prompts
from .segments import Segment, split
from .upstream import Code, versions
from .utterances import VoicePrompt

VERSION = "2"  # raise it if the same request gives other speech
GPU_VERSION = "3"  # raise it if that is so on a GPU alone
VOICES = 256  # prompts in memory, about 0.2 MB each; the disk has all
Result = RawSpeech | DialogueRejected | BadSpeechError


def _absolute(spec: CosyVoice) -> CosyVoice:
    paths = {"model": spec.model, "bank": spec.bank, "source": spec.source}
    return spec.model_copy(update={key: str(place(path)) for key, path in paths.items() if path})


class CosyVoiceEngine:
    """Speaks text that is rewritten already: nothing is normalised here. Long texts are split at sentences."""

    name = "cosyvoice"
    languages = frozenset({"en", "zh"})
    uses_seed = True
    times_words = False

    def __init__(self, spec: Speech) -> None:
        self._spec = spec.cosyvoice and _absolute(spec.cosyvoice)
        listed = spec.user_voices if isinstance(spec.user_voices, list) else []
        self._named: list[tuple[Location, str]] = [
            (("speech", "assistant_voice"), spec.assistant_voice),
            *((("speech", "user_voices", index), name) for index, name in enumerate(listed)),
        ]
        self._parts: Parts | None = None
        self._decoding: Batches | None = None
        self._sounding: Batches | None = None
        self._prompts: Prompts | None = None
        self._clone: Callable[[str], VoicePrompt | DialogueRejected] | None = None

    @property
    def spec(self) -> CosyVoice:
        if self._spec is None:
            raise UserError("the engine cosyvoice needs a section `cosyvoice` under `speech`, with `model` and `bank`")
        return self._spec

    @cached_property
    def _folder(self) -> ModelFolder:
        return ModelFolder.read(Path(self.spec.model))

    @cached_property
    def _bank(self) -> RecordedBank:
        return RecordedBank.read(Path(self.spec.bank))

    @cached_property
    def sample_rate(self) -> int:
        return self._folder.sample_rate

    @property
    def num_gpus(self) -> float:
        return self._spec.num_gpus if self._spec else 0.0

    def check(self) -> list[Problem]:
        if self._spec is None:
            return [(("speech", "cosyvoice"), "the engine cosyvoice needs this section, with `model` and `bank`")]
        problems: list[Problem] = []
        for field, attempt in (
            ("model", lambda: self._folder.sample_rate),
            ("bank", lambda: self._bank),
            ("source", lambda: (Code.find(self.spec.source), versions(self._version_or_1))),
        ):
            try:
                attempt()
            except UserError as error:
                problems.append((("speech", "cosyvoice", field), str(error)))
        if self.spec.precision == "fp16" and not self.spec.num_gpus:
            problems.append((("speech", "cosyvoice", "precision"), "fp16 needs a GPU: expected fp32 with num_gpus 0"))
        return problems or clips.check(self._too_long, self._named)

    @property
    def _version_or_1(self) -> int:
        """The model's version; 1 if the model cannot be read, which `check` reports by itself."""
        try:
            return self._folder.version
        except UserError:
            return 1

    @cached_property
    def _too_long(self) -> dict[str, float]:
        return clips.too_long(self._bank)

    def voices(self) -> Mapping[str, Voice]:
        """The voices of the bank. Those whose clip is too long are in no split, so that they are never drawn."""
        voices = self._bank.voices
        return {name: replace(voice, split=None) if name in self._too_long else voice for name, voice in voices.items()}

    def prompt(self, voice: str) -> Prompt:
        return self._bank.prompt(voice)

    def fingerprint(self) -> Mapping[str, str]:
        """In half precision, how batches are made is part of it: by rounding, speech depends on its batch."""
        spec, fp32 = self.spec, self.spec.precision == "fp32"
        batched = f"{spec.batch_tokens} positions" if spec.batch_tokens else "positions by memory"
        return {
            "adapter": VERSION,
            "code": Code.find(spec.source).checksum(),
            "model": self._folder.checksum(),
            "bank": self._bank.checksum(),
            # Devices draw different noise from one seed.
            "device": f"cuda, adapter {GPU_VERSION}" if spec.num_gpus else "cpu",
            "precision": spec.precision if fp32 else f"{spec.precision}, {batched}",
            **({"never_drawn": " ".join(sorted(self._too_long))} if self._too_long else {}),
            **versions(self._folder.version),
        }

    def load(self) -> None:
        """Raises UserError if the model's files, the code and the machine do not fit each other."""
        import torch

        on_gpu = self.spec.num_gpus > 0
        if on_gpu and not torch.cuda.is_available():
            raise UserError("torch sees no GPU here: set speech.cosyvoice.num_gpus to 0 to run on the processor")
        if on_gpu and self.spec.precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UserError("this GPU does not compute in bf16: set speech.cosyvoice.precision to fp16 or fp32")
        code = Code.find(self.spec.source)
        try:
            self._parts = load(self._folder, code, torch.device("cuda" if on_gpu else "cpu"), self.spec.precision)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the model in {self.spec.model} does not fit into the GPU's free memory. Put fewer actors on a GPU "
                "(a larger speech.cosyvoice.num_gpus), end other programs on it, or set precision to bf16 or fp16."
            ) from error
        self._decoding, self._sounding = budgets(self._parts, self.spec.num_gpus, self.spec.batch_tokens)
        self._prompts = Prompts(self._folder, self._parts, code.checksum())
        self._clone = lru_cache(maxsize=VOICES)(self._new_prompt)

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Result]:
        """Speech without times of words for each request, in order, or why there is none.

        Raises UserError for a damaged clip.
        """
        results: dict[int, Result] = {}
        segments: list[Segment] = []
        for index, request in enumerate(requests):
            try:
                segments += self._segments(index, request)
            except DialogueRejected as rejected:
                results[index] = rejected
        decoded = self._decode(segments)
        results |= _bad(segments, decoded)
        good = [
            (segment, row) for segment, row in zip(segments, decoded, strict=True) if segment.request not in results
        ]
        sounds: dict[int, list[Waveform]] = {}
        for (segment, _), waveform in zip(good, self._sounds(good), strict=True):
            sounds.setdefault(segment.request, []).append(waveform)
        results |= {index: self._joined(waveforms) for index, waveforms in sounds.items()}
        return [results[index] for index in range(len(requests))]

    def _segments(self, index: int, request: SpeechRequest) -> list[Segment]:
        if request.language not in self.languages:
            spoken = ", ".join(sorted(self.languages))
            raise DialogueRejected("language_not_spoken", f"{self.name} reads {spoken}, not {request.language}")
        texts = split(request.text, request.language, self._loaded.text_ids)
        prompt = self._voice(request.voice)
        ids = [tuple(self._loaded.text_ids(text)) for text in texts]
        return [Segment(index, text, prompt, request.seed, number) for number, text in enumerate(ids)]

    def _voice(self, name: str) -> VoicePrompt:
        assert self._clone is not None  # load() has made it
        voice = self._clone(name)
        if isinstance(voice, DialogueRejected):
            raise voice
        return voice

    def _new_prompt(self, name: str) -> VoicePrompt | DialogueRejected:
        assert self._prompts is not None
        try:
            return self._prompts.make(self._bank.prompt(name))
        except DialogueRejected as rejected:
            return rejected

    def _decode(self, segments: Sequence[Segment]) -> list[DecodedRow]:
        parts = self._loaded

        def run(chosen: Sequence[Segment]) -> list[DecodedRow]:
            return parts.decoder.decode([segment.row(parts) for segment in chosen])

        assert self._decoding is not None  # load() has made it
        return self._decoding.run(run, segments, [segment.positions for segment in segments])

    def _sounds(self, chosen: Sequence[tuple[Segment, DecodedRow]]) -> list[Waveform]:
        """f32 [samples] each."""
        parts = self._loaded
        assert self._sounding is not None
        utterances = [segment.utterance(row.tokens, parts.version) for segment, row in chosen]
        return self._sounding.run(parts.speech, utterances, [parts.flow.frames(utterance) for utterance in utterances])

    def _joined(self, waveforms: Sequence[Waveform]) -> Result:
        """The waveforms of an utterance's segments, one after the other."""
        try:
            for waveform in waveforms:
                check_raw(waveform)
                check_start(waveform, self._loaded.sample_rate)
        except BadSpeechError as error:
            return error
        return RawSpeech(np.concatenate(waveforms))

    @property
    def _loaded(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("load() comes before speak()")
        return self._parts


def _bad(segments: Sequence[Segment], decoded: Sequence[DecodedRow]) -> dict[int, Result]:
    """What is wrong with the tokens of a request, by its index, for those that have to be spoken again."""
    found: dict[int, Result] = {}
    for segment, row in zip(segments, decoded, strict=True):
        try:
            check_tokens(row, len(segment.text))
        except BadSpeechError as error:
            found.setdefault(segment.request, error)
    return found
