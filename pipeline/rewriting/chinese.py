"""Plain Chinese text as it is said: Han characters, Latin words and pauses are all that is left."""

import functools
import re
from typing import Any

from .characters import without_accents
from .english import web_addresses

_QUOTES = re.compile(r"[\"“”'‘’「」『』《》〈〉【】]")  # wetext puts a backslash before a quotation mark
_DIGIT = re.compile(r"[0-9０-９%]")
_RULES = [
    (re.compile(pattern), said)
    for pattern, said in (
        (r"C\+\+", "C加加"),
        (r"(?<=[\w）)])\s?[+＋]\s?(?=\w)", "加"),
        (r"[=＝]", "等于"),
        (r"[×✕]", "乘以"),
        (r"÷", "除以"),
        (r"&", "和"),
        (r"[%％]", "百分号"),
        (r"[~～](?=[\d一二三四五六七八九十])", "到"),
        (r"→", "到"),
        (r"°", "度"),
        (r"@", " at "),
        (r"\s?/\s?", "或"),
        (r"<", "小于"),
        (r">", "大于"),
        (r"[*_]", ""),
        (r"\s*[()（）\[\]—–·•…]+\s*|\.{2,}|-{2,}|[~～]|\s-\s", "，"),
        (r"(?<=[\u4e00-\u9fff]),", "，"),
        (r"(?<=[\u4e00-\u9fff]);", "；"),
        (r"(?<=[\u4e00-\u9fff]):", "："),
        (r"(?<=[\u4e00-\u9fff])\?", "？"),
        (r"(?<=[\u4e00-\u9fff])!", "！"),
        (r"(?<=[\u4e00-\u9fff])\.", "。"),
        (r"[，、；：,;:]+([。！？；：])", r"\1"),
        (r"([，、；：。！？])[，、；：,;:。！？]+", r"\1"),
        (r"^[，、；：。！？,.;:!?\s]+", ""),
        (r"(?<=[\u4e00-\u9fff，。！？；：])\s+|\s+(?=[\u4e00-\u9fff，。！？；：])", ""),
        (r"\s+", " "),
    )
]


@functools.cache
def _normalizer() -> Any:
    import wetext  # its grammars take a while to load

    return wetext.Normalizer(lang="zh", operator="tn")


def spoken(text: str) -> str:
    """One paragraph as it is said, numbers read by wetext; what has no reading is left in, to be named."""
    text = _QUOTES.sub("", web_addresses(without_accents(text)))
    if _DIGIT.search(text):
        text = str(_normalizer().normalize(text))
    for pattern, said in _RULES:
        text = pattern.sub(said, text)
    return text.strip()
