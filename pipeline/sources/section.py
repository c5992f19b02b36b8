"""What a recipe may say of a source."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ..recipe.sections import Few, Rows, Section
from ..storage.paths import PathText


class Source(Section):
    """Where text dialogues come from: a file or a folder (`path`), or a Hub data set (`hub`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]
    shape: Literal["ultrachat", "messages", "alpaca"]
    path: PathText | None = None  # relative to the recipe's folder
    hub: PathText | None = None  # a name on the Hub, or a folder that `datasets` reads, relative to the working folder
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    language: Literal["en", "zh"] = "en"
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
