"""J-Moshi's fine-tuning reads an export: `datasets`, and what its `preprocess_function` does to the rows.

The rules are written down here; `test_the_program_itself` runs nu-dialogue/moshi-finetune at 3879d29 on an export,
where DUPLEXGEN_PUBLIC names its clone (CONTRIBUTING.md).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.exports import j_moshi
from duplexgen.pipeline.exports.exporters import export
from tests.exports.conftest import DIALOGUES, Export, Sets
from tests.exports.test_moshi import special, text_stream
from tests.layouts.public.programs import run

DELAYS = [0, *([0] + [1] * 7) * 2]


def rows_of(out: Path, cache: Path) -> list[dict[str, Any]]:
    files = {"train": str(out / "train-*.parquet")}
    return [*load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache))]


def ids_of(out: Path) -> dict[str, int]:
    ids = json.loads((out / "ids.json").read_text())["ids"]
    return {name: one["id"] for name, one in ids["special"].items()} | {"audio_pad": ids["audio"]["pad"]}


def streams(main: list[list[int]], other: list[list[int]], ids: dict[str, int]) -> np.ndarray:
    """[17, T]: the speaker's nine streams and the other's codebooks, delayed, behind a column of initial ids."""
    rows = [*main, *other[1:]]
    frames = len(main[0])
    matrix = np.empty((17, frames + 2), np.int64)
    for stream, (row, delay) in enumerate(zip(rows, DELAYS, strict=True)):
        initial, padding = (ids["initial"], ids["pad"]) if stream == 0 else (ids["audio_pad"],) * 2
        matrix[stream] = [initial, *[initial] * delay, *row, *[padding] * (1 - delay)]
    return matrix


def test_the_assistants_side_is_the_row_of_the_layout(exports: Export, sets: Sets, tmp_path: Path) -> None:
    """But for the last column, where the layout has codebook 0 of the frame after the track, and this has padding."""
    out, dataset = exports("j-moshi", "moshi"), sets("moshi")
    assert sorted(path.name for path in out.glob("*.parquet")) == [f"train-{n:03d}-of-003.parquet" for n in (1, 2, 3)]
    read, given = rows_of(out, tmp_path), [*dataset.rows(["dialogue_id", "streams"])]
    assert [row["dialogue_id"] for row in read] == [row["dialogue_id"] for row in given]
    for row, own in zip(read, given, strict=True):
        wanted = np.array(own["streams"])
        assert np.array_equal(streams(row["A"], row["B"], ids_of(out))[:, :-1], wanted[:, :-1])


def test_the_users_side(exports: Export, sets: Sets, tmp_path: Path) -> None:
    out, dataset = exports("j-moshi", "moshi"), sets("moshi")
    tokenizer = j_moshi._text_tokenizer(dataset)
    columns = ["events", "user_codes"]
    for row, own in zip(rows_of(out, tmp_path), dataset.rows(columns), strict=True):
        text, *codes = row["B"]
        assert codes == [codebook[: len(text)] for codebook in own["user_codes"][:8]]
        said = [word for event in own["events"] if event["channel"] == "user" for word in event["words"]]
        said.sort(key=lambda word: word["start_sample"])
        words = [[word["text"], [(word["start_sample"] + 0.5) / dataset.sample_rate, 0.0]] for word in said]
        tokens = {word["text"]: tokenizer.encode(word["text"]) for word in said}
        assert text == text_stream(words, len(text), tokens, **special(dataset))


def test_the_program_itself(exports: Export, sets: Sets, tmp_path: Path) -> None:
    out = exports("j-moshi", "moshi")
    ids, rows = ids_of(out), rows_of(out, tmp_path)
    asked = ids | {"examples": {row["dialogue_id"]: {side: row[side] for side in "AB"} for row in rows}}
    answers = run("nu_dialogue", tmp_path, asked, "nu-dialogue")
    for row in rows:
        for main, other in ("AB", "BA"):
            got = answers[row["dialogue_id"]][main]
            wanted = streams(row[main], row[other], ids)
            assert got["streams"] == wanted.tolist()
            unlearned = np.argwhere(wanted >= np.array([ids["initial"], *[ids["audio_pad"]] * 16])[:, np.newaxis])
            assert sorted(map(tuple, np.array(got["without a label"]).T.tolist())) == sorted(
                map(tuple, unlearned.tolist())
            )


def test_words_that_do_not_fit_are_counted(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = j_moshi._text, []

    def text(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise DialogueRejected("text_overflow", "the row ends within a word")
        return whole(*arguments)

    monkeypatch.setattr(j_moshi, "_text", text)
    exported = export(sets("moshi"), "j-moshi", tmp_path / "out")
    assert exported.rows == DIALOGUES - 1
    assert exported.left_out == {"the user's words do not fit the text stream (text_overflow)": 1}
    assert "- 1: the user's words do not fit" in (tmp_path / "out/README.md").read_text()
    assert len(rows_of(tmp_path / "out", tmp_path)) == DIALOGUES - 1


def test_too_few_codebooks(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(j_moshi, "CODEBOOKS", 9)
    with pytest.raises(UserError, match=r"its channels have 8 codebooks, and Moshi's 9: build it again with `tokens: "):
        export(sets("moshi"), "j-moshi", tmp_path / "out")
