"""How fast are the speech tokenizers of GLM-4-Voice and Mimi?

    python -m benchmarks.speech_tokenizers [--size full] [--device cuda] [--minutes 0.7] [--dialogues 16]

Hours of dialogue (two channels) per hour, on the available device, and seconds of one processor per hour of dialogue.
Dialogues are given together, as a build does it. Their lengths and levels differ: `--minutes` is the mean. `stream`
is what a live conversation uses, a block of each channel at a time, on the first dialogue alone. `alone` is how many
codes differ if each of the first dialogues is given by itself: rounding depends on what is computed together.

Weights are random: the time does not depend on them. `--size full` makes models of the published dimensions (2 GB in
a temporary folder).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.replay import RECORDING
from duplexgen.pipeline.audio.pcm import to_float, to_int16
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.tokens.section import GLM4Voice, Mimi, Tokens
from duplexgen.pipeline.tokens.speech.glm4voice import INPUT, STRUCTURE, GLM4VoiceTokenizer, expected_shapes
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.speech.mimi import MimiTokenizer
from duplexgen.pipeline.tokens.tokenizers import SpeechTokenizer

WARM_UP_MINUTES = 0.55  # a whole segment of GLM-4-Voice and a part of one
COMPARED = 2  # dialogues that are also given alone
Device = Literal["auto", "cpu", "cuda"]
Samples = NDArray[np.int16]
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


def dialogue(minutes: float, tokenizer: SpeechTokenizer, number: int = 0) -> Samples:
    """A sentence, repeated by two sides in turn at many levels, int16 [2, samples] of whole frames."""
    spoken, rate = soundfile.read(RECORDING)
    spoken = to_int16(soxr.resample(spoken, rate, tokenizer.sample_rate))
    frames = int(minutes * 60 * tokenizer.sample_rate) // tokenizer.samples_per_frame
    track = np.zeros((2, frames * tokenizer.samples_per_frame), np.int16)
    levels = generator(0, str(number), "levels")
    for turn, at in enumerate(range(0, track.shape[1], len(spoken))):
        piece = track[turn % 2, at : at + len(spoken)]
        piece[:] = to_int16(to_float(spoken[: len(piece)]) * 10 ** levels.uniform(-0.3, 0))
    return track


def dialogues(minutes: float, count: int, tokenizer: SpeechTokenizer) -> list[Samples]:
    """Of 0.5 to 1.5 times `minutes`, evenly, in mixed order; the first has the mean length."""
    lengths = minutes * (0.5 + (np.arange(count) * 7 % count + 0.5) / count)
    lengths[0] = minutes
    return [dialogue(float(length), tokenizer, number) for number, length in enumerate(lengths)]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def push_blocks(tokenizer: SpeechTokenizer, samples: Samples, frames: int = 10) -> None:
    stream, size = tokenizer.stream(len(samples)), frames * tokenizer.samples_per_frame
    for at in range(0, samples.shape[1], size):
        stream.push(samples[:, at : at + size])


def show(what: str, tracks: Sequence[Samples], rate: int, took: tuple[float, float], note: str = "") -> None:
    hours = sum(samples.shape[1] for samples in tracks) / rate / 3600
    clock, processor = took
    print(f"{what:30} {hours * 3600 / clock:9.1f} hours per hour, {processor / hours:9.1f} processor s per hour{note}")


def measure(name: str, tokenizer: SpeechTokenizer, minutes: float, count: int) -> None:
    tokenizer.load()
    tracks, rate = dialogues(minutes, count, tokenizer), tokenizer.sample_rate
    tokenizer.encode(dialogue(WARM_UP_MINUTES, tokenizer))
    codes: list[Samples] = []
    took = timed(lambda: codes.extend(tokenizer.encode_all(tracks)))
    alone = [tokenizer.encode(samples) for samples in tracks[:COMPARED]]
    differing = sum(int((one != other).sum()) for one, other in zip(codes, alone, strict=False))
    show(name, tracks, rate, took, f"; alone, {differing} of {sum(one.size for one in alone)} codes differ")
    show(f"{name}, stream", tracks[:1], rate, timed(lambda: push_blocks(tokenizer, tracks[0])))


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(GLM4VOICE), default="small")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--minutes", type=float, default=0.7, help="give dialogues of this mean length")
    parser.add_argument("--dialogues", type=int, default=4, help="give so many of them together; a GPU needs some 16")
    arguments = parser.parse_args()
    on_gpu = arguments.device != "cpu" and torch.cuda.is_available()
    where = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
    given = f"{arguments.dialogues} dialogues of {arguments.minutes:g} min on average, two channels"
    print(f"{arguments.size} models, random weights, float32, {where}; {given}")
    with tempfile.TemporaryDirectory() as work:
        for name, tokenizer in tokenizers(Path(work), arguments.size, arguments.device):
            measure(name, tokenizer, arguments.minutes, arguments.dialogues)
    if on_gpu:
        print(f"most memory of the GPU: {torch.cuda.max_memory_reserved() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
