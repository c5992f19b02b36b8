"""Where a Whisper model lies, and what it is, without loading it."""

import json
from pathlib import Path

from ..errors import UserError
from ..storage.model_files import folder_checksum
from .judge import needed

WEIGHTS = "model.bin"
SHAPING = (WEIGHTS, "config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.json", "vocabulary.txt")
NEEDED = (WEIGHTS, "config.json", "tokenizer.json")
MULTILINGUAL = 51865  # entries of a vocabulary, at the least; English-only models have one less


def folder_of(whisper: str) -> Path:
    """Folder of a model: `whisper` itself, or where the Hub's cache keeps the size of that name.

    Raises UserError that says what is missing and how to get it.
    """
    folder = Path(whisper)
    if not folder.is_dir():
        folder = _cached(whisper)
    if missing := [name for name in NEEDED if not (folder / name).is_file()]:
        raise UserError(f"{folder} has no {', '.join(missing)}; expected a folder that ct2-transformers-converter made")
    return folder


def _cached(whisper: str) -> Path:
    utils = needed("faster_whisper.utils")
    if whisper not in (sizes := utils.available_models()):
        raise UserError(f"{whisper!r} is neither a folder nor a size that faster-whisper knows: {', '.join(sizes)}")
    try:
        return Path(utils.download_model(whisper, local_files_only=True))
    except (OSError, ValueError):  # what the Hub's client raises if it is not there
        raise UserError(
            f"the Whisper model {whisper!r} is not on this machine; get it with: "
            f"python -c 'from faster_whisper.utils import download_model as get; get(\"{whisper}\")'"
        ) from None


def checksum(folder: Path) -> str:
    """sha256 of everything in a model's folder that changes transcripts."""
    return folder_checksum(folder, [name for name in SHAPING if (folder / name).is_file()])


def english_only(folder: Path) -> bool:
    """Whether a model knows English alone, by the size of its vocabulary."""
    vocabulary = folder / "vocabulary.json"
    if vocabulary.is_file():
        return _entries(vocabulary) < MULTILINGUAL
    text = folder / "vocabulary.txt"
    return text.is_file() and text.read_bytes().rstrip(b"\n").count(b"\n") + 1 < MULTILINGUAL


def _entries(path: Path) -> int:
    """Number of entries of a vocabulary. Raises UserError if the file lists none."""
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): convert or download the model again.") from error
    if not isinstance(entries, list | dict):
        raise UserError(f"{path} lists no words: convert or download the model again.")
    return len(entries)
