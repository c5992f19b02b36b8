"""Tar files of many small members: equal members give equal bytes."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Tar:
    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file

    def add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # without a time and an owner
        member.size = len(content)
        self._file.addfile(member, io.BytesIO(content))


@contextmanager
def tar(path: Path) -> Iterator[Tar]:
    """A new tar file to add members to."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        yield Tar(file)
