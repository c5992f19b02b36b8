"""The prompt of a language model: a file that people read and edit, with fields that are filled in per dialogue."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Any

from ...dialogue import Dialogue, Role, Turn
from ...errors import UserError
from ...storage.paths import read_text
from ..section import LanguageModel, Rewriting

FOLDER = Path(__file__).resolve().parent.parent / "prompts"
FIELDS = frozenset({"dialogue", "language", "num_turns", "max_user_words", "max_reply_words", "unit"})

_LANGUAGES = {"en": "English", "zh": "Chinese"}


class Prompt:
    """The text of a prompt file; `$dialogue` and the other FIELDS stand for what differs between dialogues."""

    def __init__(self, text: str) -> None:
        """Raises UserError if the text names an unknown field, or lacks `$dialogue`."""
        self.text = text
        template = Template(text)
        if not template.is_valid():
            raise UserError("a $ is followed by something that is not a name; write $$ for a dollar sign")
        fields = set(template.get_identifiers())
        if unknown := fields - FIELDS:
            raise UserError(f"${', $'.join(sorted(unknown))}: expected only ${', $'.join(sorted(FIELDS))}")
        if "dialogue" not in fields:
            raise UserError("expected $dialogue, which is replaced by the dialogue")

    @classmethod
    def read(cls, llm: LanguageModel) -> "Prompt":
        """The prompt that the recipe names, or the one that ships for `rewrites`. Raises UserError."""
        path = Path(llm.prompt) if llm.prompt else FOLDER / f"{llm.rewrites}.md"
        text = read_text(path)
        try:
            return cls(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    def filled(self, dialogue: Dialogue, asked: Sequence[Role], recipe: Rewriting) -> str:
        """The message about one dialogue. asked: the roles of the turns that the answer is to have, in order."""
        return Template(self.text).substitute(
            dialogue=_as_json(dialogue.turns),
            language=_LANGUAGES.get(dialogue.language, dialogue.language),
            num_turns=len(asked),
            max_user_words=recipe.max_user_words,
            max_reply_words=recipe.max_reply_words,
            unit="characters" if dialogue.language == "zh" else "words",
        )


def answer_schema(asked: Sequence[Role]) -> dict[str, Any]:
    """`response_format` for an answer with one entry per turn."""
    turn = {
        "type": "object",
        "properties": {"role": {"type": "string", "enum": sorted(set(asked))}, "text": {"type": "string"}},
        "required": ["role", "text"],
        "additionalProperties": False,
    }
    turns = {"type": "array", "items": turn, "minItems": len(asked), "maxItems": len(asked)}
    schema = {"type": "object", "properties": {"turns": turns}, "required": ["turns"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "dialogue", "strict": True, "schema": schema}}


def _as_json(turns: Sequence[Turn]) -> str:
    return json.dumps({"turns": [{"role": turn.role, "text": turn.text} for turn in turns]}, ensure_ascii=False)
