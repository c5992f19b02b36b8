"""The speech tokenizer of GLM-4-Voice, from its published folder (`glm-4-voice-tokenizer`).

16 kHz, 12.5 Hz, one codebook. A code depends on what was heard before it and on the rest of its block of 4 s, and
the features of a segment depend on its loudest moment. So the codes of joined pieces are not those of the
whole, and only composed tracks are tokenized.

Everything is computed in float32, on processors and GPUs alike. Segments, channels and dialogues are computed together,
and none is an input of another. Still, rounding may depend on what else is in the batch, as it does on the machine:
codes may differ where two entries are about equally near, and nowhere else.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...recipe.file import Problem
from ...storage.model_files import MOST_LAYERS, folder_checksum, place, read_json_object, tensor_shapes
from ...storage.paths import shortened
from ..protocols import DecodingStream
from ..section import Tokens
from . import neural
from .glm4voice_decoder import GLM4VoiceDecoder
from .shapes import check_codes, check_samples

if TYPE_CHECKING:
    from .glm4voice_batches import Batches
    from .glm4voice_stream import Encoder, GLM4VoiceStream

CONFIG, FEATURES = "config.json", "preprocessor_config.json"
PREFIX = "model.encoder."  # of every name in checkpoints that were saved with their decoder
LARGEST_CODEBOOK = 32768  # codes are int16
LARGEST_SIZE = 1_000_000  # of any size in its configuration
STRUCTURE = {  # of the published model; sizes may differ
    "activation_function": "gelu",
    "pooling_type": "avg",
    "pooling_kernel_size": 4,
    "encoder_causal_convolution": True,
}
SIZES = (
    "d_model", "encoder_attention_heads", "encoder_ffn_dim", "max_source_positions", "num_mel_bins",
    "pooling_position", "quantize_causal_block_size", "quantize_position", "quantize_vocab_size",
)  # fmt: skip
INPUT = {"sampling_rate": 16000, "hop_length": 160, "n_fft": 400, "chunk_length": 30}
NO_DECODER = (
    "speech tokens of GLM-4-Voice are turned into sound by a model of its own, whose folder is not named. Download it: "
    "hf download THUDM/glm-4-voice-decoder --local-dir models/glm-4-voice-decoder, and name the folder: --decoder of "
    "`talk`, `decoder` in a recipe of `evaluate`, or tokens.glm4voice.decoder in the recipe of a data set."
)


class GLM4VoiceTokenizer:
    """`offline`: segments of 30 s, each alone, as the published inference of BayLing-Duplex does it.

    `streaming`: the codes of a block of `block_frames` frames are those that `offline` gives if the track ends with the
    block, so that they do not depend on what follows.
    """

    name: ClassVar[str] = "glm4voice"
    sample_rate: ClassVar[int] = 16000
    samples_per_frame: ClassVar[int] = 1280
    codebooks: ClassVar[int] = 1
    frame_by_frame: ClassVar[bool] = False
    segment_frames: ClassVar[int] = 375  # 30 s

    def __init__(self, tokens: Tokens) -> None:
        self._section = section = tokens.glm4voice
        self._folder = place(section.checkpoint if section else "")
        self._encoder: Encoder
        self._batches: Batches
        self._decoder = (
            GLM4VoiceDecoder(place(section.decoder), section.device) if section and section.decoder else None
        )

    @property
    def decodes(self) -> bool:
        """Whether the recipe names a decoder. Nothing that only encodes looks at its folder."""
        return self._decoder is not None

    @property
    def version(self) -> str:
        if self._section is None or self._section.mode == "offline":
            return "1"
        return f"2 streaming {self._section.block_frames}"

    @property
    def num_gpus(self) -> float:
        return self._section.num_gpus if self._section else 0.0

    @property
    def codebook_size(self) -> int:
        """Raises UserError if the folder does not say it."""
        try:
            return int(self._config["quantize_vocab_size"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"tokens.glm4voice.checkpoint: {error}") from error

    def check(self) -> list[Problem]:
        if self._section is None:
            return [(("tokens",), "expected a section `glm4voice` that says where its `checkpoint` is")]
        if missing := neural.missing_packages():
            return [(("tokens", "glm4voice"), missing)]
        return [(("tokens", "glm4voice", "checkpoint"), message) for message in self._mistakes()]

    def fingerprint(self) -> dict[str, str]:
        files = [CONFIG, FEATURES, *(path.name for path in self._weights)]
        sha256 = folder_checksum(self._folder, files)
        return {"name": self.name, "version": self.version, "sha256": sha256, **neural.package_versions()}

    def load(self) -> None:
        """Raises UserError if the folder is not that of such a model, or a package or the GPU is missing."""
        if problems := self.check():
            raise UserError("; ".join(message for _, message in problems))
        assert self._section is not None
        with neural.importing("the speech tokenizer of GLM-4-Voice"):
            import torch
            from safetensors.torch import load_file
            from transformers import WhisperFeatureExtractor

            from .glm4voice_batches import Batches
            from .glm4voice_stream import Encoder
            from .whisper_vq import WhisperVQ
        device = neural.torch_device(self._section.device)
        with torch.device("meta"):  # nothing is drawn at random to be overwritten
            network = WhisperVQ(self._config)
        saved = {name.removeprefix(PREFIX): value for path in self._weights for name, value in load_file(path).items()}
        weights = {name: saved[name].to(torch.float32) for name in network.state_dict()}
        network.load_state_dict(weights, strict=True, assign=True)
        with neural.enough_memory(self.name):
            network.eval().requires_grad_(False).to(device)
            filters = WhisperFeatureExtractor.from_pretrained(self._folder).mel_filters
            self._encoder = Encoder(network, torch.from_numpy(filters).to(device, torch.float32), self.segment_frames)
            self._batches = Batches(self._encoder)

    def encode(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, 1, frames] of samples [channels, samples] at 16 kHz.

        Raises ValueError unless the samples are int16 and a whole number of frames of 1280.
        """
        return self.encode_all([samples])[0]

    def encode_all(self, tracks: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Codes [channels, 1, frames] of each track [channels, samples], as `encode` gives them, in large batches."""
        from .glm4voice_batches import Task

        for samples in tracks:
            check_samples(samples, self.samples_per_frame)
        codes = [
            np.empty((len(samples), 1, samples.shape[1] // self.samples_per_frame), np.int16) for samples in tracks
        ]
        tasks = [
            Task(signal, row[0])
            for samples, rows in zip(tracks, codes, strict=True)
            for signal, row in zip(samples, rows, strict=True)
        ]
        self._batches.encode(tasks, self._block_frames)
        return codes

    def stream(self, channels: int) -> "GLM4VoiceStream":
        """Encodes signals as they are heard.

        `streaming`: codes are exactly those of `encode`, however the signal is cut; they come when their block of
        `block_frames` is whole. `offline`: `encode` looks up to 4 s ahead, which is impossible live. Codes are those
        that `encode` gives if the signal ends with the push.
        """
        from .glm4voice_stream import GLM4VoiceStream

        return GLM4VoiceStream(self._encoder, channels, self._block_frames)

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveform [frames * 1280] at 16 kHz of codes [1, frames].

        Raises UserError if the recipe names no decoder, or one that cannot be loaded.
        """
        decoder = self._speaking()
        check_codes(codes, self.codebooks, self.codebook_size)
        return decoder.decode(codes)

    def decoding_stream(self, channels: int) -> DecodingStream:
        """Its sound is late, and not that of `decode`: see GLM4VoiceDecodingStream. Raises UserError as `decode`."""
        return self._speaking().stream(channels, self.codebook_size)

    def _speaking(self) -> GLM4VoiceDecoder:
        if self._decoder is None:
            raise UserError(NO_DECODER)
        if mistakes := self._decoder.mistakes(self.codebook_size):
            raise UserError("; ".join(mistakes))
        return self._decoder

    @property
    def _block_frames(self) -> int | None:
        """Frames whose codes are committed at a time; None: those of a segment."""
        assert self._section is not None
        return None if self._section.mode == "offline" else self._section.block_frames

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_json_object(self._folder / CONFIG)

    @property
    def _weights(self) -> list[Path]:
        return sorted(self._folder.glob("model*.safetensors"))

    def _mistakes(self) -> list[str]:
        """Differences of the folder from the published model, whose sizes may be others."""
        if not self._folder.is_dir():
            get = f"hf download THUDM/glm-4-voice-tokenizer --local-dir {self._folder}"
            return [f"{self._folder} is not a folder. Download the model: {get}"]
        try:
            config, features = self._config, read_json_object(self._folder / FEATURES)
            shapes = {name: shape for path in self._weights for name, shape in tensor_shapes(path).items()}
        except (ValueError, OSError) as error:
            return [str(error)]
        if not shapes:
            return [f"{self._folder} has no model.safetensors"]
        if strange := _strange_sizes(config):
            return [f"{self._folder / CONFIG} {strange}"]
        expected = STRUCTURE | {"pooling_position": config["quantize_position"]}
        mistakes = neural.unlike(config, expected, self._folder / CONFIG)
        mistakes += neural.unlike(features, INPUT | {"feature_size": config["num_mel_bins"]}, self._folder / FEATURES)
        if config["quantize_vocab_size"] > LARGEST_CODEBOOK:
            mistakes.append(f"{self._folder} has {config['quantize_vocab_size']} codes, expected at most 32768")
        return mistakes + _unlike_shapes(shapes, config, self._folder)


def _strange_sizes(config: dict[str, Any]) -> str | None:
    """Sizes of which no network can be made, in words that follow the file's name; None if there are none."""
    if missing := [name for name in SIZES if name not in config]:
        return f"does not say {', '.join(missing)}: it is not GLM-4-Voice's tokenizer"
    if strange := [name for name in SIZES if not _is_size(config[name])]:
        values = ", ".join(f"{name} {shortened(json.dumps(config[name]))}" for name in strange)
        return f"says {values}, expected whole numbers from 1 to {LARGEST_SIZE:,}"
    if config["quantize_position"] > MOST_LAYERS:
        return f"says quantize_position {config['quantize_position']}, expected at most {MOST_LAYERS:,}"
    if config["d_model"] % config["encoder_attention_heads"]:
        return f"says d_model {config['d_model']}, expected a multiple of encoder_attention_heads"
    return None


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_SIZE


def _unlike_shapes(shapes: dict[str, tuple[int, ...]], config: dict[str, Any], folder: Path) -> list[str]:
    bare = {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}
    expected = expected_shapes(config)
    if missing := sorted(expected.keys() - bare.keys()):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return [f"the weights in {folder} lack {', '.join(missing[:3])}{more}: copied in part, or another model"]
    return [
        f"{name} in {folder} is {list(bare[name])}, and {CONFIG} wants {list(shape)}"
        for name, shape in expected.items()
        if bare[name] != shape
    ][:3]


def expected_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters that the network keeps, by their names in the checkpoint."""
    width, inner = config["d_model"], config["encoder_ffn_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (width, config["num_mel_bins"], 3),
        "conv1.bias": (width,),
        "conv2.weight": (width, width, 3),
        "conv2.bias": (width,),
        "embed_positions.weight": (config["max_source_positions"], width),
        "codebook.weight": (config["quantize_vocab_size"], width),
    }
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.k_proj.weight": (width, width),  # Whisper's keys have no bias
        "fc1.weight": (inner, width),
        "fc1.bias": (inner,),
        "fc2.weight": (width, inner),
        "fc2.bias": (width,),
    }
    for part in ("self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj"):
        layer |= {f"{part}.weight": (width, width), f"{part}.bias": (width,)}
    for part in ("self_attn_layer_norm", "final_layer_norm"):
        layer |= {f"{part}.weight": (width,), f"{part}.bias": (width,)}
    for index in range(config["quantize_position"]):
        shapes |= {f"layers.{index}.{name}": shape for name, shape in layer.items()}
    return shapes
