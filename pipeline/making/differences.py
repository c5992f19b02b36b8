"""How two descriptions of the same kind differ, in words."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from ..recipe.file import Location, dotted

MOST_NAMED = 6  # differences; the rest is counted
LONGEST_VALUE = 40  # characters
MISSING = object()


def differences(there: Any, here: Any, location: Location = ()) -> Iterator[str]:
    """Each place where two JSON values differ, such as `seed (3 there, 4 here)`."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*there, *(key for key in here if key not in there)]:
            yield from differences(there.get(key, MISSING), here.get(key, MISSING), (*location, key))
    elif isinstance(there, list) and isinstance(here, list):
        for index, (one, other) in enumerate(zip_longest(there, here, fillvalue=MISSING)):
            yield from differences(one, other, (*location, index))
    elif there != here and not (_is_absent(there) and _is_absent(here)):
        yield f"{dotted(location)} ({_shown(there)} there, {_shown(here)} here)"


def listed(texts: list[str]) -> str:
    """The first of the texts, and how many more there are."""
    more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(texts[:MOST_NAMED]) + more


def _is_absent(value: Any) -> bool:
    return value is MISSING or value is None


def _shown(value: Any) -> str:
    if _is_absent(value):
        return "none"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
