"""Kinds of data sets: what is known of one whatever its kind, and what of finished rows is measured."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from duplexgen.pipeline.dataset.finish import measured
from duplexgen.pipeline.dataset.reader import MANIFEST, Dataset, MalformedDataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.statistics import QUALITIES, Statistics
from duplexgen.pipeline.dialogue import FIGURES
from duplexgen.pipeline.kinds import KINDS, check_whole, opened, verify
from tests.dataset.test_malformed import Site, dataset, put, site

__all__ = ["dataset", "site"]


def changed(dataset: Path, **changes: Any) -> Path:
    put(dataset, json.loads((dataset / MANIFEST).read_bytes()) | changes)
    return dataset


@pytest.mark.parametrize("kind", ["", "music", "Dialogues", "../x", "\x1b[31m"])
def test_a_kind_that_nobody_knows(dataset: Path, kind: str) -> None:
    changed(dataset, kind=kind)
    for messages in (list(verify(dataset, lambda _: None)), check_whole(Dataset(dataset))):
        (message,) = messages
        assert message.startswith(f"{MANIFEST}: kind")
        assert message.isprintable()
    with pytest.raises(MalformedDataset, match=r"manifest\.json is malformed: kind"):
        opened(dataset)


def test_a_data_set_is_read_whatever_its_kind(dataset: Path) -> None:
    whole = Dataset(dataset)
    name, recipe, rows = whole.manifest.name, whole.manifest.made_of, list(opened(dataset).rows())
    other = Dataset(changed(dataset, kind="music"))
    assert (other.manifest.name, other.manifest.made_of) == (name, recipe)
    assert other.tokens == recipe.tokens
    assert list(other.rows()) == rows
    with pytest.raises(MalformedDataset, match="has no column notes"):
        list(other.rows(["dialogue_id", "notes"]))


def test_a_data_set_that_passes_for_another_kind(site: Site, dataset: Path) -> None:
    (other,) = KINDS.keys() - {Dataset(dataset).kind}
    assert check_whole(Dataset(changed(dataset, kind=other)))
    with pytest.raises(MalformedDataset):
        opened(dataset)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_computed_from_the_columns_that_are_named(site: Site, kind: str, tmp_path: Path) -> None:
    """Of any number of row groups and shards; nothing else of a row is there to be read."""
    whole, asked = Dataset(site.whole(kind)), KINDS[kind]
    table = pq.ParquetFile(whole.shards[0]).read(columns=asked.measured(whole.layout))
    shards = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    pq.write_table(table.slice(0, 2), shards[0], row_group_size=1)
    pq.write_table(table.slice(2), shards[1])
    done: list[int] = []
    statistics = measured(shards, asked, whole.layout, whole.sample_rate, done.append)
    assert statistics.to_json() == {name: tally.model_dump() for name, tally in whole.manifest.statistics.items()}
    assert done == [1, 2]
    unread = {name for name in whole.columns.names if name.endswith("_codes") or name == "audio"}
    assert not unread & set(table.column_names)


def test_quality_is_measured_where_a_row_says_any(site: Site) -> None:
    row = next(iter(opened(site.whole("dialogues")).rows()))
    layout, rate = Dataset(site.whole("dialogues")).layout, 16000
    plain, graded = Statistics(), Statistics()
    KINDS["dialogues"].measure(plain, row, layout, rate)
    events = copy.deepcopy(row)
    for number, event in enumerate(events["events"]):
        event["quality"] = [None, dict.fromkeys(FIGURES), {"wer": 0.25, "dnsmos": None}][number % 3]
    events["events"][0]["quality"] = {"wer": 0.5}
    KINDS["dialogues"].measure(graded, events, layout, rate)
    stored = graded.to_json()
    wer = stored.pop("wer")
    assert stored == plain.to_json()
    assert (wer["count"], wer["most"]) == (1 + len(row["events"]) // 3, 0.5)
    assert QUALITIES.keys() == set(FIGURES)


def test_codes_and_audio_are_not_read(data_sets: Callable[[str], Path], tmp_path: Path) -> None:
    """Their pages are spoilt, and statistics are what they were."""
    whole = Dataset(data_sets("interruption"))
    spoilt = bytearray(whole.shards[0].read_bytes())
    footer = pq.ParquetFile(whole.shards[0]).metadata
    measured_columns = {name.partition(".")[0] for name in KINDS["dialogues"].measured(whole.layout)}
    chunks = [footer.row_group(0).column(number) for number in range(footer.num_columns)]
    others = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] not in measured_columns]
    assert {"audio", "user_codes"} <= {chunk.path_in_schema.partition(".")[0] for chunk in others}
    for chunk in others:
        start = min(filter(None, [chunk.dictionary_page_offset, chunk.data_page_offset]))
        spoilt[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    (tmp_path / "spoilt.parquet").write_bytes(spoilt)
    with pytest.raises((pa.ArrowException, OSError)):
        pq.ParquetFile(tmp_path / "spoilt.parquet").read()
    statistics = measured(
        [tmp_path / "spoilt.parquet"], KINDS["dialogues"], whole.layout, whole.sample_rate, lambda _: None
    )
    assert statistics.to_json() == {name: tally.model_dump() for name, tally in whole.manifest.statistics.items()}


def test_every_key_of_a_recipe_shapes_or_is_known_to_shape_nothing(site: Site) -> None:
    """A section that nobody asks about would leave a stage's folder stale."""
    dialogues = KINDS["dialogues"].shaped_by(Dataset(site.whole("dialogues")))
    card, by_other_names = {"name", "description", "license", "max_rejected_share"}, {"output", "tokens"}
    assert set(Recipe.model_fields) - set(dialogues) == card | by_other_names
    assert {"sample_rate", "audio", "margin_frames"} <= set(dialogues)  # the rest of them is in fingerprints
