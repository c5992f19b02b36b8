"""What a model runs on, and what is said when that is not enough."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.errors import UserError
from training.recipe import Precision

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def inference_device() -> str:
    """The GPU if there is one. Others than CUDA's have no float64, which sampling needs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def is_first_process() -> bool:
    """Whether this is the process that speaks to the user, of those that `accelerate launch` has started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def enough_memory(what_to_do: str) -> Iterator[None]:
    """Raise what a device without memory left raises as a UserError that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"the device has no memory left ({str(error).splitlines()[0]}) {what_to_do}") from error
