"""What a model runs on, and what is said when that is not enough."""

import os

import torch

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


def repeat_exactly() -> None:
    """Have this process train to the same bits each time, so that a run that was stopped ends as one left alone."""
    leave_out_cudnn_attention()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product on a GPU
    torch.utils.deterministic.fill_uninitialized_memory = False  # only finds mistakes, and costs time
    torch.use_deterministic_algorithms(True, warn_only=True)


def is_first_process() -> bool:
    """Whether this is the process that speaks to the user, of those that `accelerate launch` has started."""
    return os.environ.get("RANK", "0") == "0"
