"""What a model runs on, and what is said when that is not enough."""

import os

import torch

from .recipe import Precision

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def inference_device() -> str:
    """The GPU if there is one. Others than CUDA's have no float64, which sampling needs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def is_first_process() -> bool:
    """Whether this is the process that speaks to the user, of those that `accelerate launch` has started."""
    return os.environ.get("RANK", "0") == "0"
