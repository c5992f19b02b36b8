"""Every place of a JSON value, and what may stand there instead."""

import copy
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]
GONE = object()
AT_ONCE = 6  # of the hostile values, at each place
LONG = 4  # of a longer list of numbers, the first ones and the last


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[Any] = [
    *(True, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, 0.5),
    *("", "x", "../../x", "/etc/passwd", "a\x1b[31m\x00\u202eb\n", "0" * 16, "0" * 64, "x" * 100_000),
    *([], {}, [None], {"": None}, nested(200)),
]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Where something stands below a value, from the outside in."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if isinstance(value, list) and len(value) > LONG and isinstance(value[0], int):
        filled = [index for index, one in enumerate(value) if one]
        keys = sorted({0, len(value) - 1, *filled[:2]})
    for key in keys:
        yield (*here, key)
        yield from places(value[key], (*here, key))


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def variants(tree: Any, place: Place) -> Iterator[Any]:
    """What may stand at a place in place of what does: near values, those of its siblings, and hostile ones in turn."""
    old, around = at(tree, place), at(tree, place[:-1])
    siblings = list(around.values()) if isinstance(around, dict) else around[:LONG]
    turn = sum(map(len, map(str, place))) * AT_ONCE % len(HOSTILE)
    for new in (GONE, None, *near(old), *siblings, *(HOSTILE * 2)[turn : turn + AT_ONCE]):
        if new is GONE or type(new) is not type(old) or new != old:
            yield new


def near(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, -value, value * 2, float(value), str(value)]
    if isinstance(value, str):
        other = "0" if value[-1:] != "0" else "1"
        return [value + "x", value[:-1], value[:-1] + other, value.upper(), value + "\n", [value], {value: value}]
    if isinstance(value, list):
        return [[*value, *value[:1]], value[:-1], value[::-1], dict(enumerate(map(str, value)))]
    if isinstance(value, dict):
        return [value | {"extra": 1}, dict(list(value.items())[:-1]), list(value), list(value.values())]
    return []


def changed(tree: Any, place: Place, new: Any) -> Any:
    """A copy of a tree with another value at a place, or none there."""
    other = copy.deepcopy(tree)
    *above, key = place
    around = at(other, tuple(above))
    if new is GONE:
        del around[key]
    else:
        around[key] = new
    return other
