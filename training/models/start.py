"""What training starts from: any causal language model, its embedding extended by the tokens of a vocabulary."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ...pipeline.dataset.manifest import VOCABULARY, VOCABULARY_FOLDER
from ...pipeline.errors import UserError
from ...pipeline.storage.atomic import canonical_json
from ...pipeline.storage.objects import Place
from ...pipeline.tokens.section import Pretrained, Tokens
from ...pipeline.tokens.text.pretrained import PretrainedTokenizer
from ..devices import machine_bytes
from ..recipe import Depth, Model
from ..sequences import SequenceFormat
from .networks import check_fits, depth_shape, outline, outlined, pretrained, rows_of, width_of
from .streams import StreamsForCausalLM

FLOAT32_BYTES = 4


def start(
    model: Model, data_set: Place, sequence_format: SequenceFormat, seed: int, device: str = "cpu"
) -> PreTrainedModel:
    """What a recipe starts from, ready for the sequences of a data set. Raises UserError if they do not go together.

    device: on `meta` it has no weights, and none are read.
    """
    if model.depth is not None and sequence_format.streams == 1:
        raise UserError(
            "model.depth is for layouts of parallel streams, and the data set has the layout "
            f"{sequence_format.layout.name}. Remove it from the recipe."
        )
    if model.pretrained is None:
        network = start_from_config(model.config or {}, sequence_format, seed, model.depth, device)
    else:
        network = start_from_pretrained(model.pretrained, data_set, sequence_format, seed, model.depth, device)
    check_fits(network, sequence_format, model.pretrained or "of model.config")
    return network


def start_from_pretrained(
    name: str,
    data_set: Place,
    sequence_format: SequenceFormat,
    seed: int,
    depth: Depth | None = None,
    device: str = "cpu",
) -> PreTrainedModel:
    """A model of the Hub or of a folder, its embedding extended by the vocabulary's new tokens.

    The row of a token that the model's own tokenizer does not have is the mean of the others, also where the model has
    a row to spare. For parallel streams, a model that does not have them gets embeddings of codes and a depth
    transformer. Raises UserError unless the ids of the data set are those of the model.
    """
    torch.manual_seed(seed)
    network = outlined(name) if device == "meta" else pretrained(name, torch.float32)
    text_size = sequence_format.vocabulary.text_size
    tokens = _Tokens.read(name, data_set)
    if (unlike := tokens.unlike_text(text_size)) is not None:
        raise UserError(
            f"the text ids of {data_set} are not those of the model {name}: {unlike}. "
            "Build the data set with the model's own text tokenizer (tokens.text_tokenizer)."
        )
    rows = rows_of(network.get_input_embeddings())
    if rows < text_size:
        raise UserError(
            f"the model {name} has an embedding of {rows} rows, and its tokenizer has {text_size} tokens: expected "
            "a row for each token. Use another model."
        )
    if isinstance(network, StreamsForCausalLM):
        _check_streams_start(network, Path(name), sequence_format, depth)
        return _ending(network, sequence_format)
    if rows < sequence_format.size:
        network.resize_token_embeddings(sequence_format.size, mean_resizing=False)
    _set_new_rows(network, tokens)
    if sequence_format.streams > 1:
        shape = depth_shape(depth or Depth(), sequence_format, width_of(network))
        network = StreamsForCausalLM.around(network, asdict(shape))
    return _ending(network, sequence_format)


def _check_streams_start(
    network: StreamsForCausalLM, folder: Path, sequence_format: SequenceFormat, depth: Depth | None
) -> None:
    """Raise UserError if a model of parallel streams has other ids than the data, or another depth transformer."""
    check_fits(network, sequence_format, str(folder))
    shape = network.depth.shape
    if depth is not None and depth_shape(depth, sequence_format, shape.input_size) != shape:
        raise UserError(
            f"the model {folder} has another depth transformer than model.depth says: {shape}. Remove model.depth from "
            "the recipe, or start from another model."
        )
    if not (folder / VOCABULARY).exists():
        return
    unlike = SequenceFormat.read(folder).described.unlike(sequence_format.described)
    if differ := [name for name in unlike if name != "margin_frames"]:
        raise UserError(
            f"the model {folder} was trained on other rows than the data set has: {', '.join(differ)} of {VOCABULARY} "
            "differ. Build the data set with the tokenizers and the layout of the model, or start from another model."
        )


@dataclass(frozen=True)
class _Tokens:
    """The names of ids, in a data set's vocabulary and in the own tokenizer of a model."""

    ours: Tokenizer
    theirs: Tokenizer

    @classmethod
    def read(cls, name: str, data_set: Place) -> "_Tokens":
        """name: of the model. Raises UserError if it has no tokenizer that can be loaded."""
        ours = Tokenizer.from_buffer((data_set / f"{VOCABULARY_FOLDER}/tokenizer.json").read_bytes())
        try:
            return cls(ours, _own_tokenizer(name))
        except (OSError, ValueError, UserError) as error:
            raise UserError(
                f"the model {name} cannot be extended by the tokens of {data_set}, because the model's tokenizer "
                f"cannot be loaded: {error}"
            ) from error

    def unlike_text(self, text_size: int) -> str | None:
        """The first text id that stands for another token in the model's tokenizer, in words; None: there is none."""
        tokens = ((id_, self.ours.id_to_token(id_), self.theirs.id_to_token(id_)) for id_ in range(text_size))
        unlike = (
            f"id {id_} is {mine!r} in the data set and {its!r} in the model" for id_, mine, its in tokens if mine != its
        )
        return next(unlike, None)

    def new(self, rows: int) -> list[int]:
        """Ids of the data set, below `rows`, of which the model's tokenizer has no token, or another one."""
        names = ((id_, self.ours.id_to_token(id_)) for id_ in range(rows))
        return [id_ for id_, name in names if name not in (None, self.theirs.id_to_token(id_))]

    def trained(self, rows: int) -> list[int]:
        """Ids below `rows` of the model's own tokens."""
        return sorted(id_ for id_ in self.theirs.get_vocab().values() if id_ < rows)


@torch.no_grad()
def _set_new_rows(network: PreTrainedModel, tokens: _Tokens) -> None:
    """Set the rows of new tokens, in the embedding and in the head, to the mean of the rows of the model's own."""
    for table in (network.get_input_embeddings(), network.get_output_embeddings()):  # type: ignore[no-untyped-call]
        for weight in table.parameters():  # of a head also its bias
            if not (new := tokens.new(len(weight))):
                continue
            own = sorted({*tokens.trained(len(weight))} - {*new})
            weight[new] = weight[own].mean(dim=0)


def _own_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a folder is read as recipes read it, because transformers has no class for GLM-4-Voice's."""
    if not Path(name).is_dir():
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False).backend_tokenizer
        return tokenizer
    return Tokenizer.from_str(PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=name))).to_json())


def start_from_config(
    config: dict[str, Any],
    sequence_format: SequenceFormat,
    seed: int,
    depth: Depth | None = None,
    device: str = "cpu",
) -> PreTrainedModel:
    """A model with random weights, or none on `meta`. config: what `AutoConfig.for_model` takes, with `model_type`."""
    try:
        shape = outline(AutoConfig.for_model(**config, vocab_size=sequence_format.size), sequence_format, depth)
        _check_size(sum(weight.numel() for weight in shape.parameters()))
        from_config: Any = AutoModelForCausalLM.from_config
        torch.manual_seed(seed)
        network: PreTrainedModel = shape if device == "meta" else from_config(shape.config, dtype=torch.float32)
    except Exception as error:  # classes of transformers may raise any error for strange numbers
        raise UserError(f"model.config: {canonical_json(config)} makes no causal language model: {error}") from error
    return _ending(network, sequence_format)


def _ending(network: PreTrainedModel, sequence_format: SequenceFormat) -> PreTrainedModel:
    """The network, with the vocabulary's padding and end tokens in its configurations, where other programs look."""
    end = sequence_format.vocabulary.end_of_text
    configs = (network.config, network.config.get_text_config(), getattr(network, "generation_config", None))
    for config in filter(None, configs):
        config.bos_token_id, config.eos_token_id, config.pad_token_id = None, end, end
    return network


def _check_size(weights: int) -> None:
    """Raise ValueError if so many weights do not fit the memory of this machine, even without their gradients."""
    memory_bytes = machine_bytes()
    if weights * FLOAT32_BYTES > memory_bytes:
        raise ValueError(f"it has {weights:,} weights, and this machine has room for {memory_bytes // FLOAT32_BYTES:,}")
