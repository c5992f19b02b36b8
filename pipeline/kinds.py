"""Which kinds of data sets there are, and what is asked of a data set whatever its kind."""

from collections.abc import Callable, Iterator
from pathlib import Path

from .dataset import verify as verifying
from .dataset.dialogues import Dialogues
from .dataset.kind import Kinds, kind_of
from .dataset.reader import Dataset
from .pairs.kind import Preferences

KINDS: Kinds = {kind.name: kind for kind in (Dialogues(), Preferences())}


def opened(folder: Path) -> Dataset:
    """A data set whose shards are read if they have the columns of its kind.

    Raises UserError if the folder is none, MalformedDataset if its kind is not known or says nothing such.
    """
    dataset = Dataset(folder)
    return Dataset(folder, kind_of(dataset, KINDS).columns(dataset))


def verify(folder: Path, report: Callable[[int], None]) -> Iterator[str]:
    """Everything that is wrong with a data set, in words (`dataset/verify.py`)."""
    return verifying.verify(folder, KINDS, report)


def check_whole(dataset: Dataset) -> list[str]:
    """What is wrong with a data set, all but what its rows say (`dataset/verify.py`)."""
    return verifying.check_whole(dataset, KINDS)
