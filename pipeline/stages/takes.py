"""Names of takes: one spoken dialogue laid out several times, each with its own draws of timing."""

import re

_TAKE = re.compile(r"(.+)~[1-9][0-9]*", re.DOTALL)


def take_id(dialogue_id: str, take: int) -> str:
    """The first take keeps the spoken dialogue's id, so that asking for more changes nothing made before."""
    return f"{dialogue_id}~{take}" if take else dialogue_id


def take_of(dialogue_id: str) -> str | None:
    """The dialogue that one of this name would be a take of, or None if no take is named like that."""
    found = _TAKE.fullmatch(dialogue_id)
    return found[1] if found else None
