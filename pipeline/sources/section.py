"""What a recipe may say of a source."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..recipe.sections import Few, Rows, Section
from ..storage.paths import PathText


def _comparable(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('expected text or a number; text such as "no" and "on" needs quotes')
    return value


Column = Annotated[str, Field(min_length=1, max_length=100)]
Comparable = Annotated[str | int | float, BeforeValidator(_comparable)]


class Source(Section):
    """Where text dialogues come from: a file or a folder (`path`), or a Hub data set (`hub`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]
    shape: Literal["ultrachat", "messages", "alpaca", "instruction_response", "belle_multiturn"]
    path: PathText | None = None  # relative to the recipe's folder
    hub: PathText | None = None  # a name on the Hub, or a folder that `datasets` reads, relative to the working folder
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    language: Literal["en", "zh"] = "en"
    # Columns and the values that rows have there. Other rows are left out and counted, but not towards the limit.
    where: dict[Column, Comparable] = Field(default_factory=dict, max_length=20)
    id_key: Column | None = None  # a row is named <source>-<value of this column>; None: by its own id or its content
    limit: Rows | None = None
    join: Few = 1  # neighbouring dialogues of one exchange become one of this many
    license: str = "unknown"
    # If no row of a file can be read, or none from some place on: stop the build, or continue without those rows.
    unreadable_files: Literal["stop", "skip"] = "stop"

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"path", "license"})

    @model_validator(mode="after")
    def one_place(self) -> "Source":
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of `path` (file or folder) and `hub` (data set name)")
        return self
