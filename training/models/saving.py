"""Folders that other libraries write: whole and on disk, or not there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ...pipeline.errors import UserError
from ...pipeline.storage.atomic import explained, sync_all


@contextmanager
def saved(folder: Path) -> Iterator[None]:
    """Files that the block writes to `folder` are on disk after it. If anything fails, the folder is removed.

    Raises UserError if the disk is full or may not be written.
    """
    try:
        with explained(folder):
            yield
            sync_all(folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, SafetensorError):  # which is no OSError
            raise UserError(
                f"{folder}: could not be written ({error}); most likely the disk is full. It was removed, and "
                "earlier checkpoints are safe: make room and run the same command again."
            ) from error
        raise
