"""Text to what is spoken at once, and speech tokens to what is heard of them."""

from collections.abc import Callable, Sequence

from pipeline.errors import DialogueRejected

# As CosyVoice splits: in tokens of text, for Chinese in characters.
MOST, FEWEST, MERGED_BELOW = 80, 60, 20
SILENT = frozenset({1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323})  # v3's tokens of silence and breath
SILENT_IN_A_ROW = 5


def split(text: str, language: str, text_ids: Callable[[str], list[int]]) -> list[str]:
    """Segments at the ends of sentences. Raises DialogueRejected if there is nothing to say, or marks among it."""
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
    """What the flow is given: of v3's silence, no more than a few tokens in a row, as upstream."""
    if version != 3:
        return list(tokens)
    kept: list[int] = []
    silent = 0
    for token in tokens:
        silent = silent + 1 if token in SILENT else 0
        if silent <= SILENT_IN_A_ROW:
            kept.append(token)
    return kept
