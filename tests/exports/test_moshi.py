"""moshi-finetune reads an export: sphn, which it reads audio with, and its rules for words.

sphn is in the extra `clients`. The rules of its `Interleaver` are written down here; `test_the_program_itself` runs
kyutai-labs/moshi-finetune at 2acc879 on an export, where DUPLEXGEN_PUBLIC names its clone (CONTRIBUTING.md).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.exports.exporters import export
from duplexgen.pipeline.exports.moshi import alignments
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.tokenizers import TEXT_TOKENIZERS
from tests.exports.conftest import DIALOGUES, Export, Sets
from tests.exports.heard import samples_of, unlike
from tests.layouts.public.programs import run

RATE, FRAME = 24_000, 1920
CHUNK_S = 60.0  # longer than any of the dialogues


def listed(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "data.jsonl").read_text().splitlines()]


def words_of(out: Path, line: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / line["path"]).with_suffix(".json").read_text())
    return found


def text_ids(dataset: Dataset) -> dict[str, list[int]]:
    """The ids of each word of the assistant's."""
    tokenizer = TEXT_TOKENIZERS["bpe"](Tokens())
    tokenizer.load()
    events = [event for row in dataset.rows(["events"]) for event in row["events"] if event["channel"] == "assistant"]
    return {word["text"]: tokenizer.encode(word["text"]) for event in events for word in event["words"]}


def special(dataset: Dataset) -> dict[str, int]:
    ids = dataset.described.model_dump()["ids"]["special"]
    return {name: ids[name]["id"] for name in ("pad", "epad")}


def text_stream(words: list[Any], frames: int, tokens: dict[str, list[int]], pad: int, epad: int) -> list[int]:
    """Stream 0 as its Interleaver fills it: a word is due in the first frame that ends after its start, and replaces
    what is left of the one before; the padding right before an id becomes the end of padding.
    """
    stream, waiting, due = [pad] * frames, [], list(words)
    for frame in range(frames):
        while due and due[0][1][0] * 12.5 < frame + 1:
            waiting = list(tokens[due.pop(0)[0]])
        if waiting:
            if frame and stream[frame - 1] == pad:
                stream[frame - 1] = epad
            stream[frame] = waiting.pop(0)
    return stream


def test_sphn_reads_the_audio(exports: Export, sets: Sets) -> None:
    """Left is the assistant, at 24 kHz, in chunks that join without a seam."""
    sphn = pytest.importorskip("sphn", reason="sphn is in the extra clients")
    out, rows = exports("moshi", "bayling"), [*sets("bayling").rows(["audio"])]
    read: dict[str, list[np.ndarray]] = {}
    settings = {"duration_sec": 4.0, "sample_rate": RATE, "pad_last_segment": True}  # as moshi-finetune has them
    for sample in sphn.dataset_jsonl(str(out / "data.jsonl"), **settings).seq():
        read.setdefault(sample["path"], []).append(sample["data"][:, : sample["unpadded_len"]])
    assert len(read) == DIALOGUES
    for line, row in zip(listed(out), rows, strict=True):
        user, assistant = samples_of(row)
        (joined,) = (np.concatenate(chunks, axis=1) for path, chunks in read.items() if path.endswith(line["path"]))
        assert line["duration"] * RATE == joined.shape[1] == len(user) * 3 // 2
        assert unlike(joined[0], assistant, 3, 2) < 0.02 and unlike(joined[1], user, 3, 2) < 0.02


def test_files(exports: Export, sets: Sets) -> None:
    out, rows = exports("moshi", "bayling"), [*sets("bayling").rows(["dialogue_id", "audio"])]
    for line, row in zip(listed(out), rows, strict=True):
        info = soundfile.info(out / line["path"])
        assert (info.format, info.subtype, info.channels, info.samplerate) == ("WAV", "PCM_16", 2, RATE)
        samples, _ = soundfile.read(out / line["path"])
        user, assistant = samples_of(row)
        assert unlike(samples.T[0], assistant, 3, 2) < 0.02 and unlike(samples.T[1], user, 3, 2) < 0.02
        assert words_of(out, line)["dialogue_id"] == row["dialogue_id"]


def test_words(exports: Export, sets: Sets) -> None:
    """All words of the assistant's that take time, in order, each half a sample late, and none of the user's."""
    dataset = sets("natural")
    out = exports("moshi", "natural")
    for line, row in zip(listed(out), dataset.rows(["events"]), strict=True):
        words = words_of(out, line)["alignments"]
        starts = [start for _, (start, _), _ in words]
        assert starts == sorted(starts) and all(start < end for _, (start, end), _ in words)
        assert {speaker for _, _, speaker in words} == {"SPEAKER_MAIN"}
        said = [word for event in row["events"] if event["channel"] == "assistant" for word in event["words"]]
        assert sorted(word for word, _, _ in words) == sorted(word["text"] for word in said)
        for text, (start, end), _ in words:
            place = [round(start * 16_000 - 0.5, 6), round(end * 16_000 - 0.5, 6)]
            assert place in [[one["start_sample"], one["end_sample"]] for one in said if one["text"] == text]


def test_a_word_that_takes_no_time_is_left_out() -> None:
    words = [
        {"text": text, "start_sample": start, "end_sample": end} for text, start, end in (("b", 9, 20), ("–", 5, 5))
    ]
    user = {"channel": "user", "words": [{"text": "no", "start_sample": 0, "end_sample": 4}]}
    said = alignments([user, {"channel": "assistant", "words": words}], 10)
    assert said == [["b", [0.95, 2.05], "SPEAKER_MAIN"]]


def test_its_text_is_the_text_stream_of_the_layout(exports: Export, sets: Sets) -> None:
    dataset, out = sets("moshi"), exports("moshi", "moshi")
    tokens, ids = text_ids(dataset), special(dataset)
    for line, row in zip(listed(out), dataset.rows(["streams"]), strict=True):
        frames = round(line["duration"] * 12.5)
        wanted = row["streams"][0][1 : 1 + frames]
        assert text_stream(words_of(out, line)["alignments"], frames, tokens, **ids) == wanted
        assert len(set(wanted)) > 10


def test_the_program_itself(exports: Export, sets: Sets, tmp_path: Path) -> None:
    """Its data set, with a stub in place of Mimi that reads the first eight samples of a frame as codes."""
    dataset, out = sets("moshi"), exports("moshi", "moshi")
    asked = {"jsonl": str(out / "data.jsonl"), "duration_s": CHUNK_S, "tokens": text_ids(dataset), **special(dataset)}
    chunks = np.array(run("moshi_finetune", tmp_path, {"export": asked}, "moshi", "moshi-finetune")["export"])
    assert chunks.shape == (DIALOGUES, 17, CHUNK_S * 12.5)
    for chunk, line, row in zip(chunks, listed(out), dataset.rows(["streams"]), strict=True):
        samples = soundfile.read(out / line["path"], dtype="int16")[0]
        frames = len(samples) // FRAME
        assert chunk[0, :frames].tolist() == row["streams"][0][1 : 1 + frames]
        first = samples.reshape(frames, FRAME, 2)[:, :8]
        assert np.array_equal(chunk[1:9, :frames], first[:, :, 0].T), "left: Moshi"
        assert np.array_equal(chunk[9:, :frames], first[:, :, 1].T), "right: the user"


def test_words_that_are_not_known(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's are not needed."""
    batches = Dataset.batches

    def without(channel: str) -> Any:
        def read(self: Dataset, *args: Any) -> Any:
            for batch in batches(self, *args):
                rows = batch.to_pylist()
                for row in rows:
                    for event in row.get("events", ()):
                        event["words"] = None if event["channel"] == channel else event["words"]
                yield type(batch).from_pylist(rows, schema=batch.schema)

        return read

    monkeypatch.setattr(Dataset, "batches", without("assistant"))
    with pytest.raises(UserError, match="the times of words are not known for all of the assistant's events: build it"):
        export(sets("bayling"), "moshi", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(Dataset, "batches", without("user"))
    assert export(sets("bayling"), "moshi", tmp_path / "out").rows == DIALOGUES
    with pytest.raises(UserError, match="the times of words are not known for all of its events"):
        export(sets("moshi"), "j-moshi", tmp_path / "other")
