"""Plain Chinese text as it is spoken: only Han characters, Latin words and pauses are left."""

import functools
import re
from typing import Any, NoReturn

from ..errors import DialogueRejected
from .characters import without_accents
from .dashes import AMBIGUOUS_ARROW, DASH_LEFT_OUT
from .english import web_addresses
from .steps import LETTERS, LeftOut, Match, Step, applied, check_heard

_CURRENCIES = {"$": "美元", "£": "英镑", "€": "欧元", "¥": "元", "￥": "元", "₹": "卢比"}
_SIGN = "[$£€¥￥₹]"
_NUMBER = r"\d+(?:\.\d+)?"
_UNITS = frozenset(
    [
        "kg",
        "g",
        "mg",
        "km",
        "m",
        "cm",
        "mm",
        "nm",
        "L",
        "l",
        "ml",
        "mL",
        "W",
        "kW",
        "V",
        "A",
        "Hz",
        "kHz",
        "MHz",
        "GHz",
        "KB",
        "MB",
        "GB",
        "TB",
        "min",
        "h",
        "s",
        "ms",
        "km/h",
        "m/s",
        "kcal",
        "cal",
    ]
)
_HAN = r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]"
_HAN_DIGITS = "零一二三四五六七八九"
_LONGEST_WHOLE = 16  # digits that 万亿 counts
_GROUPS = re.compile(r"(?<!\d)0{0,20}[1-9]\d{0,14}", re.ASCII)  # not zeros alone, which are silent in 5:00
_DIGIT = re.compile(r"\d", re.ASCII)
_LATIN_UNIT = re.compile(r"(?<=\d)[A-Za-zμ°²³/^]+")


def _step(pattern: str, say: Any, silent: str = "") -> Step:
    return Step(re.compile(pattern, re.ASCII), say, silent)


@functools.cache
def _normalizer() -> Any:
    import wetext  # its grammars take a while to load

    return wetext.Normalizer(lang="zh", operator="tn")


def _read(m: Match) -> str:
    """A clause as wetext reads it. Raises DialogueRejected if wetext drops a part; it may reorder parts."""
    if not _DIGIT.search(m[0]):
        return m[0]
    reading = str(_normalizer().normalize(m[0]))
    check_heard(_LATIN_UNIT.sub(_signs_of_unit, m[0]), reading, ":-" if _GROUPED.search(m[0]) else ":")
    if unread := _unread(m[0], reading):
        raise DialogueRejected(
            "not_heard", f"{', '.join(unread)} of {m[0][:60]!r} would not be heard in {reading[:60]!r}"
        )
    return reading


def _unread(written: str, reading: str) -> list[str]:
    """Groups of digits that are read neither as a number nor digit by digit, each group once."""
    left = reading.replace("幺", "一")
    unread = []
    for group in sorted(_GROUPS.findall(written), key=lambda one: -len(_number(one))):
        match = _readings(group).search(left)
        if match is None:
            unread.append(group)
        else:
            left = f"{left[: match.start()]}|{left[match.end() :]}"
    return unread


def _readings(group: str) -> re.Pattern[str]:
    """Matches a group of digits as a number or digit by digit, the longer of the two first."""
    one_by_one = _one_by_one(group)
    whole = re.sub("二(?=[百千万亿])|^二$", "[二两]", _number(group))
    return re.compile(f"{whole}|{one_by_one}" if len(_number(group)) > len(group) else f"{one_by_one}|{whole}")


def _signs_of_unit(m: Match) -> str:
    return re.sub("[A-Za-zμ²³^]", "", m[0])


def _number(text: str) -> str:
    """`10050` -> 一万零五十, `12.50` -> 十二点五零. wetext reads a number without context as a telephone number."""
    whole, point, fraction = text.partition(".")
    after_point = point and f"点{_one_by_one(fraction)}"
    digits = whole.lstrip("0")
    if not digits or len(digits) > _LONGEST_WHOLE:
        return (_one_by_one(whole) if digits else "零") + after_point
    reading, gap = "", False
    for count, digit in enumerate(digits, 1):
        place = len(digits) - count
        if digit != "0":
            reading += "零" * gap + _HAN_DIGITS[int(digit)] + ("", "十", "百", "千")[place % 4]
        gap = digit == "0"
        if place % 4 == 0 and digits[max(0, count - 4) : count].strip("0"):
            reading += ("", "万", "亿", "万亿")[place // 4]
            gap = False
    return (reading[1:] if reading.startswith("一十") else reading) + after_point


def _one_by_one(digits: str) -> str:
    return "".join(_HAN_DIGITS[int(digit)] for digit in digits)


def _clock(m: Match) -> str:
    minute = "" if m[2] == "00" else f"{'零' if m[2][0] == '0' else ''}{_number(str(int(m[2])))}分"
    return f"{_number(str(int(m[1])))}点{minute}"


def _fraction(m: Match) -> str:
    reading = f"{_number(m[3])}分之{_number(m[2])}"
    return f"{_number(m[1])}又{reading}" if m[1] else reading


def _beside_letters(m: Match) -> str:
    """A number before letters that wetext would wrongly read as a unit: 21st is not 21 seconds."""
    return m[0] if m[2] in _UNITS else f"{_number(m[1])}{m[2]}"


def _range_or_minus(m: Match) -> str:
    if float(m[1]) <= float(m[2]):
        return f"{m[1]}到{m[2]}"
    return f"{m[1]}减{m[2]}"


def _spaced_dash(m: Match) -> LeftOut:
    before = m.string[max(0, m.start() - 1) : m.start()]
    if not before or before in "（(":
        _unclear(m)
    return LeftOut("，", DASH_LEFT_OUT)


def _unclear(m: Match) -> NoReturn:
    around = m.string[max(0, m.start() - 20) : m.end() + 20]
    raise DialogueRejected("unclear_sign", f"a minus, a dash or another sign: {around!r}")


# A telephone number or a date, whose groups are separated by hyphens.
_GROUPED = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?!\d)|\d{3,4}-\d{7,8}(?!\d)|\d{3}-\d{4}-\d{4}(?!\d)|1-?\d{3}-\d{3}-\d{4}(?!\d)", re.ASCII
)

_QUOTATION = r"[\"'“”‘’「」『』《》〈〉【】]"
_QUOTES = (
    _step(
        rf"(?<=[=<>!+＝]){_QUOTATION}+(?=[-=<>＝])|(?<=-){_QUOTATION}+(?=>)", " "
    ),  # ='> is not an arrow, and +"- is not ±
    _step(_QUOTATION, ""),  # wetext puts a backslash before a quotation mark
)
# What signs beside numbers mean: this is decided while the numbers are still digits.
_SIGNS = (
    Step(AMBIGUOUS_ARROW, _unclear),
    _step(r"(?<![<-])-{1,9}>", "到", "-"),
    _step(r"(\d)' ?(\d{1,2})\"", r"\1英尺\2英寸"),
    _step(r"(?<=\d)[\"'](?=\d)", "，"),
    *_QUOTES,
    _step(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\d,])", lambda m: m[0].replace(",", "")),
    _step(
        r"(?<![\w.,])[1-9]\d{0,2}(?: \d{3})* 000(?! ?\d|[-.,]\d)|(?<![\w.,])[1-9]\d?(?: \d{3}){2,4}(?! ?\d|[-,]\d)",
        lambda m: m[0].replace(" ", ""),
    ),
    _step(r"(?<![\d.,])\d+(?:\.\d+){2,}", lambda m: m[0].replace(".", "点")),
    _step(r"(?<![\w.])\.(?=\d)", "0."),
    _step(
        rf"(?<![\w.])({_NUMBER})[eE]([-−+]?)(\d{{1,4}})(?!\d|\.\d)",
        lambda m: f"{m[1]}乘以10的{'负' * (m[2] in ('-', '−'))}{m[3]}次方",
        "eE+",
    ),
    _step(r"(?<=\w)\^([-−]?)(\d+|[A-Za-z]\b)", lambda m: f"的{'负' if m[1] else ''}{m[2]}次方"),
    _step(r"\+ ?/ ?[-−]|\+[-−](?=\.?\d)|±", "正负", "/"),
    _step(rf"({_SIGN}) ?[-−] ?(?=\d)", r"负\1"),
    _step(r"(?<=[\dA-Za-z%）)]) ?− ?", "减"),
    _step(r"− ?", "负"),
    _step(rf"(?<![\w-])-({_NUMBER})-[-−](?=\d)", r"负\1到负"),
    _step(r"(?<=\d)(?:-[-−]+)(?=\d)", _unclear),
    _step(rf"(?:—[-–]|–[-—]|-[–—])(?={_SIGN}?\.?\d)", _unclear),
    _step(rf"(?<![\d.-])({_NUMBER}) ?[-–] ?(?=\d[\d.]{{0,20}} ?[=＝])", r"\1减"),
    _step(r"(\d/\d{1,3}) ?[-–—~～] ?(?=\d)", r"\1到"),
    _step(rf"(?<![\d.-])({_NUMBER}) ?[-–—~～] ?({_NUMBER})(?![\d.]*[-~]\d|\d)", _range_or_minus),
    _step(rf"(\d ?(?:[%℃°]|{_HAN}{{1,3}}|[A-Za-z]{{1,4}})) ?[-–—~～] ?(?={_SIGN}?\d)", r"\1到"),
    _step(rf"({_SIGN}{_NUMBER})(?: [-–—~～] |[-–—~～] ?)(?={_SIGN})", r"\1到"),
    _step(rf"(?<=[=<>≤≥≈×÷+*＝]) ?[-–] ?(?={_SIGN}?\.?\d)", "负"),
    _step(r"(?<=UTC)-(?=\d)|(?<=GMT)-(?=\d)", "负"),
    _step(r"(?<=[A-Za-z])-(?=\d)", " ", "-"),
    _step(rf"(?<![\dA-Za-z%）)-])[-–](?={_SIGN}?\.?\d)", "负"),
    _step(rf"(?<!\d) ?(?:[-–—]+ |[-–—]{{2,}}|—)(?={_SIGN}?\.?\d)", _spaced_dash),
    _step(r"(?<=\d)[-–—]+(?![\d-])", lambda m: LeftOut("，", DASH_LEFT_OUT)),
    _step(r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?![\d:])", _clock),
    _step(r"(?<=\d) / (?=\d)", "除以"),
    _step(r"(?<![\d/.])(?:(\d+) )?(\d+)/(\d+)(?!\d|/\d)", _fraction),
    _step(rf"(?<!\d)({_SIGN}) ?({_NUMBER})(?![\d.]*/\d)", lambda m: m[2] + _CURRENCIES[m[1]]),
    _step(rf"(?<=\d) ?({_SIGN})", lambda m: _CURRENCIES[m[1]]),
    _step(r"(?<=\d)\s+%", "%"),
    _step(r"[~～](?=[\d零一二三四五六七八九十])", "约"),
    _step(r"(?<![\d.])(\d+(?:\.\d+)?)([A-Za-z]+(?:/[A-Za-z]+)?)", _beside_letters),
    _step(r"(?<=[\d方一]) ?° ?C(?![A-Za-z])", "摄氏度", "C"),
    _step(r"(?<=[\d方一]) ?° ?F(?![A-Za-z])", "华氏度", "F"),
    _step(r"(?<=\d) ?°", "度"),  # wetext would take the first letter of a word after it for a scale
    _step(r"(\d) ?\* ?(?=\d)", r"\1乘以"),
)
_NUMBERS = _step(r"[^，。！？；、;!?\n ]+", _read, LETTERS + ":-")  # `_read` compares more strictly
_SYMBOLS = (
    _step(r"(?<![<-])-{1,9}>|=>", "到", "-"),
    _step(r"C\+\+", "C加加"),
    _step(r"(?<=[A-Za-z])\s?[+＋]\s?(?=[A-Za-z])|[+＋]", "加"),
    _step(r"≠|!=", "不等于", "!"),
    _step(r"≤|<=", "小于等于"),
    _step(r"≥|>=", "大于等于"),
    _step(r"≈", "约等于"),
    _step(r"[=＝]", "等于"),
    _step(r"√", "根号"),
    _step(r"[×✕]", "乘以"),
    _step(r"÷", "除以"),
    _step(r"&", "和"),
    _step(r"[%％]", "百分号"),
    _step(r"[~～](?=[\d一二三四五六七八九十])", "到"),
    _step(r"→", "到"),
    _step(r"°", "度"),
    _step(r"@", " at "),
    _step(r"(?<=和) ?/ ?(?=或)", "", "/"),
    _step(r"\s?/\s?", "或"),
    _step(r"<", "小于"),
    _step(r">", "大于"),
    _step(r"\*", "星号"),
    _step(r"_", "下划线"),
    _step(r" ?[()（）\[\]—–·•…]+ ?|\.{2,}|-{2,}|[~～]| - ", "，", "—–-~～"),
)
_MARKS = [
    (re.compile(pattern), mark)
    for pattern, mark in (
        (rf"(?<={_HAN}),", "，"),
        (rf"(?<={_HAN});", "；"),
        (rf"(?<={_HAN}):", "："),
        (rf"(?<={_HAN})\?", "？"),
        (rf"(?<={_HAN})!", "！"),
        (rf"(?<={_HAN})\.", "。"),
        (r"(?<![，、；：,;:])[，、；：,;:]+([。！？；：])", r"\1"),
        (r"([，、；：。！？])[，、；：,;:。！？]+", r"\1"),
        (r"^[，、；：。！？,.;:!?\s]+", ""),
        (r" (?=[,;:!?])", ""),
        (r"(?<=[，。！？；：\u4e00-\u9fff]) | (?=[\u4e00-\u9fff，。！？；：])", ""),
    )
]


def spoken(text: str, notes: list[str]) -> str:
    """One paragraph as it is spoken, with numbers read by wetext. Characters without a reading stay, to be named later.

    notes: gets one note for each omission. Raises DialogueRejected if something would be neither heard nor noted.
    """
    text = web_addresses(without_accents(text), notes)
    if _DIGIT.search(text):
        text = applied(applied(text, _SIGNS, notes), (_NUMBERS,), notes)
    else:
        text = applied(text, _QUOTES, notes)
    text = applied(" ".join(text.split()), _SYMBOLS, notes)
    text = " ".join(text.split())
    for pattern, mark in _MARKS:
        text = pattern.sub(mark, text)
    return text.strip()
