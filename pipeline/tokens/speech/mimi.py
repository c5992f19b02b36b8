"""Mimi, the speech codec of Moshi (Défossez et al. 2024, section 3.3), as transformers loads it.

24 kHz, 12.5 Hz, up to 32 codebooks of 2048, of which Moshi and FLM-Audio use 8; the first carries meaning. A frame's
codes depend on its samples and on those before it. So a signal is encoded as it would be live, window by window,
and memory does not grow with its length.

Everything is computed in float32, on processors and GPUs alike. Channels are rows of a batch, and none is an input of
another. Still, rounding may depend on the number of rows, as it does on the machine and the size of the windows: codes
may differ where two entries are about equally near, and nowhere else.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...audio.pcm import to_float
from ...errors import UserError
from ...recipe.file import Problem
from ...storage.model_files import check_numbers, folder_checksum, place, read_json_object, tensor_shapes
from ..section import Tokens
from . import neural
from .shapes import check_codes, check_pushed_codes, check_samples

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FILES = (CONFIG, WEIGHTS)
STRUCTURE = {"model_type": "mimi", "sampling_rate": 24000, "codebook_size": 2048}
LOOKING_BACK = {"use_causal_conv": True, "pad_mode": "constant", "trim_right_ratio": 1.0}  # which streams need
RATIOS = (8, 6, 5, 4)  # of the encoder's strides; another 2 follows, which makes 1920
WINDOW_FRAMES = 125  # of one pass: 10 s
# Frames of all rows in one pass; the widest layers have half a MB of each. On a processor, a second row gains nothing.
MOST_FRAMES = {"cpu": WINDOW_FRAMES, "cuda": 16 * WINDOW_FRAMES}


class MimiTokenizer:
    """Mimi with the first `codebooks` of its codebooks."""

    name: ClassVar[str] = "mimi"
    version: ClassVar[str] = "1"
    sample_rate: ClassVar[int] = 24000
    samples_per_frame: ClassVar[int] = 1920
    codebook_size: ClassVar[int] = 2048
    frame_by_frame: ClassVar[bool] = False
    decodes: ClassVar[bool] = True

    def __init__(self, tokens: Tokens) -> None:
        self._section = tokens.mimi
        self.codebooks = self._section.codebooks if self._section else 8
        self._path = place(self._section.checkpoint if self._section else "")
        self._model: Any
        self._room: neural.Room

    @property
    def num_gpus(self) -> float:
        return self._section.num_gpus if self._section else 0.0

    def check(self) -> list[Problem]:
        if self._section is None:
            return [(("tokens",), "expected a section `mimi` that says where its `checkpoint` is")]
        if missing := neural.missing_packages():
            return [(("tokens", "mimi"), missing)]
        return [(("tokens", "mimi", key), message) for key, message in self._mistakes()]

    def fingerprint(self) -> dict[str, str]:
        sha256 = folder_checksum(self._folder, FILES)
        codebooks = str(self.codebooks)
        return {"name": self.name, "version": self.version, "sha256": sha256, "codebooks": codebooks} | (
            neural.package_versions()
        )

    def load(self) -> None:
        """Raises UserError if the checkpoint is not Mimi's, or a package or the GPU is missing."""
        if problems := self.check():
            raise UserError("; ".join(message for _, message in problems))
        assert self._section is not None
        with neural.importing("Mimi"):
            import torch
            from transformers import MimiModel
            from transformers.utils.logging import disable_progress_bar
        disable_progress_bar()  # type: ignore[no-untyped-call]
        device = neural.torch_device(self._section.device)
        from_pretrained: Any = MimiModel.from_pretrained  # its type knows nothing of output_loading_info
        try:
            model, info = from_pretrained(
                self._folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except Exception as error:  # whatever a class of transformers raises at files it was not made for
            raise UserError(f"tokens.mimi.checkpoint: {self._folder} cannot be loaded: {error}") from error
        if missing := sorted(info["missing_keys"]):
            raise UserError(
                f"tokens.mimi.checkpoint: the weights in {self._folder} lack {', '.join(missing[:3])} "
                f"({len(missing)} in all): copied in part, or another model"
            )
        with neural.enough_memory(self.name):
            self._model = model.eval().requires_grad_(False).to(device)
        self._room = neural.Room(MOST_FRAMES[device], f"frames of {self.name}")

    def stream(self, channels: int) -> "MimiStream":
        """Codes are those of `encode`, up to rounding: Mimi's convolutions and its transformer only look back."""
        return MimiStream(self._model, channels, self.codebooks)

    def decoding_stream(self, channels: int) -> "MimiDecodingStream":
        """The waveform is that of `decode`, up to rounding."""
        return MimiDecodingStream(self._model, channels, self.codebooks)

    def encode(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, codebooks, frames] of samples [channels, samples] at 24 kHz.

        Raises ValueError unless the samples are int16 and a whole number of frames of 1920.
        """
        return self.encode_all([samples])[0]

    def encode_all(self, tracks: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Codes [channels, codebooks, frames] of each track [channels, samples], as `encode` gives them.

        Channels of all tracks that are about equally long are rows of a batch.
        """
        for samples in tracks:
            check_samples(samples, self.samples_per_frame)
        frame = self.samples_per_frame
        codes = [np.empty((len(samples), self.codebooks, samples.shape[1] // frame), np.int16) for samples in tracks]
        signals, rows = ([row for track in of for row in track] for of in (tracks, codes))
        order = sorted(range(len(signals)), key=lambda number: len(signals[number]))
        with neural.enough_memory(self.name):
            in_order = self._room.run([signals[number] for number in order], self._cost, self._rows)
        for number, coded in zip(order, in_order, strict=True):
            rows[number][:] = coded
        return codes

    def _cost(self, signals: Sequence[NDArray[np.int16]]) -> int:
        """Frames of a pass over these signals: shorter ones are padded."""
        longest = max(len(signal) for signal in signals) // self.samples_per_frame
        return len(signals) * min(WINDOW_FRAMES, longest)

    def _rows(self, signals: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Codes [codebooks, frames] of each signal. No code looks ahead: what follows a shorter one changes nothing."""
        longest, window = max(len(signal) for signal in signals), WINDOW_FRAMES * self.samples_per_frame
        stream = MimiStream(self._model, len(signals), self.codebooks)
        codes = [np.empty((len(signals), self.codebooks, 0), np.int16)]
        for at in range(0, longest, window):
            heard = np.zeros((len(signals), min(window, longest - at)), np.int16)
            for row, signal in zip(heard, signals, strict=True):
                piece = signal[at : at + window]
                row[: len(piece)] = piece
            codes.append(stream.codes(heard))
        whole = np.concatenate(codes, axis=2)
        return [row[:, : len(signal) // self.samples_per_frame] for row, signal in zip(whole, signals, strict=True)]

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveform [frames * 1920] of codes [1 … codebooks, frames]. Raises ValueError on codes outside 0 … 2047."""
        check_codes(codes, self.codebooks, self.codebook_size)
        stream = self.decoding_stream(1)
        windows = [
            stream.push(codes[np.newaxis, :, at : at + WINDOW_FRAMES]) for at in range(0, codes.shape[1], WINDOW_FRAMES)
        ]
        return np.concatenate([np.zeros(0, np.float32), *(window[0] for window in windows)])

    @cached_property
    def _folder(self) -> Path:
        """Where the checkpoint lies: the folder of the recipe, or the one of that name in the Hub's cache."""
        assert self._section is not None
        if self._path.is_dir():
            return self._path
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(self._section.checkpoint, allow_patterns=list(FILES), local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError) as error:
            raise UserError(
                f"{self._section.checkpoint} is neither a folder nor a model in the Hub's cache. "
                f"Download it: hf download kyutai/mimi {' '.join(FILES)}"
            ) from error

    def _mistakes(self) -> list[tuple[str, str]]:
        """Problems, each with the key of the section that it is about."""
        try:
            config = read_json_object(self._folder / CONFIG)
            check_numbers(config, self._folder / CONFIG)
            tensor_shapes(self._folder / WEIGHTS)
        except (UserError, ValueError) as error:
            return [("checkpoint", str(error))]
        except OSError as error:
            return [("checkpoint", f"{self._folder / WEIGHTS} cannot be read: {error.strerror}")]
        usual = LOOKING_BACK | {"upsampling_ratios": list(RATIOS)}
        expected: dict[str, Any] = STRUCTURE | usual
        unlike = neural.unlike(usual | config, expected, self._folder / CONFIG)
        problems = [("checkpoint", message) for message in unlike]
        most = config.get("num_quantizers", 32)
        if not isinstance(most, int):
            message = f"{self._folder / CONFIG} says num_quantizers {most!r}, expected a number"
            return [*problems, ("checkpoint", message)]
        if not problems and self.codebooks > most:
            problems.append(("codebooks", f"expected at most the {most} of {self._folder}, got {self.codebooks}"))
        return problems


class MimiStream:
    """Encodes channels as rows of a batch, each by itself.

    It keeps the ends of the convolutions' inputs, and the keys and values of the transformer's sliding window.
    """

    def __init__(self, model: Any, channels: int, codebooks: int) -> None:
        self._model, self._channels, self._codebooks = model, channels, codebooks
        self._state: dict[str, Any] = {}

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, codebooks, frames] of the next samples, int16 [channels, frames * 1920].

        Raises ValueError at another number of channels, or at samples that do not fill whole frames.
        """
        check_samples(samples, MimiTokenizer.samples_per_frame, self._channels)
        with neural.enough_memory(MimiTokenizer.name):
            return self.codes(samples)

    def codes(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """As `push`, of samples that fit. Raises torch.OutOfMemoryError if the device has no memory for them."""
        import torch

        if not samples.size:
            frames = samples.shape[1] // MimiTokenizer.samples_per_frame
            return np.empty((len(samples), self._codebooks, frames), np.int16)
        with torch.inference_mode():
            output = self._model.encode(
                torch.from_numpy(to_float(samples)).to(self._model.device)[:, None],
                num_quantizers=self._codebooks,
                use_streaming=True,
                **self._state,
            )
            # the longer name is that of transformers until 5.23
            cache = "encoder_cache" if hasattr(output, "encoder_cache") else "encoder_past_key_values"
            self._state = {cache: output[cache], "padding_cache": output.padding_cache}
            codes: NDArray[np.int16] = output.audio_codes.cpu().numpy().astype(np.int16)
        return codes


class MimiDecodingStream:
    """Decodes channels, each by itself."""

    def __init__(self, model: Any, channels: int, codebooks: int) -> None:
        from .mimi_decoder import MimiVoice

        self._model, self._codebooks = model, codebooks
        self._used: int | None = None  # codebooks of the first push
        self._voices = [MimiVoice(model) for _ in range(channels)]

    def push(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveforms [channels, frames * 1920] of the next codes, [channels, codebooks used, frames].

        Raises ValueError at another number of channels or of codebooks, or at codes outside 0 … 2047.
        """
        import torch

        check_pushed_codes(codes, len(self._voices), self._used)
        for channel in codes:
            check_codes(channel, self._codebooks, MimiTokenizer.codebook_size)
        self._used = codes.shape[1]
        if not codes.size:
            return np.empty((len(codes), codes.shape[2] * MimiTokenizer.samples_per_frame), np.float32)
        with torch.inference_mode(), neural.enough_memory(MimiTokenizer.name):
            indices = torch.from_numpy(codes.astype(np.int64)).to(self._model.device)
            waveforms = [voice.push(channel) for voice, channel in zip(self._voices, indices, strict=True)]
        return np.stack([waveform.cpu().numpy() for waveform in waveforms])
