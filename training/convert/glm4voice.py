"""GLM-4-Voice as it is published, to a model that `train` starts from; and a trained model back to what is published.

No code of these folders is run: tensors are cut and joined by rows, a block at a time, and keep their numbers.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ...pipeline.errors import UserError
from ...pipeline.layouts.shared import AUDIO_TOKEN, STATE_TOKENS, SharedVocabulary, audio_token
from ...pipeline.storage.atomic import atomic_folder, check_free, write_json
from ...pipeline.storage.model_files import StoredTensor, read_json_object
from ...pipeline.storage.paths import read_bytes
from ...pipeline.storage.places import deepest
from ...pipeline.tokens.section import Pretrained, Tokens
from ...pipeline.tokens.text import tiktoken_bpe
from ...pipeline.tokens.text.pretrained import JSON, PretrainedTokenizer
from . import chatglm
from .chatglm import EMBEDDING, FREQUENCIES, GLM_MODEL_TYPE, HEAD, Sizes
from .shards import DTYPES, NewShards, NewTensor, Rows, Shards, mean, read_shards, whole, write_shards

CONFIG = "config.json"
CODES = 16384  # of GLM-4-Voice's speech tokenizer; its text tokenizer names all but the last
ASSISTANT = STATE_TOKENS["assistant"]
LARGEST_FILE_BYTES = 1 << 26  # that is copied
ROOM_BYTES = 1 << 26  # for what is written beside the weights
COPIED = ("LICENSE*", "NOTICE*")
COPIED_BACK = (*COPIED, "*.py", tiktoken_bpe.RANKS, "special_tokens_map.json", "generation_config.json")
"""What the published code and tokenizer need beside the files that are written anew."""
TOKEN = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False) | {"special": True}

Reports = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Called with the number of tensors; gives a function to call with the number that were written so far."""


@dataclass(frozen=True)
class Published:
    """A folder as GLM-4-Voice is published."""

    folder: Path
    config: Mapping[str, Any]
    sizes: Sizes
    shards: Shards
    vocabulary: SharedVocabulary  # of its tokenizer, with what the layout `bayling` adds
    names: Mapping[int, str]  # tokens of its tokenizer
    added: Mapping[int, str]  # what the layout adds

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        return {name: tensor for tensors in self.shards.values() for name, tensor in tensors.items()}


def read_published(folder: Path) -> Published:
    """Reads configurations, the tokenizer and headers, and no weights. Raises UserError unless all of it fits."""
    config = _object(folder / CONFIG)
    sizes = chatglm.read_sizes(config, folder / CONFIG)
    shards = read_shards(folder)
    _check_shapes(folder, shards, {name: tensor.shape for name, tensor in chatglm.tensors(sizes).items()})
    tokenizer = PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=str(folder))))
    names = _names(tokenizer.to_json())
    if missing := {ASSISTANT, audio_token(0)} - set(names.values()):
        raise UserError(
            f"the tokenizer in {folder} has no token {sorted(missing)[0]}: expected GLM-4-Voice, and GLM-4 has no "
            "speech."
        )
    if max(names) >= sizes.rows:
        raise UserError(
            f"{folder / CONFIG} says {sizes.rows} rows (padded_vocab_size), and the tokenizer beside it has ids up to "
            f"{max(names)}: they do not belong together. Copy the folder again."
        )
    vocabulary = SharedVocabulary.extending(tokenizer, CODES)
    extended = _names(vocabulary.tokenizer_json or "")
    added = {id_: token for id_, token in sorted(extended.items()) if id_ not in names}
    return Published(folder, config, sizes, shards, vocabulary, names, added)


def convert(folder: Path, out: Path, reports: Reports) -> Published:
    """Write the published model of a folder to the new folder `out`, as transformers' class GLM loads it.

    Returns what was read. Rows of tokens that the layout `bayling` adds are set: the states to the mean of the rows of
    text, audio tokens to the mean of the other audio tokens. All other numbers are kept, bit for bit.
    Raises UserError, and writes nothing, if the folder is another model's or damaged, if there is something at `out`,
    or if the disk has no room.
    """
    check_free(out)
    published = read_published(folder)
    sizes = published.sizes.with_rows(max(published.sizes.rows, published.vocabulary.size))
    config = chatglm.glm_config(published.config, sizes, published.vocabulary.end_of_text)
    config["dtype"] = config["dtype"] or str(DTYPES[published.tensors[EMBEDDING].dtype]).removeprefix("torch.")
    with _written(out, _converted(published, sizes), reports) as staging:
        write_json(staging / CONFIG, config)
        published.vocabulary.save(staging)
        _copy(folder, staging, COPIED)
    return published


def _converted(published: Published, sizes: Sizes) -> NewShards:
    """The tensors of transformers' class, in files of the same names as those that they come from."""
    tensors = chatglm.tensors(sizes)
    shards: dict[str, dict[str, NewTensor]] = {}
    for file, stored in published.shards.items():
        shards[file] = new = {}
        for name, source in stored.items():
            if name == FREQUENCIES:
                continue
            first = 0
            for piece, rows in tensors[name].pieces:
                parts: tuple[Rows | NDArray[np.float64], ...] = (Rows(source, first, first + rows),)
                if name in (EMBEDDING, HEAD):
                    parts = _with_added(source, published)
                new[piece] = NewTensor(source.dtype, tensors[name].shape_of(rows), parts)
                first += rows
    return {file: new for file, new in shards.items() if new}


def _with_added(source: StoredTensor, published: Published) -> tuple[Rows | NDArray[np.float64], ...]:
    """The rows of an embedding or a head, those of added tokens set anew."""
    text, audio_first_id = published.vocabulary.text_size, published.vocabulary.audio_first_id
    is_audio = {id_: AUDIO_TOKEN.fullmatch(token) is not None for id_, token in published.names.items()}
    of_kind = {
        False: mean(Rows(source, 0, text)),
        True: mean(Rows(source, audio_first_id, audio_first_id + sum(is_audio.values()))),
    }
    parts: list[Rows | NDArray[np.float64]] = []
    kept = 0
    for id_, token in published.added.items():
        parts += [Rows(source, kept, id_)] if kept < id_ else []
        parts.append(of_kind[AUDIO_TOKEN.fullmatch(token) is not None])
        kept = id_ + 1
    return (*parts, Rows(source, kept, source.shape[0])) if kept < source.shape[0] else tuple(parts)


def export(model: Path, published_folder: Path, out: Path, reports: Reports) -> Published:
    """Write a model that was trained from a converted one to the new folder `out`, as GLM-4-Voice is published.

    The published folder gives the files of weights their names and each tensor its precision; its code and tokenizer
    are copied, with the tokens that the model has in addition. Returns what was read of it.
    Raises UserError, and writes nothing, if the model was not trained from it, if there is something at `out`, or if
    the disk has no room.
    """
    check_free(out)
    published = read_published(published_folder)
    _check_code(published)
    config = _object(model / CONFIG)
    if (kind := config.get("model_type")) != GLM_MODEL_TYPE:
        raise UserError(
            f"{model / CONFIG} says model_type {json.dumps(kind)}, expected {json.dumps(GLM_MODEL_TYPE)}: a model that "
            "was trained from one that `models convert` wrote."
        )
    wanted = chatglm.glm_config(published.config, published.sizes, published.vocabulary.end_of_text)
    if unlike := chatglm.unlike(config, wanted):
        raise UserError(f"{model / CONFIG}: {'; '.join(unlike)}. It was not trained from {published_folder}.")
    shards = read_shards(model)
    stored = {name: tensor for tensors in shards.values() for name, tensor in tensors.items()}
    if (embedding := stored.get("model.embed_tokens.weight")) is None:
        raise UserError(f"the weights in {model} have no model.embed_tokens.weight: copied in part, or another model.")
    sizes = published.sizes.with_rows(embedding.shape[0])
    pieces = {
        piece: tensor.shape_of(rows) for tensor in chatglm.tensors(sizes).values() for piece, rows in tensor.pieces
    }
    _check_shapes(model, shards, pieces)
    tokens = _added_tokens(model, published, sizes.rows)
    with _written(out, _exported(published, stored, sizes), reports) as staging:
        _copy(published_folder, staging, COPIED_BACK)
        rows = {key: sizes.rows for key in ("padded_vocab_size", "vocab_size") if key in published.config}
        write_json(staging / CONFIG, {**published.config, **rows})
        write_json(staging / tiktoken_bpe.CONFIG, tokens)
    return published


def _exported(published: Published, stored: Mapping[str, StoredTensor], sizes: Sizes) -> NewShards:
    """The published tensors, in the published files, each in the precision in which it is published."""
    tensors = chatglm.tensors(sizes)
    return {
        file: {
            name: NewTensor(old.dtype, old.shape, (whole(old),))
            if name == FREQUENCIES
            else NewTensor(
                old.dtype, tensors[name].shape, tuple(whole(stored[piece]) for piece, _ in tensors[name].pieces)
            )
            for name, old in olds.items()
        }
        for file, olds in published.shards.items()
    }


def _added_tokens(model: Path, published: Published, rows: int) -> dict[str, Any]:
    """The published tokenizer_config.json with the tokens that a model has in addition.

    Raises UserError if the model has another token at an id of the published tokenizer, or ids without a row.
    """
    names = _names_in(model / JSON)
    for id_, token in sorted(published.names.items()):
        if names.get(id_) != token:
            raise UserError(
                f"id {id_} is {names.get(id_)!r} in {model / JSON} and {token!r} in {published.folder}: the model was "
                "not trained from it."
            )
    if max(names) >= rows:
        raise UserError(f"{model} has {rows} rows in its embedding, and {JSON} has ids up to {max(names)}.")
    described = _object(published.folder / tiktoken_bpe.CONFIG)
    decoder = dict(described["added_tokens_decoder"])
    for id_, token in sorted(names.items()):
        if id_ not in published.names:
            decoder[str(id_)] = {"content": token, **TOKEN}
    return described | {"added_tokens_decoder": decoder}


def _check_code(published: Published) -> None:
    """Raise UserError if the folder lacks a file that its configurations name: the published programs load them."""
    folder = published.folder
    if missing := [name for name in tiktoken_bpe.FILES if not (folder / name).is_file()]:
        raise UserError(f"{folder} has no {missing[0]}: expected the folder as GLM-4-Voice is published.")
    for file in (CONFIG, tiktoken_bpe.CONFIG):
        named = _object(folder / file).get("auto_map")
        for value in named.values() if isinstance(named, dict) else ():
            for entry in value if isinstance(value, list) else [value]:
                module = str(entry).rpartition(".")[0]
                if entry and module.isidentifier() and not (folder / f"{module}.py").is_file():
                    raise UserError(
                        f"{folder} has no {module}.py, which {file} names. It is copied for the programs that run the "
                        "model: copy the published folder again, whole."
                    )


def _check_shapes(folder: Path, shards: Shards, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raise UserError unless the files hold exactly these tensors."""
    stored = {name: tensor.shape for tensors in shards.values() for name, tensor in tensors.items()}
    stored.pop(FREQUENCIES, None)
    if missing := sorted(wanted.keys() - stored.keys()):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"the weights in {folder} lack {missing[0]}{more}: copied in part, or not those of its {CONFIG}."
        )
    if strange := sorted(stored.keys() - wanted.keys()):
        raise UserError(f"the weights in {folder} have {strange[0]!r}: it is another architecture than GLM-4-Voice's.")
    for name, shape in wanted.items():
        if stored[name] != shape:
            raise UserError(
                f"{name} in {folder} is {[*stored[name]]}, and its {CONFIG} wants {[*shape]}: they do not belong "
                "together."
            )


@contextmanager
def _written(out: Path, shards: NewShards, reports: Reports) -> Iterator[Path]:
    """The new folder with its weights; it takes its name once the block, which writes the rest, ends well."""
    needed = sum(tensor.num_bytes for tensors in shards.values() for tensor in tensors.values())
    if (free := shutil.disk_usage(deepest(out.parent)).free) < needed + ROOM_BYTES:
        raise UserError(
            f"{out}: {needed / 1e9:.1f} GB are to be written, and the disk has room for {free / 1e9:.1f} GB. Make "
            "room, or choose a folder on another disk."
        )
    with atomic_folder(out) as staging:
        with reports(sum(map(len, shards.values()))) as report:
            write_shards(staging, shards, report)
        yield staging


def _copy(folder: Path, out: Path, patterns: tuple[str, ...]) -> None:
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        try:
            (out / path.name).write_bytes(read_bytes(path, LARGEST_FILE_BYTES))
        except ValueError as error:
            raise UserError(f"{path} cannot be copied: {error}.") from error


def _names(tokenizer_json: str) -> dict[int, str]:
    """The tokens of a tokenizer by their ids."""
    return {id_: token for token, id_ in Tokenizer.from_str(tokenizer_json).get_vocab().items()}


def _names_in(path: Path) -> dict[int, str]:
    try:
        return _names(read_bytes(path, LARGEST_FILE_BYTES).decode("utf-8"))
    except Exception as error:  # the library of tokenizers raises nothing narrower
        raise UserError(f"{path} cannot be read as a tokenizer: {error}.") from error


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except ValueError as error:
        raise UserError(f"{error}.") from error
