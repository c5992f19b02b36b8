"""The prompt of a rewriter, and the form of its answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ...chat.answers import list_schema
from ...chat.prompt import PromptFile
from ...dialogue import Dialogue, Role, Turn
from ..section import LanguageModel, Rewriting

FOLDER = Path(__file__).resolve().parent.parent / "prompts"


class Prompt(PromptFile):
    FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"dialogue", "language", "num_turns", "max_user_words", "max_reply_words", "unit"}
    )

    @classmethod
    def read(cls, llm: LanguageModel) -> "Prompt":
        """The prompt that the recipe names, or the one that ships for `rewrites`. Raises UserError."""
        return cls.of_file(Path(llm.prompt) if llm.prompt else FOLDER / f"{llm.rewrites}.md")

    def filled(self, dialogue: Dialogue, asked: Sequence[Role], recipe: Rewriting) -> str:
        """The message about one dialogue. asked: the roles of the turns that the answer is to have, in order."""
        return self._with(
            dialogue.language,
            dialogue=_as_json(dialogue.turns),
            num_turns=len(asked),
            max_user_words=recipe.max_user_words,
            max_reply_words=recipe.max_reply_words,
        )


def answer_schema(asked: Sequence[Role]) -> dict[str, Any]:
    """`response_format` for an answer with one entry per turn."""
    turn = {
        "type": "object",
        "properties": {"role": {"type": "string", "enum": sorted(set(asked))}, "text": {"type": "string"}},
        "required": ["role", "text"],
        "additionalProperties": False,
    }
    return list_schema("turns", turn, len(asked))


def _as_json(turns: Sequence[Turn]) -> str:
    return json.dumps({"turns": [{"role": turn.role, "text": turn.text} for turn in turns]}, ensure_ascii=False)
