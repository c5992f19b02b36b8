"""The card's table of timing, from statistics whose turn-taking is known."""

from pathlib import Path

import pytest

from duplexgen.pipeline.dataset.people import lines, mode_s, section, share_below, write_plot
from duplexgen.pipeline.dataset.statistics import TRANSFER_OFFSET, Statistics, measure_conversation
from duplexgen.pipeline.measures.conversation import Conversation

OFFSETS_S = (-0.35, -0.15, 0.05, 0.12, 0.13, 0.19, 0.25, 0.8)


def statistics(offsets_s: tuple[float, ...] = OFFSETS_S) -> Statistics:
    gaps = tuple(offset for offset in offsets_s if offset >= 0)
    overlaps = tuple(-offset for offset in offsets_s if offset < 0)
    own = Statistics()
    for _ in range(2):
        measure_conversation(own, Conversation(60.0, (2.0,) * 10, (0.5, 0.7), gaps, overlaps, offsets_s))
    return own


def test_rates_are_per_minute_of_what_was_measured() -> None:
    here = {line.what: line.here for line in lines(statistics())}
    assert here["IPUs per minute"] == "10.0, 20.0 s"
    assert here["Pauses per minute"] == "2.0, 1.2 s"
    assert here["Gaps per minute"] == "6.0, 1.5 s"
    assert here["Overlaps per minute"] == "2.0, 0.5 s"
    assert here["Overlap, share of the time"] == "0.8 %"


def test_floor_transfers() -> None:
    here = {line.what: line.here for line in lines(statistics())}
    assert here["Floor transfer offset, most frequent"] == "100 to 200 ms"
    assert here["Floor transfers under 200 ms"] == "75 %"
    assert here["Floor transfers with overlap"] == "25 %"
    assert here["Floor transfer offset, mean"] == "130 ms"
    tally = statistics().get(TRANSFER_OFFSET)
    assert tally and mode_s(tally) == pytest.approx(0.1) and share_below(tally, 0.0) == 0.25


def test_a_published_figure_has_its_source() -> None:
    assert all((line.people == "–") == (line.source == "–") for line in lines(statistics()))


def test_dialogues_in_which_nobody_answers(tmp_path: Path) -> None:
    assert not write_plot(tmp_path / "plot.png", statistics(()))
    assert list(tmp_path.iterdir()) == []
    assert "![" not in section(statistics(()), None)


def test_nothing_was_measured(tmp_path: Path) -> None:
    assert list(lines(Statistics())) == []
    assert section(Statistics(), None) == "No speech was measured on the audio."


def test_the_plot_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        assert write_plot(tmp_path / name, statistics())
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
