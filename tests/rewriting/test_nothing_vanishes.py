"""Each character of a text is heard, carries nothing, is noted, or rejects its dialogue: asked of generated texts.

DUPLEXGEN_TEXTS says how many of each language, DUPLEXGEN_SEED which:

    DUPLEXGEN_TEXTS=20000 pytest tests/rewriting/test_nothing_vanishes.py
"""

import os
import random
from collections import Counter

import pytest

from duplexgen.pipeline.dialogue import Dialogue, Turn
from duplexgen.pipeline.rewriting.rewriters import Rewritten
from duplexgen.pipeline.rewriting.rules import RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.rewriting.heard import lost, text

TEXTS = int(os.environ.get("DUPLEXGEN_TEXTS", "1500"))
SEED = os.environ.get("DUPLEXGEN_SEED", "vanishes")


def answered(written: str, language: str) -> Rewritten | None:
    greeting = "你好。" if language == "zh" else "Hi."
    dialogue = Dialogue("d", "s", language, (Turn("user", greeting), Turn("assistant", written)))
    [result] = RulesRewriter(Rewriting(max_reply_words=500)).rewrite_all([dialogue])
    return result if isinstance(result, Rewritten) else None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_of_a_generated_text_vanishes(language):
    draw = random.Random(f"{SEED} {language}")
    found, spoken = [], Counter()
    for _ in range(TEXTS):
        written = text(draw, language)
        result = answered(written, language)
        spoken[result is not None] += 1
        if result and (missing := lost(written, result.dialogue.turns[1].text, list(result.notes), language)):
            found.append((written, result.dialogue.turns[1].text, result.notes, missing))
    assert not found, f"{len(found)} of {TEXTS}: {found[:10]}"
    assert spoken[True] > TEXTS * 0.4, "so many are rejected that little is asked"
