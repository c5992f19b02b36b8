"""What a model runs on, and what is said when that is not enough."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..pipeline.errors import UserError
from .recipe import Precision

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def inference_device() -> str:
    """The GPU if there is one. Others than CUDA's have no float64, which sampling needs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def leave_out_cudnn_attention() -> None:
    """torch takes it in half precision on newer GPUs, where it plans anew for each new length, as each step of a
    conversation and nearly each batch has one: that takes longer than the work, and its results differ each time.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def choose_training_kernels(repeatable: bool) -> None:
    """Those of this process. Repeatable ones train to the same bits each time, so that a run that was stopped ends as
    one left alone; torch then raises where it has none, and by warnings alone attention's backward pass has none.
    """
    leave_out_cudnn_attention()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product on a GPU
    # It only finds mistakes, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(repeatable)


@contextmanager
def kernels_to_be_had() -> Iterator[None]:
    """Raise what torch raises where it has no repeatable kernel as a UserError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise UserError(
            f"the model cannot be trained to the same bits each time here: {str(error).partition(', but you set')[0]}. "
            "With optimization.repeatable: false it can be trained; run the same command again."
        ) from error


def is_first_process() -> bool:
    """Whether this is the process that speaks to the user, of those that `accelerate launch` has started."""
    return os.environ.get("RANK", "0") == "0"
