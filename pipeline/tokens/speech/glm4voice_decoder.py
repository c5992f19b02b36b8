"""The decoder of GLM-4-Voice, from its published folder (`glm-4-voice-decoder`): speech tokens to sound.

Its own inference has 22,050 Hz; here it is brought to the rate of the tokenizer. Everything is computed in float32,
from noise that is always the same: the same pushes give the same sound. Channels are rows of a batch, and none is an
input of another; rounding may depend on their number.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from ...audio.resampling import Resampler
from ...dialogue import Waveform
from ...errors import UserError
from ...storage.model_files import folder_checksum, incomplete
from . import glm4voice_decoder_config as settings
from . import neural
from .glm4voice_decoder_config import RATE, TOKEN_SAMPLES
from .shapes import check_codes, check_pushed_codes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .glm4voice_voice import Networks

CONFIG, FLOW, VOCODER = "config.yaml", "flow.pt", "hift.pt"
FILES = (CONFIG, FLOW, VOCODER)
GET = "Download the decoder: hf download THUDM/glm-4-voice-decoder --local-dir"
TO_RATE = 16000  # Hz, of the tokenizer
WHOLE_TOKENS = 375  # that `decode` decodes at once: 30 s
# In one pass of a stream. The flow's widest layer has 8 KB of each frame of a channel: 3.4 MB of the longest pass of a
# stream that is pushed in blocks of 10 tokens.
CHANNELS_AT_ONCE = 32


class GLM4VoiceDecoder:
    """Loads its networks when they are first used, so that a build that only encodes does not."""

    def __init__(self, folder: Path, device: Literal["auto", "cpu", "cuda"]) -> None:
        self._folder, self._device = folder, device

    def mistakes(self, codebook_size: int) -> list[str]:
        """What is wrong with the folder, in words, as far as it can be seen without loading it."""
        try:
            self._check_files()
            return settings.mistakes(self._config, codebook_size, self._folder / CONFIG)
        except UserError as error:
            return [str(error)]

    def checksum(self) -> str:
        """sha256 over the files of the folder. Raises UserError if one is missing or not whole."""
        self._check_files()
        return folder_checksum(self._folder, FILES)

    def decode(self, codes: NDArray[np.int16]) -> Waveform:
        """Waveform [frames * 1280] at 16 kHz of codes [1, frames]; all within 30 s are decoded at once."""
        import torch

        from .glm4voice_voice import Voices

        count, voice = codes.shape[1], Voices(self._networks, 1)
        tokens = torch.from_numpy(codes.astype(np.int64)).to(self._networks.noise.device)
        with torch.inference_mode(), neural.enough_memory("glm4voice"):
            spoken = [
                voice.push(tokens[:, at : at + WHOLE_TOKENS], last=at + WHOLE_TOKENS >= count)[0].cpu().numpy()
                for at in range(0, count, WHOLE_TOKENS)
            ]
        waveform = np.concatenate([np.zeros(0, np.float32), *spoken])
        padded = np.pad(waveform, (0, count * TOKEN_SAMPLES - len(waveform)))  # less than a frame of log-mel
        resampled: Waveform = soxr.resample(padded, RATE, TO_RATE)
        return resampled

    def stream(self, channels: int, codebook_size: int) -> "GLM4VoiceDecodingStream":
        return GLM4VoiceDecodingStream(self._networks, channels, codebook_size)

    def _check_files(self) -> None:
        if not self._folder.is_dir():
            raise UserError(f"{self._folder} is not a folder. {GET} {self._folder}")
        for name in FILES:
            if problem := incomplete(self._folder / name):
                raise UserError(f"{self._folder / name} {problem}. {GET} {self._folder}")

    @cached_property
    def _config(self) -> dict[str, Any]:
        return settings.read(self._folder / CONFIG)

    @cached_property
    def _networks(self) -> "Networks":
        """Raises UserError if a file is damaged, or has weights of another network."""
        with neural.importing("the decoder of GLM-4-Voice"):
            import torch

            from .glm4voice_flow import Flow
            from .glm4voice_vocoder import Vocoder, folded
            from .glm4voice_voice import Networks
        device = neural.torch_device(self._device)
        with torch.device("meta"):  # nothing is drawn at random to be overwritten
            flow, vocoder = Flow(self._config), Vocoder(self._config)
        _fill(flow, _read(self._folder / FLOW), self._folder / FLOW)
        _fill(vocoder, folded(_read(self._folder / VOCODER)), self._folder / VOCODER)
        with neural.enough_memory("glm4voice"):
            return Networks.of(flow.to(device), vocoder.to(device), device)


class GLM4VoiceDecodingStream:
    """Decodes channels, CHANNELS_AT_ONCE in one batch.

    Its sound is 0.43 s late, because the end of each push is generated again with what follows (see
    `glm4voice_voice`). So it is not that of `decode`, which decodes 30 s at once, and depends on how codes are cut.
    """

    def __init__(self, networks: "Networks", channels: int, codebook_size: int) -> None:
        from .glm4voice_voice import DELAY_SAMPLES, Voices

        self._channels, self._codebook_size, self._device = channels, codebook_size, networks.noise.device
        starts = range(0, channels, CHANNELS_AT_ONCE)
        self._voices = [Voices(networks, min(CHANNELS_AT_ONCE, channels - start)) for start in starts]
        self._waiting = np.zeros((channels, DELAY_SAMPLES), np.float32)
        self._resampler = Resampler(channels, RATE, TO_RATE, TOKEN_SAMPLES)

    def push(self, codes: NDArray[np.int16]) -> Waveform:
        """Waveforms [channels, frames * 1280] of the next codes, [channels, 1, frames].

        Raises ValueError at another number of channels, at more than one codebook, or at codes outside it.
        """
        import torch

        check_pushed_codes(codes, self._channels, 1)
        for channel in codes:
            check_codes(channel, 1, self._codebook_size)
        if not codes.size:
            return np.empty((len(codes), 0), np.float32)
        rows = torch.from_numpy(codes[:, 0].astype(np.int64)).to(self._device)
        batches = zip(self._voices, torch.split(rows, CHANNELS_AT_ONCE), strict=True)
        with torch.inference_mode(), neural.enough_memory("glm4voice"):
            spoken = [voices.push(tokens).cpu().numpy() for voices, tokens in batches]
        queue = np.concatenate([self._waiting, np.concatenate(spoken)], axis=1)
        due = codes.shape[2] * TOKEN_SAMPLES
        self._waiting = queue[:, due:].copy()
        return self._resampler.push(queue[:, :due])


def _read(path: Path) -> dict[str, "Tensor"]:
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises at a file that it did not write, or that holds code
        message = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read: {message}. {GET} {path.parent}") from error
    if not isinstance(saved, dict) or not all(isinstance(value, torch.Tensor) for value in saved.values()):
        raise UserError(f"{path} holds no weights by their names. {GET} {path.parent}")
    return saved


def _fill(network: "nn.Module", weights: Mapping[str, "Tensor"], path: Path) -> None:
    """Give a network its weights. Raises UserError if they are those of another one."""
    import torch

    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    for problem, names in (("lacks", shapes.keys() - weights.keys()), ("has also", weights.keys() - shapes.keys())):
        if names:
            some = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise UserError(f"{path} {problem} {some}: it is another model than {CONFIG} says, or damaged")
    for name, shape in shapes.items():
        if list(weights[name].shape) != shape:
            raise UserError(f"{name} in {path} is {list(weights[name].shape)}, and {CONFIG} wants {shape}")
    network.load_state_dict({name: weights[name].to(torch.float32) for name in shapes}, strict=True, assign=True)
    network.eval().requires_grad_(False)
