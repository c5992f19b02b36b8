"""vocabulary.json as a model: all a reader needs to take a sequence apart."""

import reprlib
from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator

from ..dialogue import CHANNELS
from ..recipe.sections import Section
from ..tokens.described import DescribedSpeechTokenizer, DescribedTextTokenizer, Id, Name
from .section import Layout as LayoutSection
from .streams import Layout
from .table import LAYOUTS, make_layout
from .vocabulary import STATES, Vocabulary

MOST_TOKENS = 10_000  # of a block


class AudioIds(Section):
    first_id: Id
    size: Annotated[int, Field(gt=0, le=2**15)]
    exceptions: dict[Annotated[str, Field(pattern=r"^[0-9]{1,5}$")], Id] = Field(default_factory=dict)  # no longer used


class Described(Section):
    """vocabulary.json: all a reader needs to take a sequence apart."""

    format_version: Annotated[int, Field(ge=1, le=1)]
    layout: LayoutSection
    sample_rate: Annotated[int, Field(gt=0, le=1_000_000)]  # of the tracks, Hz
    samples_per_frame: Annotated[int, Field(gt=0, le=1_000_000)]  # at this rate
    channels: list[str]
    state: dict[Name, Id]
    audio: AudioIds
    end_of_text: Id | None = None
    speech_tokenizer: DescribedSpeechTokenizer
    text_tokenizer: DescribedTextTokenizer

    @model_validator(mode="after")
    def makes_a_layout(self) -> "Described":
        if self.channels != list(CHANNELS):
            raise ValueError(f"the channels are {reprlib.repr(self.channels)}, expected {list(CHANNELS)}")
        if self.state.keys() != set(STATES):
            raise ValueError(f"the states are {reprlib.repr(sorted(self.state))}, expected {list(STATES)}")
        if max(self.layout.user_tokens, self.layout.text_tokens) > MOST_TOKENS:
            raise ValueError(f"a block of the layout has more than {MOST_TOKENS:,} tokens of a kind")
        if self.layout.model_fields_set != set(LayoutSection.model_fields):
            raise ValueError(f"the layout says {sorted(self.layout.model_fields_set)}, and not all of it")
        if self.layout.name not in LAYOUTS:
            raise ValueError(f"the layout is {reprlib.repr(self.layout.name)}, expected one of {', '.join(LAYOUTS)}")
        _ = self.vocabulary
        return self

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_json(self.model_dump(mode="json"))

    def make_layout(self) -> Layout:
        return make_layout(self.layout, self.vocabulary, self.samples_per_frame)

    def unlike(self, other: "Described") -> list[str]:
        """Names of what the two do not say alike."""
        return [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]
