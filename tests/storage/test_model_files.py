"""Files of models are read as far as any such file goes, and nothing that never ends is opened."""

import os
from pathlib import Path

import pytest

from duplexgen.pipeline.storage.model_files import read_json_object


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zero", "folder", "none"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read: (it is not a plain file|No such file|Is a dir)"):
            read_json_object(tmp_path / name)


def test_a_file_larger_than_any_is(tmp_path: Path) -> None:
    (tmp_path / "large").write_text('{"a": 1}')
    assert read_json_object(tmp_path / "large", largest_bytes=8) == {"a": 1}
    with pytest.raises(ValueError, match="large cannot be read: it has 8 bytes, expected at most 7"):
        read_json_object(tmp_path / "large", largest_bytes=7)
