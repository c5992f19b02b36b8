"""One row of a data set for a person: what `inspect` and the viewer have in common."""

from collections.abc import Callable, Mapping
from typing import Any

from tokenizers import Tokenizer

from ..dataset.manifest import VOCABULARY_FOLDER
from ..dataset.reader import LARGEST_TOKENIZER_BYTES, Dataset
from ..dataset.schema import SIDES
from ..errors import UserError
from ..escapes import one_line
from ..pairs.kind import PREFERENCES
from ..storage.paths import read_bytes

Row = Mapping[str, Any]


def place_of(dataset: Dataset, wanted: str) -> int:
    """The number of a dialogue. wanted: its id, or its number counted from 0; an id that is a number is an id.

    Raises UserError if there is no such dialogue.
    """
    if (place := dataset.number_of(wanted)) is not None:
        return place
    rows = dataset.manifest.rows
    if wanted in map(str, range(rows)):
        return int(wanted)
    raise UserError(f"{dataset.place} has no dialogue {wanted!r}: expected an id, or a number from 0 to {rows - 1}.")


def check_shown(dataset: Dataset, row: Row) -> None:
    """Raise UserError unless a row's ids and events can be shown."""
    layout = dataset.layout
    try:
        for side in sides(dataset, row).values():
            layout.written(side)
            samples = layout.length(side) * layout.samples_per_frame
            events = row.get("events", ())
            if not all(0 <= event["start_sample"] <= event["end_sample"] <= samples for event in events):
                raise ValueError(f"its events are not those of {samples} samples")
    except (ValueError, IndexError) as error:
        raise UserError(
            f"{dataset.place}: the row is damaged: {error}. `duplexgen verify` says what is wrong."
        ) from error


def sides(dataset: Dataset, row: Row) -> dict[str, dict[str, Any]]:
    """The columns of the layout in a row, by side; a dialogue has one side, ""."""
    names = [field.name for field in dataset.layout.COLUMNS]
    prefixes = SIDES if dataset.kind == PREFERENCES else ("",)
    return {side: {name: row[f"{side}_{name}".lstrip("_")] for name in names} for side in prefixes}


def names(tokenizer: Tokenizer) -> Callable[[int], str]:
    """A function from a text id to its text, without line breaks."""
    return lambda id_: one_line(tokenizer.decode([id_]).strip())


def text_tokenizer(dataset: Dataset) -> Tokenizer:
    """The tokenizer in `vocabulary/`. Raises UserError if it is missing or damaged."""
    file = dataset.own(f"{VOCABULARY_FOLDER}/tokenizer.json")
    try:
        return Tokenizer.from_buffer(read_bytes(file, LARGEST_TOKENIZER_BYTES))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{file} is damaged: {error}") from error
