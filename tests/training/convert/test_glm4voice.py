"""GLM-4-Voice to transformers' class and back: which numbers are kept, which are new, and what is refused.

tests/layouts/public/test_bayling.py compares the logits with those of the published code.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.storage.model_files import stored_tensors
from duplexgen.pipeline.tokens.section import Pretrained, Tokens
from duplexgen.pipeline.tokens.text.pretrained import PretrainedTokenizer
from duplexgen.training.convert import glm4voice, shards
from duplexgen.training.convert.glm4voice import convert, export
from tests.command import duplexgen
from tests.training.convert import folders
from tests.training.convert.folders import CONFIG, SPECIAL, Tensors, loaded, save

EMBEDDING, HEAD = "transformer.embedding.word_embeddings.weight", "transformer.output_layer.weight"
CODES = 64  # in place of 16384, so that vocabularies are small; test_chain.py has them all
NAMED = CODES - 1
TEXT, ROWS = 4096, 4288
AUDIO_FIRST = TEXT + len(SPECIAL)
ADDED = {
    AUDIO_FIRST + NAMED + place: token for place, token in enumerate(("<|audio_63|>", "[SILENCE]", "[PAD]", "[EPAD]"))
}
STATES = ("[SILENCE]", "[PAD]", "[EPAD]")


@pytest.fixture(scope="module", autouse=True)
def few_codes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glm4voice, "CODES", CODES)
        yield


def published(folder: Path, dtype: str = "F32", files: int = 3, audio: int = NAMED, **changes: Any) -> Path:
    changes = {"padded_vocab_size": ROWS} | changes
    return folders.published(folder, dtype, files, audio, **changes)


@contextmanager
def silent(tensors: int) -> Iterator[Callable[[int], None]]:
    yield lambda written: None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("glm") / "published")


@pytest.fixture(scope="module")
def converted(source: Path) -> Path:
    convert(source, source.parent / "converted", silent)
    return source.parent / "converted"


def back(converted: Path, source: Path, out: Path) -> Tensors:
    export(converted, source, out, silent)
    return loaded(out)


def is_same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Bit for bit."""
    same_kind = left.dtype == right.dtype and left.shape == right.shape
    return same_kind and torch.equal(left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8))


def without_rows(tensors: Tensors, rows: list[int]) -> Tensors:
    keep = torch.tensor([row not in set(rows) for row in range(len(tensors[EMBEDDING]))])
    return tensors | {name: tensors[name][keep] for name in (EMBEDDING, HEAD)}


def test_there_and_back_all_numbers_but_the_new_rows_are_the_same(
    source: Path, converted: Path, tmp_path: Path
) -> None:
    before, after = loaded(source), back(converted, source, tmp_path / "back")
    assert before.keys() == after.keys() and EMBEDDING in before
    kept = (without_rows(tensors, [*ADDED]) for tensors in (before, after))
    for (name, left), right in zip(next(kept).items(), next(kept).values(), strict=True):
        assert is_same(left, right), name
    files = {path.name for path in source.iterdir()}
    assert {path.name for path in (tmp_path / "back").iterdir()} == files - {"README.md"}
    for name in files - {"README.md", "tokenizer_config.json"}:
        changed = name.endswith(".safetensors") or name in ("config.json", "model.safetensors.index.json")
        assert changed or (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()
    assert json.loads((tmp_path / "back/config.json").read_text()) == CONFIG | {"padded_vocab_size": ROWS}
    named = json.loads((tmp_path / "back/tokenizer_config.json").read_text())["added_tokens_decoder"]
    before_named = json.loads((source / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert named == before_named | {str(id_): named[str(id_)] for id_ in ADDED}
    assert {id_: named[str(id_)]["content"] for id_ in ADDED} == ADDED


def test_what_was_exported_goes_there_and_back_to_the_same_bytes(source: Path, converted: Path, tmp_path: Path) -> None:
    """It names all tokens, as BayLing-Duplex's published model does: no row is new."""
    export(converted, source, tmp_path / "once", silent)
    assert convert(tmp_path / "once", tmp_path / "again", silent).added == {}
    for name in ("config.json", "model.safetensors.index.json", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (converted / name).read_bytes()
    export(tmp_path / "again", tmp_path / "once", tmp_path / "twice", silent)
    for path in (tmp_path / "once").iterdir():
        assert (tmp_path / "twice" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_folder_that_names_the_states_keeps_all_its_rows(tmp_path: Path) -> None:
    """As BayLing-Duplex's published one does, with the states in the place of the last audio token."""
    source = published(tmp_path / "published", states=STATES)
    read = convert(source, tmp_path / "converted", silent)
    assert read.added == {} and read.vocabulary.audio_size == NAMED and read.vocabulary.silence == AUDIO_FIRST + NAMED
    before, after = loaded(source), back(tmp_path / "converted", source, tmp_path / "back")
    assert before.keys() == after.keys() and all(is_same(before[name], after[name]) for name in before)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.integers(1, 3))
    return {
        "num_layers": draw(st.integers(1, 3)),
        "hidden_size": draw(st.integers(1, 9)),
        "ffn_hidden_size": draw(st.integers(1, 9)),
        "kv_channels": 4 * draw(st.integers(1, 2)),
        "num_attention_heads": groups * draw(st.integers(1, 3)),
        "multi_query_group_num": groups,
        "add_qkv_bias": draw(st.booleans()),
        "padded_vocab_size": AUDIO_FIRST + NAMED + draw(st.integers(0, 6)),
        "layernorm_epsilon": draw(st.sampled_from([1e-5, 1.5625e-07])),
        "rope_ratio": draw(st.sampled_from([1, 500, 0.5])),
    }


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=shapes(), dtype=st.sampled_from(["F32", "BF16", "F16"]), files=st.integers(1, 4), block=st.integers(1, 999)
)
def test_any_sizes_precision_and_files(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, Any], dtype: str, files: int, block: int
) -> None:
    """transformers' class finds each tensor that it wants in its shape, and the way back gives each its bits."""
    folder = tmp_path_factory.mktemp("any")
    source = published(folder / "published", dtype, files, **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BLOCK_BYTES", 64 * block)
        convert(source, folder / "converted", silent)
    load: Any = AutoModelForCausalLM.from_pretrained
    network, info = load(folder / "converted", dtype="auto", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert network.dtype == shards.DTYPES[dtype] and network.config.rope_parameters["rope_theta"] == (
        10000 * sizes["rope_ratio"]
    )
    before, after = loaded(source), back(folder / "converted", source, folder / "back")
    assert before.keys() == after.keys()
    for name, left in before.items():
        right = after[name]
        if name in (EMBEDDING, HEAD):
            assert len(right) == max(len(left), max(ADDED) + 1)
            left, right = left[: min(ADDED)], right[: min(ADDED)]  # noqa: PLW2901
        assert is_same(left, right), name


def test_rows_of_new_tokens_are_means_and_no_other_row_changes(source: Path, converted: Path) -> None:
    before, after = loaded(source), loaded(converted)
    for theirs, ours in ((EMBEDDING, "model.embed_tokens.weight"), (HEAD, "lm_head.weight")):
        left, right = before[theirs], after[ours]
        text = left[:TEXT].double().mean(dim=0)
        audio = left[AUDIO_FIRST : AUDIO_FIRST + NAMED].double().mean(dim=0)
        assert (text - audio).abs().max() > 1e-3, "so that one is not taken for the other"
        for id_, token in ADDED.items():
            torch.testing.assert_close(right[id_].double(), audio if "audio" in token else text, rtol=0, atol=1e-6)
            assert not torch.equal(left[id_], right[id_])
        untouched = [row for row in range(ROWS) if row not in ADDED]
        assert is_same(left[untouched], right[untouched])


def test_its_tokenizer_gives_data_sets_the_same_ids_as_the_published_one(source: Path, converted: Path) -> None:
    tokenizers = (PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=str(one)))) for one in (source, converted))
    made = [SharedVocabulary.extending(tokenizer, CODES) for tokenizer in tokenizers]
    assert made[0] == made[1] and made[0].audio_size == CODES
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert {id_: tokenizer.convert_ids_to_tokens(id_) for id_ in ADDED} == ADDED
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>"


def test_what_was_trained_comes_back_in_the_published_precision(tmp_path: Path) -> None:
    """`train` writes fp32, in files of its own; the published folder is in bf16."""
    source = published(tmp_path / "published", "BF16")
    convert(source, tmp_path / "converted", silent)
    trained = {name: weight.float() + 0.01 for name, weight in loaded(tmp_path / "converted").items()}
    shutil.copytree(tmp_path / "converted", tmp_path / "trained", ignore=shutil.ignore_patterns("*.safetensors*"))
    save(trained, tmp_path / "trained", shards=2)
    after = back(tmp_path / "trained", source, tmp_path / "back")
    assert {path.name for path in (tmp_path / "back").glob("*.safetensors")} == {
        path.name for path in source.glob("*.safetensors")
    }
    joined = [trained[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qkv"]
    name = "transformer.encoder.layers.1.self_attention.query_key_value.weight"
    assert is_same(after[name], torch.cat(joined).to(torch.bfloat16))
    assert is_same(after[EMBEDDING], trained["model.embed_tokens.weight"].to(torch.bfloat16))


# What is refused: a message, exit status 2, and nothing written.


def folder_of_half(folder: Path) -> None:
    (folder / "model-00002-of-00003.safetensors").unlink()


def folder_cut_short(folder: Path) -> None:
    path = folder / "model-00003-of-00003.safetensors"
    os.truncate(path, path.stat().st_size - 1)


def folder_of_a_pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4984147224\n"
    (folder / "model-00001-of-00003.safetensors").write_text(text)


def folder_without_tensors(folder: Path) -> None:
    tensors = loaded(folder)
    del tensors["transformer.encoder.layers.2.mlp.dense_4h_to_h.weight"]
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    save(tensors, folder, 1)


def says(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def index_says(change: Callable[[dict[str, str]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        change(index["weight_map"])
        path.write_text(json.dumps(index))

    return damage


def folder_of_bytes(folder: Path) -> None:
    path = folder / "model-00001-of-00003.safetensors"
    names = stored_tensors(path)
    save_file({name: tensor.to(torch.int8) for name, tensor in loaded(folder).items() if name in names}, path)


def tokenizer_of_text(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    described = json.loads(path.read_text())
    decoder = described["added_tokens_decoder"]
    described["added_tokens_decoder"] = {id_: one for id_, one in decoder.items() if "audio" not in one["content"]}
    path.write_text(json.dumps(described))


def folder_in_pickles(folder: Path) -> None:
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file that is missing": (folder_of_half, "model-00002-of-00003.safetensors: there is no such file"),
    "a file cut short": (folder_cut_short, "model-00003-of-00003.safetensors has"),
    "a pointer of Git LFS": (folder_of_a_pointer, "is not a safetensors file, or only the beginning of one"),
    "no weights in safetensors": (
        folder_in_pickles,
        "model.safetensors: there is no such file. Expected weights in saf",
    ),
    "a tensor that is missing": (folder_without_tensors, "lack transformer.encoder.layers.2.mlp.dense_4h_to_h.weight"),
    "quantized weights": (folder_of_bytes, "as I8, expected F64, F32, BF16, F16"),
    "a Llama": (says(model_type="llama"), 'says model_type "llama", expected "chatglm"'),
    "no model_type": (says(model_type=None), "says model_type null"),
    "ChatGLM3": (says(original_rope=False), "says original_rope false, expected true: it is another architecture"),
    "without groups": (says(multi_query_attention=False), "says multi_query_attention false"),
    "quantized": (says(quantization_bit=4), "says quantization_bit 4, expected 0"),
    "more layers": (says(num_layers=4), "the weights in published lack transformer.encoder.layers.3"),
    "fewer layers": (says(num_layers=2), "have 'transformer.encoder.layers.2"),
    "another width": (
        says(ffn_hidden_size=41),
        "dense_h_to_4h.weight in published is [80, 32], and its config.json wants",
    ),
    "no width": (says(hidden_size="wide"), 'says hidden_size "wide", expected a whole number from 1'),
    "a number that nobody has": (says(num_layers=10**13), "num_layers: expected at most"),
    "fewer rows than tokens": (says(padded_vocab_size=4000), "is [4288, 32], and its config.json wants [4000, 32]"),
    "heads in unequal groups": (says(num_attention_heads=5), "5 heads in 2 groups"),
    "a path out of the folder": (
        index_says(lambda names: names.update({EMBEDDING: "../secret.safetensors"})),
        "names '../secret.safetensors', expected a file *.safetensors beside it",
    ),
    "an index of another folder": (
        index_says(lambda names: names.pop(EMBEDDING)),
        "in no file, and it is in model-0000",
    ),
    "an empty index": (index_says(lambda names: names.clear()), "names no tensors"),
    "no speech": (tokenizer_of_text, "has no token <|audio_0|>: expected GLM-4-Voice"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.model").unlink(), "has no tokenizer"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read: No such file"),
    "half a configuration": (lambda folder: (folder / "config.json").write_text('{"model'), "config.json is not JSON"),
    "no folder": (shutil.rmtree, "config.json cannot be read: No such file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_converted_is_said_and_nothing_is_written(what: str, source: Path, tmp_path: Path) -> None:
    damage, expected = REFUSED[what]
    shutil.copytree(source, tmp_path / "published")
    damage(tmp_path / "published")
    before = {path.name for path in tmp_path.iterdir()}
    ended = duplexgen("models", "convert", "glm-4-voice-9b", "published", "--out", "new", cwd=tmp_path)
    assert ended.status == 2 and expected in " ".join(ended.said.split()), ended.said
    assert "Traceback" not in ended.said and {path.name for path in tmp_path.iterdir()} == before


def test_the_command_and_a_target_that_exists(source: Path, tmp_path: Path) -> None:
    status, said = _convert(tmp_path, source, "new")
    assert status == 0 and "rows set for new tokens: <|audio_63|>, [SILENCE], [PAD], [EPAD]" in said
    assert [path.name for path in tmp_path.iterdir()] == ["new"], "no lock, and nothing half written"
    status, said = _convert(tmp_path, source, "new")
    assert (status, "new exists already: choose another name, or remove it" in said) == (2, True)
    (tmp_path / "file").write_text("of the user")
    assert _convert(tmp_path, source, "file")[0] == 2 and (tmp_path / "file").read_text() == "of the user"
    status, said = _convert(tmp_path, tmp_path / "new", "other")
    assert status == 2 and "It is converted already" in said


def _convert(cwd: Path, source: Path, out: str) -> tuple[int, str]:
    ended = duplexgen("models", "convert", "glm-4-voice-9b", source, "--out", out, cwd=cwd)
    return ended.status, " ".join(ended.said.split())


def _export(cwd: Path, model: Path, source: Path) -> tuple[int, str]:
    ended = duplexgen("models", "export", "glm-4-voice-9b", model, "--published", source, "--out", "new", cwd=cwd)
    return ended.status, " ".join(ended.said.split())


def test_a_model_that_was_not_trained_from_it_is_not_exported(source: Path, converted: Path, tmp_path: Path) -> None:
    other = published(tmp_path / "other", rope_ratio=1.0)
    status, said = _export(tmp_path, converted, other)
    assert status == 2 and "rope_parameters is" in said and f"It was not trained from {other}" in said
    other = published(tmp_path / "named otherwise", audio=NAMED - 1, states=STATES)
    status, said = _export(tmp_path, converted, other)
    assert status == 2 and "is '<|audio_62|>' in" in said
    status, said = _export(tmp_path, source, source)
    assert status == 2 and 'says model_type "chatglm", expected "glm"' in said
    (other := Path(shutil.copytree(source, tmp_path / "without code")) / "modeling_chatglm.py").unlink()
    status, said = _export(tmp_path, converted, other.parent)
    assert status == 2 and "has no modeling_chatglm.py, which config.json names" in said
    assert not (tmp_path / "new").exists()
    status, said = _export(tmp_path, converted, source)
    assert status == 0 and (tmp_path / "new" / "modeling_chatglm.py").exists()


@pytest.mark.parametrize("where", ["before", "while it is written"])
def test_a_disk_without_room(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "before":
        usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        expected = "GB are to be written, and the disk has room for 0.0 GB. Make room"
    else:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("duplexgen.training.convert.shards.write_json", full)
        expected = "the disk is full"
    status, said = _convert(tmp_path, source, "new")
    assert status == 2 and expected in said and not [*tmp_path.iterdir()]


KILLED = """
import os, signal, sys
from duplexgen.training.convert import glm4voice, shards
shards.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from duplexgen import cli
sys.argv = ["duplexgen", "models", "convert", "glm-4-voice-9b", sys.argv[1], "--out", sys.argv[2]]
cli.main()
"""


def test_a_command_that_was_killed_leaves_no_model_and_the_next_one_cleans_up(source: Path, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(source), str(tmp_path / "new")], check=False)
    assert ended.returncode == -9 and not (tmp_path / "new").exists() and [*tmp_path.glob(".new.tmp/*")]
    assert _convert(tmp_path, source, "new")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_no_more_than_a_block_is_in_memory(
    source: Path, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    frombuffer = torch.frombuffer

    def spied(block: bytearray, **kind: Any) -> torch.Tensor:
        sizes.append(len(block))
        return frombuffer(block, **kind)

    monkeypatch.setattr(shards, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(torch, "frombuffer", spied)
    convert(source, tmp_path / "in blocks", silent)
    assert len(sizes) > 1000 and max(sizes) <= 1000
    monkeypatch.undo()
    whole, in_blocks = loaded(converted), loaded(tmp_path / "in blocks")
    for name, tensor in whole.items():
        torch.testing.assert_close(in_blocks[name], tensor, rtol=0, atol=1e-7)  # means are sums in another order
