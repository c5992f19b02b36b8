"""How fast are the speech tokenizers of GLM-4-Voice and Mimi?

    python -m benchmarks.speech_tokenizers [--size full] [--device cuda] [--minutes 2]

Hours of dialogue (two channels) per hour, on the available device. Weights are random: the time does not depend on
them. `--size full` makes models of the published dimensions (2 GB in a temporary folder).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.replay import RECORDING
from duplexgen.pipeline.audio.pcm import to_int16
from duplexgen.pipeline.tokens.section import GLM4Voice, Mimi, Tokens
from duplexgen.pipeline.tokens.speech.glm4voice import INPUT, STRUCTURE, GLM4VoiceTokenizer, expected_shapes
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.speech.mimi import MimiTokenizer
from duplexgen.pipeline.tokens.tokenizers import SpeechTokenizer

WARM_UP_MINUTES = 0.55  # a whole segment of GLM-4-Voice and a part of one
Device = Literal["auto", "cpu", "cuda"]
GLM4VOICE: dict[str, dict[str, int]] = {
    "full": {"d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "quantize_position": 16,
             "quantize_vocab_size": 16384},
    "small": {"d_model": 128, "encoder_attention_heads": 4, "encoder_ffn_dim": 512, "quantize_position": 4,
              "quantize_vocab_size": 16384},
}  # fmt: skip
MIMI: dict[str, dict[str, int]] = {
    "full": {},
    "small": {"num_filters": 16, "hidden_size": 128, "upsample_groups": 128, "intermediate_size": 512, "head_dim": 16},
}


def write_glm4voice(folder: Path, size: str) -> Path:
    """A folder like that of GLM-4-Voice's tokenizer, with random weights."""
    import torch
    from safetensors.torch import save_file

    sizes = GLM4VOICE[size]
    config: dict[str, Any] = STRUCTURE | sizes | {
        "max_source_positions": 1500, "num_mel_bins": 128,
        "pooling_position": sizes["quantize_position"], "quantize_causal_block_size": 200,
    }  # fmt: skip
    random = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=random) / 50 for name, shape in expected_shapes(config).items()}
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(INPUT | {"feature_size": 128}))
    return folder


def write_mimi(folder: Path, size: str) -> Path:
    """A folder like that of Mimi, with random weights."""
    import torch
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(0)
    config: Any = MimiConfig
    MimiModel(config(**MIMI[size])).save_pretrained(folder)
    return folder


def tokenizers(work: Path, size: str, device: Device) -> Iterator[tuple[str, SpeechTokenizer]]:
    yield "melvq", MelVQ()
    glm = str(write_glm4voice(work / "glm-4-voice-tokenizer", size))
    yield "glm4voice", GLM4VoiceTokenizer(Tokens(glm4voice=GLM4Voice(checkpoint=glm, device=device)))
    streaming = GLM4Voice(checkpoint=glm, device=device, mode="streaming")
    yield "glm4voice, streaming", GLM4VoiceTokenizer(Tokens(glm4voice=streaming))
    mimi = str(write_mimi(work / "mimi", size))
    yield "mimi, 8 codebooks", MimiTokenizer(Tokens(mimi=Mimi(checkpoint=mimi, device=device)))


def dialogue(minutes: float, tokenizer: SpeechTokenizer) -> NDArray[np.int16]:
    """A sentence, repeated by two sides in turn, int16 [2, samples] of whole frames."""
    spoken, rate = soundfile.read(RECORDING)
    spoken = to_int16(soxr.resample(spoken, rate, tokenizer.sample_rate))
    turns = [[spoken, 0 * spoken], [0 * spoken, spoken]]
    both = np.concatenate([np.stack(turn) for turn in turns], axis=1)
    frames = int(minutes * 60 * tokenizer.sample_rate) // tokenizer.samples_per_frame
    samples = frames * tokenizer.samples_per_frame
    return np.tile(both, (1, samples // both.shape[1] + 1))[:, :samples]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(GLM4VOICE), default="small")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--minutes", type=float, default=2.0, help="encode a dialogue of this length")
    arguments = parser.parse_args()
    on_gpu = arguments.device != "cpu" and torch.cuda.is_available()
    where = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
    minutes = f"dialogues of {arguments.minutes:g} min, two channels"
    print(f"{arguments.size} models, random weights, float32, {where}; {minutes}")
    with tempfile.TemporaryDirectory() as work:
        for name, tokenizer in tokenizers(Path(work), arguments.size, arguments.device):
            tokenizer.load()
            samples = dialogue(arguments.minutes, tokenizer)
            tokenizer.encode(dialogue(WARM_UP_MINUTES, tokenizer))
            start = time.perf_counter()
            tokenizer.encode(samples)
            took_s = time.perf_counter() - start
            print(f"{name:22} {arguments.minutes * 60 / took_s:8.1f} hours of dialogue per hour")


if __name__ == "__main__":
    main()
