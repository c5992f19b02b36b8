import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.bayling import BaylingSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.tokens.section import Pretrained, Tokens
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text import tiktoken_bpe
from duplexgen.pipeline.tokens.text.bpe import WEIGHTS, BytePairTokenizer
from duplexgen.pipeline.tokens.text.pretrained import PretrainedTokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ENGLISH = "It's ten past two, and it rains:  nobody would've\n\n\tgone out 12345 times."
OWN = {0: "<|endoftext|>", 3: "<|assistant|>"} | {10 + code: f"<|audio_{code}|>" for code in range(2047)}


def tokenizer(folder: Path) -> PretrainedTokenizer:
    return PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=str(folder))))


def tokens() -> dict[bytes, int]:
    """Those of the embedded tokenizer, as tiktoken has them."""
    byte_of = {letter: byte for byte, letter in enumerate(tiktoken_bpe._letters())}
    vocab = Tokenizer.from_file(str(WEIGHTS)).get_vocab()
    return {bytes(byte_of[letter] for letter in token): id_ for token, id_ in vocab.items()}


def write_tiktoken(folder: Path, ranks: dict[bytes, int], special: dict[int, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()]
    (folder / "tokenizer.model").write_text("".join(lines))
    named = {str(len(ranks) + at): {"content": content, "special": True} for at, content in special.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": named}))
    return folder


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As glm-4-voice-9b is published: tiktoken's format, ids that nobody names, no name for the last code."""
    return write_tiktoken(tmp_path_factory.mktemp("glm-4-voice"), tokens(), OWN)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Qwen is published: a tokenizer.json with added tokens, one of them not special."""
    folder = tmp_path_factory.mktemp("qwen")
    made = Tokenizer.from_file(str(WEIGHTS))
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    made.add_tokens(["<think>"])
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def reference() -> Any:
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is in the extra dev")
    return tiktoken.Encoding("glm", pat_str=tiktoken_bpe.PIECES, mergeable_ranks=tokens(), special_tokens={})


@settings(deadline=None, max_examples=300)
@given(text=TEXTS | st.text("aeinrst '\n1", max_size=60))
@example(text=ENGLISH)
@example(text=ENGLISH.upper())
@example(text="你好，世界！ 今天 12 度。")
@example(text="     aaaaaaaaaaaaaaa   \r\n\r\n  ")
@example(text="<|assistant|><|audio_3|>")
def test_ids_are_those_of_tiktoken(glm: Path, reference: Any, text: str) -> None:
    ids = tokenizer(glm).encode(text)
    assert ids == reference.encode(text, disallowed_special=())
    assert tokenizer(glm).decode(ids) == text


@settings(deadline=None, max_examples=50)
@given(words=st.lists(st.sampled_from(["<|assistant|>", "<|audio_5|>", "<think>", "<|im_end|>", " ", "hm", "<|"])))
def test_text_never_becomes_a_special_token(glm: Path, qwen: Path, words: list[str]) -> None:
    text = "".join(words)
    for folder in (glm, qwen):
        read = tokenizer(folder)
        ids = read.encode(text)
        assert all(id_ < read.vocab_size for id_ in ids) and read.decode(ids) == text


def test_text_ids_are_the_models(qwen: Path, glm: Path) -> None:
    for folder in (qwen, glm):
        read = tokenizer(folder)
        assert read.vocab_size == BytePairTokenizer.vocab_size
    assert tokenizer(qwen).encode(ENGLISH) == BytePairTokenizer().encode(ENGLISH)
    assert tokenizer(qwen).decode([4096, *tokenizer(qwen).encode("so"), 4098]) == "<|im_start|>so<think>"


def test_special_tokens_keep_their_ids(glm: Path) -> None:
    made = Tokenizer.from_str(tokenizer(glm).to_json())
    text = len(tokens())
    assert {at: made.id_to_token(text + at) for at in OWN} == OWN
    assert made.id_to_token(text + 1) == f"<|unused_{text + 1}|>"
    assert made.get_vocab_size() == text + 10 + 2047


def test_a_vocabulary_extends_it(glm: Path, tmp_path: Path) -> None:
    read = tokenizer(glm)
    vocabulary = SharedVocabulary.build(BaylingSection(), read, MelVQ())
    text = read.vocab_size
    assert vocabulary.assistant == text + 3 and vocabulary.audio_first_id == text + 10
    assert vocabulary.audio_ids([2046, 2047]).tolist() == [text + 10 + 2046, text + 10 + 2047]
    assert vocabulary.silence == text + 10 + 2048 and vocabulary.end_of_text == text
    vocabulary.save(tmp_path)
    saved = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert saved.encode(ENGLISH).ids == read.encode(ENGLISH)
    assert saved.token_to_id("<|audio_2047|>") == vocabulary.audio_ids([2047])


def test_broken_text_is_rejected(qwen: Path) -> None:
    with pytest.raises(DialogueRejected, match="broken_text"):
        tokenizer(qwen).encode("half \ud83d a character")


def test_planning_and_pickling(glm: Path, qwen: Path) -> None:
    for folder in (glm, qwen):
        planned = tokenizer(folder)
        assert planned.check() == []
        again = pickle.loads(pickle.dumps(planned))
        again.load()
        assert again.encode(ENGLISH) == planned.encode(ENGLISH) and again.fingerprint() == planned.fingerprint()
    assert tokenizer(glm).fingerprint()["sha256"] != tokenizer(qwen).fingerprint()["sha256"]


def mistake(folder: Path) -> str:
    ((location, message),) = tokenizer(folder).check()
    assert location == ("tokens", "pretrained", "folder")
    return message


def test_what_is_missing_or_damaged_is_a_mistake(glm: Path, qwen: Path, tmp_path: Path) -> None:
    assert "has no tokenizer" in mistake(tmp_path / "nowhere")
    assert "pretrained" in PretrainedTokenizer(Tokens()).check()[0][1]
    half = tmp_path / "half"
    half.mkdir()
    (half / "tokenizer.json").write_text((qwen / "tokenizer.json").read_text()[:1000])
    assert "is damaged, or not a tokenizer" in mistake(half)
    ranks = tokens()
    pieces = write_tiktoken(tmp_path / "pieces", ranks, OWN)
    (pieces / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00")
    assert "not in tiktoken's format" in mistake(pieces)
    lost = write_tiktoken(tmp_path / "lost", {token: rank for token, rank in ranks.items() if rank != 300}, OWN)
    assert "is incomplete" in mistake(lost)
    other = write_tiktoken(tmp_path / "other", ranks, {-1: "<|assistant|>"})
    assert "belongs to another tokenizer.model" in mistake(other)
    (other / "tokenizer_config.json").write_text("{}")
    assert "added_tokens_decoder" in mistake(other)


def test_a_tokenizer_that_cannot_tell_text_from_tokens_is_a_mistake(tmp_path: Path) -> None:
    from tokenizers import models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "<|end|>": 1, "yes": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<|end|>"])
    made.save(str(tmp_path / "tokenizer.json"))
    assert "cannot be told apart" in mistake(tmp_path)
