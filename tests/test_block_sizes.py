"""The sweep over block sizes compares what it says: other sequences of the same tracks, at the same rates."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest
import yaml

from benchmarks.bench import TRAINED_ON
from benchmarks.block_sizes import BLOCKS, Block, median_delay_s
from duplexgen.pipeline.commands.checking import examine
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.stages.tracks import TracksStage


@pytest.mark.parametrize("base", TRAINED_ON)
def test_only_sequences_differ(base: str, tmp_path: Path) -> None:
    """And what the shipped recipe makes is what the block of the paper makes."""
    shared, sequences = [], []
    for block in (*BLOCKS, Block(5, 3), None):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(block.recipe(base) | {"name": block.name} if block else {"extends": base}))
        _, recipe, mistakes = examine(str(path))
        assert recipe and not mistakes
        stages = SpeechStage(recipe.speech, recipe.seed), TracksStage(recipe)
        shared.append((recipe.rewriting, recipe.partition_size, *(stage.shaped_by() for stage in stages)))
        sequences.append(SequencesStage(recipe).shaped_by())
    assert shared == [shared[0]] * 5
    assert all(one not in sequences[:number] for number, one in enumerate(sequences[:4])), "each size has its own"
    assert sequences[-1] == sequences[BLOCKS.index(Block(10, 5))]


def test_sizes_differ_in_nothing_but_the_size() -> None:
    """Text and ids per second are the paper's (section 2.1)."""
    assert {(block.ids_per_s, block.text_tokens / block.seconds) for block in BLOCKS} == {(31.25, 6.25)}
    assert [round(block.seconds, 2) for block in BLOCKS] == [0.32, 0.8, 1.6]


@pytest.mark.parametrize("text", ["5", "5:2.5", "5:3:5", "a:b", ""])
def test_a_size_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected N:M, such as 10:5"):
        Block.read(text)
    assert Block.read("5:3") == Block(5, 3)


def test_the_median_leaves_out_what_is_no_reply_and_what_is_early() -> None:
    items = [{"delay_s": value} for value in (0.5, None, -1.0, 2.0, 0.7)] + [{"overlap_s": 1.0}]
    assert median_delay_s(items) == 0.7
    assert median_delay_s(items[1:3]) is None
