"""What a training recipe may say: everything that changes the trained model.

Paths of data sets and models are relative to the working folder, where `duplexgen build` writes data sets.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..pipeline.errors import UserError
from ..pipeline.recipe.file import RECIPES, find, read
from ..pipeline.recipe.sections import Name, Section, Seed, Share
from ..pipeline.storage.model_files import check_numbers
from ..pipeline.storage.objects import Place
from ..pipeline.storage.paths import PathText, PlaceText, place

TRAINING_RECIPES = RECIPES / "training"
Normalization = Literal["by_weight", "by_kind"]  # Σ ω ℓ / Σ ω, or Σ ω mean(ℓ) over kinds
PerCodebook = Literal["shared", "mlp", "all"]
Precision = Literal["fp32", "bf16"]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(gt=0, le=10**9)]  # steps, rows
Beta = Annotated[float, Field(ge=0, lt=1)]  # of AdamW
Size = Annotated[int, Field(gt=0, le=1_000_000)]  # of a layer, or how many there are
Batch = Annotated[int, Field(gt=0, le=1_000_000)]  # sequences, or pairs


class Depth(Section):
    """The depth transformer beside a model of parallel streams. The defaults are FLM-Audio's.

    Moshi's reads the text, has all weights per codebook, no final norm, norm_eps 1e-8 and intermediate_size 2816.
    """

    reads_text: bool = False  # whether it sees the text token of the column
    weights: PerCodebook = "mlp"  # which weights of its blocks each codebook has of its own
    hidden_size: Size = 1024
    intermediate_size: Size | None = None  # of its MLPs; null: 8/3 of hidden_size
    num_layers: Size = 6
    num_heads: Size = 16
    final_norm: bool = True
    norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-6

    @model_validator(mode="after")
    def heads_of_one_size(self) -> "Depth":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"expected hidden_size {self.hidden_size} to be a multiple of num_heads {self.num_heads}")
        return self


class Model(Section):
    """What training starts from: a model of transformers, by name or folder, or random weights and a configuration."""

    pretrained: PathText | None = None
    config: dict[str, Any] | None = None  # for AutoConfig.for_model: model_type, hidden_size …
    depth: Depth | None = None  # for parallel streams; null: that of the pretrained model, or the defaults

    @model_validator(mode="after")
    def one_start(self) -> "Model":
        if (self.pretrained is None) == (self.config is None):
            raise ValueError("expected exactly one of `pretrained` (name or folder) and `config` (random weights)")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("expected `model_type` in `config`, such as llama")
        check_numbers(self.config or {})
        return self


OF_BAYLING = frozenset({"silence", "assistant", "pad", "epad", "audio"})  # kinds whose defaults are of its paper
OF_FLM = frozenset({"wait", "semantic", "acoustic"})


class Weights(Section):
    """ω of each kind of position (BayLing-Duplex, equation 5; section 4.4, table 3). That of the user's is always 0.

    The defaults are those of BayLing-Duplex and of FLM-Audio. A layout with kinds of both, such as Moshi's, has none.
    """

    silence: NotNegative = 0.1
    assistant: NotNegative = 10.0
    pad: NotNegative = 1.0
    epad: NotNegative = 10.0
    text: NotNegative = 1.0
    audio: NotNegative = 1.0
    wait: NotNegative = 0.01  # FLM-Audio, section 3.1: this and the next two
    semantic: NotNegative = 1.0
    acoustic: NotNegative = 0.5

    @model_validator(mode="after")
    def not_all_zero(self) -> "Weights":
        if not any(self.model_dump().values()):
            raise ValueError("expected at least one weight above 0")
        return self

    def missing(self, kinds: Collection[str]) -> list[str]:
        """Which kinds of a layout have no weight, because no default is meant for them beside the others."""
        mixed = all(paper.intersection(kinds) for paper in (OF_BAYLING, OF_FLM))
        return sorted((OF_BAYLING | OF_FLM).intersection(kinds) - self.model_fields_set) if mixed else []


class Lora(Section):
    """Low-rank changes of linear layers are trained, not all weights, and added to them when the model is written.

    The rows of states and codes in the embedding and the head are trained whole, because they are new to the model.
    """

    rank: Annotated[int, Field(gt=0, le=10_000)] = 16
    alpha: Annotated[int, Field(gt=0, le=1_000_000)] = 32  # a change counts alpha / rank times
    targets: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None  # layers; null: all linear ones


class Optimization(Section):
    """A learning rate that rises over `warmup_share` of the steps and falls along a cosine; AdamW."""

    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: NotNegative = 0.0  # that of the last step
    batch_size: Batch = 32  # per step, over all devices
    micro_batch_size: Batch = 8  # of these, how many a device takes at once: as its memory allows
    pack_columns: Count | None = None  # parallel streams: rows are packed in sequences of up to so many columns
    epochs: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    steps: Count | None = None
    warmup_share: Share = 0.1
    weight_decay: NotNegative = 0.0
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    max_grad_norm: NotNegative = 1.0
    precision: Precision = "bf16"
    gradient_checkpointing: bool = False
    # Several devices: each has a part of weights, gradients and AdamW's figures (FSDP 2), not all.
    sharded: bool = False
    repeatable: bool = True  # the same bits each time; false for a model with an operation that has no such kernel
    checkpoint_every: Count = 200  # steps
    # Rows that are shuffled and sorted by length together.
    shuffle_rows: Annotated[int, Field(gt=0, le=10_000_000)] = 4096

    @field_validator("betas", mode="before")
    @classmethod
    def from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def one_end(self) -> "Optimization":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("expected exactly one of `epochs` and `steps`")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(f"expected final_learning_rate to be at most learning_rate, {self.learning_rate:g}")
        return self


class Preference(Section):
    """Equation 6: β, the weight of the divergence from the reference model, and λ_ftx, that of the SFT loss."""

    beta: Annotated[float, Field(gt=0, le=1e6)] = 0.5
    ftx: NotNegative = 0.5


class Common(Section):
    name: Name
    description: str = ""
    seed: Seed = 0
    data: Annotated[list[PlaceText], Field(min_length=1, max_length=1000)]
    mix: Literal["all", "equal"] = "all"  # rows per epoch: all, or of each data set as many as the smallest has
    weights: Weights = Weights()
    normalize: Normalization = "by_weight"
    lora: Lora | None = None  # null: all weights are trained
    optimization: Optimization

    @model_validator(mode="after")
    def one_way_to_save_memory(self) -> "Common":
        if self.lora and self.optimization.sharded:
            raise ValueError("lora trains few weights, and each device has them all: set optimization.sharded: false")
        return self

    @property
    def data_folders(self) -> list[Place]:
        return [place(text) for text in self.data]


class SFTRecipe(Common):
    """Stage I (section 2.2): `data` are data sets of `duplexgen build`."""

    model: Model


class DPORecipe(Common):
    """Stage II (section 2.2): `data` are preference pairs of the data sets that `model` was trained on."""

    model: PathText  # a folder that `duplexgen train sft` wrote; it is the reference model too
    preference: Preference = Preference()

    @field_validator("optimization")
    @classmethod
    def whole_pairs(cls, value: Optimization) -> Optimization:
        if value.pack_columns is not None:
            raise ValueError("pairs are not packed, because each has a likelihood of its own: remove pack_columns")
        return value


def is_training(name: str) -> bool:
    """Whether a recipe, by its file or by the name of one that ships, is one of training."""
    for folder in (RECIPES, TRAINING_RECIPES):
        try:
            file = read(find(name, folder), folder)
        except UserError:
            continue
        return "optimization" in file.raw
    return False
