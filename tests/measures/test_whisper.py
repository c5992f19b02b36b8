import json
from pathlib import Path

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures import whisper


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a converted model's folder looks like from outside."""
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "vocabulary.json").write_text(json.dumps([str(number) for number in range(51865)]))
    return tmp_path


def test_a_folder_is_taken_as_it_is(folder: Path) -> None:
    assert whisper.folder_of(str(folder)) == folder


def test_a_folder_that_was_copied_by_half_names_what_is_missing(folder: Path) -> None:
    (folder / "model.bin").unlink()
    with pytest.raises(UserError, match=r"has no model\.bin"):
        whisper.folder_of(str(folder))


def test_a_name_that_is_none_lists_those_that_are() -> None:
    pytest.importorskip("faster_whisper", reason="needs the extra `voices`")
    with pytest.raises(UserError, match=r"'larg' is neither a folder nor a size .* large-v3"):
        whisper.folder_of("larg")


def test_a_size_that_is_not_here_names_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faster_whisper", reason="needs the extra `voices`")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"'medium\.en' is not on this machine; get it with: python -c"):
        whisper.folder_of("medium.en")


def test_the_checksum_is_that_of_the_contents_wherever_they_lie(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert whisper.checksum(other) == whisper.checksum(folder)
    (other / "model.bin").write_bytes(b"other weights")
    assert whisper.checksum(other) != whisper.checksum(folder)


@pytest.mark.parametrize(("entries", "expected"), [(51864, True), (51865, False), (51866, False)])
def test_an_english_only_model_is_known_by_its_vocabulary(folder: Path, entries: int, expected: bool) -> None:
    names = [str(number) for number in range(entries)]
    (folder / "vocabulary.json").write_text(json.dumps(names))
    assert whisper.english_only(folder) is expected
    (folder / "vocabulary.json").unlink()
    (folder / "vocabulary.txt").write_text("\n".join(names) + "\n")
    assert whisper.english_only(folder) is expected
