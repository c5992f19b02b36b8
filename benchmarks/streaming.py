"""Does the model answer in time? Time a block of streaming inference, beside the time that the block covers.

    python -m benchmarks.streaming [--batch 1 16] [--seconds 40]

A small Llama with random weights, whose voice never rests: more to decode than a trained one has. One thread. Processor
time is given beside the clock's, for machines that others use too.
"""

import argparse
import os
import time
from collections.abc import Iterator
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and torch read them

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from benchmarks import replay
from duplexgen.pipeline.layouts.bayling import BaylingSection
from duplexgen.pipeline.layouts.described import Described, describe
from duplexgen.pipeline.layouts.vocabulary import Vocabulary
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS
from duplexgen.training.live.live import AssistantDecoder, UserEncoder
from duplexgen.training.live.stream import Stream
from duplexgen.training.models.model import DuplexModel, start_from_config
from duplexgen.training.sequences import SequenceFormat

SAMPLE_RATE = 16000
WARM_UP_BLOCKS = 3
WANTED = 1.0  # times real time, at most
SMALL: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "max_position_embeddings": 4096,
}


def small_model() -> DuplexModel:
    speech, text = SPEECH_TOKENIZERS["melvq"](Tokens()), TEXT_TOKENIZERS["bpe"](Tokens())
    vocabulary = Vocabulary.build(text, speech)
    layout = BaylingSection(name="bayling")
    description = describe(vocabulary, layout, speech, text, SAMPLE_RATE, layout.margin_frames)
    sequence_format = SequenceFormat(Described.model_validate(description))
    network = start_from_config(SMALL, sequence_format, seed=0)
    network.train(False)
    return DuplexModel(network, sequence_format, {})


def user_audio(samples: int) -> NDArray[np.int16]:
    spoken, rate = soundfile.read(replay.RECORDING, dtype="int16")
    return np.resize(soxr.resample(spoken, rate, SAMPLE_RATE), samples)


def now() -> NDArray[np.float64]:
    """Seconds of the clock and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def times(model: DuplexModel, batch: int, seconds: float) -> Iterator[NDArray[np.float64]]:
    """Seconds [3, 2] to tokenize, to think and to decode, of the clock and of the processor, block by block."""
    size = model.format.block_samples
    blocks = round(seconds * SAMPLE_RATE / size)
    user = np.tile(user_audio(blocks * size), (batch, 1))
    tokenizer = SPEECH_TOKENIZERS["melvq"](Tokens())
    stream = Stream(model, [str(number) for number in range(batch)], blocks)
    encoder, decoder = UserEncoder(tokenizer, model.format), AssistantDecoder(tokenizer, model.format, batch)
    for at in range(0, blocks * size, size):
        marks = [now()]
        codes = encoder.push(user[:, at : at + size])
        marks.append(now())
        ids = stream.step(codes)
        marks.append(now())
        decoder.push(model.format.vocabulary.audio_codes(ids[:, model.format.text_tokens :]))
        marks.append(now())
        yield np.diff(np.stack(marks), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=40.0, help="how long the dialogues are")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = small_model()
    block_s = model.format.block_samples / SAMPLE_RATE
    parameters = sum(weights.numel() for weights in model.network.parameters())
    print(f"{parameters / 1e6:.1f} M parameters, float32, one thread; a block covers {block_s * 1000:.0f} ms")
    for batch in arguments.batch:
        measured = np.stack(list(times(model, batch, arguments.seconds)))[WARM_UP_BLOCKS:]
        whole, processor = measured.sum(axis=1).T
        parts = zip(("tokenize", "think", "decode"), measured[:, :, 1].mean(axis=0), strict=True)
        print(f"batch {batch}: {whole.mean() * 1000:.1f} ms a block, at most {whole.max() * 1000:.1f}; "
              f"real-time factor {whole.mean() / block_s:.2f}, wanted <= {WANTED:g}")  # fmt: skip
        listed = ", ".join(f"{name} {part * 1000:.1f}" for name, part in parts)
        print(f"  processor: {processor.mean() * 1000:.1f} ms a block, {processor.mean() / batch * 1000:.1f} a row "
              f"({listed})")  # fmt: skip


if __name__ == "__main__":
    main()
