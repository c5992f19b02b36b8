"""Verifying a data set: its files, its ledger, its rows."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from duplexgen.pipeline.dataset.reader import MANIFEST, SUCCESS, Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.storage.atomic import file_sha256, write_json

SHARD = "data/train-00000-of-00001.parquet"


@pytest.fixture
def dataset(data_sets: Callable[[str], Path], tmp_path: Path) -> Path:
    copy = tmp_path / "data_set"
    shutil.copytree(data_sets("turn_taking"), copy)
    return copy


def failures(dataset: Path) -> list[str]:
    return list(verify(dataset, lambda _: None))


def seal(dataset: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest, and make every checksum fit again."""
    manifest = json.loads((dataset / MANIFEST).read_text())
    for file in manifest["files"]:
        path = dataset / file["path"]
        file |= {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    change(manifest)
    write_json(dataset / MANIFEST, manifest)
    write_json(dataset / SUCCESS, {"manifest_sha256": file_sha256(dataset / MANIFEST)})


def rewrite(dataset: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change rows of the only shard, and make every checksum and count fit again."""
    table = pq.read_table(dataset / SHARD)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), dataset / SHARD)
    seal(dataset, lambda manifest: next(f for f in manifest["files"] if f["path"] == SHARD).update(rows=len(rows)))


def ledger(stage: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["ledger"][stage].update(changes)


def test_whole(dataset: Path) -> None:
    assert failures(dataset) == []
    rewrite(dataset, lambda rows: None)
    assert failures(dataset) == []


def test_manifest_of_another_build(dataset: Path) -> None:
    (dataset / MANIFEST).write_text((dataset / MANIFEST).read_text() + "\n")
    assert failures(dataset) == ["manifest.json: is not the one that _SUCCESS was written for"]


def test_file_of_another_length(dataset: Path) -> None:
    length = (dataset / "README.md").stat().st_size
    with (dataset / "README.md").open("ab") as file:
        file.write(b"\n")
    assert failures(dataset) == [f"README.md: has {length + 1} bytes, expected {length}"]


def test_file_of_another_content(dataset: Path) -> None:
    (dataset / "README.md").write_bytes((dataset / "README.md").read_bytes().swapcase())
    assert failures(dataset) == ["README.md: its sha256 is not the one in manifest.json"]


def test_count_of_rows(dataset: Path) -> None:
    seal(dataset, lambda manifest: next(f for f in manifest["files"] if f["path"] == SHARD).update(rows=4))
    assert failures(dataset) == [f"{SHARD}: has 3 rows, expected 4"]


def test_hidden_files_are_not_the_data_sets(dataset: Path) -> None:
    names = (".gitattributes", ".cache/huggingface/download/data/train.parquet.metadata", "data/.nfs00000000000000a1")
    for name in names:
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).write_bytes(b"")
    assert failures(dataset) == []
    (dataset / "data" / "more.parquet").write_bytes(b"")
    assert failures(dataset) == ["data/more.parquet: is not listed in manifest.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (ledger(1, emitted=2), "ledger: script: planned is not emitted + rejected"),
        (ledger(3, reasons={"code": 1}), "ledger: tracks: the reasons do not add up to 0"),
        (ledger(2, planned=4, emitted=4), "ledger: speech planned 4, but script hands on 3"),
        (
            lambda manifest: manifest["recipe"]["timing"].update(takes=2),
            "ledger: tracks planned 3, but speech hands on 6",
        ),
        (ledger(4, planned=2, emitted=2), "ledger: 2 emitted, but data/ has 3 rows"),
        (
            ledger(0, rejected=1, planned=4, reasons={"code": 1}),
            "ledger: source: the rejected table counts 0 of 'code', the ledger 1",
        ),
        (lambda manifest: manifest["statistics"].pop("turns"), "manifest.json: its statistics are not those of"),
    ],
)
def test_manifest_that_does_not_add_up(dataset: Path, change: Callable[[dict[str, Any]], None], says: str) -> None:
    seal(dataset, change)
    assert [message for message in failures(dataset) if message.startswith(says)]


def test_row_twice(dataset: Path) -> None:
    rewrite(dataset, lambda rows: rows[1].update(rows[0]))
    assert failures(dataset)[0] == "talk/0: its dialogue_id is that of an earlier row"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scenario": "interruption"}, "scenario is 'interruption', the recipe says 'turn_taking'"),
        ({"input_ids": [1, 2, 3]}, "3 ids are not"),
        ({"input_ids": [0] * 25, "num_blocks": 1}, "num_blocks is 1, that of 249 frames is 25"),
        ({"events": []}, "it has no events"),
    ],
)
def test_row_that_breaks_an_invariant_is_named(dataset: Path, change: dict[str, Any], says: str) -> None:
    rewrite(dataset, lambda rows: rows[2].update(change))
    messages = failures(dataset)
    assert messages
    assert messages[0].startswith(f"talk/2: {says}")
    assert all(message.startswith("talk/2: ") for message in messages)


@pytest.mark.parametrize("file", [MANIFEST, SUCCESS, "vocabulary.json"])
@pytest.mark.parametrize("content", [None, b"", b'{"half": ', b"[]", b"\xff"])
def test_damaged_json_gives_a_message(dataset: Path, file: str, content: bytes | None) -> None:
    (dataset / file).unlink()
    if content is not None:
        (dataset / file).write_bytes(content)
    try:
        text = "".join(failures(dataset))
    except UserError as error:
        text = str(error)
    assert file in text


def test_tokenizer_that_is_not_installed(dataset: Path) -> None:
    described = json.loads((dataset / "vocabulary.json").read_text())
    described["speech_tokenizer"]["sha256"] = "0" * 64
    (dataset / "vocabulary.json").write_text(json.dumps(described))
    seal(dataset, lambda manifest: None)
    with pytest.raises(UserError, match=r"tokenizer 'melvq' here .*: sha256 is [0-9a-f]{64}, expected 0{64}\."):
        failures(dataset)


def test_reading_a_damaged_shard(dataset: Path) -> None:
    content = (dataset / SHARD).read_bytes()
    (dataset / SHARD).write_bytes(content[: len(content) // 2])

    def read() -> Iterator[dict[str, Any]]:
        yield from Dataset(dataset).rows()

    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet is damaged .* `duplexgen verify` says"):
        next(read())


def swapped_words(tokenizer: dict[str, Any]) -> None:
    vocab = tokenizer["model"]["vocab"]
    one, other = [word for word in vocab if len(word) > 4][:2]
    vocab[one], vocab[other] = vocab[other], vocab[one]


TOKENIZERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "other words": swapped_words,
    "other merges": lambda tokenizer: tokenizer["model"]["merges"].reverse(),
    "a normalizer": lambda tokenizer: tokenizer.update(normalizer={"type": "Lowercase"}),
    "one token more": lambda tokenizer: tokenizer["added_tokens"].append(
        tokenizer["added_tokens"][-1] | {"id": tokenizer["added_tokens"][-1]["id"] + 1, "content": "more"}
    ),
}


@pytest.mark.parametrize("change", TOKENIZERS.values(), ids=TOKENIZERS)
def test_tokenizer_that_is_not_the_one_of_the_recipe(dataset: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Models take it over, and read text with it."""
    path = dataset / "vocabulary/tokenizer.json"
    tokenizer = json.loads(path.read_bytes())
    path.write_text(json.dumps(tokenizer))  # other white space is no other tokenizer
    seal(dataset, lambda manifest: None)
    assert failures(dataset) == []
    change(tokenizer)
    path.write_text(json.dumps(tokenizer))
    seal(dataset, lambda manifest: None)
    assert failures(dataset) == [
        "vocabulary/tokenizer.json: is not the tokenizer of the recipe, bpe, with the tokens of the layout"
    ]


@pytest.mark.parametrize("changes", [{"pad_token": "[PAD]"}, {"eos_token": None}, {"auto_map": {"AutoTokenizer": "x"}}])
def test_tokenizer_that_is_declared_in_another_way(dataset: Path, changes: dict[str, Any]) -> None:
    path = dataset / "vocabulary/tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))
    seal(dataset, lambda manifest: None)
    assert failures(dataset) == [
        "vocabulary/tokenizer_config.json: is not the one that is written with every vocabulary"
    ]
