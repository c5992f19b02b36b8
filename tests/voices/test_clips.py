import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.voices.clips import About, Recording, Unread, about, read_folder

NOISE = np.random.Generator(np.random.Philox(0)).uniform(-0.5, 0.5, 8000).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four formats, one of them deeper, and what is no recording."""
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("a.wav", "b.flac", "c.mp3", "deep/d.ogg", ".hidden/e.wav", ".f.wav"):
        soundfile.write(tmp_path / name, NOISE, 16000)
    (tmp_path / "notes.txt").write_text("no audio")
    return tmp_path


def named(folder: Path) -> dict[str, About]:
    return {found.where: found.about for found in read_folder(folder) if isinstance(found, Recording)}


def unread(folder: Path) -> list[Unread]:
    return [found for found in read_folder(folder) if isinstance(found, Unread)]


def test_every_format_is_found_at_any_depth_in_order(folder: Path) -> None:
    found = list(read_folder(folder))
    assert [recording.where for recording in found] == ["a.wav", "b.flac", "c.mp3", "deep/d.ogg"]
    for recording in found:
        assert isinstance(recording, Recording)
        samples, rate = recording.decode()
        assert rate == 16000
        assert samples.ndim == 1
        assert samples.dtype == np.float32
        assert abs(len(samples) - len(NOISE)) < 3000  # mp3 has frames of its own


def test_what_is_known_is_read_from_csv(folder: Path) -> None:
    (folder / "metadata.csv").write_text(
        "file,text,speaker,language,sex,license\n"
        'a.wav,"Hello,  there.",anna,en-US,F,CC0-1.0\n'
        "./deep/d.ogg,,ben,,male_masculine,\n",
        encoding="utf-8-sig",
    )
    known = named(folder)
    assert known["a.wav"] == About("Hello, there.", "anna", "en", "female", "CC0-1.0")
    assert known["deep/d.ogg"] == About(None, "ben", None, "male", None)
    assert known["b.flac"] == About()
    assert not unread(folder)


def test_what_is_known_is_read_from_jsonl_under_other_names(folder: Path) -> None:
    rows: list[Any] = [
        {"file_name": "a.wav", "sentence": "你好", "client_id": 17, "locale": "zh-CN", "gender": "unsaid"},
        ["no object"],
    ]
    lines = [*(json.dumps(row, ensure_ascii=False) for row in rows), "{broken", ""]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert named(folder)["a.wav"] == About("你好", "17", "zh", None, None)
    assert [(row.where, row.reason) for row in unread(folder)] == [
        ("metadata.jsonl:2", "bad_metadata"),
        ("metadata.jsonl:3", "bad_metadata"),
    ]


@pytest.mark.parametrize(
    ("line", "where", "reason"),
    [
        ("gone.wav,,", "metadata.csv:2", "missing_file"),
        ("../a.wav,,", "metadata.csv:2", "missing_file"),
        (",,", "metadata.csv:2", "missing_file"),
        ("a.wav,,the tongue of men", "a.wav", "bad_metadata"),
        ("a.wav,,en\na.wav,anna,en", "a.wav", "bad_metadata"),
        ("a.wav,,fra", "a.wav", "bad_metadata"),
        ("a.wav,,xx-US", "a.wav", "bad_metadata"),
        ("a.wav,,en,more", "a.wav", "bad_metadata"),
        ("of Ann, a.wav,,en", "a.wav", "bad_metadata"),
        ("gone.wav,,en,more", "metadata.csv:2", "bad_metadata"),
    ],
)
def test_a_bad_row_is_counted_once_and_stops_nothing(line: str, where: str, reason: str, folder: Path) -> None:
    (folder / "metadata.csv").write_text(f"file,speaker,language\n{line}\n", encoding="utf-8")
    assert [(row.where, row.reason) for row in unread(folder)] == [(where, reason)]
    assert len(named(folder)) == (3 if where == "a.wav" else 4)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metadata.csv", "name,text\na.wav,Hello\n", "no column `file` in its first line"),
        ("metadata.csv", "", "no column `file` in its first line"),
        ("metadata.jsonl", b"\xff\xfe", "Expected UTF-8"),
    ],
)
def test_metadata_that_is_no_table_stops_the_command(name: str, content: str | bytes, says: str, folder: Path) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=says):
        list(read_folder(folder))


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ('a.wav,ann\n\nb.flac,"ben\nc.mp3,cem\n', 4, "unexpected end of data"),
        ('a.wav,ann\nb.flac,"ben\nc.mp3,"cem"\n', 3, "expected after"),
        ('a.wav,"ann\r\nb.flac,ben\r\nc.mp3"\r\n', 2, "does not end on its line"),
        ('a.wav,"ann" who\n', 2, "expected after"),
    ],
)
def test_a_quote_that_swallows_rows_stops_the_command_at_its_line(
    rows: str, line: int, says: str, folder: Path
) -> None:
    (folder / "metadata.csv").write_bytes(f"file,speaker\n{rows}".encode())
    with pytest.raises(UserError, match=rf"metadata\.csv:{line}: .*{says}.*Expected each row on one line"):
        list(read_folder(folder))


def test_what_has_the_name_of_audio_and_is_not_read_is_named(folder: Path) -> None:
    for name in ("g.m4a", "deep/h.AAC", "i.webm", "j.wma", ".k.m4a"):
        (folder / name).write_bytes(b"audio")
    (folder / "l.wav").symlink_to(folder / "gone.wav")
    (folder / "m.wav").mkdir()
    (folder / "metadata.csv").write_text("file,text\ng.m4a,Hello\nl.wav,Hello\n", encoding="utf-8")
    assert [(row.where, row.reason) for row in unread(folder)] == [
        (name, "not_read") for name in ("deep/h.AAC", "g.m4a", "i.webm", "j.wma", "l.wav", "m.wav")
    ]
    details = {row.where: row.detail for row in unread(folder)}
    assert "expected a file that ends in .wav, .flac" in details["g.m4a"]
    assert "a link to one that is there" in details["l.wav"]
    assert list(named(folder)) == ["a.wav", "b.flac", "c.mp3", "deep/d.ogg"]


def test_a_folder_without_audio_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no audio there"):
        list(read_folder(tmp_path))


def test_one_channel_is_the_mean_of_all(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([NOISE, NOISE / 2], axis=1), 16000, subtype="FLOAT")
    samples, _ = Recording("two.wav", tmp_path / "two.wav", About()).decode()
    np.testing.assert_allclose(samples, NOISE * 0.75, atol=1e-7)


@pytest.mark.parametrize("content", [b"", b"RIFFnothing", b"\0" * 400])
def test_what_is_no_audio_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    for source in (content, tmp_path / "bad.wav"):
        with pytest.raises(DialogueRejected, match="broken_file"):
            Recording("bad.wav", source, About()).decode()


def test_samples_that_are_not_numbers_are_rejected(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    with pytest.raises(DialogueRejected, match="not numbers"):
        Recording("nan.wav", tmp_path / "nan.wav", About()).decode()


def test_a_recording_is_named_by_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    content = (tmp_path / "a.wav").read_bytes()
    assert Recording("a", tmp_path / "a.wav", About()).sha256() == Recording("b", content, About()).sha256()
    with pytest.raises(DialogueRejected, match="broken_file"):
        Recording("gone", tmp_path / "gone.wav", About()).sha256()


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("EN", "en"),
        ("en_GB", "en"),
        ("English", "en"),
        ("zh-Hans-CN", "zh"),
        ("cmn", "zh"),
        ("nb-NO", "no"),
        ("yue", "yue"),
    ],
)
def test_languages_are_brought_to_their_codes(said: str, language: str) -> None:
    assert about({"language": said}).language == language


@pytest.mark.parametrize("said", ["fra", "xx", "xx-US", "the tongue of men"])
def test_a_language_that_whisper_does_not_know_says_what_was_expected(said: str) -> None:
    with pytest.raises(DialogueRejected, match=f"bad_metadata: language {said!r}: expected one that Whisper knows"):
        about({"language": said})
