"""vocabulary.json as a model: all a reader needs to take a row apart."""

import reprlib
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from ..dialogue import CHANNELS
from ..recipe.sections import Section
from ..storage.atomic import canonical_json
from ..tokens.described import DescribedSpeechTokenizer, DescribedTextTokenizer, Id
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from .layout import Layout
from .layouts import LAYOUTS, AnyLayoutSection, make_layout
from .section import LayoutSection
from .vocabulary import Vocabulary

FORMAT_VERSION = 3  # of vocabulary.json


class Described(Section):
    """vocabulary.json: all a reader needs to take a row apart."""

    format_version: Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    layout: AnyLayoutSection
    sample_rate: Annotated[int, Field(gt=0, le=1_000_000)]  # of the tracks, Hz
    samples_per_frame: Annotated[int, Field(gt=0, le=1_000_000)]  # at this rate
    margin_frames: Annotated[int, Field(ge=0, le=100_000)]  # of silence, after the last frame of user_codes and others
    channels: list[str]
    ids: SerializeAsAny[Section]  # those that the layout has beside the text
    end_of_text: Id
    speech_tokenizer: DescribedSpeechTokenizer
    text_tokenizer: DescribedTextTokenizer

    @field_validator("ids", mode="before")
    @classmethod
    def of_the_layout(cls, ids: Any, others: ValidationInfo) -> Any:
        layout = others.data.get("layout")  # none: it is malformed, which was noticed
        return ids if layout is None else LAYOUTS[layout.name].VOCABULARY.Spec.model_validate(ids)

    @model_validator(mode="after")
    def makes_a_layout(self) -> "Described":
        if self.channels != list(CHANNELS):
            raise ValueError(f"the channels are {reprlib.repr(self.channels)}, expected {list(CHANNELS)}")
        if self.layout.model_fields_set != set(type(self.layout).model_fields):
            raise ValueError(f"the layout says {sorted(self.layout.model_fields_set)}, and not all of it")
        _ = self.vocabulary
        return self

    @cached_property
    def vocabulary(self) -> Vocabulary:
        vocabulary = LAYOUTS[self.layout.name].VOCABULARY
        return vocabulary.read(self.ids, self.text_tokenizer.vocab_size, self.end_of_text)

    def make_layout(self) -> Layout:
        return make_layout(self.layout, self.vocabulary, self.samples_per_frame)

    def unlike(self, other: "Described") -> list[str]:
        """Names of the fields in which the two differ; where one model is trained on both, there are none."""
        fields = (name for name in type(self).model_fields if name != "layout")
        layouts = (one.layout.model_dump(exclude=set(one.layout.TRAINED_TOGETHER)) for one in (self, other))
        differ = ["layout"] if len({canonical_json(layout) for layout in layouts}) > 1 else []
        return [*differ, *(name for name in fields if getattr(self, name) != getattr(other, name))]


def describe(
    vocabulary: Vocabulary,
    layout: LayoutSection,
    speech_tokenizer: SpeechTokenizer,
    text_tokenizer: TextTokenizer,
    sample_rate: int,
    margin_frames: int,
) -> dict[str, Any]:
    """What vocabulary.json says. sample_rate: of the tracks, Hz.

    Raises ValueError if a frame is not a whole number of samples at this rate.
    """
    speech, text = speech_tokenizer.fingerprint(), text_tokenizer.fingerprint()
    frame_samples, remainder = divmod(speech_tokenizer.samples_per_frame * sample_rate, speech_tokenizer.sample_rate)
    if remainder:
        raise ValueError(f"a frame of {speech['name']} is not a whole number of samples at {sample_rate} Hz")
    return {
        "format_version": FORMAT_VERSION,
        "layout": layout.model_dump(),
        "sample_rate": sample_rate,
        "samples_per_frame": frame_samples,
        "margin_frames": margin_frames,
        "channels": list(CHANNELS),
        "ids": vocabulary.ids(),
        "end_of_text": vocabulary.end_of_text,
        "speech_tokenizer": {
            "name": speech["name"],
            "version": speech["version"],
            "codebooks": speech_tokenizer.codebooks,
            "sha256": speech["sha256"],
        },
        "text_tokenizer": {
            "name": text["name"],
            "vocab_size": text_tokenizer.vocab_size,
            "sha256": text["sha256"],
        },
    }
