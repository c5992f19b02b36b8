"""The base of all sections of a recipe, and the types of values that they share.

A recipe says everything that changes the output of a build, and nothing else.
Each number has a wide range: a value outside would take more memory or time than any machine has.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

HIDDEN = "hidden"  # type of an error about a value that no message may show


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    SHAPELESS: ClassVar[frozenset[str]] = frozenset()
    """Keys that change no output, or whose effect is in a part's fingerprint."""
    PART: ClassVar[str | None] = None
    """The key with the name of the part that the section belongs to. It always shapes the output."""


def shape_of(section: Section, only: Collection[str] | None = None) -> dict[str, Any]:
    """The keys and values of a section that shape the output: PART, and all that are neither default nor SHAPELESS.

    So a new optional key leaves the names of stages' folders as they are. A default must therefore never change without
    the version of the stage that it shapes. only: these keys, and no others.
    """
    keys = type(section).model_fields.keys() - section.SHAPELESS if only is None else set(only)
    part = {} if section.PART is None else {section.PART: getattr(section, section.PART)}
    return part | section.model_dump(mode="json", exclude_defaults=True, include=keys)


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
Decibels = Annotated[float, Field(ge=-120, le=60)]


def _shareable(gpus: float) -> float:
    if gpus > 1 and gpus % 1:
        raise ValueError("expected a share of one GPU (0 to 1) or a whole number of them")
    return gpus


GPUs = Annotated[float, Field(ge=0, le=64), AfterValidator(_shareable)]  # of an actor


def of_its_part(value: Any, key: str, parts: Mapping[str, Any], default: str | None = None) -> Any:
    """What a recipe says of a part, as the section (`Spec`) of the part that `value` names at `key`.

    A value that is not a section, or names no part, is returned as it is; its validation fails later. default: the name
    where the key is missing. Raises ValidationError, at `key`, if `parts` has no such name.
    """
    if not isinstance(value, Mapping) or not isinstance(name := value.get(key, default), str):
        return value
    if name not in parts:
        expected = PydanticCustomError(
            "unknown_part", "expected one of {names}", {"names": ", ".join(sorted(parts)) or "none"}
        )
        problem = {"type": expected, "loc": (key,), "input": name}
        raise ValidationError.from_exception_data(key, [problem])  # type: ignore[list-item]
    return parts[name].Spec.model_validate({key: name, **value})


class Between(Section):
    """A uniform distribution, written `[low, high]`. Classes that extend it say of what, and in which bounds."""

    low: float
    high: float

    UNIT: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def from_pair(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != 2:
                raise ValueError(f"expected [low, high]{cls.UNIT}")
            return {"low": value[0], "high": value[1]}
        if not isinstance(value, dict | cls):
            raise ValueError(f"expected [low, high]{cls.UNIT}")
        return value

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got [{self.low}, {self.high}]")
        return self

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2


class Range(Between):
    """A uniform distribution in seconds, written `[low, high]`."""

    low: Seconds
    high: Seconds

    UNIT: ClassVar[str] = " in seconds"


class DecibelRange(Between):
    """A uniform distribution in decibels, written `[low, high]`."""

    low: Decibels
    high: Decibels

    UNIT: ClassVar[str] = " in dB"
