"""Devices and kernels, and what to do if a model needs others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..pipeline.errors import UserError
from ..pipeline.kernels import leave_out_cudnn_attention
from .recipe import Precision

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def inference_device() -> str:
    """A CUDA GPU if there is one, else the processor: GPUs of other kinds have no float64, which sampling needs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def machine_bytes() -> int:
    """The memory of this machine, without that of GPUs."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_precision(precision: Precision, instead: str) -> None:
    """Raise UserError if there is a GPU and it has no bf16 of its own: torch would imitate it, many times as slow.

    instead: what to set.
    """
    if (
        precision == "bf16"
        and torch.cuda.is_available()
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise UserError(f"the GPU, {torch.cuda.get_device_name()}, has no bf16. Set {instead}.")


def choose_training_kernels(repeatable: bool) -> None:
    """Choose the kernels of this process.

    Repeatable ones give the same bits each time, so a run that was stopped ends like one that was not. Where torch has
    no such kernel it raises an error; for attention's backward pass it only warns.
    """
    leave_out_cudnn_attention()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product on a GPU
    # The fill only serves to find mistakes, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(repeatable)


@contextmanager
def explained_kernels() -> Iterator[None]:
    """Turn torch's error for a missing repeatable kernel into a UserError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise UserError(
            f"this model cannot be trained repeatably on this device: {str(error).partition(', but you set')[0]}. "
            "Set optimization.repeatable: false in the recipe and run the same command again."
        ) from error


def check_no_other_fsdp() -> None:
    """Raise UserError if accelerate's settings ask it to divide the model: the recipe does that."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true"):
        raise UserError(
            "accelerate's settings ask for FSDP, and here the recipe divides a model: set optimization.sharded: true, "
            "and start it without --use_fsdp (`accelerate launch --multi_gpu -m duplexgen train …`)."
        )


def num_processes() -> int:
    """How many processes `accelerate launch` has started, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start_device(sharded: bool) -> str:
    """Where this process makes the model to train: on `meta`, without weights, if the first process gives it its part.

    sharded: whether processes divide the model.
    """
    return "meta" if sharded and num_processes() > 1 and not is_first_process() else "cpu"


def is_first_process() -> bool:
    """Whether this process prints: of those that `accelerate launch` starts, one does."""
    return os.environ.get("RANK", "0") == "0"
