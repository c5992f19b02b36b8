"""Measure the embedded speech tokenizer: how fast it encodes, and what is left of speech after decoding.

    python -m duplexgen.pipeline.assets.fit_melvq speak --tables kokoro-js/voices --work WORK
    python -m benchmarks.speech_tokenizer --work WORK

It listens to WORK/held_out: sentences and voices that the tokenizer was not fitted on. One thread.
"""

import argparse
import os
import time
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy reads them

import numpy as np
from numpy.typing import NDArray

from benchmarks.hearing import HEARING_HZ, Recogniser, words
from duplexgen.pipeline.assets.fit_melvq import track, utterances
from duplexgen.pipeline.audio.pcm import to_float
from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.tokens.speech.melvq import MelVQ

SILENCE_SAMPLES = (8000, 8000)  # before and after each utterance, at least
VAD_SAMPLES = 512
WANTED_AGREEMENT = 0.98
WANTED_ENCODE_S = 4.0


@cache
def silero() -> Any:
    return import_module("silero_vad").load_silero_vad()


def speech_probabilities(samples: Waveform) -> NDArray[np.float64]:
    """Silero's probability of speech, one every 512 samples."""
    torch: Any = import_module("torch")
    torch.set_num_threads(1)
    model = silero()
    model.reset_states()
    pieces = samples[: len(samples) // VAD_SAMPLES * VAD_SAMPLES].reshape(-1, VAD_SAMPLES)
    return np.array([model(torch.from_numpy(piece), HEARING_HZ).item() for piece in pieces])


def versions(samples: NDArray[np.int16], tokenizer: MelVQ) -> Iterator[tuple[str, Waveform]]:
    """The samples as they are, and decoded from one codebook and from all, each with its name."""
    yield "original", to_float(samples)
    codes = tokenizer.encode(samples[np.newaxis])[0]
    for used in (1, tokenizer.codebooks):
        yield f"{used} of {tokenizer.codebooks} codebooks", tokenizer.decode(codes[:used])


def encode_hour(tracks: list[NDArray[np.int16]], tokenizer: MelVQ) -> tuple[float, float]:
    """Processor seconds to encode an hour of dialogue whose sides take turns; share of a channel that is not silent."""
    user, assistant = [np.concatenate([t if i % 2 == side else 0 * t for i, t in enumerate(tracks)]) for side in (0, 1)]
    dialogue = np.stack([user, assistant])
    hours = dialogue.shape[1] / tokenizer.sample_rate / 3600
    start = time.process_time()
    for _ in range(3):
        tokenizer.encode(dialogue)
    return (time.process_time() - start) / 3 / hours, float((dialogue != 0).mean())


def main() -> None:
    import jiwer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="listen to this folder, which `fit_melvq speak` wrote")
    held_out = utterances(parser.parse_args().work / "held_out")
    tokenizer, recogniser = MelVQ(), Recogniser()
    random = np.random.Generator(np.random.Philox(0))
    tracks = [track(w, SILENCE_SAMPLES[0] + int(random.integers(1280)), SILENCE_SAMPLES[1]) for _, w in held_out]

    seconds, sounding = encode_hour(tracks, tokenizer)
    print(f"{len(held_out)} utterances, {sum(map(len, tracks)) / HEARING_HZ / 60:.1f} minutes")
    print(f"encode an hour of dialogue, both channels ({sounding:.0%} of a channel is not digital silence): "
          f"{seconds:.2f} s of CPU, wanted <= {WANTED_ENCODE_S:g}")  # fmt: skip

    transcripts: dict[str, list[str]] = {}
    speech: dict[str, list[NDArray[np.bool_]]] = {}
    for samples in tracks:
        for name, waveform in versions(samples, tokenizer):
            transcripts.setdefault(name, []).append(words(recogniser.transcribe(waveform, [(0, len(waveform))])))
            speech.setdefault(name, []).append(speech_probabilities(waveform) > 0.5)
    references = [words(text) for text, _ in held_out]
    original = np.concatenate(speech["original"])
    for name, texts in transcripts.items():
        agreement = (np.concatenate(speech[name]) == original).mean()
        print(f"{name}: word error rate {jiwer.wer(references, texts):.1%}, "
              f"voice activity as in the original in {agreement:.2%} of {VAD_SAMPLES / HEARING_HZ * 1000:.0f} ms steps"
              f"{'' if name == 'original' else f', wanted >= {WANTED_AGREEMENT:.0%}'}")  # fmt: skip


if __name__ == "__main__":
    main()
