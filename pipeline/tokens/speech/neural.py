"""What speech tokenizers made of a model's folder share: reading it without loading a weight, devices, errors."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ... import errors
from ...errors import UserError

EXTRA = "codecs"  # of the package, which installs what is needed to load a model
PACKAGES = ("torch", "transformers")


def unlike(config: Mapping[str, Any], wanted: Mapping[str, Any], where: Path) -> list[str]:
    """What a configuration says otherwise than it should, in words."""
    return [
        f"{where} says {key} {json.dumps(config.get(key))}, expected {json.dumps(value)}"
        for key, value in wanted.items()
        if config.get(key) != value
    ]


def package_versions() -> dict[str, str]:
    """Versions of the packages that compute the codes, as a fingerprint names them; no package is imported.

    Of torch without its build, which names the device. Raises PackageNotFoundError where `missing_packages` says so.
    """
    return {name: version(name).partition("+")[0] for name in PACKAGES}


def missing_packages() -> str | None:
    """What is not installed, in words, with the extra that has it."""
    missing = [name for name in (*PACKAGES, "safetensors") if find_spec(name) is None]
    return f"needs {', '.join(missing)}, not installed here: pip install 'duplexgen[{EXTRA}]'" if missing else None


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Raise what a missing package raises as a UserError that names the extra."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{what} needs packages that are not installed ({error}). pip install 'duplexgen[{EXTRA}]'"
        ) from error


def torch_device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    """Raises UserError if a GPU is asked for and there is none."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # codes are those of float32
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "a tokenizer is to run on cuda, and torch sees no GPU here. Give its actor one (num_gpus in its section of "
            "the recipe), or say device: cpu."
        )
    return wanted


def enough_memory(tokenizer: str) -> AbstractContextManager[None]:
    """Raise what a GPU without memory left raises as a UserError; signals are tokenized one at a time already."""
    fewer = f"Put fewer actors on a GPU (a larger tokens.{tokenizer}.num_gpus), or say device: cpu."
    return errors.enough_memory(f"for {tokenizer}. {fewer}")
