"""The real CosyVoice class of the code at hand, made to draw what the adapter draws.

The package draws from the global generator, a number of times that depends on what it drew. Here its own sampling
function runs as it is, but each of its `multinomial` calls reads the row's next draw instead: the same scores then give
the same token, and another token means other scores. Ids that are no speech are barred as long as the adapter bars
them; the versions of the package differ in that.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from duplexgen.pipeline.speech.cosyvoice.prompts import forget_windows
from duplexgen.pipeline.speech.cosyvoice.upstream import contained
from tests.speech.cosyvoice.configurations import RATE_HZ, SPEECH_TOKENS


@contextmanager
def drawing(monkeypatch: pytest.MonkeyPatch, draws: torch.Tensor) -> Iterator[list[float]]:
    """`Tensor.multinomial` gives what these uniform draws fall on, one after the other; yields those used."""
    used: list[float] = []

    def multinomial(weights: torch.Tensor, count: int, replacement: bool = False) -> torch.Tensor:
        draw = draws[len(used)].to(weights.device)
        used.append(float(draw))
        cumulative = weights.cumsum(dim=0)
        return torch.searchsorted(cumulative, draw[None] * cumulative[-1], right=True).clamp(max=len(weights) - 1)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "multinomial", multinomial)
        yield used


class Reference:
    """`inference_zero_shot` of the installed package on a model folder."""

    def __init__(self, folder: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
        from transformers import Qwen2ForCausalLM

        for name in ("tn.chinese.normalizer", "tn.english.normalizer"):  # wanted at import, idle without text_frontend
            if "tn" not in sys.modules or getattr(sys.modules["tn"], "__file__", None) is None:
                module = ModuleType(name)
                vars(module)["Normalizer"] = lambda **_: None
                for part in (name.split(".")[0], ".".join(name.split(".")[:2])):
                    monkeypatch.setitem(sys.modules, part, sys.modules.get(part, ModuleType(part)))
                monkeypatch.setitem(sys.modules, name, module)
        load: Callable[..., Any] = Qwen2ForCausalLM.from_pretrained
        # What transformers of the package's time did: fp32 weights, and no padding of a mask of one position.
        monkeypatch.setattr(Qwen2ForCausalLM, "from_pretrained", lambda path, **rest: load(path, **rest).float())
        forward = Qwen2ForCausalLM.forward

        def unmasked(self: Any, **inputs: Any) -> Any:
            return forward(self, **{**inputs, "attention_mask": None})

        monkeypatch.setattr(Qwen2ForCausalLM, "forward", unmasked)
        with contained():
            from cosyvoice.cli import cosyvoice, frontend

            # For v1 newer code resamples the clip to 24 kHz and takes its mel as one of 22.05 kHz.
            def read(path: str, rate: int) -> torch.Tensor:
                return _load_wav(path, RATE_HZ[version] if rate == 24000 else rate)

            monkeypatch.setattr(frontend, "load_wav", read, raising=False)
            made = getattr(cosyvoice, {1: "CosyVoice", 2: "CosyVoice2", 3: "CosyVoice3"}[version])
            official = {"final": True} if "final" in inspect.signature(made).parameters else {}  # names of weight files
            self.model = made(str(folder), **official)
        self.monkeypatch, self.version = monkeypatch, version

    def speak(
        self, text: str, clip: Path, clip_text: str, draws: np.ndarray, shortest: int, seed: int
    ) -> tuple[list[int], np.ndarray]:
        """The speech tokens that the flow is given and the waveform, flow and vocoder being seeded."""
        given: list[list[int]] = []
        own, wave, vocoder = self.model.model.llm.sampling, self.model.model.token2wav, self.model.model.hift.inference

        def sampling(scores: torch.Tensor, decoded: list[int], count: int) -> torch.Tensor:
            if len(decoded) < shortest:
                scores[SPEECH_TOKENS[self.version] :] = -torch.inf
            with drawing(self.monkeypatch, torch.from_numpy(draws[len(decoded)])):
                drawn: torch.Tensor = own(scores, decoded, count)
            return drawn

        def token2wav(token: torch.Tensor, **rest: Any) -> torch.Tensor:
            given.append(token[0].tolist())
            torch.manual_seed(seed + 1)
            heard: torch.Tensor = wave(token=token, **rest)
            return heard

        def seeded(**inputs: Any) -> Any:
            torch.manual_seed(seed)
            return vocoder(**inputs)

        with self.monkeypatch.context() as patch, contained():
            patch.setattr(self.model.model.llm, "sampling", sampling)
            patch.setattr(self.model.model, "token2wav", token2wav)
            patch.setattr(self.model.model.hift, "inference", seeded)
            forget_windows()
            names = inspect.signature(self.model.inference_zero_shot).parameters
            prompt = str(clip) if "prompt_wav" in names else _load_wav(str(clip), 16000)
            chunks = list(self.model.inference_zero_shot(text, clip_text, prompt, text_frontend=False))
        assert len(given) == len(chunks) == 1
        return given[0], chunks[0]["tts_speech"][0].numpy()


def _load_wav(path: str, rate: int) -> torch.Tensor:
    """As the package's, whose torchaudio.load needs torchcodec by now."""
    import torchaudio

    samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    resampled: torch.Tensor = torchaudio.functional.resample(torch.from_numpy(samples.T), own, rate)
    return resampled
