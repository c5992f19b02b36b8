import logging
import random
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.errors import UserError  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.decoding import Row  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.parts import load  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.utterances import Utterance  # noqa: E402
from tests.speech.cosyvoice.conftest import DEVICE  # noqa: E402

WHERE = torch.device(DEVICE)


def test_weights_are_those_of_the_file_to_the_last_bit(folder_of, code):
    """Qwen's folder is saved in bf16, as published; what is read into it must not be rounded."""
    folder = ModelFolder.read(folder_of(2))
    saved = torch.load(folder.path / "llm.pt", weights_only=True)
    loaded = load(folder, code, WHERE).llm._model.state_dict()
    assert set(loaded) == set(saved)
    for name, weight in loaded.items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight.cpu(), saved[name]), name


def test_the_process_stays_as_it_was(folder, code, capsys):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    level, handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    load(ModelFolder.read(folder), code, WHERE)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)
    assert capsys.readouterr().out == ""


def test_what_is_drawn_while_loading_is_always_the_same(folder, code):
    """v3's vocoder draws noise when it is made and keeps it, in no file."""
    torch.manual_seed(1)
    one = load(ModelFolder.read(folder), code, WHERE)
    torch.manual_seed(2)
    other = load(ModelFolder.read(folder), code, WHERE)
    mel = torch.zeros(80, 20, device=WHERE)
    waves = [parts.vocoder.waves([mel], [5])[0] for parts in (one, other)]
    assert np.array_equal(*waves)


def test_half_precision_speaks(folder, code, engine_of):
    parts = load(ModelFolder.read(folder), code, WHERE, "bf16")
    engine = engine_of(parts.version)
    prompt = engine._prompts.make(engine._bank.prompt("voice0"))
    row = Row(parts.prefix([1, 2], prompt), 8, 20, np.random.default_rng(0).random((20, 2), dtype=np.float32))
    assert row.prefix.dtype == torch.bfloat16
    [wave] = parts.speech([Utterance(parts.decoder.decode([row, row])[0].tokens, prompt, 1)])
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()


def test_half_precision_rounds_weights_and_no_positions(folder, code):
    whole, half = (load(ModelFolder.read(folder), code, WHERE, precision) for precision in ("fp32", "bf16"))
    for name in ("llm", "flow"):
        modules = [getattr(parts, name)._module if name == "flow" else parts.llm._model for parts in (whole, half)]
        kept, rounded = (dict(module.named_buffers()) for module in modules)
        assert all(torch.equal(buffer, rounded[key]) for key, buffer in kept.items())
        types = {parameter.dtype for parameter in modules[1].parameters()}
        assert types == ({torch.bfloat16} if name == "llm" else {torch.bfloat16, torch.float32})
    assert {parameter.dtype for parameter in half.vocoder._module.parameters()} <= {torch.float32, torch.float64}


def test_the_vocoder_is_seeded(engine):
    prompt = engine._prompts.make(engine._bank.prompt("voice0"))
    parts, tokens = engine._parts, [5, 6, 7, 8, 9, 10]
    one, again, other = (parts.speech([Utterance(tokens, prompt, seed)])[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    if parts.version < 3:  # v3's vocoder draws nothing when it speaks
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("damage", ["another", "cut"])
def test_weights_that_do_not_fit_are_named(folder_of, code, tmp_path, damage):
    path = tmp_path / "model"
    shutil.copytree(folder_of(2), path)
    if damage == "another":
        shutil.copy(path / "flow.pt", path / "llm.pt")
    else:
        content = (path / "llm.pt").read_bytes()
        (path / "llm.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"llm\.pt"):
        load(ModelFolder(path, "cosyvoice2.yaml", 2), code, WHERE)


def test_code_that_does_not_know_the_model_is_named(folder_of, code, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(folder_of(2), path)
    yaml = path / "cosyvoice2.yaml"
    yaml.write_text(yaml.read_text().replace("llm.llm.Qwen2LM", "llm.llm.Qwen9LM"))
    with pytest.raises(UserError, match="does not fit the CosyVoice code"):
        load(ModelFolder.read(path), code, WHERE)


def test_a_damaged_tokenizer_is_named(folder_of, code, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(folder_of(2), path)
    tokenizer = path / "CosyVoice-BlankEN" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text()[:-100])
    with pytest.raises(UserError, match="text tokenizer"):
        load(ModelFolder.read(path), code, WHERE)
