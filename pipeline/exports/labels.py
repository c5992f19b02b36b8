"""Labels for trainers of language models: what a model shall not learn is -100."""

from collections.abc import Sequence

import numpy as np

from ..dataset.reader import Dataset
from ..layouts.bayling import Bayling

IGNORED = -100
LAYOUTS = frozenset({Bayling.name})
"""Whose rows are one list of ids, which a language model reads."""


def labels_of(dataset: Dataset, ids: Sequence[int]) -> list[int]:
    """The ids of a row, and -100 where the user is heard."""
    heard = dataset.layout.kinds({dataset.layout.IDS: ids}) == 0  # the first of KINDS is the user's
    labels: list[int] = np.where(heard, IGNORED, np.asarray(ids, np.int32)).tolist()
    return labels
