"""Devices and kernels, and the messages if they do not suffice."""

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
    """torch uses it in half precision on newer GPUs. It plans again for each new length, which each step of a
    conversation and nearly each batch has; that takes longer than the work, and its results are not repeatable.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def choose_training_kernels(repeatable: bool) -> None:
    """Choose the kernels of this process. Repeatable ones train to the same bits each time, so a run that was stopped
    ends like one that was not. torch raises where it has none, and only warns for attention's backward pass.
    """
    leave_out_cudnn_attention()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product on a GPU
    # It only finds mistakes, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(repeatable)


@contextmanager
def kernels_to_be_had() -> Iterator[None]:
    """Turn torch's error for a missing repeatable kernel into a UserError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise UserError(
            f"training is not repeatable bit for bit with this model here: {str(error).partition(', but you set')[0]}. "
            "With optimization.repeatable: false it can be trained; run the same command again."
        ) from error


def is_first_process() -> bool:
    """Whether this is the process that prints, of those that `accelerate launch` has started."""
    return os.environ.get("RANK", "0") == "0"
