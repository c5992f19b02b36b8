"""Speech and text tokenizers by the names a recipe calls them. To add one: write the class, put it here."""

from pipeline.tokens.bpe import BytePairTokenizer
from pipeline.tokens.melvq import MelVQ
from pipeline.tokens.protocols import SpeechTokenizer, TextTokenizer

SPEECH_TOKENIZERS: dict[str, type[SpeechTokenizer]] = {MelVQ.name: MelVQ}
TEXT_TOKENIZERS: dict[str, type[TextTokenizer]] = {BytePairTokenizer.name: BytePairTokenizer}

__all__ = ["SPEECH_TOKENIZERS", "TEXT_TOKENIZERS", "SpeechTokenizer", "TextTokenizer"]
