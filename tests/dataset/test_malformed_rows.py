"""Malformed shards whose checksums and counts fit: `verify` names each bad row and goes on to the next."""

import base64
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from pyarrow.parquet import encryption

from duplexgen.pipeline.commands.report import describe_dialogue
from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.reader import Dataset, open_table
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import opened, verify
from duplexgen.pipeline.pairs.kind import PREFERENCES
from tests.dataset.test_malformed import SHARD, Site, first_problem, put_file, site

MISSHAPEN: list[list[list[int]]] = [[], [[]], [[1] * 5] * 8, [[-1] * 5] * 8]
__all__ = ["site"]
Rows = list[dict[str, Any]]
INTS = (-(2**63), -1, 0, 2**31 - 1, 2**62, 2**63 - 1)


def flac(samples: Any, rate: int = 16000, kind: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


def rewrite(dataset: Path, change: Callable[[Rows], object], schema: pa.Schema | None = None) -> None:
    """Change the rows of the only shard, and make its checksum fit."""
    table = pq.read_table(dataset / SHARD)
    rows = table.to_pylist()
    change(rows)
    put_table(dataset, pa.Table.from_pylist(rows, schema=schema or table.schema))


def put_table(dataset: Path, table: pa.Table, **options: Any) -> None:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", **options)
    put_file(dataset, SHARD, file.getvalue(), rows=table.num_rows)


def failures(dataset: Path) -> list[str]:
    return list(verify(dataset, lambda _: None))


def column(name: str, value: Any) -> Callable[[Rows], object]:
    return lambda rows: rows[1].update({name: value})


def event(name: str, value: Any, number: int = 1) -> Callable[[Rows], object]:
    return lambda rows: rows[1]["events"][number].update({name: value})


def element(name: str, value: Any) -> Callable[[Rows], object]:
    """Of a list, or of the first list of a list of lists."""

    def change(rows: Rows) -> None:
        values = rows[1][name]
        while isinstance(values[0], list):
            values = values[0]
        values[7] = value

    return change


def length(name: str, of: Callable[[list[Any]], list[Any]]) -> Callable[[Rows], object]:
    return lambda rows: rows[1].update({name: of(rows[1][name])})


def word(start: int) -> Callable[[Rows], object]:
    return lambda rows: rows[1]["events"][1]["words"][1].update(start_sample=start)


def uncut(number: int, codes: list[list[int]]) -> dict[str, Any]:
    return {"event": number, "first_frame": 20, "codes": codes}


EMPTY: tuple[list[Any], ...] = ([], [[]], [None])
IDS = (-1, -(2**31), 2**31 - 1, None)
DAMAGED_ROWS: dict[str, Callable[[Rows], object]] = {
    **{f"{name} {value!r}": column(name, value) for name in ("source", "language", "scenario") for value in ("", "x")},
    **{f"num_blocks {value}": column("num_blocks", value) for value in (-(2**31), -1, 0, 1, 2**31 - 1)},
    **{f"an id {value}": element("input_ids", value) for value in IDS},
    **{
        f"{name} {value}": element(name, value)
        for name in ("user_codes", "assistant_codes")
        for value in (-1, 2048, None)
    },
    **{f"{name} {value}": column(name, value) for name in ("user_codes", "assistant_codes") for value in EMPTY},
    **{
        f"{name} {value}": event(name, value)
        for name in ("start_sample", "end_sample", "whole_end_sample")
        for value in INTS
    },
    **{f"{name} {value}": event(name, value) for name in ("answers", "cut_by") for value in (-1, 1, 3, 99, 2**31 - 1)},
    **{f"channel {value!r}": event("channel", value) for value in ("user", "system", "", "\x1b[31m")},
    **{f"kind {value!r}": event("kind", value) for value in ("barge_in", "", "\x1b[31m")},
    **{f"a word {value}": word(value) for value in INTS},
    **{
        f"{name} {value!r:.9}": event(name, value)
        for name in ("text", "spoken_text")
        for value in ("", "x", "x" * 200_000)
    },
    "no words": event("words", []),
    "another voice": event("voice", "x"),
    **{
        f"uncut codes of event {number} {codes}": column("assistant_uncut_codes", [uncut(number, codes)])
        for number in (1, -1, 99)
        for codes in MISSHAPEN
    },
    "uncut codes that are null": column("assistant_uncut_codes", [None]),
    "no events": column("events", []),
    "an event that is null": lambda rows: rows[1]["events"].append(None),
    "many events": lambda rows: rows[1].update(events=rows[1]["events"][:2] * 100_000),
    "events that are lost": length("events", lambda events: events[:-2]),
    "events the other way round": length("events", lambda events: events[::-1]),
    "fewer ids": length("input_ids", lambda ids: ids[:-1]),
    "no ids": length("input_ids", lambda ids: []),
    "another number of codebooks": length("user_codes", lambda codes: codes[:-1]),
    "ragged codes": length("user_codes", lambda codes: [codes[0][:-1], *codes[1:]]),
    "an empty dialogue_id": column("dialogue_id", ""),
    "an escape as dialogue_id": lambda rows: rows[1].update(dialogue_id="\x1b[31m" * 50, events=[]),
    "a long dialogue_id": column("dialogue_id", "x" * 5000),
}


@pytest.mark.parametrize("change", DAMAGED_ROWS.values(), ids=DAMAGED_ROWS)
def test_damaged_row(site: Site, tmp_path: Path, change: Callable[[Rows], object]) -> None:
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    rewrite(dataset, change)
    messages = failures(dataset)
    assert messages
    assert not [message for message in messages if message.startswith(("talk/0: ", "talk/2: "))]
    assert len(messages) <= 20
    assert all(message.isprintable() and len(message) < 400 for message in messages)
    first_problem(lambda: describe_dialogue(Dataset(dataset), "1"))


DAMAGED_PAIRS: dict[str, Callable[[Rows], object]] = {
    **{
        f"{name} {value}": column(name, value)
        for name in ("chosen_delay_s", "rejected_delay_s")
        for value in (-1.0, 1e300)
    },
    **{
        f"{name} {value}": column(name, float(value))
        for name in ("chosen_delay_s", "rejected_delay_s")
        for value in ("nan", "inf")
    },
    **{f"event {value}": column("event", value) for value in (-(2**31), -1, 0, 2, 99, 2**31 - 1)},
    **{
        f"{side}_num_blocks {value}": column(f"{side}_num_blocks", value)
        for side in ("chosen", "rejected")
        for value in (-1, 0, 1, 2**31 - 1)
    },
    **{f"{name} {value}": element(name, value) for name in ("chosen_input_ids", "rejected_input_ids") for value in IDS},
    **{
        f"{name} of another length": length(name, lambda ids: ids[:-25])
        for name in ("chosen_input_ids", "rejected_input_ids")
    },
    "capped": lambda rows: rows[1].update(capped=not rows[1]["capped"]),
    "scenario": column("scenario", "interruption"),
    "sides": lambda rows: rows[1].update(
        chosen_input_ids=rows[1]["rejected_input_ids"], rejected_input_ids=rows[1]["chosen_input_ids"]
    ),
    "the same": lambda rows: rows[1].update(rejected_input_ids=rows[1]["chosen_input_ids"]),
    "a row twice": lambda rows: rows[1].update(rows[0]),
}


@pytest.mark.parametrize("change", DAMAGED_PAIRS.values(), ids=DAMAGED_PAIRS)
def test_damaged_pair(site: Site, tmp_path: Path, change: Callable[[Rows], object]) -> None:
    dataset = Path(shutil.copytree(site.whole(PREFERENCES), tmp_path / "data_set"))
    rewrite(dataset, change)
    assert failures(dataset)
    first_problem(lambda: describe_dialogue(Dataset(dataset), "1"))


def test_every_damaged_row_is_named(site: Site, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    rewrite(dataset, lambda rows: [row["events"][0].update(start_sample=-5) for row in rows])
    assert {message.split(":")[0] for message in failures(dataset)} == {"talk/0", "talk/1", "talk/2"}


def test_text_that_is_no_unicode(site: Site, tmp_path: Path) -> None:
    """Half of a pair of surrogates, as UTF-8 would have it if it had it."""
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    table = pq.read_table(dataset / SHARD)
    for name, named in (("language", "talk/1: cannot be read: "), ("dialogue_id", "row 1: cannot be read: ")):
        content = [value.encode() for value in table[name].to_pylist()]
        content[1] = b"\xed\xa0\x80"
        broken = pa.array(content, pa.binary()).view(pa.string())
        put_table(dataset, table.set_column(table.schema.get_field_index(name), table.schema.field(name), broken))
        assert [message for message in failures(dataset) if message.startswith(named)]
        assert first_problem(lambda: iter(Dataset(dataset).rows()))


RATE = 16000
AUDIO: dict[str, Callable[[Any], bytes | None]] = {
    "nothing": lambda track: None,
    "no bytes": lambda track: b"",
    "another format": lambda track: flac(track, kind="WAV"),
    "another rate": lambda track: flac(track, RATE // 2),
    "three channels": lambda track: flac(np.repeat(track[:, :1], 3, axis=1)),
    "another length": lambda track: flac(track[:-1]),
    "half": lambda track: flac(track)[:-5000],
    "a bomb": lambda track: flac(np.zeros((RATE * 3600, 2), np.int16)),
    "says another length": lambda track: flac(track)[:21] + b"\xf0\x00\x00\x01\x00" + flac(track)[26:],
}


@pytest.mark.parametrize("change", AUDIO.values(), ids=AUDIO)
def test_audio_that_is_not_that_of_the_row(
    data_sets: Callable[[str], Path], tmp_path: Path, change: Callable[[Any], bytes | None]
) -> None:
    dataset = Path(shutil.copytree(data_sets("turn_taking"), tmp_path / "data_set"))

    def put(rows: Rows) -> None:
        track = soundfile.read(io.BytesIO(rows[1]["audio"]["bytes"]), dtype="int16")[0]
        rows[1]["audio"]["bytes"] = change(track)

    rewrite(dataset, put)
    messages = failures(dataset)
    assert [message for message in messages if message.startswith("talk/1: audio ")]
    assert all(message.startswith("talk/1: ") for message in messages)


def test_name_of_the_audio(data_sets: Callable[[str], Path], tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(data_sets("turn_taking"), tmp_path / "data_set"))
    rewrite(dataset, lambda rows: rows[1]["audio"].update(path="../../x.flac"))
    assert failures(dataset) == ["talk/1: audio.path is '../../x.flac', expected 'talk%2F1.flac'"]


def test_rows_of_sources_in_another_order(site: Site, tmp_path: Path) -> None:
    """Within one source, the order of rows cannot be checked without the source."""
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    rewrite(dataset, lambda rows: rows.reverse())
    assert failures(dataset) == []


def with_columns(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    return lambda dataset: put_table(dataset, change(pq.read_table(dataset / SHARD)))


def cast(name: str, type_: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        return table.set_column(index, pa.field(name, type_, nullable=False), table[name].cast(type_))

    return change


def renamed(table: pa.Table) -> pa.Table:
    return table.rename_columns(["x\x1b[31m", *table.column_names[1:]])


def nullable(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))


SHAPES: dict[str, Callable[[Path], None]] = {
    "a column less": with_columns(lambda table: table.drop_columns(["language"])),
    "a column more": with_columns(lambda table: table.append_column("more", table["num_blocks"])),
    "a column twice": with_columns(lambda table: table.append_column("language", table["language"])),
    "a column renamed": with_columns(renamed),
    "columns in another order": with_columns(lambda table: table.select(table.column_names[::-1])),
    "a wider type": with_columns(cast("num_blocks", pa.int64())),
    "wider ids": with_columns(cast("input_ids", pa.list_(pa.int64()))),
    "text as bytes": with_columns(cast("language", pa.binary())),
    "nulls allowed": with_columns(nullable),
    "no rows": with_columns(lambda table: table.slice(0, 0)),
    "no columns": lambda dataset: put_table(dataset, pa.table({})),
    "no Parquet": lambda dataset: put_file(dataset, SHARD, b"PAR1" + bytes(100) + b"PAR1"),
    "nothing": lambda dataset: put_file(dataset, SHARD, b""),
    "a footer longer than the file": lambda dataset: put_file(dataset, SHARD, b"PAR1\xff\xff\xff\x7fPAR1"),
    "cut": lambda dataset: put_file(dataset, SHARD, (dataset / SHARD).read_bytes()[:-9]),
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
def test_shape_of_a_shard(site: Site, tmp_path: Path, change: Callable[[Path], None]) -> None:
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    change(dataset)
    messages = failures(dataset)
    assert messages
    assert all(message.isprintable() for message in messages)
    try:
        assert list(opened(dataset).rows()) == []
    except UserError:
        return
    assert messages[0] == "ledger: 3 emitted, but data/ has 0 rows"


def test_many_rows_of_a_small_file(site: Site, tmp_path: Path) -> None:
    """70 million equal ids take a few kilobytes: the row group is refused by its footer."""
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    table = pq.read_table(dataset / SHARD)
    bomb = pa.ListArray.from_arrays([0, 0, 0, 70_000_000], pa.repeat(pa.scalar(7, pa.int32()), 70_000_000))
    put_table(
        dataset, table.set_column(table.schema.get_field_index("input_ids"), table.schema.field("input_ids"), bomb)
    )
    (message,) = failures(dataset)
    assert "row group 0 has 3 rows and 70000002 values" in message


def test_flipped_bytes_of_a_shard(site: Site, tmp_path: Path) -> None:
    """Wherever a byte of a page or of the footer flips, `verify` finds it, or all that it can check is unchanged."""
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    whole = (dataset / SHARD).read_bytes()
    rows = list(Dataset(dataset).rows())
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    draw = random.Random(0)
    passed = []
    for place in (
        *(draw.randrange(footer) for _ in range(60)),
        *(draw.randrange(footer, len(whole)) for _ in range(240)),
    ):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draw.randrange(8)
        put_file(dataset, SHARD, bytes(flipped))
        if not first_problem(lambda: verify(dataset, lambda _: None)):
            passed += [
                place
                for one, row in zip(Dataset(dataset).rows(), rows, strict=True)
                if checked_part(one) != checked_part(row)
            ]
    assert passed == []


def flips_of_a_footer(path: Path) -> Counter[str]:
    """How often each problem is found, "" for none, if each bit of a footer is flipped in turn."""
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    counts: Counter[str] = Counter()
    for bit in range(footer * 8, len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        counts[problem_of_table(path)] += 1
    return counts


def problem_of_table(path: Path) -> str:
    try:
        file, problems = open_table(path, None)
        file.close()
        return "; ".join(problems)
    except pa.ArrowException as error:
        return str(error)


def in_another_process(function: Callable[[Path], Any], path: Path) -> Any:
    """The result of a function; raises BrokenProcessPool if it ends the process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, path).result()


def test_no_bit_of_a_footer_ends_the_process(tmp_path: Path) -> None:
    """Bad metadata of lists and text raises an error where pyarrow would end the process."""
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "ids": [[1, 2], [3]]}), path)
    counts = in_another_process(flips_of_a_footer, path)
    assert counts[""]  # bits of statistics, and of names that are not checked
    assert any("histogram size mismatch" in problem for problem in counts)


def footer_parts(**columns: list[int]) -> list[bytes]:
    """A table of two rows: its pages, and its footer before, of and after the row groups."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, store_schema=False)
    content = file.getvalue()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    groups = content.index(b"\x16\x04\x19\x1c\x19", start)  # two rows; a list of one group; its list of columns
    after = content.index(b"parquet-cpp-arrow", start) - 2
    return [content[:start], content[start:groups], content[groups:after], content[after:-8]]


@pytest.mark.parametrize("columns", [1, 2])
def test_row_group_of_another_number_of_columns(tmp_path: Path, columns: int) -> None:
    """A row group of two columns and a schema of one, and the other way round."""
    tables = [footer_parts(a=[1, 2]), footer_parts(a=[1, 2], b=[3, 4])]
    pages, _, groups, _ = tables[columns - 1]
    _, schema, _, after = tables[2 - columns]
    footer = schema + groups + after
    path = tmp_path / "table.parquet"
    path.write_bytes(pages + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert f"has {'only ' * (columns == 1)}{columns} columns" in in_another_process(problem_of_table, path)


class Keys(encryption.KmsClient):  # type: ignore[misc]
    """Keys that are not wrapped."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)


def test_columns_that_are_encrypted(tmp_path: Path) -> None:
    """The footer is plain, and there is no key for the columns."""
    path = tmp_path / "table.parquet"
    keys = encryption.CryptoFactory(lambda _: Keys()).file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(footer_key="one", column_keys={"two": ["text"]}, plaintext_footer=True),
    )
    pq.write_table(pa.table({"text": ["a", "b"]}), path, encryption_properties=keys)
    assert in_another_process(problem_of_table, path).startswith("Cannot decrypt ")


def checked_part(row: dict[str, Any]) -> dict[str, Any]:
    """What of a row without audio its sequence and the recipe contradict if it changes."""
    codes = {name: row[name][0] for name in ("user_codes", "assistant_codes")}
    told = ("channel", "kind", "start_sample", "end_sample", "whole_end_sample", "answers", "cut_by")
    events = [
        {name: event[name] for name in (*told, *(("text", "spoken_text") if event["channel"] == "assistant" else ()))}
        for event in row["events"]
    ]
    return {name: value for name, value in row.items() if name != "dialogue_id"} | codes | {"events": events}


@pytest.mark.parametrize("stage", ["sequences", "\x1b[31m", "x" * 1000])
def test_rejected_tables(site: Site, tmp_path: Path, stage: str) -> None:
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    name = "rejected/part-00000.parquet"
    schema = pq.read_schema(dataset / name)
    row = {"dialogue_id": "x", "stage": stage, "reason": "\x1b[31m", "detail": ""}
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=schema), file)
    put_file(dataset, name, file.getvalue(), rows=1)
    assert failures(dataset) == [f"{name}: 1 rows have a stage and a reason that the ledger does not have"]


def test_manifest_is_what_says_how_many(site: Site, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    manifest = json.loads((dataset / "manifest.json").read_bytes())
    put_file(dataset, SHARD, (dataset / SHARD).read_bytes(), rows=2**52)
    assert failures(dataset) == [f"{SHARD}: has {manifest['files'][0]['rows']} rows, expected {2**52}"]
