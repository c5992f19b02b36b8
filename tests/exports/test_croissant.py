"""mlcroissant reads an export (mlcroissant is in the extra `test`)."""

import json
import shutil
from pathlib import Path

import pytest

from duplexgen.pipeline.exports.exporters import export
from tests.corpus import tree
from tests.exports.conftest import Export, Sets

mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is in the extra test")


@pytest.mark.parametrize("name", ["bayling", "moshi", "pairs"])
def test_records(exports: Export, sets: Sets, name: str) -> None:
    dataset = sets(name)
    found = mlcroissant.Dataset(jsonld=str(exports("croissant", name) / "croissant.json"))
    issues = found.metadata.ctx.issues
    assert not issues.errors
    recommended = {"citeAs", "datePublished"}  # which a data set does not know of itself
    assert {warning.split('"')[1].rpartition("/")[2] for warning in issues.warnings} <= recommended
    kind = dataset.kind
    records, rows = [*found.records(kind)], [*dataset.rows()]
    assert len(records) == len(rows)
    fields = {"bayling": {"input_ids", "num_blocks"}, "moshi": {"language"}, "pairs": {"chosen_input_ids", "capped"}}
    for record, row in zip(records, rows, strict=True):
        values = {key.removeprefix(f"{kind}/"): value for key, value in record.items()}
        assert values.keys() >= {"dialogue_id", "scenario"} | fields[name]
        for column, value in values.items():
            plain = value.decode() if isinstance(value, bytes) else value
            assert (list(plain) if isinstance(row[column], list) else plain) == row[column]


def test_shards_are_those_of_the_data_set(exports: Export, sets: Sets) -> None:
    out, dataset = exports("croissant", "bayling"), sets("bayling")
    assert tree(out / "data") == tree(dataset.path / "data")
    described = json.loads((out / "croissant.json").read_text())
    sums = {file["contentUrl"]: file["sha256"] for file in described["distribution"] if "sha256" in file}
    assert sums == {file.path: file.sha256 for file in dataset.manifest.listed("data/")}
    assert described["license"] == "cc0-1.0"


def test_where_there_are_no_hard_links(
    exports: Export, sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", none)
    export(sets("bayling"), "croissant", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(exports("croissant", "bayling"))
    shutil.rmtree(tmp_path / "out")
    assert all(path.exists() for path in sets("bayling").shards)
