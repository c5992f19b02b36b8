"""Steps of rewriting: a pattern and its spoken words. What a step removes must be heard or noted, or it rejects.

Changes of a text go through `applied`, which compares each match with its spoken words (`unheard`). So a rule that
drops a minus sign, a digit or a word is found by the first text that it meets.
"""

import functools
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..errors import DialogueRejected

LETTERS = string.ascii_letters
"""For `silent` of a step whose letters are looked up in a table of words (units, months, abbreviations)."""

_READINGS = {
    "-": "minus to dash plus − 负 到 减 至 杠 月 日",
    "–": "minus to dash 负 到 减",
    "—": "minus to dash 负 到 减",
    "−": "minus 负 减",
    "+": "plus 加 正",
    "±": "plus 正负",
    "$": "dollar dollars cent cents 美元",
    "£": "pound pounds penny pence 英镑",
    "€": "euro euros cent cents 欧元",
    "¥": "yen 元",
    "￥": "yen 元",
    "₹": "rupee rupees paisa paise 卢比",
    "¢": "cent cents",
    "%": "percent 百分",
    "°": "degree degrees 度",
    "/": "or per slash over of divided half halves third thirds quarter quarters fifth fifths sixth sixths eighth "
    "eighths sixteenth sixteenths 或 每 分之 除 年 月 日 斜杠",
    "=": "equals equal least most to 等于 到",
    "<": "less most 小于",
    ">": "more greater least to 大于 到",
    "!": "not",
    "≤": "most 小于等于",
    "≥": "least 大于等于",
    "≠": "not 不等于",
    "≈": "about 约",
    "~": "about tilde to 约 到",
    "×": "times by square cubic 乘",
    "÷": "divided 除",
    "*": "times star 乘 星号",
    "^": "squared cubed power square cubic 次方",
    "√": "root 根号",
    "π": "pi 派",
    "∞": "infinity 无穷",
    "&": "and 和",
    "@": "at",
    "#": "number hashtag sharp 井号",
    "§": "section",
    "©": "copyright",
    "→": "to 到",
    "↔": "and",
    "_": "underscore blank 下划线",
}
_PAUSES = frozenset(".,:;!?…，、；：。！？·•\"'“”‘’«»()[]（）【】{}《》〈〉「」『』")
"""Marks that a voice pauses at, or quotes with; those within a number are read with its digits."""

_HAN_READINGS = {sign: [one for one in words.split() if not one.isascii()] for sign, words in _READINGS.items()}
_LATIN_READINGS = {sign: [one for one in words.split() if one.isascii()] for sign, words in _READINGS.items()}
_NUMBER_WORDS = frozenset(
    str.split(
        "a zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred "
        "thousand million billion trillion first second third fourth fifth sixth seventh eighth ninth tenth "
        "eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth "
        "thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth hundredth thousandth millionth "
        "billionth trillionth half halves thirds quarter quarters fifths sixths eighths sixteenths squared cubed "
        "square cubic hundreds tens twenties thirties forties fifties sixties seventies eighties nineties january "
        "february march april may june july august september october november december"
    )
)
_HAN_NUMBERS = frozenset("零〇一二三四五六七八九十百千万亿两幺半")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_RUN = re.compile(r"[^\W\d_]+")
_GROUP = re.compile(r"\d+")

Match = re.Match[str]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The spoken words where something is left out, and the note that counts it."""

    words: str
    note: str


@dataclass(frozen=True, slots=True)
class Step:
    """A pattern and the spoken words for each match: a template for `re.sub`, or a function.

    silent: characters that mean nothing where the pattern matches.
    """

    pattern: re.Pattern[str]
    say: str | Callable[[Match], str | LeftOut]
    silent: str = ""

    def reading(self, m: Match, notes: list[str]) -> str:
        """The words for a match. Raises DialogueRejected if a part of it would be neither heard nor noted."""
        words = m.expand(self.say) if isinstance(self.say, str) else self.say(m)
        if isinstance(words, LeftOut):
            notes.append(words.note)
            return words.words
        check_heard(m[0], words, self.silent)
        return words


def applied(text: str, steps: Iterable[Step], notes: list[str]) -> str:
    """The text after all steps, one after another. Raises DialogueRejected where one would drop something."""
    for step in steps:
        text = step.pattern.sub(functools.partial(step.reading, notes=notes), text)
    return text


def check_heard(written: str, spoken: str, silent: str = "") -> None:
    """Raise DialogueRejected unless all of `written` is heard in `spoken`, which takes its place."""
    if missing := unheard(written, spoken, silent):
        raise DialogueRejected(
            "not_heard", f"{', '.join(map(repr, missing))} of {written[:60]!r} would not be heard in {spoken[:60]!r}"
        )


def unheard(written: str, spoken: str, silent: str = "") -> Sequence[str]:
    """What of `written` is neither kept nor read out in `spoken`: signs, numbers and words.

    White space, pauses and `silent` characters need not be heard. A sign must be heard as often as it is written.
    """
    if written == spoken:
        return []
    lower = spoken.casefold()
    signs = Counter(c for c in written if not (c.isalnum() or c.isspace() or c in _PAUSES or c in silent))
    missing = [sign for sign, count in signs.items() if _heard(sign, lower) - _heard_before(sign, written) < count]
    if _GROUP.search(written) and (numbers := _unread_numbers(written, lower)):
        missing.append(numbers)
    return missing + [
        run for run in _RUN.findall(written) if run.casefold() not in lower and not all(c in silent for c in run)
    ]


def _heard(sign: str, spoken: str) -> int:
    """How often a sign is kept or read. `spoken` is in lower case."""
    count = spoken.count(sign)
    if han := _HAN_READINGS.get(sign):
        count += sum(spoken.count(reading) for reading in han)
    if latin := _LATIN_READINGS.get(sign):
        count += sum(word in latin for word in _WORD.findall(spoken))
    return count


def _heard_before(sign: str, written: str) -> int:
    """Words of the text itself that sound like the sign's reading."""
    return _heard(sign, written.casefold()) - written.count(sign)


def _unread_numbers(written: str, spoken: str) -> str:
    """The numbers of `written`, if fewer are heard. A group of zeros is silent beside others: 5.00, 12:00."""
    groups = _GROUP.findall(written)
    if "".join(groups) == "".join(_GROUP.findall(spoken)):
        return ""
    telling = sum(bool(group.strip("0")) for group in groups) or 1
    count = len(_GROUP.findall(spoken)) + sum(word in _NUMBER_WORDS for word in _WORD.findall(spoken))
    count += sum(character in _HAN_NUMBERS for character in spoken)
    return "" if count >= telling else " ".join(groups)
