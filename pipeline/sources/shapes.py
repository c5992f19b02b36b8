"""The shapes of text dialogues; each becomes the same turns."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from typing import Any

from ..dialogue import Dialogue, Rejection, Role, Turn
from ..errors import DialogueRejected
from .row import Unusable
from .section import Source

SYSTEM_LEFT_OUT = "system_message_left_out"
UNANSWERED_LEFT_OUT = "unanswered_user_turn_left_out"
WRONG_SHAPE = "wrong_shape"

_ROLES: dict[str, Role | None] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": None,
    "developer": None,
}
_ID_KEYS = ("id", "prompt_id", "conversation_id")
_LONGEST_ID = 512
_MARKER = re.compile(r"^(Human|Assistant):", re.MULTILINE)

Messages = list[tuple[Role | None, str]]  # None: a system message


@dataclass(frozen=True, slots=True)
class Read:
    """A dialogue as its source has it, and a note for each omission (SYSTEM_LEFT_OUT, UNANSWERED_LEFT_OUT)."""

    dialogue: Dialogue
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Stands for a row that has other values than `source.where` names."""


Item = Read | Rejection | LeftOut
"""What a row of a source becomes."""


def dialogue(row: Any, source: Source) -> Read:
    """One row of `source` as a dialogue that starts with the user and ends with a reply.

    Raises DialogueRejected if the row is not such a dialogue.
    """
    if not isinstance(row, dict):
        raise DialogueRejected(WRONG_SHAPE, f"expected a JSON object, got {_kind(row)}")
    messages = SHAPES[source.shape].messages(row)
    if not messages:
        raise DialogueRejected("no_turns", "the dialogue has no turns")
    for number, (_, text) in enumerate(messages, 1):
        _check_text(text, f"turn {number}")
    turns = [Turn(role, text) for role, text in messages if role is not None]
    notes: tuple[str, ...] = () if len(turns) == len(messages) else (SYSTEM_LEFT_OUT,)
    _check_order(turns)
    if turns[-1].role == "user":
        turns.pop()
        notes += (UNANSWERED_LEFT_OUT,)
    return Read(Dialogue(_id(row, source, turns), source.name, source.language, tuple(turns)), notes)


def _ultrachat(row: dict[str, Any]) -> Messages:
    data = _list(row, "data", "ultrachat")
    messages: Messages = []
    for number, text in enumerate(data):
        if not isinstance(text, str):
            raise DialogueRejected(WRONG_SHAPE, f"turn {number + 1}: expected text, got {_kind(text)}")
        messages.append(("assistant" if number % 2 else "user", text))
    return messages


def _messages(row: dict[str, Any]) -> Messages:
    key = "conversations" if "conversations" in row and "messages" not in row else "messages"
    return [_message(item, number) for number, item in enumerate(_list(row, key, "messages"), 1)]


def _message(item: Any, number: int) -> tuple[Role | None, str]:
    if not isinstance(item, dict):
        raise DialogueRejected(WRONG_SHAPE, f"turn {number}: expected an object, got {_kind(item)}")
    name = item.get("role", item.get("from"))
    if not isinstance(name, str) or name.lower() not in _ROLES:
        raise DialogueRejected("unknown_role", f"turn {number}: {_quoted(name)} is none of {', '.join(_ROLES)}")
    content = item.get("content", item.get("value"))
    if isinstance(content, list):
        content = _joined_parts(content, number)
    if not isinstance(content, str):
        raise DialogueRejected(WRONG_SHAPE, f"turn {number}: expected text in `content`, got {_kind(content)}")
    return _ROLES[name.lower()], content


def _joined_parts(parts: list[Any], number: int) -> str:
    """Content written as parts: `[{"type": "text", "text": "..."}]`."""
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise DialogueRejected(WRONG_SHAPE, f"turn {number}: has a part that is not text")
    return "\n\n".join(str(text) for text in texts)


def _alpaca(row: dict[str, Any]) -> Messages:
    """`system` and `history`, pairs of an instruction and its answer that come before, are LLaMA-Factory's."""
    messages: Messages = [(None, text)] if (text := _optional(row, "system")) else []
    for number, pair in enumerate(_list(row, "history", "alpaca") if row.get("history") is not None else (), 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DialogueRejected(WRONG_SHAPE, f"`history`, item {number}: expected two texts, got {_kind(pair)}")
        messages += [("user", pair[0]), ("assistant", pair[1])]
    parts = [_text(row, "instruction"), _optional(row, "input")]
    question = "\n\n".join(part for part in parts if part.strip())
    return [*messages, ("user", question), ("assistant", _text(row, "output"))]


def _instruction_response(row: dict[str, Any]) -> Messages:
    _check_empty(row, "instruction_response", "input", "context", "output")
    return [("user", _text(row, "instruction")), ("assistant", _text(row, "response"))]


def _belle_multiturn(row: dict[str, Any]) -> Messages:
    """The turns so far stand in `instruction`, each behind a marker at the start of a line; the last reply in `output`.

    The marker before the last reply may be missing. Raises DialogueRejected if text stands before the first marker.
    """
    _check_empty(row, "belle_multiturn", "input")
    before, *marked = _MARKER.split(_text(row, "instruction"))
    if before.strip() or not marked:
        raise DialogueRejected(WRONG_SHAPE, "expected `instruction` to start with `Human:`")
    texts = [text.removesuffix("\n") for text in marked[1:-1:2]] + marked[-1:]
    messages: Messages = [(_ROLES[name.lower()], text) for name, text in zip(marked[::2], texts, strict=True)]
    if messages[-1][0] == "assistant" and not messages[-1][1].strip():
        messages.pop()
    return [*messages, ("assistant", _text(row, "output"))]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a row of one shape becomes messages. Raises DialogueRejected if it has another shape."""

    messages: Callable[[dict[str, Any]], Messages]
    keys: tuple[str, ...]  # of a row


SHAPES = {
    "ultrachat": Shape(_ultrachat, ("data",)),
    "messages": Shape(_messages, ("messages", "conversations")),
    "alpaca": Shape(_alpaca, ("instruction", "input", "output", "system", "history")),
    "instruction_response": Shape(_instruction_response, ("instruction", "response", "input", "context", "output")),
    "belle_multiturn": Shape(_belle_multiturn, ("instruction", "input", "output")),
}


def needed_keys(source: Source) -> tuple[str, ...]:
    """The keys of a row that are looked at; columns of other names are not read."""
    ids = _ID_KEYS if source.id_key is None else (source.id_key,)
    return (*SHAPES[source.shape].keys, *ids, *source.where)


def matches(row: Any, source: Source) -> bool:
    """Whether a row has the values that `source.where` names.

    Raises DialogueRejected if it lacks a column of that name, or the value cannot be read.
    """
    if not source.where or not isinstance(row, dict):  # `dialogue` says what is wrong with a row that is no object
        return True
    for key in source.where:
        if key not in row:
            raise DialogueRejected(WRONG_SHAPE, f"`where` compares `{key}`; the row has {_keys(row)}")
        if isinstance(row[key], Unusable):
            raise DialogueRejected(WRONG_SHAPE, f"`where` compares `{key}`, got {_kind(row[key])}")
    return all(row[key] == value and not isinstance(row[key], bool) for key, value in source.where.items())


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        hint = f"; the row has {_keys(row)}" if value is None else ""
        raise DialogueRejected(WRONG_SHAPE, f"expected text in `{key}`, got {_kind(value)}{hint}")
    return value


def _optional(row: dict[str, Any], key: str) -> str:
    return "" if row.get(key) is None else _text(row, key)


def _check_empty(row: dict[str, Any], shape: str, *keys: str) -> None:
    """Raise DialogueRejected if one of these keys, for which a shape has no place, says something."""
    for key in keys:
        value = row.get(key)
        if value is not None and not (isinstance(value, str) and not value.strip()):
            raise DialogueRejected(WRONG_SHAPE, f"`{key}` has {_kind(value)}, which the shape {shape} would lose")


def _list(row: dict[str, Any], key: str, shape: str) -> list[Any]:
    value = row.get(key)
    if not isinstance(value, list):
        raise DialogueRejected(
            WRONG_SHAPE, f"the shape {shape} has a list in `{key}`, got {_kind(value)}; the row has {_keys(row)}"
        )
    return value


def _check_order(turns: list[Turn]) -> None:
    if not turns:
        raise DialogueRejected("no_turns", "the dialogue has system messages only")
    if turns[0].role == "assistant":
        raise DialogueRejected("starts_with_assistant", "the first turn is the assistant's")
    for number, (before, turn) in enumerate(itertools.pairwise(turns), 2):
        if before.role == turn.role:
            raise DialogueRejected(
                "roles_do_not_alternate", f"turns {number - 1} and {number} are both the {turn.role}'s"
            )
    for number, turn in enumerate(turns, 1):
        if not turn.text.strip():
            raise DialogueRejected("empty_turn", f"turn {number} ({turn.role}) is empty")
    if len(turns) == 1:
        raise DialogueRejected("no_reply", "the user's only turn has no reply")


def _check_text(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        byte = "a byte that is not UTF-8, or a lone surrogate,"
        raise DialogueRejected("invalid_text", f"{what}: {byte} at character {error.start + 1}") from error


def _id(row: dict[str, Any], source: Source, turns: list[Turn]) -> str:
    """The row's own id, or with `id_key` the source's name and the value there.

    A row without an id is named by its content: sorting or splitting a file renames no row, and a row that appears
    twice is found.
    """
    if source.id_key is not None:
        if row.get(source.id_key) is None:
            raise DialogueRejected(
                "invalid_id", f"`{source.id_key}`, the id_key, has nothing; the row has {_keys(row)}"
            )
        return f"{source.name}-{_checked_id(row[source.id_key])}"
    row_id = next((row[key] for key in _ID_KEYS if row.get(key) is not None), None)
    if row_id is None:
        content = json.dumps([[turn.role, turn.text] for turn in turns], ensure_ascii=True)
        return f"{source.name}-{hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}"
    return _checked_id(row_id)


def _checked_id(row_id: Any) -> str:
    if isinstance(row_id, int) and not isinstance(row_id, bool):
        row_id = str(row_id)
    if not isinstance(row_id, str):
        raise DialogueRejected("invalid_id", f"expected text or a whole number, got {_kind(row_id)}")
    if not row_id.strip() or len(row_id) > _LONGEST_ID or not row_id.isprintable():
        raise DialogueRejected(
            "invalid_id", f"{row_id[:80]!r}: expected 1 to {_LONGEST_ID} printable characters, no control characters"
        )
    return row_id


def _kind(value: Any) -> str:
    if isinstance(value, Unusable):
        return value.why
    names = {dict: "an object", list: "a list", str: "text", type(None): "nothing", bool: "true or false"}
    number = "a number" if isinstance(value, Number) else f"a {type(value).__name__}"
    return names.get(type(value), number)


def _keys(row: dict[str, Any]) -> str:
    return ascii(", ".join(key[:40] for key in list(row)[:8])) if row else "no keys"


def _quoted(value: Any) -> str:
    return repr(value[:80]) if isinstance(value, str) else _kind(value)
