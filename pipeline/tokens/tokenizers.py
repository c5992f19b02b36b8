"""Speech and text tokenizers by their names in a recipe. To add one: write a class and add it here."""

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..recipe.file import dotted
from .described import DescribedSpeechTokenizer, DescribedTextTokenizer
from .protocols import SpeechTokenizer, TextTokenizer
from .section import Tokens
from .speech.glm4voice import GLM4VoiceTokenizer
from .speech.melvq import MelVQ
from .speech.mimi import MimiTokenizer
from .text.bpe import BytePairTokenizer
from .text.pretrained import PretrainedTokenizer

SPEECH_TOKENIZERS: dict[str, type[SpeechTokenizer]] = {
    MelVQ.name: MelVQ,
    GLM4VoiceTokenizer.name: GLM4VoiceTokenizer,
    MimiTokenizer.name: MimiTokenizer,
}
TEXT_TOKENIZERS: dict[str, type[TextTokenizer]] = {
    BytePairTokenizer.name: BytePairTokenizer,
    PretrainedTokenizer.name: PretrainedTokenizer,
}
_OTHER_VERSION = "Install the version of duplexgen that manifest.json names."


def installed(
    table: Mapping[str, Any], described: DescribedSpeechTokenizer | DescribedTextTokenizer, tokens: Tokens
) -> Any:
    """Load the tokenizer that a vocabulary.json describes: with its name, the checksum of its weights and its version.

    tokens: the recipe's section, which says where its weights are. Raises UserError if those are of another tokenizer.
    """
    name = described.name
    if name not in table:
        raise UserError(f"the data set was made with the tokenizer {name!r}, which is not known here. {_OTHER_VERSION}")
    tokenizer = table[name](tokens)
    if problems := tokenizer.check():
        reasons = "; ".join(f"{dotted(location)}: {message}" for location, message in problems)
        raise UserError(f"the tokenizer {name!r} of the data set cannot be used here: {reasons}")
    actual, expected = tokenizer.fingerprint(), described.model_dump(include={"sha256", "version"})
    if unlike := [key for key, value in expected.items() if actual.get(key) != value]:
        differences = "; ".join(f"{key} is {actual.get(key)}, expected {expected[key]}" for key in unlike)
        raise UserError(
            f"the tokenizer {name!r} here is not that of the data set: {differences}. If the recipe names the folder "
            f"of its weights, see that it is the same model. Otherwise: {_OTHER_VERSION}"
        )
    tokenizer.load()
    return tokenizer


__all__ = ["SPEECH_TOKENIZERS", "TEXT_TOKENIZERS", "SpeechTokenizer", "TextTokenizer", "installed"]
