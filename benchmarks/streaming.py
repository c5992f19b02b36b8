"""Does the model answer in time, and does a block cost the same after ten minutes as at the start?

    python -m benchmarks.streaming [--batch 1 16] [--seconds 40] [--codecs-only]

The small models that ship, of each layout that talks, with random weights. They never stop speaking, so they have more
to decode than trained ones. One thread. A block is 800 ms of the layout bayling, and 80 ms of the others. Processor
time is printed beside the clock's, for machines that others use too. Then each speech tokenizer alone, with random
weights (those of GLM-4-Voice and Mimi small): processor time to encode and to decode a block, at 1 s, 29 s, 31 s and
600 s of a conversation.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy and torch read them

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from benchmarks import replay
from benchmarks.speech_tokenizers import write_glm4voice, write_mimi
from duplexgen.pipeline.layouts.described import Described, describe
from duplexgen.pipeline.layouts.layouts import LAYOUTS
from duplexgen.pipeline.recipe.file import load
from duplexgen.pipeline.tokens.section import GLM4Voice, Mimi, Tokens
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SpeechTokenizer
from duplexgen.training.live.live import AssistantDecoder, UserEncoder
from duplexgen.training.live.modes import mode_of
from duplexgen.training.models.model import DuplexModel
from duplexgen.training.models.start import start_from_config
from duplexgen.training.recipe import TRAINING_RECIPES, SFTRecipe
from duplexgen.training.sequences import SequenceFormat

SAMPLE_RATE = 16000
WARM_UP_BLOCKS = 3
WANTED = 1.0  # times real time, at most
BLOCK_FRAMES = 10
FRAME_S = 0.08
MOMENTS_S = (1, 29, 31, 600)  # of a conversation
ROUND_BLOCKS = 5  # averaged: 4 s, in which attention of GLM-4-Voice opens a block and ends it
COMPARED_S = ((30, 60), (600, 630))  # seconds of a conversation; both are a segment of GLM-4-Voice's
PERIOD_S = 10  # of a sentence and its pause: both spans that are compared hold the same sound
REPEATS = 3  # conversations
WANTED_CHANGE = 0.1
SMALL = {"bayling": "sft_small", "flm": "flm_small_post_training", "moshi": "flm_small_post_training"}
"""By layout, the training recipe that describes the model."""


def small_model(layout: str) -> DuplexModel:
    speech, text = SPEECH_TOKENIZERS["melvq"](Tokens()), TEXT_TOKENIZERS["bpe"](Tokens())
    section = LAYOUTS[layout].Spec(name=layout)
    vocabulary = LAYOUTS[layout].VOCABULARY.build(section, text, speech)
    description = describe(vocabulary, section, speech, text, SAMPLE_RATE, section.margin_frames)
    sequence_format = SequenceFormat(Described.model_validate(description))
    shipped = load(SMALL[layout], SFTRecipe, TRAINING_RECIPES)[0].model
    network = start_from_config(shipped.config or {}, sequence_format, seed=0, depth=shipped.depth)
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
    mode = mode_of(model.format)
    stream = mode.stream(model, [str(number) for number in range(batch)])
    encoder = UserEncoder(tokenizer, model.format, batch)
    decoder = AssistantDecoder(tokenizer, model.format, batch, mode.codebooks)
    for at in range(0, blocks * size, size):
        marks = [now()]
        codes = encoder.push(user[:, at : at + size])
        marks.append(now())
        said = stream.step(codes)
        marks.append(now())
        decoder.push(said.codes)
        marks.append(now())
        yield np.diff(np.stack(marks), axis=0)


def answering(layout: str, batches: list[int], seconds: float) -> None:
    """Print what a block of streaming inference takes with the small model of a layout."""
    model = small_model(layout)
    block_s = model.format.block_samples / SAMPLE_RATE
    parameters = sum(weights.numel() for weights in model.network.parameters())
    print(f"{layout}: {parameters / 1e6:.1f} M parameters, float32, one thread; a block covers {block_s * 1000:.0f} ms")
    for batch in batches:
        measured = np.stack(list(times(model, batch, seconds)))[WARM_UP_BLOCKS:]
        whole, processor = measured.sum(axis=1).T
        parts = zip(("tokenize", "think", "decode"), measured[:, :, 1].mean(axis=0), strict=True)
        print(f"batch {batch}: {whole.mean() * 1000:.1f} ms per block, at most {whole.max() * 1000:.1f}; "
              f"real-time factor {whole.mean() / block_s:.2f}, wanted <= {WANTED:g}")  # fmt: skip
        listed = ", ".join(f"{name} {part * 1000:.1f}" for name, part in parts)
        print(f"  processor: {processor.mean() * 1000:.1f} ms per block, {processor.mean() / batch * 1000:.1f} per row "
              f"({listed})")  # fmt: skip


def tokenizers(work: Path) -> Iterator[tuple[str, SpeechTokenizer]]:
    yield "melvq", SPEECH_TOKENIZERS["melvq"](Tokens())
    mimi = Mimi(checkpoint=str(write_mimi(work / "mimi", "small")), device="cpu")
    yield "mimi", SPEECH_TOKENIZERS["mimi"](Tokens(mimi=mimi))
    checkpoint = str(write_glm4voice(work / "glm-4-voice-tokenizer", "small"))
    glm = GLM4Voice(checkpoint=checkpoint, mode="streaming", device="cpu")
    yield "glm4voice", SPEECH_TOKENIZERS["glm4voice"](Tokens(glm4voice=glm))


def conversation(tokenizer: SpeechTokenizer) -> NDArray[np.int16]:
    """A sentence, repeated with pauses until the last moment that is measured, int16 [1, samples]."""
    spoken, rate = soundfile.read(replay.RECORDING, dtype="int16")
    sentence = soxr.resample(spoken, rate, tokenizer.sample_rate)
    with_pause = np.pad(sentence, (0, PERIOD_S * tokenizer.sample_rate - len(sentence)))
    return np.resize(with_pause, (1, block_at(COMPARED_S[-1][1]) * BLOCK_FRAMES * tokenizer.samples_per_frame))


def block_seconds(pushed: Iterator[None]) -> NDArray[np.float64]:
    """Processor seconds of each block."""
    marks = [time.process_time()]
    marks += [time.process_time() for _ in pushed]
    return np.diff(marks)


def pushes(stream: Any, whole: NDArray[np.int16], size: int) -> Iterator[None]:
    """Push a conversation block by block; one step per block."""
    for at in range(0, whole.shape[-1], size):
        stream.push(whole[..., at : at + size])
        yield


def block_at(second: float) -> int:
    return int(second / (BLOCK_FRAMES * FRAME_S))


def lasting(work: Path, repeats: int) -> None:
    """Print what a block of each speech tokenizer takes, early and late."""
    print(f"processor time of a block of {BLOCK_FRAMES} frames, one channel, one thread, ms, at "
          f"{', '.join(f'{moment} s' for moment in MOMENTS_S)}: medians of {repeats}")  # fmt: skip
    for name, tokenizer in tokenizers(work):
        tokenizer.load()
        user, size = conversation(tokenizer), BLOCK_FRAMES * tokenizer.samples_per_frame
        measured = [block_seconds(pushes(tokenizer.stream(1), user, size)) for _ in range(repeats)]
        print_change(f"{name}, encoding", measured)
        if not tokenizer.decodes:
            continue
        codes = tokenizer.encode(user)[:, :1]
        measured = [block_seconds(pushes(tokenizer.decoding_stream(1), codes, BLOCK_FRAMES)) for _ in range(repeats)]
        print_change(f"{name}, decoding", measured)


def print_change(what: str, measured: list[NDArray[np.float64]]) -> None:
    """measured: processor seconds of each block, of some conversations."""
    blocks_ms = np.stack(measured) * 1000
    rounds = np.lib.stride_tricks.sliding_window_view(blocks_ms, ROUND_BLOCKS, axis=1).mean(axis=2)
    at_moments = np.median(rounds[:, [block_at(moment) for moment in MOMENTS_S]], axis=0)
    early, late = (np.median(rounds[:, block_at(start) : block_at(end)]) for start, end in COMPARED_S)
    print(f"{what:20}" + "".join(f"{took:8.2f}" for took in at_moments) + f"; 30 to 60 s {early:.2f}, 600 to 630 s "
          f"{late:.2f}: ratio {late / early:.3f}, wanted {1 - WANTED_CHANGE:g} to {1 + WANTED_CHANGE:g}; longest block "
          f"{np.median(blocks_ms, axis=0).max():.1f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16], help="measure this many dialogues in step")
    parser.add_argument("--seconds", type=float, default=40.0, help="let the dialogues last this long")
    parser.add_argument("--codecs-only", action="store_true", help="time the speech tokenizers alone")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="measure tokenizers on this many conversations")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for layout in () if arguments.codecs_only else SMALL:
        answering(layout, arguments.batch, arguments.seconds)
    with tempfile.TemporaryDirectory() as work:
        lasting(Path(work), arguments.repeats)


if __name__ == "__main__":
    main()
