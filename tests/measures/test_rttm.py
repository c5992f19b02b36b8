"""RTTM: who speaks when, and which line does not parse."""

from pathlib import Path

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures.rttm import read_rttm

GOOD = "SPEAKER call 1 0.50 1.25 <NA> <NA> ann <NA> <NA>"


def written(folder: Path, text: str) -> Path:
    file = folder / "some.rttm"
    file.write_text(text, encoding="utf-8")
    return file


def test_segments_by_recording_and_speaker(tmp_path: Path) -> None:
    text = f"""{GOOD}
;; a comment

SPKR-INFO call 1 <NA> <NA> <NA> unknown ann <NA>
SPEAKER call 2 2 0.5 <NA> <NA> bob 0.9
SPEAKER other 1 1e1 2.0 <NA> <NA> ann <NA> <NA>
SPEAKER call 1 3 0 <NA> <NA> ann <NA> <NA>
"""
    assert read_rttm(written(tmp_path, text)) == {
        "call": {"ann": [(0.5, 1.75)], "bob": [(2.0, 2.5)]},
        "other": {"ann": [(10.0, 12.0)]},
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("SPEAKER call 1 x 1 <NA> <NA> ann <NA> <NA>", "the start is x, expected seconds, 0 or more"),
        ("SPEAKER call 1 -1 1 <NA> <NA> ann <NA> <NA>", "the start is -1, expected seconds"),
        ("SPEAKER call 1 1 nan <NA> <NA> ann <NA> <NA>", "the duration is nan, expected seconds"),
        ("SPEAKER call 1 1 inf <NA> <NA> ann <NA> <NA>", "the duration is inf, expected seconds"),
        ("SPEAKER call 1 1 2 ann", "it has 6 fields; expected SPEAKER, a recording"),
        ("SPEAKER call 1 1 2 <NA> <NA> ann <NA> <NA> more", "it has 11 fields"),
        ("0.5 1.7 ann", "the type is 0.5; expected SPEAKER"),
        ("speaker call 1 1 2 <NA> <NA> ann <NA> <NA>", "the type is speaker; expected SPEAKER"),
        ("\x1b[31mSPEAKER", r"the type is \x1b[31mSPEAKER"),
    ],
)
def test_a_line_that_does_not_parse_is_named(tmp_path: Path, line: str, says: str) -> None:
    file = written(tmp_path, f"{GOOD}\n\n{line}\n{GOOD}\n")
    with pytest.raises(UserError) as raised:
        read_rttm(file)
    assert str(raised.value).startswith(f"{file}: line 3: {says}")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "some.rttm"
    file.write_bytes(GOOD.encode() + b"\n\xff\xfe\n")
    with pytest.raises(UserError, match="line 2: cannot be read as text"):
        read_rttm(file)
