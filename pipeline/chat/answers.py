"""Answers of a language model as JSON: extra words around it are allowed, mistakes inside it are not."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DialogueRejected

_MORE = re.compile(r"[{\[]")
THOUGHT_BEGINS, THOUGHT_ENDS = "<think>", "</think>"  # of reasoning models, where the server does not remove them
_LENIENT = json.JSONDecoder(strict=False)  # models leave line breaks in strings as they are


def entries(content: str, name: str, label: str, asked: Sequence[str]) -> list[Mapping[str, Any]]:
    """The entries of an answer `{NAME: [{LABEL: …, …}, …]}`, labelled as they were asked for, in that order.

    content: the whole answer. Thoughts of the model, code fences and words around the JSON are skipped. Only the last
    object that begins with the name counts: an earlier one may be a draft, or a copy of the prompt.
    Raises DialogueRejected unless that object is whole, no similar object follows, and its entries are those asked for.
    """
    found = _list(content, name)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DialogueRejected(f"answer_not_{name}", f"expected a list of {name}, got {_excerpt(str(found))}")
    labels = [entry.get(label) for entry in found]
    if labels != list(asked):
        got = ", ".join(str(one)[:20] for one in labels[:20])
        wanted = f"expected {len(asked)}: {', '.join(asked)}"
        raise DialogueRejected(f"answer_other_{name}", f"{wanted}; got {got or 'none'}")
    return found


def text_of(entry: Mapping[str, Any], where: str, key: str = "text") -> str:
    """The text at a key of an entry. where: names the entry in messages. Raises DialogueRejected if there is none."""
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip():
        raise DialogueRejected("answer_without_text", f"{where} has no {key}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DialogueRejected("answer_without_text", f"{where} holds half a character")
    return text


def list_schema(name: str, entry: Mapping[str, Any], count: int) -> dict[str, Any]:
    """`response_format` for an answer `{NAME: […]}` with so many entries. entry: their JSON schema."""
    entries = {"type": "array", "items": entry, "minItems": count, "maxItems": count}
    schema = {"type": "object", "properties": {name: entries}, "required": [name], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


def _list(content: str, name: str) -> object:
    before, _, answer = content.rpartition(THOUGHT_ENDS)
    starts = [match.start() for match in re.finditer(rf'\{{\s*"{name}"\s*:', answer)]
    if not starts or THOUGHT_BEGINS in answer[: starts[-1]]:
        raise DialogueRejected("answer_not_json", f"expected JSON with {name}, got {_excerpt(answer or before)}")
    try:
        value, end = _LENIENT.raw_decode(answer, starts[-1])
    except (ValueError, RecursionError):
        raise DialogueRejected("answer_not_json", f"JSON that is broken: {_excerpt(answer[starts[-1] :])}") from None
    if more := _MORE.search(answer, end):
        raise DialogueRejected("answer_not_json", f"something follows the JSON: {_excerpt(answer[more.start() :])}")
    return value[name]


def _excerpt(text: str) -> str:
    return ascii(text[:120]) if text.strip() else "nothing"
