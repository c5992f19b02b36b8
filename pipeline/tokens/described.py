"""Tokenizers as vocabulary.json describes them."""

from typing import Annotated

from pydantic import Field

from ..recipe.sections import Section

LARGEST_ID = 2**24  # a vocabulary's arrays are as long as its largest id
Name = Annotated[str, Field(min_length=1, max_length=200)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[int, Field(ge=0, lt=LARGEST_ID)]


class DescribedSpeechTokenizer(Section):
    """The speech tokenizer that made a data set's codes."""

    name: Name
    version: Name
    codebooks: Annotated[int, Field(gt=0, le=64)]
    sha256: Sha256


class DescribedTextTokenizer(Section):
    """The text tokenizer that made a data set's ids."""

    name: Name
    vocab_size: Annotated[Id, Field(gt=0)]
    sha256: Sha256
