"""Shared by speech tokenizers that load a model: checks without loading a weight, versions, devices, errors."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from ... import errors
from ...errors import UserError

EXTRA = "codecs"  # of duplexgen, with the packages that load a model
PACKAGES = ("torch", "transformers")

Item = TypeVar("Item")
Result = TypeVar("Result")

LOG = logging.getLogger(__name__)


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
    torch.backends.cudnn.deterministic = True  # some of the kernels without TF32 round in another way each time
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "a tokenizer is to run on cuda, and torch sees no GPU here. Give its actor one (num_gpus in its section of "
            "the recipe), or set device: cpu."
        )
    return wanted


class Room:
    """How much a model computes at once. After a device had no memory for it, that is half as much, and stays so."""

    def __init__(self, most: int, unit: str) -> None:
        """unit: of `most`, for a message."""
        self.most, self._unit = most, unit

    def run(
        self,
        items: Sequence[Item],
        cost: Callable[[Sequence[Item]], int],
        compute: Callable[[Sequence[Item]], list[Result]],
    ) -> list[Result]:
        """The result of each item, computed in batches of neighbours that cost at most `most`, or of one item.

        Raises torch.OutOfMemoryError if the device has no memory for one item.
        """
        results: list[Result] = []
        while waiting := items[len(results) :]:
            batch = waiting[: self._fitting(waiting, cost)]
            found = compute(batch) if len(batch) == 1 else errors.attempt(partial(compute, batch))
            if found is None:
                self.most = cost(batch) // 2
                LOG.warning("out of memory with %d %s at once, trying %d", cost(batch), self._unit, self.most)
            else:
                results += found
        return results

    def _fitting(self, items: Sequence[Item], cost: Callable[[Sequence[Item]], int]) -> int:
        """How many of the first items fit, at least one."""
        fitting = 1
        while fitting < len(items) and cost(items[: fitting + 1]) <= self.most:
            fitting += 1
        return fitting


def enough_memory(tokenizer: str) -> AbstractContextManager[None]:
    """Turn the error of a GPU without memory for a single signal into a UserError."""
    fewer = f"Put fewer actors on a GPU (a larger tokens.{tokenizer}.num_gpus), or say device: cpu."
    return errors.enough_memory(f"for {tokenizer}. {fewer}")
