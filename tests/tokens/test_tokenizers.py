"""A data set's tokenizers, loaded by what its vocabulary.json says."""

from typing import Any

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.tokens.described import DescribedSpeechTokenizer, DescribedTextTokenizer
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, installed

SHA256 = MelVQ.fingerprint()["sha256"]
TEXT_SHA256 = BytePairTokenizer.fingerprint()["sha256"]
OTHER = "0" * 64


def speech(**changes: Any) -> DescribedSpeechTokenizer:
    same = {"name": "melvq", "version": MelVQ.version, "codebooks": MelVQ.codebooks, "sha256": SHA256}
    return DescribedSpeechTokenizer.model_validate(same | changes)


def text(**changes: Any) -> DescribedTextTokenizer:
    same = {"name": "bpe", "vocab_size": BytePairTokenizer.vocab_size, "sha256": TEXT_SHA256}
    return DescribedTextTokenizer.model_validate(same | changes)


def test_the_same_tokenizers_are_loaded() -> None:
    assert isinstance(installed(SPEECH_TOKENIZERS, speech(), Tokens()), MelVQ)
    assert isinstance(installed(TEXT_TOKENIZERS, text(), Tokens()), BytePairTokenizer)


@pytest.mark.parametrize(
    ("table", "described", "differences"),
    [
        (SPEECH_TOKENIZERS, speech(version="0"), f"version is {MelVQ.version}, expected 0"),
        (SPEECH_TOKENIZERS, speech(sha256=OTHER), f"sha256 is {SHA256}, expected {OTHER}"),
        (TEXT_TOKENIZERS, text(sha256=OTHER), f"sha256 is {TEXT_SHA256}, expected {OTHER}"),
    ],
)
def test_only_what_differs_is_named(table: Any, described: Any, differences: str) -> None:
    with pytest.raises(UserError) as other:
        installed(table, described, Tokens())
    assert f"is not that of the data set: {differences}. " in str(other.value)


@pytest.mark.parametrize(
    ("table", "described"), [(SPEECH_TOKENIZERS, speech(name="new")), (TEXT_TOKENIZERS, text(name="new"))]
)
def test_an_unknown_tokenizer_is_said_to_be_unknown(table: Any, described: Any) -> None:
    with pytest.raises(UserError, match=r"the tokenizer 'new', which is not known here\. Install the version"):
        installed(table, described, Tokens())
