import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.text.bpe import WEIGHTS, BytePairTokenizer
from duplexgen.pipeline.tokens.tokenizers import TEXT_TOKENIZERS

BPE = BytePairTokenizer()


@given(st.text())
def test_text_comes_back_as_it_was(text: str) -> None:
    ids = BPE.encode(text)
    assert BPE.decode(ids) == text
    assert all(0 <= id_ < BPE.vocab_size for id_ in ids)


@pytest.mark.parametrize("text", ["<|audio_5|>", "<|silence|>", "<|endoftext|>", "<s>", "[PAD]"])
def test_markup_in_text_is_only_text(text: str) -> None:
    ids = BPE.encode(text)
    assert len(ids) > 1 and BPE.decode(ids) == text


def test_no_special_tokens_and_no_prefix_space() -> None:
    assert BPE.encode("") == []
    assert json.loads(BPE.to_json())["added_tokens"] == []
    assert BPE.decode(BPE.encode("Hello")) == "Hello"


def test_a_spoken_sentence_fits_the_text_channel() -> None:
    # 5 text slots each 0.8 s hold 6.25 ids a second; brisk English is 3.3 words a second
    text = "It takes about forty five minutes to bake a potato in the oven, and you should turn it over once."
    assert len(BPE.encode(text)) / len(text.split()) < 6.25 / 3.3


def test_a_lone_surrogate_rejects_the_dialogue() -> None:
    with pytest.raises(DialogueRejected) as rejected:
        BPE.encode("half \ud800 a character")
    assert rejected.value.reason == "broken_text"


def test_fingerprint_is_that_of_the_weights() -> None:
    sha256 = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert TEXT_TOKENIZERS["bpe"](Tokens()).fingerprint() == {"name": "bpe", "version": "1", "sha256": sha256}
    assert len(json.loads(BPE.to_json())["model"]["vocab"]) == BPE.vocab_size
