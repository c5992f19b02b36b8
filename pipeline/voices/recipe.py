"""What a recipe of a voice bank may say: all that shapes a bank, beside the recordings."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from ..errors import DialogueRejected
from ..recipe.file import RECIPES
from ..recipe.sections import Name, Section, Seed, Share
from ..storage.paths import PathText
from .clips import language_code

VOICES_RECIPES = RECIPES / "voices"
ClipSeconds = Annotated[float, Field(gt=0, le=30)]  # the recogniser hears 30 s at once


def _known(language: str) -> str:
    try:
        return language_code(language)
    except DialogueRejected as unknown:
        raise ValueError(unknown.detail) from None


class DataSet(Section):
    """The part of a data set that is read, where the recordings are one."""

    config: str | None = None
    split: str = "train"
    revision: str | None = None


class VoicesRecipe(Section):
    name: Name = "cloning"
    description: str = ""
    seed: Seed = 0  # of the draw of held-out voices
    whisper: PathText = "large-v3"  # a size that faster-whisper knows, or a folder
    language: Annotated[str, AfterValidator(_known)] | None = None  # of recordings without one; None: recognised
    license: str = "unknown"  # likewise
    shortest_s: ClipSeconds = 3.0
    longest_s: ClipSeconds = 15.0
    min_dnsmos: Annotated[float, Field(ge=1, le=5)] = 3.0  # overall (OVRL)
    max_similarity: Share = 0.90  # cosine of two clips, from which on they count as one voice
    min_coherence: Share = 0.81  # cosine of two parts of a clip, below which they are two speakers
    held_out_share: Share = 0.1  # of the voices, for evaluation only
    data_set: DataSet = DataSet()

    @model_validator(mode="after")
    def lengths_in_order(self) -> "VoicesRecipe":
        if self.shortest_s > self.longest_s:
            raise ValueError(f"expected shortest_s of at most longest_s, {self.longest_s:g}")
        return self
