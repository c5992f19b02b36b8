"""What an evaluation recipe may say: everything that changes the figures or the files beside them.

Paths are relative to the working folder.
"""

from pathlib import Path
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


class Tables(Section):
    """Names of evaluation sets that are those of the paper's tables 1, 2 and 5."""

    llama_questions: Name = "llama_questions"
    web_questions: Name = "web_questions"
    turn_taking: Name = "instruct_s2s_turn_taking"
    interruption: Name = "instruct_s2s_interruption"


class EvaluationRecipe(Section):
    """How a model is evaluated."""

    name: Name
    description: str = ""
    seed: Seed = 0  # of sampling, and of the bootstrap
    temperature: Annotated[float, Field(ge=0, le=100)] = TEMPERATURE  # of sampling; 0 takes the likeliest
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0  # sampling draws from the likeliest ids that have it together
    precision: Precision = "fp32"  # of the weights
    decoder: PathText | None = None  # glm-4-voice-decoder, if the data's recipe does not say where it is
    keep_audio: bool = False  # both channels of each item as .wav
    transcripts: Transcripts | None = None
    judge: JudgeModel | None = None
    # Files of answers to spoken questions, which `duplexgen questions` writes: lines of {"id": …, "answers": […]}.
    answers: PathText | list[PathText] | None = None
    # Full-Duplex-Bench's icc_gt_distribution.json: when people say backchannels in its recordings.
    icc_gt_distribution: PathText | None = None
    tables: Tables | None = None  # print the paper's tables, with figures of these evaluation sets

    @model_validator(mode="after")
    def texts_to_look_at(self) -> "EvaluationRecipe":
        if (self.judge or self.answers) and not self.transcripts:
            raise ValueError("judge and answers look at transcripts: expected `transcripts: {whisper: large-v3}`, too")
        return self

    @property
    def answer_files(self) -> list[Path]:
        given = [self.answers] if isinstance(self.answers, str) else self.answers or []
        return [Path(path).expanduser() for path in given]
