import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import load
from duplexgen.pipeline.speech.recorded import RecordedBank
from duplexgen.pipeline.voices.choosing import Chosen
from duplexgen.pipeline.voices.judging import Candidate, Figures, Rejected
from duplexgen.pipeline.voices.recipe import VOICES_RECIPES, VoicesRecipe
from duplexgen.pipeline.voices.writing import RECIPE, REPORT, voice_name, writing
from tests.test_shown import table_sizes

SAMPLES = np.random.Generator(np.random.Philox(0)).integers(-32768, 32767, 44100 * 4).astype(np.int16)
CLIP = (SAMPLES / 32768).astype(np.float32)


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card names versions of packages that this test does not need."""
    monkeypatch.setattr("duplexgen.pipeline.voices.report._versions", lambda: {"speechmos": "1"})


def candidate(number: int = 1, **changes: Any) -> Candidate:
    about: dict[str, Any] = {
        "where": f"deep/clip {number}.flac",
        "sha256": f"{number:x}" * 64,
        "speaker": None,
        "sex": "female",
        "language": "en",
        "text": "Hello.",
        "license": "CC0-1.0",
        "start_s": 0.5,
        "end_s": 4.5,
        "figures": Figures(duration_s=4.0, dnsmos=3.4, coherence=0.9),
        "embedding": np.zeros(256, dtype=np.float32),
    }
    return Candidate(**(about | changes))


def test_what_is_written_reads_as_a_bank_of_the_recordings_own_samples(tmp_path: Path) -> None:
    out = tmp_path / "bank"
    with writing(out) as writer:
        for number in (1, 2, 3):
            writer.keep(candidate(number), CLIP[number:], 44100)
        chosen = [Chosen(candidate(1), "train"), Chosen(candidate(2), "eval")]
        made = writer.finish(chosen, [Rejected("x.wav", "silence", "none")], VoicesRecipe(), "some/clips")
    assert (made.kept, made.held_out, len(made.rejected)) == (2, 1, 1)
    bank = RecordedBank.read(out)
    assert [(voice.name, voice.split) for voice in bank.voices.values()] == [
        ("clip-1-11111111", "train"),
        ("clip-2-22222222", "eval"),
    ]
    prompt = bank.prompt("clip-1-11111111")
    assert prompt.sample_rate == 44100
    assert np.array_equal(prompt.samples * 32768, SAMPLES[1:])
    assert bank.voices["clip-1-11111111"].provenance.startswith("clips: deep/clip 1.flac (sha256 1111")
    assert sorted(path.name for path in (out / "clips").iterdir()) == ["clip-1-11111111.wav", "clip-2-22222222.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


def test_a_bank_says_what_it_was_made_by(tmp_path: Path) -> None:
    recipe = VoicesRecipe(name="mine", whisper="tiny", seed=7, min_dnsmos=2.5)
    with writing(tmp_path / "bank") as writer:
        writer.finish([], [Rejected("a.wav", "silence", "none")], recipe, "recordings")
    assert load(str(tmp_path / "bank" / RECIPE), VoicesRecipe, VOICES_RECIPES)[0] == recipe


def test_what_was_rejected_is_written_with_its_reason_and_figures(tmp_path: Path) -> None:
    rejected = [
        Rejected("b.wav", "poor_quality", "DNSMOS 2.10", Figures(duration_s=5.0, dnsmos=2.1)),
        Rejected("a.wav", "silence", "no sample"),
        Rejected("c.wav", "poor_quality", "DNSMOS 2.20", Figures(duration_s=5.0, dnsmos=2.2)),
    ]
    with writing(tmp_path / "bank") as writer:
        writer.keep(candidate(), CLIP, 44100)
        writer.finish([Chosen(candidate(), "train")], rejected, VoicesRecipe(), "clips")
    lines = [json.loads(line) for line in (tmp_path / "bank" / "rejected.jsonl").read_text().splitlines()]
    assert [line["where"] for line in lines] == ["a.wav", "b.wav", "c.wav"]
    assert lines[1]["figures"] == {"duration_s": 5.0, "dnsmos": 2.1}
    card = (tmp_path / "bank" / "README.md").read_text(encoding="utf-8")
    assert "| DNSMOS too low: noise, music under speech, distortion | poor_quality | 2 |" in card
    assert "| CC0-1.0 | 1 |" in card
    assert "1 voices (0.1 minutes) of 4 recordings in clips" in card
    assert (tmp_path / "bank" / "clips.png").read_bytes().startswith(b"\x89PNG")


def test_where_nothing_is_kept_the_report_stays_and_may_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "bank"
    for _ in range(2):
        with writing(out) as writer:
            writer.keep(candidate(), CLIP, 44100)
            made = writer.finish([], [Rejected("a.wav", "silence", "none")], VoicesRecipe(), "clips")
        assert made.kept == 0
        assert {path.name for path in out.iterdir()} == REPORT
    with pytest.raises(UserError, match="is not a voice bank"):
        RecordedBank.read(out)


def test_a_bank_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "bank.json").write_text("mine")
    with pytest.raises(UserError, match="is there already"), writing(tmp_path / "bank"):
        raise AssertionError("not reached")
    assert (tmp_path / "bank" / "bank.json").read_text() == "mine"


def test_what_a_killed_command_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".bank.tmp" / "clips" / "old.wav"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"RIFF")
    with writing(tmp_path / "bank") as writer:
        writer.keep(candidate(), CLIP, 44100)
        writer.finish([Chosen(candidate(), "train")], [], VoicesRecipe(), "clips")
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]
    assert [path.name for path in (tmp_path / "bank" / "clips").iterdir()] == ["clip-1-11111111.wav"]


def test_two_commands_do_not_make_one_bank(tmp_path: Path) -> None:
    with writing(tmp_path / "bank") as writer:
        with pytest.raises(UserError, match="being made by another command"), writing(tmp_path / "bank"):
            raise AssertionError("not reached")
        writer.keep(candidate(), CLIP, 44100)
        assert list((tmp_path / ".bank.tmp" / "clips").iterdir())


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), writing(tmp_path / "bank") as writer:
        writer.keep(candidate(), CLIP, 44100)
        raise RuntimeError("the power is out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"speaker": "p225"}, "p225-11111111"),
        ({"speaker": "../../etc"}, "etc-11111111"),
        ({"speaker": "李雷"}, "voice-11111111"),
        ({"where": "org/set/train#17"}, "train-17-11111111"),
        ({"speaker": "x" * 300}, "x" * 40 + "-11111111"),
    ],
)
def test_names_are_file_names(changes: dict[str, Any], name: str) -> None:
    assert voice_name(candidate(**changes)) == name


def test_the_card_of_recordings_with_hostile_names(tmp_path: Path) -> None:
    """Names, licences and languages come from whoever recorded: the tables keep their cells, and no HTML is in them."""
    evil = "<script>x</script> | a \x1b[31m\r\n# **b** `c` \u202e"
    one = candidate(1, speaker=evil, license=evil, language="en")
    with writing(tmp_path / "bank") as writer:
        writer.keep(one, CLIP, 44100)
        writer.finish(
            [Chosen(one, "train")], [Rejected(evil, "silence", evil)], VoicesRecipe(whisper="x/<b>|`"), f"a/{evil}"
        )
    card = (tmp_path / "bank" / "README.md").read_text(encoding="utf-8")
    assert "\x1b" not in card and "\u202e" not in card
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card)
    types = [child.type for token in tokens for child in token.children or []] + [token.type for token in tokens]
    assert not {"html_inline", "html_block", "strong_open"} & set(types)
    assert [set(rows) for rows in table_sizes(card)] == [{2}, {2}, {3}, {7}]
