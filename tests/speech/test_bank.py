import hashlib
import json

import numpy as np
import pytest

from duplexgen.pipeline.assets.voice_bank import LEAST_QUALITY, MOST_ALIKE, MOST_ERRORS, word_errors
from duplexgen.pipeline.speech import bank


def test_every_voice_has_a_row_of_its_own() -> None:
    rows = [bank.style(name) for name in bank.voices()]
    assert {row.shape for row in rows} == {(256,)}
    assert all(np.isfinite(row).all() and row.dtype == np.float32 for row in rows)
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_voices_of_the_bank_have_the_figures_the_card_promises() -> None:
    listed = json.loads(bank.INDEX.read_text(encoding="utf-8"))["voices"]
    for row in listed:
        assert row["license"] == "Apache-2.0"
        if row["split"] is not None and row["languages"] == ["zh"]:
            assert row["wer"] <= 0.10 and row["dnsmos"] >= 2.5 and row["nearest"] <= 0.90
        elif row["split"] is not None:
            assert row["languages"] == ["en"]
            assert row["wer"] <= MOST_ERRORS
            assert row["dnsmos"] >= LEAST_QUALITY
            assert row["nearest"] <= MOST_ALIKE
    for language, least in (("en", 25), ("zh", 5)):
        drawn = [row for row in listed if row["languages"] == [language]]
        assert sum(row["split"] == "train" for row in drawn) >= least
        assert {row["sex"] for row in drawn if row["split"] == "eval"} == {"female", "male"}


def test_the_checksum_is_of_the_rows_and_of_who_may_be_drawn() -> None:
    english, both = (bank.checksum(frozenset(languages)) for languages in (["en"], ["en", "zh"]))
    assert len(english) == 64 and english != both
    assert english != hashlib.sha256(bank.STYLES.read_bytes()).hexdigest()


def test_an_unknown_voice_has_no_row() -> None:
    with pytest.raises(KeyError, match="af_nicole"):
        bank.style("af_nicole")


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [("a b c", "a b c", 0), ("A, b c.", "a x c", 1), ("a b c", "a c", 1), ("a b", "", 2), ("a", "b a c", 2)],
)
def test_word_errors_are_an_edit_distance(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard) == errors
