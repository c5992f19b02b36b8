"""CosyVoice from its parts: no thread, no front end, nothing that hides an error."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...dialogue import Waveform
from ...errors import UserError
from ...kernels import leave_out_cudnn_attention
from . import configuration
from .folder import GET, WEIGHTS, ModelFolder
from .language_models import QwenLM, RelativeLM, SpeechLM
from .sampling import Sampling, sampling_of
from .upstream import Code, contained

if TYPE_CHECKING:
    import torch


Precision = Literal["fp32", "fp16", "bf16"]
SEED = 1986  # CosyVoice's own, for values that are drawn when a model is built and that no file has (v3's vocoder)


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """What the model needs of a voice's clip."""

    text: tuple[int, ...]  # ids of what is said in the clip
    tokens: NDArray[np.int64]  # [tokens], the clip as speech tokens
    mel: NDArray[np.float32]  # [frames, 80]
    embedding: NDArray[np.float32]  # [192], of the speaker


@dataclass(frozen=True, slots=True)
class Parts:
    """A loaded model."""

    llm: SpeechLM
    sampling: Sampling
    flow: Any
    hift: Any
    tokenizer: Any
    feat_extractor: Any  # f32 [1, samples] to log-mel f32 [1, 80, frames], at the rate of the speech
    allowed_special: Any
    version: int
    sample_rate: int  # Hz
    device: "torch.device"
    dtype: "torch.dtype"

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text, by the model's own text tokenizer."""
        ids: list[int] = self.tokenizer.encode(text, allowed_special=self.allowed_special)
        return ids

    def prefix(self, text: list[int], prompt: VoicePrompt) -> "torch.Tensor":
        """What the language model is given before it speaks, [positions, hidden]."""
        import torch

        with torch.inference_mode():
            tokens = torch.from_numpy(prompt.tokens).to(self.device)
            return self.llm.prefix(text, list(prompt.text), tokens, torch.from_numpy(prompt.embedding).to(self.device))

    def mel(self, tokens: list[int], prompt: VoicePrompt) -> "torch.Tensor":
        """Speech tokens to log-mel, f32 [1, 80, frames]."""
        import torch

        def length(count: int) -> torch.Tensor:
            return torch.tensor([count], dtype=torch.int32, device=self.device)

        prompt_mel = torch.from_numpy(prompt.mel)[None].to(self.device)  # [1, frames, 80]
        inputs: dict[str, Any] = {
            "token": torch.tensor([tokens], dtype=torch.int32, device=self.device),
            "token_len": length(len(tokens)),
            "prompt_token": torch.from_numpy(prompt.tokens)[None].to(self.device, torch.int32),
            "prompt_token_len": length(len(prompt.tokens)),
            "prompt_feat": prompt_mel,
            "prompt_feat_len": length(prompt_mel.shape[1]),
            "embedding": torch.from_numpy(prompt.embedding)[None].to(self.device),
        }
        if self.version == 1:
            inputs["flow_cache"] = torch.zeros(1, 80, 0, 2, device=self.device)
        else:
            inputs |= {"streaming": False, "finalize": True}
        half = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=half):
            spectrum: torch.Tensor = self.flow.inference(**inputs)[0]
        return spectrum.float()

    def wave(self, mel: "torch.Tensor") -> Waveform:
        """Log-mel to f32 [samples]."""
        import torch

        with torch.inference_mode():
            samples, _ = self.hift.inference(speech_feat=mel, **({"finalize": True} if self.version == 3 else {}))
        return np.asarray(samples[0].float().cpu(), dtype=np.float32)

    def speech(self, tokens: list[int], prompt: VoicePrompt, seed: int) -> Waveform:
        """Speech tokens to f32 [samples]: v1's flow and every vocoder draw from the global generator, seeded here."""
        import torch

        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self.wave(self.mel(tokens, prompt))


def load(folder: ModelFolder, code: Code, device: "torch.device", precision: Precision = "fp32") -> Parts:
    """Build and load a model. Raises UserError if its files do not fit each other or the code."""
    import torch

    code.make_importable()
    with contained():
        torch.manual_seed(SEED)
        try:
            parts = configuration.build(folder)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"{folder.path / folder.configuration} does not fit the CosyVoice code in {code.cosyvoice}: {error}. "
                f"Version {folder.version} may need a newer clone, or a package is missing."
            ) from error
        # transformers keeps the precision in which Qwen was saved, bf16: weights would be rounded as they are read.
        modules = [parts[name].float().eval() for name in ("llm", "flow", "hift")]
        for module, file in zip(modules, WEIGHTS, strict=True):
            _read(module, folder.path / file)
        try:
            tokenizer = parts["get_tokenizer"]()
        except Exception as error:  # the tokenizers package raises nothing narrower
            raise UserError(f"the text tokenizer in {folder.path} cannot be read: {error}. {GET}") from error
    return assemble(parts, tokenizer, folder.version, folder.sample_rate, device, precision)


def assemble(
    parts: dict[str, Any], tokenizer: Any, version: int, sample_rate: int, device: "torch.device", precision: Precision
) -> Parts:
    """A model from modules with their weights, moved to a device."""
    import torch

    choose_kernels(precision)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    # Only the language model is kept in half precision: the flow is rounded as it goes, the vocoder not at all.
    llm = parts["llm"].to(device, dtype)
    return Parts(
        llm=RelativeLM(llm) if version == 1 else QwenLM(llm),
        sampling=sampling_of(llm.sampling),
        flow=parts["flow"].to(device),
        hift=parts["hift"].to(device),
        tokenizer=tokenizer,
        feat_extractor=parts["feat_extractor"],
        allowed_special=parts["allowed_special"],
        version=version,
        sample_rate=sample_rate,
        device=device,
        dtype=dtype,
    )


def choose_kernels(precision: Precision) -> None:
    """Make a GPU compute the same bits of the same input each time. This is set for the whole process.

    The convolutions that cuDNN chooses without TF32 may give other bits.
    """
    import torch

    leave_out_cudnn_attention()
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = precision != "fp32"


def _read(module: Any, path: Path) -> None:
    import torch

    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        if path.name == "hift.pt":  # as a checkpoint of a GAN's training
            weights = {name.replace("generator.", ""): value for name, value in weights.items()}
        module.load_state_dict(weights, strict=True)
    except (RuntimeError, EOFError, OSError, AttributeError, pickle.UnpicklingError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} does not fit the model's configuration or is damaged ({message}). {GET}") from error
