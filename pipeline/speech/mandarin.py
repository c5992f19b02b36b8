"""Spoken Chinese text to the phonemes that Kokoro reads, through pinyin. A text that would lose a word is rejected.

Kokoro-82M was trained on the IPA of misaki's first Chinese front end: a syllable is its initial, its final, and an
arrow for its tone behind the vowel; the neutral tone has none. The tables below are that front end's; words, between
spaces, are those that pypinyin knows.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from ..dialogue import words_of
from ..errors import DialogueRejected
from . import phonemes
from .phonemes import MAX_PHONEMES, Piece

VERSION = "1"  # raise it if the same text gives other phonemes


def _table(pairs: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in pairs.split())


INITIALS = _table("b:p p:pʰ m:m f:f d:t t:tʰ n:n l:l g:k k:kʰ h:x j:ʨ q:ʨʰ x:ɕ zh:ꭧ ch:ꭧʰ sh:ʂ r:ɻ z:ʦ c:ʦʰ s:s")
FINALS = _table(  # a star is where the tone stands
    "a:a* ai:ai* an:a*n ang:a*ŋ ao:au* e:ɤ* ei:ei* en:ə*n eng:ə*ŋ o:wo* ong:ʊ*ŋ ou:ou* "
    "i:i* ia:ja* ian:jɛ*n iang:ja*ŋ iao:jau* ie:je* in:i*n ing:i*ŋ iong:jʊ*ŋ iou:jou* "
    "u:u* ua:wa* uai:wai* uan:wa*n uang:wa*ŋ uei:wei* uen:wə*n ueng:wə*ŋ uo:wo* v:y* van:ɥɛ*n ve:ɥe* vn:y*n"
)
WHOLE = _table("er:ɚ* o:ɔ* yo:jɔ* ê:ɛ* m:m* n:n* ng:ŋ* hm:hm* hng:hŋ*")  # neither initial nor final
BUZZED = frozenset(["zh", "ch", "sh", "r", "z", "c", "s"])  # initials whose final `i` is another sound
TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
MARKS = {  # the pause that the first of these behind a word stands for
    **dict.fromkeys("。．.", ". "),
    **dict.fromkeys("！!", "! "),
    **dict.fromkeys("？?", "? "),
    **dict.fromkeys("；;", "; "),
    **dict.fromkeys("：:", ": "),
    **dict.fromkeys("，、,", ", "),
    **dict.fromkeys("—…", "— "),
}
SILENT = "-'’‘“”\"「」『』《》〈〉（）()【】· \u3000"  # around words: nothing is spoken for them
NO_WORD = SILENT + "".join(MARKS)
ENDS = (".!?", ";:,—")  # where a text that is too long is split: behind the last of the first kind that fits
HAN = re.compile(r"[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
LETTER = re.compile(rf"[A-Za-z'’〇]|(?=\w){HAN.pattern}")
VOWELS = frozenset("aeiouyAEIOUY")


def phonemize(text: str, vocabulary: Mapping[str, int]) -> list[Piece]:
    """Phonemes of a text, in pieces of at most 510, split at sentences, else clauses, else words.

    Words are those of `words_of`: a character, or a run of Latin letters, which is read as English. Raises
    DialogueRejected("unspeakable") where a word gives no phonemes, or one the voice does not know.
    """
    words = words_of(text, "zh")
    cores = [word.strip(NO_WORD) for word in words]
    sounds = [*_sounds(words, cores, vocabulary)]
    if not any(sound for sound, _ in sounds):
        raise DialogueRejected("unspeakable", f"no word in {text[:60]!r}")
    joined, owners = "", []
    for number, (word, (sound, ends)) in enumerate(zip(words, sounds, strict=True)):
        spoken = sound + (_pause(word) or " " * ends)
        joined += spoken
        owners += [number] * len(spoken)
    if unknown := sorted({phoneme for phoneme in joined if phoneme not in vocabulary}):
        raise DialogueRejected("unspeakable", f"phonemes {unknown} of {text[:60]!r} are not in the vocabulary")
    return [Piece(joined[start:end], tuple(owners[start:end])) for start, end in _spans(joined, owners)]


def _sounds(words: Sequence[str], cores: Sequence[str], vocabulary: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
    """The phonemes of each word, and whether a space follows; a sign that stands alone has none.

    The voice has learnt spaces behind words of several characters, and is understood less well without them.
    Raises DialogueRejected("unspeakable").
    """
    characters = [core if HAN.fullmatch(core) else "," for core in cores]
    read = _read("".join(one + "," * bool(_pause(word)) for word, one in zip(words, characters, strict=True)))
    for core, following in zip(cores, [*characters[1:], ","], strict=False):
        if HAN.fullmatch(core):
            syllable, ends = next(read)
            yield _syllable(core, syllable), ends or following == ","
        else:
            yield _foreign(core, vocabulary), True


def _read(text: str) -> Iterator[tuple[str, bool]]:
    """The pinyin of each character of a text, with a number for its tone, and whether it ends a word; not of commas."""
    from pypinyin import Style, lazy_pinyin
    from pypinyin.seg.mmseg import seg

    ends = set(accumulate(len(word) for word in seg.cut(text)))
    itself: Any = list  # a character without a reading stays as it is, and so does a comma; the types know a str alone
    syllables = lazy_pinyin(text, Style.TONE3, errors=itself, neutral_tone_with_five=True, tone_sandhi=True)
    if len(syllables) != len(text):
        raise DialogueRejected(
            "unspeakable", f"{len(syllables)} syllables for the {len(text)} characters {text[:60]!r}"
        )
    for place, (character, syllable) in enumerate(zip(text, syllables, strict=True), 1):
        if character != ",":
            yield syllable, place in ends


def _syllable(character: str, pinyin: str) -> str:
    """`zhong1` -> ꭧʊ→ŋ. Raises DialogueRejected("unspeakable") if it is no pinyin."""
    plain, tone = pinyin[:-1], TONES.get(pinyin[-1:])
    sound = WHOLE.get(plain) or _initial_and_final(plain)
    if tone is None or sound is None:
        where = f"{character!r} (U+{ord(character):04X})"
        raise DialogueRejected("unspeakable", f"no Mandarin reading for the character {where}")
    return sound.replace("*", tone)


def _initial_and_final(plain: str) -> str | None:
    initial = next((start for start in (plain[:2], plain[:1]) if start in INITIALS), "")
    final = _full(initial, plain[len(initial) :])
    sound = "ɨ*" if final == "i" and initial in BUZZED else FINALS.get(final)
    return sound and INITIALS.get(initial, "") + sound


def _full(initial: str, final: str) -> str:
    """A final as the table has it: pinyin shortens `uei`, writes `u` for `ü` after j, q, x, and y or w for none."""
    if not initial and final[:1] == "y":
        return "v" + final[2:] if final[1:2] == "u" else final[1:] if final[1:2] == "i" else "i" + final[1:]
    if not initial and final[:1] == "w":
        return final[1:] if final[1:2] == "u" else "u" + final[1:]
    if initial in ("j", "q", "x") and final[:1] == "u":
        return "v" + final[1:]
    return {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve"}.get(final, final)


def _foreign(word: str, vocabulary: Mapping[str, int]) -> str:
    """A word that is not of characters, read as English; by its letters if it has no vowel, as GHz."""
    if not word:
        return ""
    for character in unicodedata.normalize("NFD", word):
        if not (LETTER.match(character) or unicodedata.combining(character)):
            name = f"{character!r} (U+{ord(character):04X}, {unicodedata.name(character, 'no name')})"
            expected = "expected Chinese characters, English words and punctuation; rewrite it as words"
            raise DialogueRejected("unspeakable", f"{name} in {word[:60]!r}: {expected}")
    spelled = word if VOWELS.intersection(word) else word.upper()
    return " ".join(piece.phonemes for piece in phonemes.phonemize(spelled, vocabulary))


def _pause(word: str) -> str:
    """What the voice reads of the punctuation behind a word."""
    behind = word[len(word.rstrip(NO_WORD)) :] if word.strip(NO_WORD) else word
    return next((MARKS[sign] for sign in behind if sign in MARKS), "")


def _spans(text: str, owners: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Start and end of the pieces of phonemes, each at most 510 long and without a space at either end."""
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= MAX_PHONEMES else _last_end(text, owners, start)
        piece = text[start:end]
        if piece.strip(phonemes.NO_SOUND):
            yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        start = end


def _last_end(text: str, owners: Sequence[int], start: int) -> int:
    """Where a piece that starts here ends: behind the last mark of the first kind of ENDS that fits, else a word."""
    limit = start + MAX_PHONEMES
    for signs in ENDS:
        if (mark := max(text.rfind(sign, start, limit) for sign in signs)) > start:
            return mark + 1
    end = next((place for place in range(limit, start, -1) if owners[place] != owners[place - 1]), start)
    if end == start:
        raise DialogueRejected("unspeakable", f"a word of more than {MAX_PHONEMES} phonemes")
    return end
