"""Names of takes. A take is one layout in time of a spoken dialogue, with its own draws of timing."""

import re

_TAKE = re.compile(r"(.+)~[1-9][0-9]*", re.DOTALL)


def take_id(dialogue_id: str, take: int) -> str:
    """The first take keeps the spoken dialogue's id, so that more takes do not change the first ones."""
    return f"{dialogue_id}~{take}" if take else dialogue_id


def take_of(dialogue_id: str) -> str | None:
    """The dialogue of which this would be the name of a take, or None if it is not such a name."""
    match = _TAKE.fullmatch(dialogue_id)
    return match[1] if match else None
