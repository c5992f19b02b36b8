"""Pairs as a data set: what is built, what is refused, and what is left alone."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from duplexgen.pipeline.dataset.reader import MANIFEST, SUCCESS, Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.pairs.build import PairsBuild, build
from duplexgen.pipeline.pairs.stage import PreferencesStage
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.atomic import file_sha256
from duplexgen.pipeline.tokens.section import GLM4Voice, Tokens
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from tests.command import duplexgen
from tests.corpus import tree
from tests.dataset.test_verify import SHARD, rewrite, seal
from tests.pairs.conftest import pairs_recipe

Sets = Callable[[str], Path]
SCENARIOS = ["turn_taking", "interruption"]


def make(dataset: Path, folder: Path, **changes: object) -> Path:
    build(pairs_recipe(**changes), dataset, folder / "pairs", folder / "work", Display())
    return folder / "pairs"


@pytest.fixture
def dataset(data_sets: Sets, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data_sets("turn_taking"), tmp_path / "data_set"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pairs_of_a_data_set(pair_sets: Sets, data_sets: Sets, scenario: str) -> None:
    pair_set, source = Dataset(pair_sets(scenario)), Dataset(data_sets(scenario))
    assert list(verify(pair_set.path, lambda _: None)) == []
    rows = {row["dialogue_id"]: row for row in source.rows(["dialogue_id", "input_ids"])}
    pairs = list(pair_set.rows())
    assert pairs
    for pair in pairs:
        ids = rows[pair["dialogue_id"]]["input_ids"]
        blocks = (
            min(pair["chosen_num_blocks"], len(ids) // 25) - 2
        )  # the assistant is a block ahead, so the last blocks may differ
        assert pair["chosen_input_ids"][: 25 * blocks] == ids[: 25 * blocks]
        assert pair["rejected_input_ids"] != pair["chosen_input_ids"]
    manifest = pair_set.manifest
    assert manifest.source
    assert (manifest.kind, source.manifest.kind) == ("preferences", "dialogues")
    assert manifest.source.manifest_sha256 == file_sha256(source.path / MANIFEST)
    assert manifest.source.key == source.manifest.key
    assert manifest.ledger[0].planned == 3 == len(pairs) + manifest.ledger[1].rejected
    for file in ("vocabulary.json", "vocabulary/tokenizer.json"):
        assert (pair_set.path / file).read_bytes() == (source.path / file).read_bytes()


def test_datasets_reads_pairs(pair_sets: Sets, tmp_path: Path) -> None:
    rows = datasets.load_dataset(str(pair_sets("turn_taking")), split="train", cache_dir=str(tmp_path))
    assert len(rows[0]["chosen_input_ids"]) == len(rows[0]["rejected_input_ids"]) == rows[0]["chosen_num_blocks"] * 25


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_bytes_on_ray(
    pair_sets: Sets, data_sets: Sets, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairsBuild, "done_here", 0)
    assert tree(make(data_sets(scenario), tmp_path)) == tree(pair_sets(scenario))


def test_partitions_are_whole_row_groups(
    dataset: Path, pair_sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pq.read_table(dataset / SHARD)
    pq.write_table(table, dataset / SHARD, row_group_size=1)
    seal(dataset, lambda manifest: None)
    monkeypatch.setattr("duplexgen.pipeline.pairs.source.PARTITION_ROWS", 2)
    out = make(dataset, tmp_path)
    (rows,) = (tmp_path / "work").glob("rows-*")
    groups = [pq.read_table(path)["row_group"].to_pylist() for path in sorted(rows.glob("*.parquet"))]
    assert groups == [[0, 1], [2]]
    assert list(Dataset(out).rows()) == list(Dataset(pair_sets("turn_taking")).rows())


def test_goes_on_where_it_stopped(data_sets: Sets, pair_sets: Sets, tmp_path: Path) -> None:
    out = make(data_sets("turn_taking"), tmp_path)
    (part,) = (path for path in (tmp_path / "work").glob("preferences-*/part-*.parquet"))
    before = part.stat().st_mtime_ns
    shutil.rmtree(out)
    assert tree(make(data_sets("turn_taking"), tmp_path)) == tree(pair_sets("turn_taking"))
    assert part.stat().st_mtime_ns == before
    part.with_suffix(".json").unlink()
    shutil.rmtree(out)
    assert tree(make(data_sets("turn_taking"), tmp_path)) == tree(pair_sets("turn_taking"))
    assert part.stat().st_mtime_ns > before


def test_finished_pairs_and_those_of_another_data_set_are_left_alone(data_sets: Sets, tmp_path: Path) -> None:
    out = make(data_sets("turn_taking"), tmp_path)
    before = tree(out)
    make(data_sets("turn_taking"), tmp_path)
    with pytest.raises(UserError, match="holds pairs of another data set, 'turn_taking'"):
        make(data_sets("interruption"), tmp_path)
    with pytest.raises(UserError, match=r"another recipe, .* it differs in seed \(1 there, 2 here\)"):
        make(data_sets("turn_taking"), tmp_path, seed=2)
    with pytest.raises(UserError, match=r"description \(.* there, Of late replies here\)"):
        make(data_sets("turn_taking"), tmp_path, description="Of late replies")
    make(data_sets("turn_taking"), tmp_path, max_rejected_share=0.8)
    assert tree(out) == before


def test_damaged_data_set_is_refused_at_once(dataset: Path, tmp_path: Path) -> None:
    content = bytearray((dataset / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (dataset / SHARD).write_bytes(content)
    with pytest.raises(UserError, match=rf"(?s)no pairs were made:\n  {SHARD}: its sha256 is not.*Build it again"):
        make(dataset, tmp_path)
    assert not (tmp_path / "pairs").exists()
    assert not list((tmp_path / "work").glob("preferences-*/part-*"))


def test_a_shard_cut_short_or_gone_is_named(dataset: Path, tmp_path: Path) -> None:
    content = (dataset / SHARD).read_bytes()
    (dataset / SHARD).write_bytes(content[:-100])
    with pytest.raises(UserError, match=f"{SHARD}: has"):
        make(dataset, tmp_path)
    (dataset / SHARD).unlink()
    with pytest.raises(UserError, match=f"{SHARD}: is missing"):
        make(dataset, tmp_path)


def test_nothing_is_written_into_the_data_set(dataset: Path, tmp_path: Path) -> None:
    before = tree(dataset)
    with pytest.raises(UserError, match="is inside the data set"):
        build(pairs_recipe(), dataset, dataset / "pairs", tmp_path / "work", Display())
    assert tree(dataset) == before


def test_what_pairs_cannot_be_made_of(data_sets: Sets, pair_sets: Sets, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a data set of preferences: pairs are made of dialogues"):
        make(pair_sets("turn_taking"), tmp_path)
    with pytest.raises(UserError, match="retokenize: true is for replies that start late"):
        make(data_sets("interruption"), tmp_path, retokenize=True)
    (dataset / SUCCESS).unlink()
    with pytest.raises(UserError, match="is no finished data set"):
        make(dataset, tmp_path)


def test_retokenizing_gives_the_same_codes_if_a_frame_does_not_depend_on_others(
    data_sets: Sets, pair_sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the embedded tokenizer it does not: codes that are moved are the codes of the audio that is moved."""
    source, expected = data_sets("turn_taking"), pair_sets("turn_taking")
    encode_all, at_once = MelVQ.encode_all, list[int]()

    def counted(self: MelVQ, tracks: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        at_once.append(len(tracks))
        return encode_all(self, tracks)

    monkeypatch.setattr(MelVQ, "encode_all", counted)
    pair_set = Dataset(make(source, tmp_path, retokenize=True))
    assert at_once == [3], "pairs of a partition are tokenized together"
    assert list(verify(pair_set.path, lambda _: None)) == []
    assert list(pair_set.rows()) == list(Dataset(expected).rows())


def test_a_gpu_is_asked_for_where_audio_is_tokenized_again(data_sets: Sets) -> None:
    manifest, described = Dataset(data_sets("turn_taking")).manifest, Dataset(data_sets("turn_taking")).described
    tokens = Tokens(speech_tokenizer="glm4voice", glm4voice=GLM4Voice(checkpoint="models/none", num_gpus=0.25))
    made_of = manifest.made_of.model_copy(update={"tokens": tokens})
    stages = [PreferencesStage(pairs_recipe(retokenize=again), made_of, described) for again in (False, True)]
    assert [stage.num_gpus for stage in stages] == [0.0, 0.25]


def test_data_set_of_an_earlier_version(data_sets: Sets, tmp_path: Path) -> None:
    old = Path(shutil.copytree(data_sets("interruption"), tmp_path / "old"))
    seal(old, lambda manifest: manifest.update(format_version=1))
    with pytest.raises(UserError, match=r"was built by another version of duplexgen .* Build it again"):
        make(old, tmp_path)


def test_one_broken_row_is_rejected_alone(dataset: Path, tmp_path: Path) -> None:
    rewrite(dataset, lambda rows: rows[1].update(user_codes=[rows[1]["user_codes"][0][:5]]))
    pair_set = Dataset(make(dataset, tmp_path))
    assert [row["dialogue_id"] for row in pair_set.rows()] == ["talk/0", "talk/2"]
    assert pair_set.manifest.ledger[1].reasons == {"internal_error": 1}


def test_too_few_pairs_stop_the_command(data_sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="3 of 3 dialogues were rejected"):
        make(data_sets("interruption"), tmp_path, least_difference_s=4.9)
    assert not (tmp_path / "pairs").exists()


def test_commands(dataset: Path, tmp_path: Path) -> None:
    run = duplexgen("dpo-pairs", "data_set", cwd=tmp_path)
    assert run.status == 0, run.said
    assert "3 pairs of 3 dialogues, 0 rejected" in run.said
    assert json.loads((tmp_path / "out/data_set.pairs" / MANIFEST).read_text())["recipe"]["name"] == "timing"
    run = duplexgen("verify", "out/data_set.pairs", cwd=tmp_path)
    assert (run.status, run.said.split(": ")[1]) == (0, "every checksum and every invariant holds\n")
    text = duplexgen("inspect", "out/data_set.pairs", cwd=tmp_path).said
    assert "preference pairs of turn_taking" in text
    assert "Delay of the rejected side (s)" in text
    run = duplexgen("inspect", "out/data_set.pairs", "talk/1", cwd=tmp_path)
    assert run.status == 0
    assert run.said.startswith("talk/1  turn_taking, event ")
    assert run.said.count("[A] ") == run.said.count("[E] ") >= 3
    assert duplexgen("inspect", "out/data_set.pairs", "9", cwd=tmp_path).status == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: wrong\nreply_delay_s: [5, 2]\nturns: all\n")
    run = duplexgen("dpo-pairs", "data_set", "wrong.yaml", cwd=tmp_path)
    assert run.status == 2
    assert "wrong.yaml:2: reply_delay_s: expected low <= high" in run.said
    assert "wrong.yaml:3: turns: is not a key of a recipe here" in run.said
