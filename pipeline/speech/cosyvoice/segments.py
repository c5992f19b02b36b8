"""Splits texts into segments that are decoded at once, and shortens silence in speech tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DialogueRejected
from ...randomness import generator
from .decoding import Row
from .guards import FEWEST_PER_TEXT_TOKEN, MOST_PER_TEXT_TOKEN
from .utterances import Utterance, VoicePrompt

if TYPE_CHECKING:
    from .parts import Parts

# As CosyVoice splits: in tokens of text, for Chinese in characters.
MOST, FEWEST, MERGED_BELOW = 80, 60, 20
SILENT = frozenset({1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323})  # v3's tokens of silence and breath
SILENT_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an utterance that is decoded at once."""

    request: int
    text: tuple[int, ...]  # ids
    prompt: VoicePrompt
    seed: int
    number: int  # within its utterance

    @property
    def expected(self) -> int:
        """Speech tokens, if the voice goes on as fast as in its clip."""
        pace = len(self.prompt.tokens) / max(1, len(self.prompt.text))
        return round(len(self.text) * min(max(pace, FEWEST_PER_TEXT_TOKEN), MOST_PER_TEXT_TOKEN))

    @property
    def positions(self) -> int:
        """Positions in the language model's cache, prompt and text included, a few marks not counted."""
        return len(self.prompt.text) + len(self.prompt.tokens) + len(self.text) + self.expected

    def row(self, parts: "Parts") -> Row:
        """What `decode` gets."""
        longest = MOST_PER_TEXT_TOKEN * len(self.text)
        draws = self.randomness("tokens").random((longest, 2), dtype=np.float32)
        return Row(parts.prefix(list(self.text), self.prompt), FEWEST_PER_TEXT_TOKEN * len(self.text), longest, draws)

    def utterance(self, tokens: Sequence[int], version: int) -> Utterance:
        """What becomes sound of the tokens that were decoded."""
        seed = int(self.randomness("waveform").integers(2**63))
        return Utterance(kept_tokens(tokens, version), self.prompt, seed)

    def randomness(self, purpose: str) -> np.random.Generator:
        return generator(self.seed, str(self.number), f"cosyvoice/{purpose}")


def split(text: str, language: str, text_ids: Callable[[str], list[int]]) -> list[str]:
    """A text, split at the ends of sentences.

    Raises DialogueRejected if there is nothing to say, or if the text has marks of a language model.
    """
    from cosyvoice.utils.frontend_utils import is_only_punctuation, split_paragraph

    text = text.strip()
    if is_only_punctuation(text.replace(" ", "")):
        raise DialogueRejected("unspeakable", f"nothing to be said in {text[:60]!r}")
    if "<|" in text:
        raise DialogueRejected("unspeakable", f"marks of a language model in {text[:60]!r}")
    # "zh" makes it count characters and know Chinese full stops.
    segments = split_paragraph(text, text_ids, "zh" if language == "zh" else "en", MOST, FEWEST, MERGED_BELOW)
    return [segment for segment in segments if not is_only_punctuation(segment.replace(" ", ""))]


def kept_tokens(tokens: Sequence[int], version: int) -> list[int]:
    """The tokens that the flow gets: of v3's silence, no more than SILENT_IN_A_ROW in a row, as upstream."""
    if version != 3:
        return list(tokens)
    kept: list[int] = []
    silent = 0
    for token in tokens:
        silent = silent + 1 if token in SILENT else 0
        if silent <= SILENT_IN_A_ROW:
            kept.append(token)
    return kept
