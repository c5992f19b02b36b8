"""Brings characters that are written in several forms to one, and checks that a voice can read all that are left."""

import re
import unicodedata

from ..errors import DialogueRejected

EMOJI_LEFT_OUT = "emoji_left_out"
TRADE_MARK_LEFT_OUT = "trade_mark_left_out"

LONGEST_WORD = 30  # letters; a longer string is not a word, and a grapheme-to-phoneme model would guess

_ONE_FOR_MANY = {
    "'": "‘’‛ʼ′´",
    '"': "“”„‟″«»‹›",
    "-": "‐‑‒﹣",
    "—": "―",
    " • ": "•‣◦▪●",
    "/": "⁄∕",
    "×": "✕✖",
    "*": "∗",
    "·": "∙⋅",
    "~": "∼",
    "→": "⇒➔➜➡",
    "°": "˚",
    " No.": "№",
    "...": "…",
    "®": "™℠",
    # Letters that have no decomposition into one of ASCII and its accent.
    "ss": "ß",
    "ae": "æ",
    "Ae": "Æ",
    "oe": "œ",
    "Oe": "Œ",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "d": "đð",
    "D": "Đ",
    "th": "þ",
    "i": "ı",
}
_REPLACED = str.maketrans({character: one for one, many in _ONE_FOR_MANY.items() for character in many})
_SUPERSCRIPTS = {character: str(digit) for digit, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_SUPERSCRIPTS |= {"⁻": "-", "⁺": "+", "ⁿ": "n"}
_SUPERSCRIPT_RUN = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|ⁿ")
_VULGAR = re.compile(r"((?<=\d)/)?([¼½¾⅐-⅞])(/(?=[\d¼½¾⅐-⅞]))?")
_GOES_ON = re.compile(r"/|[.,:]?\d")
_DEGREES = re.compile(r"º(?=\s?[CF]\b)")
_WIDE_MARKS = "（）［］～＃＞＜｜｀＆＼，；：！？"
_COMPATIBLE = re.compile("[^ºª]+")  # these two would become letters: 1º is no "1o"
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_NARROW = re.compile(f"[^ºª{_WIDE_MARKS}]+")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u231a\u231b\u23e9-\u23fa\u2600-\u27bf\u2b05-\u2b55\u2934\u2935\u3030\u303d\u3297\u3299]"
    r"|(?<!\S)[:;=：；]['-]?[()（）DPp|｜\\/](?![\w/])"
)
_OWNED = re.compile(r"\s?®")
_ACCENTED = re.compile(r"(?<![^\W\d_])[^\W\d_]*[\u00c0-\u024f\u1e00-\u1eff][^\W\d_]*")
_LETTER_WITH_MARKS = re.compile("([A-Za-z])[\u0300-\u036f]+")


def unified(text: str, wide_marks: bool = False) -> str:
    """Text with one form for each quote, hyphen, space and width; no control or zero-width character left.

    Superscripts become `^2`, `2½` becomes `2 1/2`, `½/2` becomes `1/2 / 2`, every line break becomes a newline. A
    minus stays one: `−` is never `-`.

    wide_marks: full-width brackets, tildes and similar marks stay as they are: `（` and `～～～` are not Markdown. Once
    the markup is read, this runs again without `wide_marks`.
    """
    text = _SUPERSCRIPT_RUN.sub(_power, text)
    text = _VULGAR.sub(_vulgar, text)
    text = _DEGREES.sub("°", _LINE_BREAKS.sub("\n", text)).translate(_REPLACED)
    text = (
        (_NARROW if wide_marks else _COMPATIBLE)
        .sub(lambda run: unicodedata.normalize("NFKC", run.group()), text)
        .translate(_REPLACED)
    )
    return "".join(_plain(character) for character in text)


def _power(run: re.Match[str]) -> str:
    after = run.string[run.end() : run.end() + 1]
    return "^" + "".join(_SUPERSCRIPTS[c] for c in run.group()) + (" " if after.isalnum() else "")


def _vulgar(m: re.Match[str]) -> str:
    """A fraction of one character, apart from digits that would become part of it."""
    before = m.string[max(0, m.start() - 1) : m.start()]
    left = " / " if m[1] else " " if before.isalnum() or before in (".", ",", ":", "/") else ""
    right = " / " if m[3] else " " if _GOES_ON.match(m.string, m.end()) else ""
    return left + unicodedata.normalize("NFKC", m[2]) + right


def _plain(character: str) -> str:
    if character == "\n":
        return character
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f" or character == "\u20e3":
        return ""
    return " " if category in ("Zs", "Zl", "Zp") else character


def without_marks(text: str, notes: list[str]) -> str:
    """The text without its emoji, emoticons and dingbats, and without signs of ownership; each is noted."""
    for pattern, note in ((_EMOJI, EMOJI_LEFT_OUT), (_OWNED, TRADE_MARK_LEFT_OUT)):
        text, count = pattern.subn(" ", text)
        notes += [note] * (count > 0)
    return text


def accented_words(text: str) -> list[str]:
    return _ACCENTED.findall(text)


def without_accents(text: str) -> str:
    """`café` -> cafe: the lexicons of English voices are ASCII. A mark on anything but a letter stays: ≠ is not =."""
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", _LETTER_WITH_MARKS.sub(r"\1", decomposed))


_EN_WORD = r"(?:'?[A-Za-z]+(?:['-][A-Za-z]+)*'?|[A-Za-z]{1,2}(?:\.[A-Za-z])+\.)"
_EN_TOKEN = re.compile(rf"{_EN_WORD}[.,?!;:]?")
_ZH_TEXT = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fffA-Za-z' ，。！？；：、,.!?-]*")
_ZH_SPOKEN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fffA-Za-z]")


def check_speakable(text: str, language: str) -> None:
    """Raise DialogueRejected if `text` has a character that a voice neither speaks nor pauses at.

    English: words of ASCII letters (inner apostrophes and hyphens, dotted initials as in `U.S.`), each followed by
    at most one of `. , ? ! ; :`. Chinese: Han characters, ASCII letters, and the pauses of both scripts.
    """
    if language == "zh":
        if not _ZH_TEXT.fullmatch(text):
            raise DialogueRejected("unspeakable", _names("".join(_ZH_TEXT.split(text))))
        if not _ZH_SPOKEN.search(text):
            raise DialogueRejected("nothing_to_say", "no word is left of a turn")
        return
    tokens = text.split(" ")
    if not text.strip():
        raise DialogueRejected("nothing_to_say", "no word is left of a turn")
    if bad := [token for token in tokens if not _EN_TOKEN.fullmatch(token)]:
        symbols = re.sub(r"[A-Za-z.,?!;:'\- ]", "", "".join(bad))
        raise DialogueRejected(
            "unspeakable", f"{_names(symbols)} in {' '.join(bad)[:80]!r}" if symbols else repr(bad[0][:80])
        )
    if long := [token for token in tokens if max(map(len, re.split(r"[-'.]", token))) > LONGEST_WORD]:
        raise DialogueRejected("unspeakable", f"a word of {len(long[0])} letters: {long[0][:40]!r}")


def _names(symbols: str) -> str:
    distinct = sorted(set(symbols))
    names = [f"{c!r} ({unicodedata.name(c, f'U+{ord(c):04X}')})" for c in distinct[:8]]
    return ", ".join(names) + (f" and {len(distinct) - 8} more" if len(distinct) > 8 else "")
