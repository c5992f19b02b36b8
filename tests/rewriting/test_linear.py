"""The work of rewriting grows with the length of a text and no faster.

What the engine of `re` does is asked of the patterns, what Python does is counted in calls: no clock is asked.
"""

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from duplexgen.pipeline import rewriting
from duplexgen.pipeline.dialogue import Dialogue, Turn
from duplexgen.pipeline.rewriting.rules import RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.rewriting.steps import Step

ops: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")

LOOKED_FOR = "duplexgen.pipeline.rewriting.characters._EN_TOKEN"  # is asked of whole words only, never searched for
UNITS = [
    "a",
    "ab|",
    "1",
    "1,",
    "1.",
    "*",
    "_",
    "[",
    "<",
    "`",
    "(",
    "é",
    "x^",
    "-|",
    "A.|",
    "'",
    "''",
    "\"'",
    '"',
    "<!--",
    "I",
    "J.|",
    "V",
    "1/",
    "&|",
    "(",
    "[",
    "你",
    "，",
    ":",
    "1'",
    "½",
    "-1",
    "1-1",
    "..",
    "_|",
    "5kg",
    "e.g.|",
    "a.b(",
    "́",
]
LENGTH = 1000


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in pkgutil.iter_modules(rewriting.__path__, f"{rewriting.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            yield from ((f"{module.name}.{name}", pattern) for pattern in found(value))


def found(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Step):
        yield value.pattern
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from found(one)


def endless(op: Any, argument: Any) -> bool:
    return bool(op in (ops.MAX_REPEAT, ops.MIN_REPEAT) and argument[1] == ops.MAXREPEAT)


def rescans(sequence: Any, follows: bool = False) -> bool:  # noqa: PLR0911  one for each kind of node
    """Whether a pattern starts with an endless repeat and may fail after it: it is then tried from each place."""
    for place, (op, argument) in enumerate(sequence):
        rest = follows or any(needed(*one) for one in sequence[place + 1 :])
        if op in (ops.ASSERT, ops.ASSERT_NOT) and argument[0] < 0:
            return False  # a look behind, which says where it may start
        if op is ops.AT and argument not in (ops.AT_END, ops.AT_END_STRING):
            return False
        if endless(op, argument):
            return rest
        if op is ops.SUBPATTERN:
            return rescans(argument[3], rest)
        if op is ops.BRANCH:
            return any(rescans(branch, rest) for branch in argument[1])
        if needed(op, argument):
            return False
    return False


def needed(op: Any, argument: Any) -> bool:
    if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
        return bool(argument[0] > 0)
    return True


def test_no_pattern_is_tried_over_a_run_from_each_of_its_places():
    checked = dict(patterns())
    assert len(checked) > 60
    assert "duplexgen.pipeline.rewriting.dashes._DASHES" in checked
    assert rescans(parser.parse(r"\s*&"))
    assert rescans(parser.parse(r"[^\W\d_]*é\w*"))
    assert not rescans(parser.parse(r"(?<!\w)\w+é"))
    bad = {
        name: pattern.pattern for name, pattern in patterns() if rescans(parser.parse(pattern.pattern, pattern.flags))
    }
    assert set(bad) <= {LOOKED_FOR}, bad


def calls(text: str) -> int:
    """How many functions are called, of Python and of C, to rewrite a text."""
    rules = RulesRewriter(Rewriting().model_copy(update={"max_reply_words": 10**9}))  # nothing is cut
    dialogue = Dialogue("d", "s", "en", (Turn("user", "Hi."), Turn("assistant", text)))
    rules.rewrite_all([dialogue])  # what is looked up once is not counted
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        rules.rewrite_all([dialogue])
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("unit", UNITS)
def test_twice_the_text_takes_twice_the_calls(unit):
    unit = unit.replace("|", " ")
    short = unit * (LENGTH // len(unit))
    assert calls(short * 2) <= 2.1 * calls(short) + 100
