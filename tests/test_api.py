"""duplexgen as a library, as a program of a user's calls it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import duplexgen
from duplexgen import api
from duplexgen.pipeline.dataset.reader import Dataset
from tests.corpus import recipe_dict

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def dataset(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> duplexgen.DataSet:
    folder = tmp_path_factory.mktemp("library")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(recipe_dict(corpus)), encoding="utf-8")
    return duplexgen.build(recipe, out=folder / "built", work=folder / "work", quiet=True)


def test_rows_by_number_slice_and_id(dataset: duplexgen.DataSet) -> None:
    expected = [*Dataset(dataset.path).rows()]
    assert len(dataset) == len(expected) > 1
    assert [dict(row) for row in dataset] == expected
    assert [dict(dataset[number]) for number in range(len(dataset))] == expected
    assert [row.number for row in dataset[::-1]] == [*range(len(expected))][::-1]
    last = dataset[-1]
    assert (last.number, last.id) == (len(expected) - 1, expected[-1]["dialogue_id"])
    assert dict(dataset[last.id]) == dict(last)
    with pytest.raises(IndexError, match=f"has {len(expected)} rows: there is no row 99"):
        dataset[99]
    with pytest.raises(KeyError, match="nobody"):
        dataset["nobody"]


def test_what_is_in_a_row(dataset: duplexgen.DataSet) -> None:
    row, rate = dataset[0], dataset.sample_rate
    stored = row["events"]
    for event, columns in zip(row.events, stored, strict=True):
        assert (event.channel, event.kind, event.text) == (columns["channel"], columns["kind"], columns["text"])
        assert round(event.start_s * rate) == columns["start_sample"]
        assert event.words is None or len(event.words) == len(columns["words"])
    audio = row.audio
    assert audio is not None and audio.rate == rate
    reply = next(event for event in row.events if event.channel == "assistant")
    spoken = audio.samples[1, round(reply.start_s * rate) : round(reply.end_s * rate)]
    assert np.abs(spoken.astype(int)).max() > 1000
    assert not audio.samples[1, : round(reply.start_s * rate)].any()


def test_what_the_commands_do(dataset: duplexgen.DataSet, tmp_path: Path) -> None:
    assert list(duplexgen.verify(dataset, quiet=True)) == []
    assert (dataset.kind, dataset.recipe["name"]) == ("dialogues", dataset.name)
    again = duplexgen.open(str(dataset.path))
    assert len(again) == len(dataset) and repr(again) == repr(dataset)
    pairs = duplexgen.dpo_pairs(dataset, out=tmp_path / "pairs", work=tmp_path / "work", quiet=True)
    assert pairs.kind == "preferences" and pairs[0].events == () and pairs[0].audio is None
    exported = duplexgen.export(dataset, to="webdataset", out=tmp_path / "exported", quiet=True)
    assert exported.rows == len(dataset) and (tmp_path / "exported" / "README.md").is_file()
    with pytest.raises(duplexgen.UserError, match=r"expected one of .*webdataset"):
        duplexgen.export(dataset, to="nobody", quiet=True)
    (dataset.path / "README.md").write_text("changed")
    assert any("README.md" in failure for failure in duplexgen.verify(dataset, quiet=True))


def test_mistakes_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(duplexgen.UserError, match="no such recipe"):
        duplexgen.build("nothing", out=tmp_path)
    with pytest.raises(duplexgen.UserError, match="is no finished data set"):
        duplexgen.open(tmp_path)


def test_its_names_are_those_that_it_documents() -> None:
    assert {*duplexgen.__all__} == {*api.__all__, "__version__"} <= {*dir(duplexgen)}
    for name in api.__all__:
        assert getattr(duplexgen, name).__doc__


def test_it_is_imported_at_once() -> None:
    """A function loads what it needs when it is called."""
    says = "import sys, duplexgen; duplexgen.build; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "pyarrow", "torch", "ray", "pydantic", "soundfile"}.isdisjoint(loaded)
