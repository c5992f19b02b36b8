"""What a recipe may say of tokenizers."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..recipe.sections import GPUs, Section
from ..storage.paths import PathText


class GLM4Voice(Section):
    """The speech tokenizer of GLM-4-Voice."""

    checkpoint: PathText  # a folder as it is published, glm-4-voice-tokenizer, relative to the working folder
    decoder: PathText | None = None  # glm-4-voice-decoder, as published, for `talk` and `evaluate`: no build reads it
    mode: Literal["offline", "streaming"] = "offline"  # streaming: a block's codes do not depend on later blocks
    block_frames: Annotated[int, Field(gt=0, le=1000)] = (
        10  # whose codes streaming gives at once; layout.user_tokens is a multiple of it
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_gpus: GPUs = 0.0


class Mimi(Section):
    """The speech tokenizer of Moshi."""

    checkpoint: PathText  # a folder or a name on the Hub that transformers' MimiModel loads
    codebooks: Annotated[int, Field(gt=0, le=32)] = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_gpus: GPUs = 0.0


class Pretrained(Section):
    """The text tokenizer of a language model."""

    folder: PathText  # with tokenizer.json, or GLM-4-Voice's tokenizer.model; relative to the working folder


class Tokens(Section):
    speech_tokenizer: str = "melvq"
    text_tokenizer: str = "bpe"
    glm4voice: GLM4Voice | None = None
    mimi: Mimi | None = None
    pretrained: Pretrained | None = None
    # Frames of silence that are tokenized after each track, for layouts that run ahead or fill up blocks. Any layout
    # that needs no larger margin is made from the same tracks.
    margin_frames: Annotated[int, Field(ge=0, le=10_000)] = 40

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"glm4voice", "mimi", "pretrained"})
