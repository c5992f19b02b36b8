"""What a log, which is no terminal, says of a command that takes long."""

import re
import time
from pathlib import Path

import pyarrow as pa
import pytest

from duplexgen.pipeline.show import progress
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.partitions import Outcome, PartitionFolder

ROWS = pa.table({"dialogue_id": ["a"]})


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_S", 0.05)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)


def test_there_is_no_estimate_before_enough_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = PartitionFolder(tmp_path / "speech-0123")
    with Display().making({"speech": folder}, 20):
        for partition in range(10):
            folder.write(partition, ROWS, Outcome(1, 1))
            time.sleep(0.15)
    lines = capsys.readouterr().err.splitlines()
    told = {int(line.split("/")[0].split()[-1]): "left" in line for line in lines if "partitions" in line}
    assert told and all(has_estimate == (done >= 3) for done, has_estimate in told.items())
    assert any(line.endswith("partitions, less than a minute left") for line in lines)


def test_a_line_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However many stages there are: a log has no width."""
    folders = {f"stage number {number}": PartitionFolder(tmp_path / str(number)) for number in range(9)}
    with Display().making(folders, 1):
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(re.fullmatch(r"stage number 0 0/1, .*stage number 8 0/1 partitions", line) for line in lines)


def test_rows_are_counted_while_they_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with Display().verifying() as report:
        report(7)
    assert capsys.readouterr().err == "7 rows are checked\n"
    with Display(quiet=True).verifying() as report:
        report(7)
    assert capsys.readouterr().err == ""
