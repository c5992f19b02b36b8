"""Speech and text tokenizers by the names a recipe calls them. To add one: write the class, put it here."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import UserError
from pipeline.tokens.bpe import BytePairTokenizer
from pipeline.tokens.melvq import MelVQ
from pipeline.tokens.protocols import SpeechTokenizer, TextTokenizer

SPEECH_TOKENIZERS: dict[str, type[SpeechTokenizer]] = {MelVQ.name: MelVQ}
TEXT_TOKENIZERS: dict[str, type[TextTokenizer]] = {BytePairTokenizer.name: BytePairTokenizer}


def installed(table: Mapping[str, Any], described: Mapping[str, Any]) -> Any:
    """The tokenizer that a vocabulary.json describes: its name, the checksum of its weights and any version it says.

    Raises UserError if the one installed is another.
    """
    name = described["name"]
    found = table[name].fingerprint() if name in table else {}
    if any(found.get(key) != described[key] for key in ("sha256", "version") if key in described):
        raise UserError(
            f"the data set was made with the tokenizer {name!r} of sha256 {described['sha256'][:12]}…, which is not "
            "the one installed. Install the version of duplexgen that manifest.json names."
        )
    return table[name]()


__all__ = ["SPEECH_TOKENIZERS", "TEXT_TOKENIZERS", "SpeechTokenizer", "TextTokenizer", "installed"]
