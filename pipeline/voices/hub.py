"""Recordings of a data set that `datasets` can load: a Hub name, or a local folder it understands."""

from collections.abc import Iterator
from typing import Any

from ..errors import DialogueRejected, UserError
from .clips import Recording, Unread, about


def read_hub(name: str, config: str | None, split: str, revision: str | None) -> Iterator[Recording | Unread]:
    """Every row, with its encoded audio: this package decodes it, because `datasets` would need torchcodec.

    Raises UserError if the data set cannot be loaded or has no column of audio.
    """
    import datasets

    label = "/".join(part for part in (name, config, split) if part)
    try:
        loaded = datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)
        features = loaded.features or {}
        columns = [column for column, feature in features.items() if isinstance(feature, datasets.Audio)]
        if columns:
            loaded = loaded.cast_column(columns[0], datasets.Audio(decode=False))
            for number, row in enumerate(loaded, 1):
                yield _recording(f"{label}#{number}", row, columns[0], features)
    except Exception as error:  # any error of a loader, a network or a server ends the command in the same way
        raise UserError(
            f"cannot load the data set {name!r} (config {config!r}, split {split!r}): {type(error).__name__}: {error}. "
            "Check the name, the split and the network; a private data set needs HF_TOKEN in the environment"
        ) from error
    if not columns:
        raise UserError(f"{label}: no column of audio; its columns are {', '.join(features) or 'not known'}")


def _recording(where: str, row: dict[str, Any], column: str, features: Any) -> Recording | Unread:
    fields = {key: _name(value, features.get(key)) for key, value in row.items() if key != column}
    try:
        metadata = about(fields)
        return Recording(where, _content(row[column]), metadata)
    except DialogueRejected as rejected:
        return Unread(where, rejected.reason, rejected.detail)


def _content(audio: Any) -> bytes:
    """The encoded file of one row. Raises DialogueRejected("broken_file")."""
    import fsspec

    if not isinstance(audio, dict) or not (audio.get("bytes") or audio.get("path")):
        raise DialogueRejected("broken_file", "the row has no audio")
    if audio.get("bytes"):
        return bytes(audio["bytes"])
    try:
        with fsspec.open(audio["path"], "rb") as stream:
            return bytes(stream.read())
    except (OSError, ValueError) as error:
        raise DialogueRejected("broken_file", f"its audio cannot be read: {error}") from error


def _name(value: Any, feature: Any) -> Any:
    """The name of a class in place of its number; any other value as it is."""
    if hasattr(feature, "int2str") and isinstance(value, int) and value >= 0:
        return feature.int2str(value)
    return value
