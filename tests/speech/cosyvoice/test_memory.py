"""Memory over a thousand utterances, which take too long on a processor: test_engine.py counts tensors there."""

import gc
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.speech.engine import SpeechRequest  # noqa: E402
from tests.speech.cosyvoice.conftest import DEVICE  # noqa: E402

UTTERANCES, PARTITION = 1000, 50
AGAIN = 500  # from here on the same utterances: no batch is larger than those that have been
GROWTH_MIB = 32  # of the process, whose libraries keep something for shapes that they see late


@pytest.mark.skipif(DEVICE != "cuda", reason="needs a GPU: make gpu")
def test_memory_is_flat_over_a_thousand_utterances(engine_of):
    engine, at = engine_of(2), []
    for first in range(0, UTTERANCES, PARTITION):
        numbers = [(first + number) % AGAIN for number in range(PARTITION)]
        engine.speak(
            [
                SpeechRequest(" ".join(["Yes"] * (1 + number % 4)) + ".", f"voice{number % 3}", "en", number)
                for number in numbers
            ]
        )
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        at.append((torch.cuda.memory_allocated(), torch.cuda.max_memory_reserved(), pages * os.sysconf("SC_PAGE_SIZE")))
    half, end = at[AGAIN // PARTITION - 1], at[-1]
    assert end[0] <= half[0] + 2**20, at
    assert end[1] <= 1.1 * half[1], at
    assert end[2] <= half[2] + GROWTH_MIB * 2**20, at
