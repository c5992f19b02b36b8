"""What a recipe may say: everything that changes the output of a build, and nothing else.

Each number has a wide range: a value outside would take more memory or time than any machine has.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _fit_for_files(name: str) -> str:
    if name.endswith(".") or name.partition(".")[0].upper() in RESERVED:
        raise ValueError("expected a name that every system accepts for a file: not CON or NUL, and no dot at the end")
    return name


RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100), AfterValidator(_fit_for_files)
]  # of a folder
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Few = Annotated[int, Field(gt=0, le=100)]  # tries, exchanges
Many = Annotated[int, Field(gt=0, le=10_000)]  # words, renditions, requests
Rows = Annotated[int, Field(gt=0, le=10**12)]
Seconds = Annotated[float, Field(ge=0, le=600)]
Share = Annotated[float, Field(ge=0, le=1)]


def _shareable(gpus: float) -> float:
    if gpus > 1 and gpus % 1:
        raise ValueError("expected a share of one GPU (0 to 1) or a whole number of them")
    return gpus


GPUs = Annotated[float, Field(ge=0, le=64), AfterValidator(_shareable)]  # of an actor


class Range(Section):
    """A uniform distribution in seconds, written `[low, high]`."""

    low: Seconds
    high: Seconds

    @model_validator(mode="before")
    @classmethod
    def from_pair(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != 2:
                raise ValueError("expected [low, high] in seconds")
            return {"low": value[0], "high": value[1]}
        if not isinstance(value, dict | Range):
            raise ValueError("expected [low, high] in seconds")
        return value

    @model_validator(mode="after")
    def ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got [{self.low}, {self.high}]")
        return self
