"""Names of takes: one spoken dialogue laid out several times, each with its own draws of timing."""

import re

_TAKE = re.compile(r"(.+)~[1-9][0-9]*", re.DOTALL)


def take_id(dialogue_id: str, take: int) -> str:
    """The first take keeps the spoken dialogue's id, so that more takes do not change the first ones."""
    return f"{dialogue_id}~{take}" if take else dialogue_id


def take_of(dialogue_id: str) -> str | None:
    """The dialogue of which this would be the name of a take, or None if it is not such a name."""
    found = _TAKE.fullmatch(dialogue_id)
    return found[1] if found else None
