"""The prompt of a language model: a file that people read and edit, with fields that are filled in per dialogue."""

from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Any, ClassVar, Self

from ..errors import UserError
from ..storage.paths import read_text

_LANGUAGES = {"en": "English", "zh": "Chinese"}


class PromptFile:
    """The text of a prompt file. `$dialogue` and the other FIELDS of its class stand for what differs between
    dialogues."""

    FIELDS: ClassVar[frozenset[str]]
    NEEDED: ClassVar[tuple[str, ...]] = ("dialogue",)
    """Those of FIELDS without which a model would not know what it is asked."""

    def __init__(self, text: str) -> None:
        """Raises UserError if the text names an unknown field, or lacks one of NEEDED."""
        self.text = text
        template = Template(text)
        if not template.is_valid():
            raise UserError("a $ is followed by something that is not a name; write $$ for a dollar sign")
        fields = set(template.get_identifiers())
        if unknown := fields - self.FIELDS:
            raise UserError(f"${', $'.join(sorted(unknown))}: expected only ${', $'.join(sorted(self.FIELDS))}")
        for name in self.NEEDED:
            if name not in fields:
                raise UserError(f"expected ${name}, which is replaced by the {name}")

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Raises UserError if the file cannot be read, or is no prompt."""
        text = read_text(path)
        try:
            return cls(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    def _with(self, language: str, **values: Any) -> str:
        """The text with its fields filled in; $language and $unit (of lengths) are those of the language."""
        unit = "characters" if language == "zh" else "words"
        return Template(self.text).substitute(language=_LANGUAGES.get(language, language), unit=unit, **values)
