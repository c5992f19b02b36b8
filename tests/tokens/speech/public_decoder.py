"""What GLM-4-Voice's own decoder says, on small random weights, for test_glm4voice_decoder.py to compare ours with.

    python -m tests.tokens.speech.public_decoder CLONE MATCHA

CLONE is a clone of https://github.com/THUDM/GLM-4-Voice, and MATCHA of its submodule Matcha-TTS. They need the packages
diffusers 0.32.2, einops 0.8.2, omegaconf 2.3.0, HyperPyYAML 1.2.3 and conformer 0.3.2. This is written for the commit
eb00ce9 of the clone.

Its `token2wav` is called push by push, as its demo does. What differs in ours is set from outside: the noise; no
dropout, which the demo forgets to turn off; the weights of a fade; the tokens and frames that are given; how many
frames a push makes, because frames do not divide tokens.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from duplexgen.pipeline.randomness import generator
from tests.tokens import tiny

NUMBERS = Path(__file__).parent / "data" / "glm4voice_decoder.npz"
PUSHES = (10, 10, 10, 10, 10, 10, 10, 10, 4, 6, 7, 25, 1, 2, 10)  # tokens
WHOLE = 63  # tokens that are decoded at once
MEL_STEP, WAVE_STEP = 17, 29  # every so many values of a push are kept; neither divides a row of 80 or 256
Arrays = dict[str, NDArray[Any]]


def codes(count: int) -> NDArray[np.int16]:
    """Codes of one codebook, [1, count], some of them repeated as in silence."""
    draw = generator(1, "glm4voice decoder", "test")
    drawn = draw.integers(0, 512, count)
    return np.where(draw.random(count) < 0.2, 7, drawn).astype(np.int16)[np.newaxis]


class Noise:
    """Gives the official code the noise that ours takes."""

    def __init__(self) -> None:
        draw = generator(0, "glm4voice", "decoder")
        self._table = draw.standard_normal((80, 4096), dtype=np.float32)
        self._phases = np.append(0, draw.uniform(-np.pi, np.pi, 8)).astype(np.float32)
        self._draw = generator(0, "glm4voice", "source")
        self.first_frame = 0

    def like(self, tensor: torch.Tensor) -> torch.Tensor:
        frames = tensor.shape[2]
        if tensor.shape[1] == 80:  # where the flow starts
            places = np.arange(self.first_frame, self.first_frame + frames) % 4096
            return torch.from_numpy(self._table[:, places]).unsqueeze(0)
        if tensor.shape[1] == 9:  # of the vocoder's harmonics
            return torch.from_numpy(self._draw.standard_normal((9, frames), dtype=np.float32)).unsqueeze(0)
        return torch.zeros_like(tensor)  # is not used

    def phases(self, *_: object, sample_shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(self._phases).view(sample_shape).clone()

    @contextmanager
    def given(self) -> Iterator[None]:
        with (
            patch.object(torch, "randn_like", self.like),
            patch.object(torch.distributions.uniform.Uniform, "sample", self.phases),
            torch.inference_mode(),  # its fade changes what its flow made under this
        ):
            yield


def frames_of(tokens: int) -> int:
    return tokens * 1764 // 256


def streamed(decoder: Any) -> Arrays:
    """What `token2wav` says of PUSHES, each given the last 50 tokens and their frames."""
    arrays: Arrays = {}
    tokens = torch.from_numpy(codes(sum(PUSHES)).astype(np.int64))
    noise, first, end, spoken = Noise(), 0, 0, torch.zeros(1, 80, 0)
    for number, size in enumerate(PUSHES):
        start, end = end, end + size
        first_frame = noise.first_frame = frames_of(first)
        decoder.flow.input_frame_rate = _rate(end - first, frames_of(end) - first_frame)
        with noise.given():
            speech, mel = decoder.token2wav(
                tokens[:, start:end],
                uuid="stream",
                prompt_token=tokens[:, first:start],
                prompt_feat=spoken.transpose(1, 2),
                finalize=end == tokens.shape[1],
            )
        new = mel[:, :, 1:] if number else mel  # without the frame that the vocoder repeats
        spoken = torch.cat([spoken, new], dim=2)
        arrays[f"mel/{number}"] = new[0].flatten()[::MEL_STEP].numpy()
        arrays[f"wave/{number}"] = speech[0][::WAVE_STEP].numpy()
        forgotten = max(0, end - first - 50) // 10 * 10
        spoken = spoken[:, :, frames_of(first + forgotten) - first_frame :]
        first += forgotten
    return arrays


def _rate(tokens: int, frames: int) -> float:
    """A frame rate at which the official code makes so many frames of so many tokens."""
    return tokens * 22050 / 256 / (frames + 0.5)


def whole(decoder: Any) -> Arrays:
    noise = Noise()
    decoder.flow.input_frame_rate = 12.5
    with noise.given():
        speech, mel = decoder.token2wav(torch.from_numpy(codes(WHOLE).astype(np.int64)), uuid="whole", finalize=True)
    return {"mel/whole": mel[0].flatten()[::MEL_STEP].numpy(), "wave/whole": speech[0][::WAVE_STEP].numpy()}


def main(clone: Path, matcha: Path) -> None:
    import transformers  # noqa: F401 (before the stand-in is there: it looks for torchaudio)

    sys.modules["torchaudio"] = stand_in = ModuleType("torchaudio")  # imported there, and not used
    stand_in.__spec__ = ModuleSpec("torchaudio", None)
    sys.path[:0] = [str(clone), str(matcha)]
    import flow_inference  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as name:
        folder = tiny.write_glm4voice_decoder(Path(name))
        files = [str(folder / part) for part in ("config.yaml", "flow.pt", "hift.pt")]
        decoder = flow_inference.AudioDecoder(*files, device="cpu")
    for part in (decoder.flow, decoder.hift):
        part.eval()
    overlap = decoder.mel_overlap_len
    sums = decoder.mel_window[:overlap] + decoder.mel_window[overlap:]
    decoder.mel_window = decoder.mel_window / np.tile(sums, 2)
    numbers: dict[str, Any] = whole(decoder) | streamed(decoder)
    np.savez_compressed(NUMBERS, **numbers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
