# ruff: noqa: E501  (tables)
"""What must be heard of a written text: an oracle that shares no code or table with the rewriter, and texts to ask it.

It knows how numbers are said and what signs are called, and nothing of how the rewriter works. It is given what was
written, what is said, and which notes were taken.
"""

import html
import random
import re
import unicodedata
from collections import Counter

ONES = str.split(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
)
TENS = str.split("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = str.split("january february march april may june july august september october november december")
SIGNS_EN = {
    "$": "dollar dollars cent cents", "£": "pound pounds penny pence", "€": "euro euros cent cents", "¥": "yen", "%": "percent",
    "°": "degree degrees", "±": "minus", "+": "plus", "=": "equals equal", "<": "less", ">": "greater more", "≤": "most", "≥": "least",
    "≈": "about", "≠": "not", "×": "times by", "÷": "divided", "&": "and", "@": "at", "#": "number hashtag sharp", "√": "root",
    "π": "pi", "∞": "infinity", "§": "section", "©": "copyright", "→": "to", "~": "about tilde to", "^": "squared cubed power square cubic",
    "−": "minus", "½": "half", "¼": "quarter", "²": "squared square", "³": "cubed cubic", "⁻": "minus", "№": "number no",
}  # fmt: skip
SIGNS_ZH = {
    "$": "美元", "£": "英镑", "€": "欧元", "¥": "元", "￥": "元", "%": "百分", "°": "度", "±": "正负", "+": "加 正", "=": "等于", "<": "小于",
    ">": "大于", "≤": "小于等于", "≥": "大于等于", "≈": "约", "≠": "不等于", "×": "乘", "÷": "除", "&": "和", "@": "at", "√": "根号",
    "→": "到", "~": "约 到", "−": "负 减", "½": "二分之一", "²": "二次方 平方", "³": "三次方 立方", "⁻": "负", "℃": "摄氏度", "％": "百分",
}  # fmt: skip
UNITS = {
    "kg": "kilogram 千克", "km": "kilometer 千米 公里", "m": "meter million 米", "cm": "centimeter 厘米", "g": "gram 克", "lb": "pound", "mph": "miles mile 英里",
    "ft": "foot feet 英尺", "h": "hour 小时", "L": "liter 升", "GB": "gigabyte", "MB": "megabyte", "km/h": "kilometer", "min": "minute 分钟", "am": "a.m.", "pm": "p.m.",
    "st": "", "nd": "", "rd": "", "th": "", "k": "thousand", "M": "million", "C": "celsius 摄氏度", "F": "fahrenheit 华氏度", "x": "times by",
    "v": "version", "s": "ies second", "in": "inch", "Jan": "january", "Dr": "doctor drive", "Mr": "mister", "vs": "versus", "etc": "cetera", "No": "number", "no": "number",
    "US": "u.s.", "e.g": "for example", "USD": "u.s.", "e": "times 乘以", "E": "times", "kcal": "kilocalor", "oz": "ounce", "W": "watt", "A": "amp", "V": "volt", "J": "joule", "I": "", "K": "kelvin",
}  # fmt: skip
WITH_NUMBERS = frozenset(
    str.split(
        "a and oh o'clock point hundred thousand million billion trillion comma half halves third thirds quarter quarters zero minus dash to of out "
        "over percent dot ten power the per square cubic dollars dollar cents cent feet foot inch inches times first second"
    )
)

NO_ADDRESS = r"\s<>\"«»“”()\[\]–—…№½¼\u2e80-\uffff"  # what ends a web address
# A fraction glued to an address is a part of it, and the note counts it (1~-½); after a letter, a digit or . , : / it stands apart.
IN_ADDRESS = rf"(?:(?!\.\.\.)[^{NO_ADDRESS}]|(?<![^\W_])(?<![.,:/])[½¼])*"
Lost = list[str]


def spelled(number: int) -> list[str]:
    """A whole number as English words, without its `and`."""
    if number < 20:
        return [ONES[number]]
    if number < 100:
        return [TENS[number // 10], *(spelled(number % 10) if number % 10 else [])]
    for size, name in (
        (10**12, "trillion"),
        (10**9, "billion"),
        (10**6, "million"),
        (1000, "thousand"),
        (100, "hundred"),
    ):
        if number >= size:
            return [*spelled(number // size), name, *(spelled(number % size) if number % size else [])]
    raise ValueError(number)


def ordinal(words: list[str]) -> list[str]:
    last = words[-1]
    return [*words[:-1], ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")]


def readings_en(group: str) -> list[list[str]]:
    """The ways in which a group of digits may be said."""
    number = int(group)
    by_digit = [ONES[int(digit)] for digit in group]
    ways = [by_digit]
    if len(group) <= 15:
        ways += [spelled(number), ordinal(spelled(number))]
    if len(group) == 4:
        ways += [spelled(number // 100) + (["oh", ONES[number % 100]] if number % 100 < 10 else spelled(number % 100))]
        ways += [[*spelled(number // 100), "hundred"]]
        ways += [[*way[:-1], plural(way[-1])] for way in ways[-2:]]
    if len(group) <= 2:
        ways += [spelled(int(group.ljust(2, "0"))), ["oh", *spelled(number)], plural_of(spelled(number))]
        ways += [[month] for month in MONTHS[number - 1 : number] if number]
        ways += [[*ordinal(spelled(number))[:-1], ordinal(spelled(number))[-1] + "s"]]
        ways += {
            2: [["half"], ["halves"], ["squared"], ["square"]],
            3: [["cubed"], ["cubic"]],
            4: [["quarter"], ["quarters"]],
            1: [["a"]],
        }.get(number, [])
        ways += [[*spelled(2000 + number)], [*spelled(20), *spelled(number)], [*spelled(19), *spelled(number)]]
    return sorted(ways, key=len, reverse=True)


def plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def plural_of(words: list[str]) -> list[str]:
    return [*words[:-1], plural(words[-1])]


def taken(words: list[str], ways: list[list[str]]) -> bool:
    """Whether one of the ways stands in the words; it is taken out of them."""
    for way in ways:
        for start in range(len(words) - len(way) + 1):
            if words[start : start + len(way)] == way:
                words[start : start + len(way)] = ["|"]
                return True
    return False


def seen(text: str, notes: list[str]) -> str:
    """What is left to be heard of a text after what its notes say was left out."""
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    if "web_address_shortened" in notes:
        text = re.sub(rf"(?:https?://|www\.){IN_ADDRESS}|\w+\.(?:com|org|net)(?:/{IN_ADDRESS})?", " ", text)
    if "link_left_out" in notes:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)|^\[[^\]]*\]:.*$", r"\1", text, flags=re.MULTILINE)
    if "image_left_out" in notes:
        text = re.sub(r"\]\([^)]*\)", "] ", text)
    if "html_left_out" in notes:
        text = re.sub(r"<!--.*?-->|</?[a-z]+(?: [^<>]*=[^<>]*)?>", " ", text, flags=re.DOTALL)
    if "citation_left_out" in notes:
        text = re.sub(r"\[(?:\^\w{1,20}|\d{1,3})\]:?", " ", text)
    if "code_left_out" in notes:
        text = re.sub(r"^ *(~~~|```).*?(?:^ *\1|\Z)", " ", text, flags=re.MULTILINE | re.DOTALL)
    if "emoji_left_out" in notes:
        text = re.sub(r"(?<!\S)[:;=：＝]['-]?[()（）DPp|\\/]", " ", text)
    if "trade_mark_left_out" in notes:
        text = re.sub("[™®]", "", text)
    text = re.sub(r"(?<!\w)(\*+)</?(?:b|i|br)>\s*(?=\S)", r"\1", text)  # no space follows the star: it opens emphasis
    text = re.sub(r"</?(?:b|i|br|sup|sub)>", " ", text)
    text = re.sub(r"(?<=\b[A-Za-z\d])\*(?=[A-Za-z\d]\b)", " × ", text)
    text = re.sub(
        r"(?:(?<![\w*])\*+(?=\S)|\*+(?=\w))((?:(?!\n\s*(?:\n|[-#>] ))[^*])*?[^*\s])\*+", r"\1", text
    )  # emphasis, which may join what is within a word
    text = re.sub("⁻?[⁰¹²³⁴-⁹]{2,}|⁻[⁰¹²³⁴-⁹]", digits_of_power, html.unescape(text))
    text = re.sub(r"(?<!\w)0x([0-9A-F]+)", lambda m: "0 x " + " ".join(m[1]) + " ", text)
    text = re.sub("[½¼№]", r" \g<0> ", text)  # a fraction is no part of the digits beside it
    for written, sign in (("<=", "≤"), (">=", "≥"), ("!=", "≠"), ("->", "→"), ("－>", "→"), ("=>", "→"), ("==", "=")):
        text = text.replace(written, sign)
    return text


def digits_of_power(m: re.Match[str]) -> str:
    """Of 10⁻³² a minus and 32: more than one raised digit is no square and no cube."""
    return ("⁻ " if m[0][0] == "⁻" else "^") + unicodedata.normalize("NFKC", m[0].lstrip("⁻")) + " "


def clear_minuses(text: str) -> int:
    """Dashes that can only be a minus: a hyphen at a number, after nothing that it could join."""
    currency = "[$£€¥￥]?"
    attached = (
        rf"(?:^|[\s(=<>:,;，。：；（])(?<![\d²³]\s)(?<![%°A-Za-z\u4e00-\u9fff]\s)-(?={currency}\.?\d)|[$£€¥￥]-(?=\d)"
    )
    return len(re.findall(attached, text, re.MULTILINE)) + text.count("−") + text.count("⁻")


def lost_en(written: str, said: str, notes: list[str]) -> Lost:
    """What is not heard in English."""
    text = seen(written, notes)
    words = re.findall(r"[a-z]+", one_by_one(said))
    counted = Counter(words)
    lost = []
    if clear_minuses(text) > counted["minus"]:
        lost.append("minus")
    for sign, readings in SIGNS_EN.items():
        once = re.sub(r"(%)\s?[-–—]\s?(?=\d[\d.,]*\s?%)|([$£€¥])(?=\s?\d[\d.,]*\s?[-–—]\s?[$£€¥])", "", text)
        if once.count(sign) > layout(sign, once) + sum(counted[one] for one in readings.split()) + said.count(sign):
            lost.append(sign)
    lost += lost_numbers_en(text, said)
    return lost + lost_words(text, said) + invented(text, words)


def layout(sign: str, text: str) -> int:
    """How often a sign may be a mark of Markdown."""
    if sign == "=":
        return sum(map(len, re.findall(r"(?<=\S\n)=+(?=\s*$)", text, re.MULTILINE)))  # under a heading
    if sign == ">":
        return len(re.findall(r"^[\s*+>-]*>", text, re.MULTILINE))
    if sign == "~":
        return 4 * len(re.findall(r"~~(?=\S).*?\S~~", text)) + 3 * len(re.findall(r"^ *~~~", text, re.MULTILINE))
    if sign == "#":
        return sum(one.count("#") for one in re.findall(r"^[\s*+>-]*#{1,6}(?:\s.*\s#+\s*$|\s|$)", text, re.MULTILINE))
    if sign == "+":
        return len(re.findall(r"^[\s*+>-]*\+(?:\s|$)", text, re.MULTILINE))
    return 0


def one_by_one(said: str) -> str:
    return said.lower().replace(".m.", "m").replace("-", " ")


def lost_numbers_en(text: str, said: str) -> Lost:
    words = re.findall(r"[a-z]+|[,.;:!?]", one_by_one(said))  # no number goes on over a pause
    words = [word for word in words if word != "and"]
    plain = unicodedata.normalize("NFKC", text.replace("²", "^2; ").replace("³", "^3; ")).replace("⁄", "/")
    lost = []
    if "cent" in words or "cents" in words or "pence" in words:
        plain = re.sub(r"(?<=[$£€−-])0(?=\.\d)|(?<!\d)(?<!\d\.)0(?=\.\d+ ?(?:[€£]|USD))", "", plain)
    for number in numbers_of(plain):
        group = re.sub(r"\D", "", number)
        apart = re.findall(r"\d+", number)
        if not taken(words, readings_en(group)) and (
            len(apart) == 1 or not all(taken(words, readings_en(one)) for one in apart)
        ):
            lost.append(number)
    return lost


def numbers_of(text: str) -> list[str]:
    """The longest first, zeros last, so that none takes what another says. 5.00 and 12:00 say nothing of their zeros.

    A power ends with a semicolon: x²105 is no 2 105.
    """
    found = re.findall(r"\d{1,3}(?:,\d{3})+(?!\d)|[1-9]\d{0,2}(?: \d{3})+(?!\d)|(?<=\d[.:])0+(?!\d)|\d+", text)
    silent = re.findall(r"(?<=\d[.:])0+(?!\d)", text)
    for zeros in silent:
        found.remove(zeros)
    return sorted(found, key=lambda one: (not one.strip("0"), -len(one)))


def lost_words(text: str, said: str) -> Lost:
    """Words that are not heard as they are, nor as what they are short for; and those that are heard in another order."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    lower = said.lower()
    words = set(re.findall(r"[a-z]+", lower))
    bare = re.sub(r"(?<![A-Za-z])e\.g\.", " ", bare)
    runs = re.findall(r"[A-Za-z]+", re.sub(r"&[a-z]+;|\\[nrt](?![A-Za-z])", " ", bare))
    lost = [
        run
        for run in runs
        if run.lower() not in words and not any(one in lower for one in UNITS.get(run, "?").split(" "))
    ]
    place = 0
    for run in (run for run in runs if len(run) > 3 and run not in UNITS):
        if (found := lower.find(run.lower(), place)) < 0:
            return [*lost, f"{run} in its place"]
        place = found + len(run)
    return lost


def invented(text: str, words: list[str]) -> Lost:
    """Words that nothing in the text says."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).lower()
    known = (
        {"for", "example", "com", "drive", "plus", *re.findall(r"[a-z]+", bare)}
        | WITH_NUMBERS
        | set(ONES)
        | set(TENS)
        | set(MONTHS)
    )
    known |= {ordinal([word])[0] for word in [*ONES[1:], *TENS[1:], "hundred", "thousand", "million"]}
    known |= {plural(word) for word in [*ONES, *TENS]} | {ordinal([word])[0] + "s" for word in ONES[1:]}
    for sign, readings in SIGNS_EN.items():
        known |= set(readings.split()) if sign in unicodedata.normalize("NFKC", text) or sign in text else set()
    said_units = " ".join(UNITS[run] for run in UNITS if run.lower() in bare)
    extra = str.split(
        "is at most least than greater more less equal not by divided plus slash or dash underscore blank pi root star sharp o clock am pm s t"
    )
    words = [part for word in words for part in word.split("'")]
    return [
        word
        for word in words
        if word not in known and word not in extra and word.rstrip("s")[:5] not in said_units.lower()
    ]


HAN_DIGITS = "零一二三四五六七八九"


def spelled_zh(number: int) -> str:
    if number < 10:
        return HAN_DIGITS[number]
    for size, name in ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十")):
        if number >= size:
            head, rest = divmod(number, size)
            gap = "零" if rest and rest < size // 10 else ""
            return spelled_zh(head) + name + (gap + spelled_zh(rest) if rest else "")
    raise ValueError(number)


def readings_zh(group: str) -> list[str]:
    by_digit = "".join(HAN_DIGITS[int(digit)] for digit in group)
    ways = {by_digit, by_digit.replace("一", "幺"), "二零" + by_digit}
    if len(group) <= 12:
        cardinal = spelled_zh(int(group))
        ways |= {cardinal, cardinal.removeprefix("一") if cardinal.startswith("一十") else cardinal}
    ways |= {
        way.replace("二千", "两千").replace("二百", "两百").replace("二万", "两万").replace("二亿", "两亿")
        for way in ways
    }
    ways |= {"两"} if group.strip("0") == "2" and int(group) == 2 else set()
    return sorted(ways, key=lambda way: (-len(way), way))


def length_zh(number: str) -> int:
    """How long a number is when it is said: 十二 stands in 四十二, so that one is taken first."""
    digits = re.sub(r"\D", "", number)
    return len(spelled_zh(int(digits)).removeprefix("一")) if len(digits) <= 12 else len(digits)


def lost_zh(written: str, said: str, notes: list[str]) -> Lost:
    """What is not heard in Chinese."""
    text = seen(written, notes)
    lost = []
    if clear_minuses(text) > said.count("负") + said.count("减"):
        lost.append("负")
    text = re.sub(r"~~(?=\S)(.*?\S)~~", r" \1 ", text)
    for sign, readings in SIGNS_ZH.items():
        if sign == "~":
            text = re.sub(r"[~～](?![$£€¥￥]?\.?\d)", " ", text)  # before no number it is a drawl
        if text.count(sign) > layout(sign, text) + sum(said.count(one) for one in readings.split()):
            lost.append(sign)
    plain = text.replace("²", "^2; ").replace("³", "^3; ")
    plain = unicodedata.normalize("NFKC", plain)
    left = said
    for number in sorted(numbers_of(plain), key=lambda one: (not one.strip("0"), -length_zh(one))):
        ways = [readings_zh(re.sub(r"\D", "", number))]
        if not any(way in left for way in ways[0]):
            ways = [readings_zh(one) for one in re.findall(r"\d+", number)]
        for way in ways:
            found = next((one for one in way if one in left), None)
            if found is None:
                lost.append(number)
            left = left.replace(found, "|", 1) if found else left
    place = 0
    for character in re.findall(r"[\u4e00-\u9fff]", plain):
        if character not in "零〇一二三四五六七八九十百千万亿两" and (place := said.find(character, place) + 1) == 0:
            return [*lost, character]
    lower = said.lower()
    runs = re.findall(r"[A-Za-z]+", re.sub(r"&[a-z]+;|\\[nrt](?![A-Za-z])", " ", plain))
    return lost + [
        run
        for run in runs
        if run.lower() not in lower and not any(one in lower for one in UNITS.get(run, "?").split(" "))
    ]


NUMBERS = "0 1 2 5 7 10 12 19 21 42 99 100 105 1,200 1,234,567 1905 1990 2000 2024 3.5 0.5 .5 12.50 007 1 000 000|25 000|1/2|3/4|½|2½|3:45|12:00|2nd|3rd|21st|1e-5|0x1F|10^-3|10⁻³|x²|5:3|1.2.3"
NUMBERS_EN = [*NUMBERS.split("|", maxsplit=1)[0].split(" ")[:-3], "1 000 000", *NUMBERS.split("|")[1:]]
MINUSES = [
    "-",
    "−",
    "- ",
    "–",
    "--",
    "—",
    "+",
    "±",
    "~",
    "<",
    ">",
    "≥",
    "≤",
    "=",
    "+/-",
    "#",
    "%",
    "$",
    "-$",
    "-£",
    "€",
    "$-",
    "(",
    "[",
    '"',
    "'",
    "^",
    "/",
    "*",
    "_",
    ":",
    "@",
    "&",
]
UNIT_PIECES = [
    "kg",
    " kg",
    "km",
    " m",
    "cm",
    "%",
    " %",
    "°",
    "°C",
    " °F",
    "mph",
    "ft",
    "GB",
    "€",
    " €",
    "th",
    "'",
    '"',
    "+",
    "-",
    "!",
    ")",
    "]",
    ".",
    "*",
    "x",
    "²",
    " USD",
    "k",
    "M",
]
WORDS_EN = str.split(
    "apples off about the price It is fell by to Room page COVID cafe naïve Henry word A B I x no US it's dogs' well-known and/or e.g. Dr. Smith"
)
WORDS_ZH = str.split(
    "今天 气温 是 大约 价格 第 个 元 公里 年 月 日 号 打 折 百分之 负 比 到 我 们 喜欢 Python A 温度 为"
)
JOINS = [
    "",
    "",
    " ",
    " ",
    ", ",
    "-",
    " - ",
    " – ",
    "—",
    "/",
    " = ",
    "×",
    " x ",
    "*",
    "\n",
    "\n- ",
    "\n\n",
    ". ",
    "; ",
    " (",
    ") ",
    " | ",
    "~",
    "...",
]
JOINS_ZH = ["", "", "", "，", "。", "-", " - ", "—", "~", "～", "/", "=", "×", "\n", "、", "（", "）", "：", "·"]
ODD = ["\u200b", "\u00ad", "\u202e", "\u0301", "\u0338", "≠", "é", "™", "©", "§", "№", "🙂", "５", "％", "－", "&amp;", "&minus;", "\\n", "<b>", "</b>", "<br>", "<!-- x -->", "[1]", "[^2]", "[word](http://a.com/b \"t\")", "![alt](a.png)", "http://example.com/path/x?y=1", "ann@example.com", "`", "**", "~~", "> ", "# ", "1. ", "- ", "| a | b |\n|-|-|\n| 1 | 2 | 3 |\n", "C++", "C#", "H2O", "24/7", ":-)", "\ue000", "…", "«", "»", "a*b*c", "a <b and c> d", "ISBN 978-3-16", "555-123-4567"]  # fmt: skip


def text(draw: random.Random, language: str) -> str:
    """A text of a few numbers, signs, units, words and marks, in every neighbourhood."""
    words, joins = (WORDS_ZH, JOINS_ZH) if language == "zh" else (WORDS_EN, JOINS)
    kinds = [NUMBERS_EN] * 3 + [words] * 4 + [ODD, draw.choice([MINUSES, UNIT_PIECES, words])]
    pieces = []
    for _ in range(draw.randint(1, 7)):
        kind = draw.choice(kinds)
        piece = draw.choice(kind)
        if kind is NUMBERS_EN:
            piece = draw.choice(["", "", *MINUSES[:22]]) + piece + draw.choice(["", "", *UNIT_PIECES])
        pieces += [piece, draw.choice(joins)]
    return "".join(pieces[: -1 if draw.random() < 0.7 else None])


def lost(written: str, said: str, notes: list[str], language: str) -> Lost:
    return (lost_zh if language == "zh" else lost_en)(written, said, notes)
