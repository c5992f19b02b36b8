"""CosyVoice v1, v2 and v3: zero-shot cloning of the voices of a bank, many utterances at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.dialogue import Waveform
from pipeline.errors import DialogueRejected, UserError
from pipeline.model_files import place
from pipeline.randomness import generator
from pipeline.recipe import CosyVoice, Speech
from pipeline.recipe_file import Problem
from pipeline.speech.cosyvoice.batches import batches, halving
from pipeline.speech.cosyvoice.decoding import Decoded, Row, decode
from pipeline.speech.cosyvoice.folder import ModelFolder
from pipeline.speech.cosyvoice.guards import FEWEST_A_TEXT_TOKEN, MOST_A_TEXT_TOKEN, check_start, check_tokens
from pipeline.speech.cosyvoice.parts import Parts, load
from pipeline.speech.cosyvoice.prompts import Prompts, VoicePrompt
from pipeline.speech.cosyvoice.segments import kept_tokens, split
from pipeline.speech.cosyvoice.upstream import Code, versions
from pipeline.speech.engine import Prompt, SpeechRequest, Voice
from pipeline.speech.guard import BadSpeechError
from pipeline.speech.recorded import RecordedBank

VERSION = "1"  # counts changes that give other speech
Said = Waveform | DialogueRejected | BadSpeechError


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an utterance that is decoded at once."""

    request: int
    text: tuple[int, ...]  # ids
    prompt: VoicePrompt
    seed: int
    number: int  # within its utterance

    @property
    def expected(self) -> int:
        """Speech tokens, if the voice goes on as fast as in its clip."""
        pace = len(self.prompt.tokens) / max(1, len(self.prompt.text))
        return round(len(self.text) * min(max(pace, FEWEST_A_TEXT_TOKEN), MOST_A_TEXT_TOKEN))

    def row(self, parts: Parts) -> Row:
        longest = MOST_A_TEXT_TOKEN * len(self.text)
        draws = self.randomness("tokens").random((longest, 2), dtype=np.float32)
        return Row(parts.prefix(list(self.text), self.prompt), FEWEST_A_TEXT_TOKEN * len(self.text), longest, draws)

    def randomness(self, purpose: str) -> np.random.Generator:
        return generator(self.seed, str(self.number), f"cosyvoice/{purpose}")


def _absolute(spec: CosyVoice) -> CosyVoice:
    paths = {"model": spec.model, "bank": spec.bank, "source": spec.source}
    return spec.model_copy(update={key: str(place(path)) for key, path in paths.items() if path})


class CosyVoiceEngine:
    """Speaks text that has been made speakable: nothing is normalised here, long texts are cut at sentences."""

    name = "cosyvoice"
    languages = frozenset({"en", "zh"})
    uses_seed = True

    def __init__(self, spec: Speech) -> None:
        self._spec = spec.cosyvoice and _absolute(spec.cosyvoice)
        self._parts: Parts | None = None
        self._prompts: Prompts | None = None
        self._voices: dict[str, VoicePrompt | DialogueRejected] = {}

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
            ("source", lambda: (Code.find(self.spec.source), versions())),
        ):
            try:
                attempt()
            except UserError as error:
                problems.append((("speech", "cosyvoice", field), str(error)))
        if self.spec.precision == "fp16" and not self.spec.num_gpus:
            problems.append((("speech", "cosyvoice", "precision"), "fp16 needs a GPU: expected fp32 with num_gpus 0"))
        return problems

    def voices(self) -> Mapping[str, Voice]:
        return self._bank.voices

    def prompt(self, voice: str) -> Prompt:
        return self._bank.prompt(voice)

    def fingerprint(self) -> Mapping[str, str]:
        """In half precision the size of the batches is a part of it: rounding may let a row's tokens depend on them."""
        whole = self.spec.precision == "fp32"
        return {
            "adapter": VERSION,
            "code": Code.find(self.spec.source).checksum(),
            "model": self._folder.checksum(),
            "bank": self._bank.checksum(),
            "device": "cuda" if self.spec.num_gpus else "cpu",  # they draw other noise from the same seed
            "precision": self.spec.precision if whole else f"{self.spec.precision}, {self.spec.batch_tokens} a batch",
            **versions(),
        }

    def load(self) -> None:
        """Raises UserError if the model's files, the code and the machine do not fit each other."""
        import torch

        wanted = self.spec.num_gpus > 0
        if wanted and not torch.cuda.is_available():
            raise UserError("no GPU is to be had: set speech.cosyvoice.num_gpus to 0 to run on the processor")
        code = Code.find(self.spec.source)
        self._parts = load(self._folder, code, torch.device("cuda" if wanted else "cpu"), self.spec.precision)
        self._prompts = Prompts(self._folder, self._parts, code.checksum())

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Said]:
        """One a request, in order: f32 [samples], or why there is none. Raises UserError for a damaged clip."""
        said: dict[int, Said] = {}
        segments: list[Segment] = []
        for index, request in enumerate(requests):
            try:
                segments += self._segments(index, request)
            except DialogueRejected as rejected:
                said[index] = rejected
        decoded = self._decode(segments)
        for index in range(len(requests)):
            if index not in said:
                own = [
                    (segment, tokens)
                    for segment, tokens in zip(segments, decoded, strict=True)
                    if segment.request == index
                ]
                said[index] = self._join(own)
        return [said[index] for index in range(len(requests))]

    def _segments(self, index: int, request: SpeechRequest) -> list[Segment]:
        if request.language not in self.languages:
            spoken = ", ".join(sorted(self.languages))
            raise DialogueRejected("language_not_spoken", f"{self.name} reads {spoken}, not {request.language}")
        texts = split(request.text, request.language, self._loaded.text_ids)
        prompt = self._voice(request.voice)
        ids = [tuple(self._loaded.text_ids(text)) for text in texts]
        return [Segment(index, text, prompt, request.seed, number) for number, text in enumerate(ids)]

    def _voice(self, name: str) -> VoicePrompt:
        if name not in self._voices:
            assert self._prompts is not None
            try:
                self._voices[name] = self._prompts.make(self._bank.prompt(name))
            except DialogueRejected as rejected:
                self._voices[name] = rejected
        voice = self._voices[name]
        if isinstance(voice, DialogueRejected):
            raise voice
        return voice

    def _decode(self, segments: Sequence[Segment]) -> list[Decoded]:
        parts = self._loaded

        def run(chosen: Sequence[Segment]) -> list[Decoded]:
            return decode(parts.llm, [segment.row(parts) for segment in chosen], parts.sampling)

        decoded: dict[int, Decoded] = {}
        for batch in batches([segment.expected for segment in segments], self.spec.batch_tokens):
            results = halving(run, [segments[index] for index in batch])
            decoded.update(zip(batch, results, strict=True))
        return [decoded[index] for index in range(len(segments))]

    def _join(self, own: Sequence[tuple[Segment, Decoded]]) -> Said:
        """The waveforms of an utterance's segments, one after the other."""
        waveforms: list[Waveform] = []
        try:
            for segment, decoded in own:
                check_tokens(decoded, len(segment.text))
            for segment, decoded in own:
                spoken = halving(self._speech, [(segment, decoded)])[0]
                check_start(spoken, self._loaded.sample_rate)
                waveforms.append(spoken)
        except BadSpeechError as error:
            return error
        return np.concatenate(waveforms)

    def _speech(self, chosen: Sequence[tuple[Segment, Decoded]]) -> list[Waveform]:
        parts = self._loaded
        seeds = [int(segment.randomness("waveform").integers(2**63)) for segment, _ in chosen]
        return [
            parts.speech(kept_tokens(decoded.tokens, parts.version), segment.prompt, seed)
            for (segment, decoded), seed in zip(chosen, seeds, strict=True)
        ]

    @property
    def _loaded(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("load() comes before speak()")
        return self._parts
