import shutil

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.speech.cosyvoice import compiling  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.decoding import decode  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.parts import load  # noqa: E402
from tests.speech.cosyvoice.conftest import spec  # noqa: E402
from tests.speech.cosyvoice.test_decoding import TEXTS, rows  # noqa: E402


@pytest.fixture(scope="module")
def compiled(folder_of, code):
    if not shutil.which("c++"):
        pytest.skip("torch.compile on the processor needs a C++ compiler")
    from torch._dynamo.utils import counters

    counters.clear()
    parts = load(ModelFolder.read(folder_of(2)), code, torch.device("cpu"))
    compiling.speed_up(parts)
    return parts


def graphs() -> int:
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]


def test_tokens_are_the_same(compiled, engine_of, bank):
    """Scores differ by some 1e-6, as sums are made in another order; a draw would have to fall between."""
    engine, made = engine_of(2), graphs()
    batch = rows(engine, bank, TEXTS)
    plain = decode(engine._parts.llm, batch, engine._parts.sampling)
    assert made > 0
    assert decode(compiled.llm, batch, compiled.sampling) == plain
    assert [decode(compiled.llm, [row], compiled.sampling)[0] for row in batch[:3]] == plain[:3]


def test_spectra_are_close_and_do_not_depend_on_what_came_before(compiled, engine_of):
    """Values of a log-mel are of the order of 1 and ten steps of the solver carry each other's rounding on."""
    engine = engine_of(2)
    prompt, made = engine._prompts.make(engine._bank.prompt("voice0")), graphs()
    utterances = [list(range(count)) for count in (30, 31, 7, 64)]
    first = [compiled.mel(tokens, prompt) for tokens in utterances]
    again = [compiled.mel(tokens, prompt) for tokens in reversed(utterances)][::-1]
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    for tokens, found in zip(utterances, first, strict=True):
        expected = engine._parts.mel(tokens, prompt)
        assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
        assert not torch.equal(found, torch.zeros_like(found))
    assert graphs() == made  # nothing is compiled once it is loaded


def test_lists_in_a_module_are_found_once():
    inner = torch.nn.Sequential(torch.nn.ModuleList([torch.nn.ReLU()]))
    model = torch.nn.Sequential(torch.nn.ModuleList([inner, torch.nn.ModuleList([torch.nn.Tanh()])]), torch.nn.ELU())
    assert [type(block) for block in compiling.blocks(model)] == [torch.nn.Sequential, torch.nn.Tanh]


def test_what_is_compiled_has_a_fingerprint_of_its_own(folder_of, bank):
    plain, faster = (CosyVoiceEngine(spec(folder_of(2), bank, compile=on)).fingerprint() for on in (False, True))
    assert faster == {**plain, "compile": "yes"}
