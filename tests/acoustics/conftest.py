"""Folders of noise, as they are published and as they should not be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned of files is kept in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def noise_folder(tmp_path: Path) -> Callable[..., Path]:
    """`noise_folder(40)`: so many recordings of a second, of several rates, formats and channels."""

    def make(count: int, name: str = "noise") -> Path:
        folder = tmp_path / name
        for number in range(count):
            random = np.random.default_rng(number)
            rate = (8000, 16000, 44100, 48000)[number % 4]
            sound = (random.standard_normal((rate, 1 + number % 2)) * 3000).astype(np.int16)
            suffix = (".wav", ".flac", ".WAV", ".sw")[number % 4]
            path = folder / f"part{number % 3}" / f"noise-{number:03d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == ".sw":
                path.write_bytes(sound[:, 0].astype("<i2").tobytes())
            else:
                soundfile.write(path, sound, rate)
        (folder / "README").write_text("not a sound")
        (folder / ".hidden").mkdir(exist_ok=True)
        (folder / ".hidden" / "noise.wav").write_bytes(b"not a sound")
        return folder

    return make
