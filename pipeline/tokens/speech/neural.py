"""Shared by speech tokenizers that load a model: checks without loading a weight, versions, devices, errors."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ... import errors
from ...errors import UserError

EXTRA = "codecs"  # of duplexgen, with the packages that load a model
PACKAGES = ("torch", "transformers")


def unlike(config: Mapping[str, Any], wanted: Mapping[str, Any], where: Path) -> list[str]:
    """Differences of a configuration from the wanted values, in words."""
    return [
        f"{where} says {key} {json.dumps(config.get(key))}, expected {json.dumps(value)}"
        for key, value in wanted.items()
        if config.get(key) != value
    ]


def package_versions() -> dict[str, str]:
    """Versions of the packages that compute the codes, as a fingerprint names them; no package is imported.

    That of torch is without its build, which names the device. Raises PackageNotFoundError if one is missing.
    """
    return {name: version(name).partition("+")[0] for name in PACKAGES}


def missing_packages() -> str | None:
    """The packages that are not installed, in words, with the extra that has them; None if all are."""
    missing = [name for name in (*PACKAGES, "safetensors") if find_spec(name) is None]
    return f"needs {', '.join(missing)}, not installed here: pip install 'duplexgen[{EXTRA}]'" if missing else None


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Turn the error of a missing package into a UserError that names the extra."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{what} needs packages that are not installed ({error}). pip install 'duplexgen[{EXTRA}]'"
        ) from error


def torch_device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    """The device to use, as torch names it. Raises UserError if a GPU is asked for and there is none."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # codes are those of float32
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "a tokenizer is to run on cuda, and torch sees no GPU here. Give its actor one (num_gpus in its section of "
            "the recipe), or set device: cpu."
        )
    return wanted


def enough_memory(tokenizer: str) -> AbstractContextManager[None]:
    """Turn the error of a GPU without free memory into a UserError. Signals are tokenized one by one already."""
    fewer = f"Put fewer actors on a GPU (a larger tokens.{tokenizer}.num_gpus), or say device: cpu."
    return errors.enough_memory(f"for {tokenizer}. {fewer}")
