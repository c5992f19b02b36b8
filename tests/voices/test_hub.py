import io
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.voices.clips import About, Recording, Unread
from duplexgen.pipeline.voices.hub import read_hub

SAMPLES = np.random.Generator(np.random.Philox(0)).integers(-9000, 9000, 8000).astype(np.int16)


def encoded() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, 16000, format="FLAC")
    return file.getvalue()


def test_rows_are_read_with_their_audio_as_it_is_encoded(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    soundfile.write(tmp_path / "b.wav", SAMPLES, 22050)
    features = datasets.Features(
        {
            "audio": datasets.Audio(),
            "text": datasets.Value("string"),
            "speaker_id": datasets.Value("int64"),
            "gender": datasets.ClassLabel(names=["female", "male"]),
            "language": datasets.Value("string"),
        }
    )
    rows = {
        "audio": [
            {"bytes": encoded(), "path": "a.flac"},
            {"bytes": None, "path": str(tmp_path / "b.wav")},
            {"bytes": None, "path": str(tmp_path / "gone.wav")},
            {"bytes": encoded(), "path": None},
        ],
        "text": ["Hello there.", None, None, None],
        "speaker_id": [7, 8, 9, 9],
        "gender": [0, 1, 1, 1],
        "language": ["en", None, None, "the tongue of men"],
    }
    table = pyarrow.Table.from_pydict(rows, schema=features.arrow_schema)  # `datasets` encodes with torchcodec alone
    pyarrow.parquet.write_table(table, tmp_path / "set" / "train.parquet")
    found = list(read_hub(str(tmp_path / "set"), None, "train", None))
    first, second, third, fourth = found
    assert isinstance(first, Recording)
    assert first.about == About("Hello there.", "7", "en", "female", None)
    assert first.content == encoded()
    samples, rate = first.decode()
    assert rate == 16000
    assert np.array_equal(samples * 32768, SAMPLES)
    assert isinstance(second, Recording)
    assert second.about == About(None, "8", None, "male", None)
    assert second.decode()[1] == 22050
    assert isinstance(third, Unread)
    assert third.reason == "broken_file"
    assert isinstance(fourth, Unread)
    assert fourth.reason == "bad_metadata"
    assert [one.where.rsplit("#")[1] for one in found] == ["1", "2", "3", "4"]


def test_a_set_without_audio_says_so(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["Hello"]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(UserError, match="no column of audio; its columns are text"):
        list(read_hub(str(tmp_path), None, "train", None))


def test_a_split_that_is_not_there_says_so(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["Hello"]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(UserError, match=r"cannot load the data set .*split 'validation'"):
        list(read_hub(str(tmp_path), None, "validation", None))
