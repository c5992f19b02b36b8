"""The model to train: any causal language model of transformers, with an embedding that fits the vocabulary.

A trained model is a folder: the files of `save_pretrained`, the vocabulary of its sequences, and its origin.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from ...pipeline.dataset.manifest import VOCABULARY, VOCABULARY_FOLDER
from ...pipeline.dataset.reader import read_json
from ...pipeline.dataset.vocabulary import read_vocabulary
from ...pipeline.errors import UserError, enough_memory
from ...pipeline.kernels import leave_out_cudnn_attention
from ...pipeline.layouts.stream_ids import StreamVocabulary
from ...pipeline.recipe.file import described
from ...pipeline.storage.atomic import canonical_json, file_sha256
from ...pipeline.storage.model_files import check_numbers, read_json_object
from ...pipeline.tokens.section import Pretrained, Tokens
from ...pipeline.tokens.speech.glm4voice import GLM4VoiceTokenizer
from ...pipeline.tokens.text.pretrained import PretrainedTokenizer
from ..convert import chatglm
from ..devices import DTYPES, check_precision, machine_bytes
from ..recipe import Depth, Model, Precision
from ..sequences import SequenceFormat
from .depth import DepthShape
from .saving import saved
from .streams import StreamsConfig, StreamsForCausalLM

ABOUT, CONFIG = "training.json", "config.json"
FLOAT32_BYTES = 4
ANOTHER = "They do not belong together. Use a model that was trained on such data."
HALF = "In bf16 it takes half: use --precision bf16 with `talk`, and precision: bf16 in a recipe of `evaluate`."


@dataclass(frozen=True)
class DuplexModel:
    network: PreTrainedModel  # in eval mode
    format: SequenceFormat
    about: dict[str, Any]  # the training recipe, the data and their checksums


def load_model(
    folder: Path, device: str = "cpu", precision: Precision = "fp32", decoder: Path | None = None
) -> DuplexModel:
    """A model of `duplexgen train`.

    device: on `meta` it has no weights, and none are read.
    decoder: the folder of GLM-4-Voice's decoder; None: what the recipe of the data says. Raises UserError if the folder
    holds no model, or one that is damaged or too large, or if its speech tokenizer takes no decoder.
    """
    if device == "cuda":
        check_precision(precision, "precision: fp32, of `talk` by --precision")
    if not (folder / ABOUT).exists():
        raise UserError(f"{folder} is not a finished model of `duplexgen train`: it has no {ABOUT}.")
    about = read_json(folder / ABOUT)
    sequence_format = SequenceFormat.read(folder, _tokens(folder / ABOUT, about, decoder))
    network = _outlined(str(folder)) if device == "meta" else _pretrained(str(folder), DTYPES[precision], whole=True)
    check_fits(network, sequence_format, str(folder))
    leave_out_cudnn_attention()
    with enough_memory(f"for the model. {HALF}"):
        moved = nn.Module.to(network, device)  # the type of PreTrainedModel.to is lost in a wrapper
    return DuplexModel(moved.eval(), sequence_format, about)  # type: ignore[no-untyped-call]


def model_files(name: str) -> list[dict[str, str]]:
    """The checksums of a model's files, by their names; none if it is not a folder."""
    folder = Path(name).expanduser()
    files = [path for path in (folder / ABOUT, *sorted(folder.glob("*.safetensors"))) if path.is_file()]
    return [{path.name: file_sha256(path) for path in files}] if files else []


def _tokens(path: Path, about: dict[str, Any], decoder: Path | None) -> Tokens:
    """The section `tokens` of the data's recipe: where the tokenizers are. decoder: in place of that of the section."""
    try:
        tokens = Tokens.model_validate(about.get("tokens", {}))
    except ValidationError as error:
        raise UserError(f"{path} is damaged, or of another version: tokens: {described(error)}") from error
    if decoder is None:
        return tokens
    if tokens.speech_tokenizer != GLM4VoiceTokenizer.name or tokens.glm4voice is None:
        tokenizer = f"and the speech tokenizer of {path.parent} is {tokens.speech_tokenizer}"
        raise UserError(f"{decoder} is to decode codes of GLM-4-Voice, {tokenizer}. Name no decoder.")
    section = tokens.glm4voice.model_copy(update={"decoder": str(decoder)})
    return tokens.model_copy(update={"glm4voice": section})


def save_model(network: PreTrainedModel, weights: dict[str, torch.Tensor], data_set: Path, folder: Path) -> None:
    """Write a network and the vocabulary of its sequences into a new folder.

    weights: its whole state, also if it is sharded. data_set: its vocabulary is the network's.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    with saved(folder):
        network.save_pretrained(folder, state_dict=weights)
        for name, content in read_vocabulary(data_set).items():
            (folder / Path(name).name).write_bytes(content)


def start(
    model: Model, data_set: Path, sequence_format: SequenceFormat, seed: int, device: str = "cpu"
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
    data_set: Path,
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
    network = _outlined(name) if device == "meta" else _pretrained(name, torch.float32)
    text_size = sequence_format.vocabulary.text_size
    tokens = _Tokens.read(name, data_set)
    if (unlike := tokens.unlike_text(text_size)) is not None:
        raise UserError(
            f"the text ids of {data_set} are not those of the model {name}: {unlike}. "
            "Build the data set with the model's own text tokenizer (tokens.text_tokenizer)."
        )
    rows = _rows(network.get_input_embeddings())
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
        shape = _depth_shape(depth or Depth(), sequence_format, _width(network))
        network = StreamsForCausalLM.around(network, asdict(shape))
    return _ending(network, sequence_format)


def _check_streams_start(
    network: StreamsForCausalLM, folder: Path, sequence_format: SequenceFormat, depth: Depth | None
) -> None:
    """Raise UserError if a model of parallel streams has other ids than the data, or another depth transformer."""
    check_fits(network, sequence_format, str(folder))
    shape = network.depth.shape
    if depth is not None and _depth_shape(depth, sequence_format, shape.input_size) != shape:
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


def _depth_shape(depth: Depth, sequence_format: SequenceFormat, width: int) -> DepthShape:
    """width: of the hidden state."""
    vocabulary = sequence_format.vocabulary
    assert isinstance(vocabulary, StreamVocabulary), "the layout has parallel streams"
    return DepthShape(
        input_size=width,
        codebooks=vocabulary.audio.codebooks,
        codes=vocabulary.audio.codes,
        audio_size=vocabulary.audio_size,
        text_size=sequence_format.size if depth.reads_text else None,
        **depth.model_dump(exclude={"reads_text"}),
    )


def _width(network: PreTrainedModel) -> int:
    weight = network.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[1]


@dataclass(frozen=True)
class _Tokens:
    """The names of ids, in a data set's vocabulary and in the own tokenizer of a model."""

    ours: Tokenizer
    theirs: Tokenizer

    @classmethod
    def read(cls, name: str, data_set: Path) -> "_Tokens":
        """name: of the model. Raises UserError if it has no tokenizer that can be loaded."""
        ours = Tokenizer.from_file(str(data_set / VOCABULARY_FOLDER / "tokenizer.json"))
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


def outline(configuration: Any, sequence_format: SequenceFormat | None, depth: Depth | None) -> PreTrainedModel:
    """The model of a configuration, on `meta`, where it takes no memory.

    sequence_format: if it has parallel streams, the model gets them, too; None: the model stays as it is.
    """
    from_config: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        network: PreTrainedModel = from_config(configuration, dtype=torch.float32)
        if sequence_format and sequence_format.streams > 1 and not isinstance(network, StreamsForCausalLM):
            shape = _depth_shape(depth or Depth(), sequence_format, _width(network))
            streams = StreamsConfig(text_config=configuration, depth=asdict(shape))
            network = from_config(streams, dtype=torch.float32)
    return network


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


def check_fits(network: PreTrainedModel, sequence_format: SequenceFormat, where: str) -> None:
    """Raise UserError unless every id of the vocabulary has a row in the embedding and in the head."""
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, rows in (("embedding", _rows(embedding)), ("head", _rows(head))):
        if rows < sequence_format.size:
            raise UserError(
                f"the model {where} has {rows} rows in its {name}, but the vocabulary has {sequence_format.size} ids: "
                "they do not belong together. Use a model that was trained on this vocabulary."
            )
    streams, expected = _streams(network), sequence_format.streams
    if streams != expected:
        raise UserError(f"the model {where} reads {streams} ids per position, and the layout has {expected}. {ANOTHER}")
    if isinstance(network, StreamsForCausalLM):
        _check_codes(network.depth.shape, sequence_format, where)


def _streams(network: PreTrainedModel) -> int:
    return 1 + 2 * network.codebooks if isinstance(network, StreamsForCausalLM) else 1


def _check_codes(shape: DepthShape, sequence_format: SequenceFormat, where: str) -> None:
    """Raise UserError unless a depth transformer has a row for each id that it reads, and knows the same codes."""
    vocabulary = sequence_format.vocabulary
    assert isinstance(vocabulary, StreamVocabulary), "the layout has parallel streams"
    if shape.codes != vocabulary.audio.codes:
        raise UserError(
            f"the model {where} has codebooks of {shape.codes} codes, and the data {vocabulary.audio.codes}. {ANOTHER}"
        )
    rows, text_rows = shape.audio_size, shape.text_size or sequence_format.size
    if rows < vocabulary.audio_size or text_rows < sequence_format.size:
        raise UserError(
            f"the model {where} has {rows} rows for codes and {text_rows} for text, and the vocabulary has "
            f"{vocabulary.audio_size} and {sequence_format.size} ids. {ANOTHER}"
        )


def max_positions(network: PreTrainedModel) -> int | None:
    """How many positions the longest sequence of a model may have; None if its configuration does not say."""
    positions = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) else None


def check_length(network: PreTrainedModel, length: int, what: str) -> None:
    """Raise UserError if a sequence has more positions than the model allows. what: names it in the message."""
    limit = max_positions(network)
    if limit is not None and length > limit:
        raise UserError(
            f"{what} has {length} positions, but the model takes {limit} (max_position_embeddings of its "
            "configuration). Use a model that takes more, or shorter dialogues (rewriting.max_exchanges, "
            "max_reply_words)."
        )


def _rows(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[0]


def _pretrained(name: str, dtype: torch.dtype, whole: bool = False) -> PreTrainedModel:
    """whole: every weight in the files must belong to the network, as in a folder that `train` has written."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    from_pretrained: Any = AutoModelForCausalLM.from_pretrained  # its type knows nothing of output_loading_info
    with _loading(name):
        network, info = from_pretrained(name, dtype=dtype, trust_remote_code=False, output_loading_info=True)
        if unlike := sorted({*info["missing_keys"], *(info["unexpected_keys"] if whole else ())}):
            raise ValueError(
                f"its weights are not those that {CONFIG} asks for, {len(unlike)} of them, such as {unlike[0]}"
            )
    loaded: PreTrainedModel = network
    return loaded


def _outlined(name: str) -> PreTrainedModel:
    """The network of `_pretrained` without its weights, on `meta`."""
    with _loading(name):
        return outline(AutoConfig.from_pretrained(name, trust_remote_code=False), None, None)


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Check the configuration of a model; in the block, turn any error of transformers into a UserError."""
    try:
        if (config := Path(name) / CONFIG).is_file():  # a model of the Hub is read by transformers alone
            check_numbers(described := read_json_object(config), config, infinite=True)
            if described.get("model_type") == chatglm.MODEL_TYPE:
                raise ValueError(
                    f"it has the names of ChatGLM. `duplexgen models convert glm-4-voice-9b {name} --out NEW_FOLDER` "
                    "writes GLM-4-Voice as transformers loads it"
                )
        yield
    except Exception as error:  # classes of transformers may raise any error for strange files
        raise UserError(
            f"the model {name} cannot be loaded: {error}. Expected a folder written by `duplexgen train`, or any "
            "causal language model that transformers has a class for: code that comes with a model is never run."
        ) from error
