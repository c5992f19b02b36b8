"""What a training recipe may say: everything that changes the trained model.

Paths of data sets and models are relative to the working folder, where `duplexgen build` writes data sets.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..pipeline.recipe.file import RECIPES
from ..pipeline.recipe.sections import Name, Section, Seed, Share
from ..pipeline.storage.model_files import check_numbers
from ..pipeline.storage.paths import PathText

TRAINING_RECIPES = RECIPES / "training"
Precision = Literal["fp32", "bf16"]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(gt=0, le=10**9)]  # steps, rows
Beta = Annotated[float, Field(ge=0, lt=1)]  # of AdamW
Batch = Annotated[int, Field(gt=0, le=1_000_000)]  # sequences, or pairs


class Model(Section):
    """What training starts from: a model of transformers, by name or folder, or random weights and a configuration."""

    pretrained: PathText | None = None
    config: dict[str, Any] | None = None  # for AutoConfig.for_model: model_type, hidden_size …

    @model_validator(mode="after")
    def one_start(self) -> "Model":
        if (self.pretrained is None) == (self.config is None):
            raise ValueError("expected exactly one of `pretrained` (name or folder) and `config` (random weights)")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("expected `model_type` in `config`, such as llama")
        check_numbers(self.config or {})
        return self


class Weights(Section):
    """ω of each kind of position (BayLing-Duplex, equation 5; section 4.4, table 3). That of the user's is always 0."""

    silence: NotNegative = 0.1
    assistant: NotNegative = 10.0
    pad: NotNegative = 1.0
    epad: NotNegative = 10.0
    text: NotNegative = 1.0
    audio: NotNegative = 1.0

    @model_validator(mode="after")
    def not_all_zero(self) -> "Weights":
        if not any(self.model_dump().values()):
            raise ValueError("expected at least one weight above 0")
        return self


class Optimization(Section):
    """A learning rate that rises over `warmup_share` of the steps and falls along a cosine; AdamW."""

    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Batch = 32  # per step, over all devices
    micro_batch_size: Batch = 8  # of these, how many a device takes at once: as its memory allows
    epochs: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    steps: Count | None = None
    warmup_share: Share = 0.1
    weight_decay: NotNegative = 0.0
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    max_grad_norm: NotNegative = 1.0
    precision: Precision = "bf16"
    gradient_checkpointing: bool = False
    repeatable: bool = True  # the same bits each time; false for a model with an operation that has no such kernel
    checkpoint_every: Count = 200  # steps
    shuffle_rows: Annotated[int, Field(gt=0, le=10_000_000)] = (
        4096  # rows that are shuffled and sorted by length together
    )

    @field_validator("betas", mode="before")
    @classmethod
    def from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def one_end(self) -> "Optimization":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("expected exactly one of `epochs` and `steps`")
        return self


class Preference(Section):
    """Equation 6: β, the weight of the divergence from the reference model, and λ_ftx, that of the SFT loss."""

    beta: Annotated[float, Field(gt=0, le=1e6)] = 0.5
    ftx: NotNegative = 0.5


class Common(Section):
    name: Name
    description: str = ""
    seed: Seed = 0
    data: Annotated[list[PathText], Field(min_length=1, max_length=1000)]
    mix: Literal["all", "equal"] = "all"  # rows per epoch: all, or of each data set as many as the smallest has
    weights: Weights = Weights()
    optimization: Optimization

    @property
    def data_folders(self) -> list[Path]:
        return [Path(path).expanduser() for path in self.data]


class SFTRecipe(Common):
    """Stage I (section 2.2): `data` are data sets of `duplexgen build`."""

    model: Model


class DPORecipe(Common):
    """Stage II (section 2.2): `data` are preference pairs of the data sets that `model` was trained on."""

    model: PathText  # a folder that `duplexgen train sft` wrote; it is the reference model too
    preference: Preference = Preference()
