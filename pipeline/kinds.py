"""The kinds of data sets, and what can be asked of a data set of any kind."""

from collections.abc import Callable, Iterator

from .dataset import verify as verifying
from .dataset.dialogues import Dialogues
from .dataset.kind import Kinds, kind_of
from .dataset.reader import Dataset
from .pairs.kind import Preferences
from .storage.objects import Place

KINDS: Kinds = {kind.name: kind for kind in (Dialogues(), Preferences())}


def opened(folder: Place) -> Dataset:
    """A finished data set, to be read with the columns that its kind must have.

    Raises UserError if the folder is no data set, MalformedDataset if its manifest names no known kind, or does not say
    what this kind must say.
    """
    dataset = Dataset(folder)
    return Dataset(folder, kind_of(dataset, KINDS).columns(dataset))


def verify(folder: Place, report: Callable[[int], None]) -> Iterator[str]:
    """Everything that is wrong with a data set, in words (`dataset/verify.py`)."""
    return verifying.verify(folder, KINDS, report)


def check_whole(dataset: Dataset) -> list[str]:
    """What is wrong with a data set, apart from the contents of its rows (`dataset/verify.py`)."""
    return verifying.check_whole(dataset, KINDS)
