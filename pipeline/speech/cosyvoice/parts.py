"""CosyVoice from its parts: no thread, no front end, nothing that hides an error."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...dialogue import Waveform
from ...errors import UserError
from ...kernels import leave_out_cudnn_attention
from . import configuration
from .batches import Batches, room
from .decoding import MOST, SHORTEST, SIZES, Decoder
from .flow import Flow
from .folder import GET, WEIGHTS, ModelFolder
from .language_models import QwenLM, RelativeLM, SpeechLM
from .rounding import round_weights
from .sampling import sampling_of
from .upstream import Code, contained
from .utterances import Utterance, VoicePrompt
from .vocoder import Vocoder

if TYPE_CHECKING:
    import torch


Precision = Literal["fp32", "fp16", "bf16"]
SEED = 1986  # CosyVoice's own, for values that are drawn when a model is built and that no file has (v3's vocoder)
POSITIONS_ON_CPU, FRAMES_ON_CPU = 8192, 2048  # of a batch; there larger ones are no faster
MOST_POSITIONS, MOST_FRAMES = 2**17, 2**15  # of a batch on a GPU, which larger ones would not keep any busier
ROWS = 32  # of a batch that becomes sound
FRAME_BYTES = 2**20  # that flow and vocoder want for a frame of a batch, reckoned from their layers


@dataclass(frozen=True, slots=True)
class Parts:
    """A loaded model."""

    llm: SpeechLM
    decoder: Decoder
    flow: Flow
    vocoder: Vocoder
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

    def speech(self, utterances: Sequence[Utterance]) -> list[Waveform]:
        """Speech tokens to f32 [samples] each, which depends on that utterance alone, its seed included.

        For other companions and other lengths, kernels round differently: in fp32 in the last bits of a sample.
        """
        return self.vocoder.waves(self.flow.mels(utterances), [utterance.seed for utterance in utterances])


def load(folder: ModelFolder, code: Code, device: "torch.device", precision: Precision = "fp32") -> Parts:
    """Build and load a model. Raises UserError if its files do not fit each other or the code."""
    parts = read(folder, code)
    try:
        with contained():
            tokenizer = parts["get_tokenizer"]()
    except Exception as error:  # the tokenizers package raises nothing narrower
        raise UserError(f"the text tokenizer in {folder.path} cannot be read: {error}. {GET}") from error
    return assemble(parts, tokenizer, folder.version, folder.sample_rate, device, precision)


def read(folder: ModelFolder, code: Code) -> dict[str, Any]:
    """The package's modules with the folder's weights, and its functions. Raises UserError as `load` does."""
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
    return parts


def assemble(
    parts: dict[str, Any], tokenizer: Any, version: int, sample_rate: int, device: "torch.device", precision: Precision
) -> Parts:
    """A model from modules with their weights, moved to a device."""
    import torch

    choose_kernels(precision)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    # Half precision is for what takes the time: the language model and the flow's solver, not for the vocoder.
    llm = parts["llm"].to(device)
    round_weights(llm, dtype)
    language_model: SpeechLM = RelativeLM(llm) if version == 1 else QwenLM(llm)
    return Parts(
        llm=language_model,
        decoder=Decoder(language_model, sampling_of(llm.sampling), SIZES if device.type == "cuda" else ()),
        flow=Flow(parts["flow"].to(device), version, device, dtype),
        vocoder=Vocoder(parts["hift"].to(device), version),
        tokenizer=tokenizer,
        feat_extractor=parts["feat_extractor"],
        allowed_special=parts["allowed_special"],
        version=version,
        sample_rate=sample_rate,
        device=device,
        dtype=dtype,
    )


def budgets(parts: Parts, share: float, positions: int | None, most: int = MOST) -> tuple[Batches, Batches]:
    """Batches to decode, by positions of the cache, and to make sound of, by frames of mel.

    share: of a GPU, the actor's; positions: what the recipe says of a batch, None: as many as memory allows; most: rows
    of a batch.
    """
    at_once, frames = positions or POSITIONS_ON_CPU, FRAMES_ON_CPU
    if parts.device.type == "cuda":
        for_each = room(parts.device, share) // 2
        # A cache, the copy of it from which a longer one is made, and the longer one's other half.
        fitting = for_each // (3 * parts.llm.cached_bytes)
        at_once = positions or max(SHORTEST, min(MOST_POSITIONS, fitting))
        frames = max(SHORTEST, min(MOST_FRAMES, for_each // FRAME_BYTES))
    return Batches(at_once, most, parts.decoder.cost), Batches(frames, min(most, ROWS))


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
