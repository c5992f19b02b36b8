"""What an evaluation recipe may say: everything that changes the figures or the files beside them.

Paths are relative to the working folder.
"""

from typing import Annotated

from pydantic import Field, model_validator

from ...pipeline.chat.section import ChatModel
from ...pipeline.recipe.file import RECIPES
from ...pipeline.recipe.sections import Name, Section, Seed
from ...pipeline.storage.paths import PathText
from ..live.stream import TEMPERATURE
from ..recipe import Precision

EVALUATION_RECIPES = RECIPES / "evaluate"


class Transcripts(Section):
    """Whisper writes the replies down as text; needs the extra `voices`."""

    whisper: PathText  # a size that faster-whisper knows (the paper uses large-v3), or the folder of a converted model


class JudgeModel(ChatModel):
    """A language model that rates replies from 1 to 5. Its key, if it needs one, is in OPENAI_API_KEY."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0


class EvaluationRecipe(Section):
    """How a model is evaluated."""

    name: Name
    description: str = ""
    seed: Seed = 0  # of sampling, and of the bootstrap
    temperature: Annotated[float, Field(ge=0, le=100)] = TEMPERATURE  # of sampling; 0 takes the likeliest
    precision: Precision = "fp32"  # of the weights
    decoder: PathText | None = None  # glm-4-voice-decoder, if the data's recipe does not say where it is
    keep_audio: bool = False  # both channels of each item as .wav
    transcripts: Transcripts | None = None
    judge: JudgeModel | None = None
    answers: PathText | None = None  # to spoken questions: lines of {"id": …, "answers": […]}

    @model_validator(mode="after")
    def texts_to_look_at(self) -> "EvaluationRecipe":
        if (self.judge or self.answers) and not self.transcripts:
            raise ValueError("judge and answers look at transcripts: expected `transcripts: {whisper: large-v3}`, too")
        return self
