"""How two descriptions of the same kind differ, in words."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from ..recipe.file import Location, dotted

MOST = 6  # differences that are named; the rest is counted
LONGEST = 40  # characters of a value
MISSING = object()


def differences(there: Any, here: Any, location: Location = ()) -> Iterator[str]:
    """Every value that one of two JSON values has and the other has not, such as `seed (3 there, 4 here)`."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*there, *(key for key in here if key not in there)]:
            yield from differences(there.get(key, MISSING), here.get(key, MISSING), (*location, key))
    elif isinstance(there, list) and isinstance(here, list):
        for index, (one, other) in enumerate(zip_longest(there, here, fillvalue=MISSING)):
            yield from differences(one, other, (*location, index))
    elif there != here:
        yield f"{dotted(location)} ({_shown(there)} there, {_shown(here)} here)"


def listed(found: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + more


def _shown(value: Any) -> str:
    if value is MISSING or value is None:
        return "none"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
