"""Text in a tokenizer of Moshi's kind: Unigram with byte fallback, whose first ids are control pieces.

sentencepiece.json has a small one, trained by sentencepiece 0.2.3 on the sample corpus (560 pieces; unk, bos, eos and
pad are 0 to 3), and the ids that sentencepiece itself gives to some texts.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from duplexgen.pipeline.layouts.moshi import MoshiSection, MoshiVocabulary
from duplexgen.pipeline.tokens.section import Pretrained, Tokens
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text.pretrained import PretrainedTokenizer
from duplexgen.pipeline.tokens.text.unigram import HIDDEN

NUMBERS: dict[str, Any] = json.loads(Path(__file__).with_name("sentencepiece.json").read_text(encoding="utf-8"))
CONTROLS = ("<unk>", "<s>", "</s>", "<pad>")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=30)
PIECES = st.lists(st.sampled_from([*CONTROLS, "<0x41>", "<0x0A>", "tea", " ", "<", "é", "京", "\n", HIDDEN]))


def written(folder: Path, byte_fallback: bool = True) -> PretrainedTokenizer:
    """As transformers writes Moshi's tokenizer (its MoshiConverter)."""
    vocab = [(piece, score) for piece, score in NUMBERS["pieces"]]
    made = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=byte_fallback))
    made.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    spaces = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(spaces)
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROLS])
    made.save(str(folder / "tokenizer.json"))
    return PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=str(folder))))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PretrainedTokenizer:
    return written(tmp_path_factory.mktemp("moshi"))


@pytest.mark.parametrize("text", NUMBERS["encoded"])
def test_ids_are_those_of_sentencepiece(tokenizer: PretrainedTokenizer, text: str) -> None:
    assert tokenizer.check() == []
    assert tokenizer.encode(text) == NUMBERS["encoded"][text]


@given(text=TEXTS | PIECES.map("".join))
@example(text="<s>")
@example(text=HIDDEN + "<s>")
@example(text=HIDDEN + "<0x41>")
def test_text_is_never_a_control_piece_and_comes_back(tokenizer: PretrainedTokenizer, text: str) -> None:
    text = "a" + text  # a space at the start is one that the tokenizer adds itself
    ids = tokenizer.encode(text)
    assert min(ids) >= len(CONTROLS) and max(ids) < tokenizer.vocab_size
    assert tokenizer.decode(ids) == text


def test_moshis_ids_are_control_pieces_of_its_tokenizer(tokenizer: PretrainedTokenizer) -> None:
    """EPAD is 0 and PAD 3 there, and what starts a row is the first id after the text."""
    vocabulary = MoshiVocabulary.build(MoshiSection(pad=3, epad=0), tokenizer, MelVQ())
    ids = {name: special.id for name, special in vocabulary.special.items()}
    assert ids == {"pad": 3, "epad": 0, "initial": len(NUMBERS["pieces"])}
    for text in NUMBERS["encoded"]:
        assert vocabulary.is_text(tokenizer.encode(text)).all()


def test_without_byte_fallback_it_is_refused(tmp_path: Path) -> None:
    """An unknown character would have the id of <unk>."""
    ((_, message),) = written(tmp_path, byte_fallback=False).check()
    assert "cannot be told apart" in message
