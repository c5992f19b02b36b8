"""The same input twice is the same speech, to the last bit.

On a GPU (`make gpu`) this hangs on the kernels that are taken, which sizes and lengths decide: there the
model is as wide as the published ones, and less deep.
"""

from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.speech.cosyvoice.decoding import Row  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.parts import choose_kernels, load  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.utterances import Utterance, VoicePrompt  # noqa: E402
from tests.speech.cosyvoice.configurations import FULL, SPEECH_TOKENS, TINY  # noqa: E402
from tests.speech.cosyvoice.conftest import DEVICE  # noqa: E402
from tests.speech.cosyvoice.folders import make_folder  # noqa: E402

SIZE = TINY if DEVICE == "cpu" else FULL | {"layers": 4, "mid": 2, "flow_blocks": 1, "blocks": 2, "depth": 4}
STEPS = 10 if DEVICE == "cpu" else 60
LENGTHS = (31, 44) if DEVICE == "cpu" else (31, 44, 100, 151, 163, 207)  # of utterances, in speech tokens
VERSION = 2


@pytest.fixture(scope="module")
def parts_of(code, tmp_path_factory):
    folder = ModelFolder.read(make_folder(tmp_path_factory.mktemp("wide") / "model", VERSION, SIZE))

    @cache
    def make(precision):
        return load(folder, code, torch.device(DEVICE), precision)

    return make


@pytest.fixture(params=["fp32", "bf16"])
def parts(request, parts_of):
    made = parts_of(request.param)
    choose_kernels(request.param)  # those of the process: the other model may have been loaded since
    return made


def prompt(number: int) -> VoicePrompt:
    """Of 60 to 150 tokens, in random numbers."""
    rng = np.random.default_rng(number)
    tokens = 60 + 15 * (number % 7)
    return VoicePrompt(
        text=tuple(rng.integers(0, 100, 5 + number).tolist()),
        tokens=rng.integers(0, SPEECH_TOKENS[VERSION], tokens),
        mel=rng.normal(size=(2 * tokens, 80)).astype(np.float32),
        embedding=rng.normal(size=192).astype(np.float32),
    )


def rows(parts) -> list[Row]:
    """Sixteen, of many lengths."""
    made = []
    for number in range(16):
        rng = np.random.default_rng(number)
        prefix = parts.prefix(rng.integers(0, 100, 5 + 2 * number).tolist(), prompt(number))
        steps = STEPS - number % 5
        made.append(Row(prefix, steps, steps, rng.random((steps, 2), dtype=np.float32)))
    return made


def test_a_batch_is_the_same_tokens_each_time(parts):
    batch = rows(parts)
    first = parts.decoder.decode(batch)
    assert all(parts.decoder.decode(batch) == first for _ in range(2))
    assert len({tuple(row.tokens) for row in first}) == len(batch)


def test_in_fp32_a_row_alone_is_the_row_among_others(parts_of):
    parts = parts_of("fp32")
    choose_kernels("fp32")
    batch = rows(parts)
    together = parts.decoder.decode(batch)
    assert [parts.decoder.decode([row])[0] for row in batch] == together


def test_tokens_are_the_same_sound_each_time(parts):
    for number, count in enumerate(LENGTHS):
        tokens = np.random.default_rng(number).integers(0, SPEECH_TOKENS[VERSION], count).tolist()
        first, *others = (parts.speech([Utterance(tokens, prompt(number), number)])[0] for _ in range(3))
        assert np.isfinite(first).all() and first.any()
        assert all(np.array_equal(first, other) for other in others), f"{count} tokens"


def test_kernels_are_those_of_the_precision(parts_of):
    for precision in ("bf16", "fp32"):
        parts_of.cache_clear()
        parts_of(precision)
        assert torch.backends.cudnn.allow_tf32 == (precision == "bf16")
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cuda.cudnn_sdp_enabled()
