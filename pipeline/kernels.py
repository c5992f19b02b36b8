"""Which kernels torch may take, for rooms that run models."""

from collections.abc import Iterator
from contextlib import contextmanager


def leave_out_cudnn_attention() -> None:
    """Keep torch from cuDNN's attention, which it prefers in half precision on newer GPUs. This is set for the process.

    cuDNN plans again for each new length, and each step of decoding and nearly each batch has a new one. The plan takes
    longer than the work, and its kernel for a single query gives other bits each time.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


@contextmanager
def cudnn_attention() -> Iterator[None]:
    """Let torch take it after all, for long rows of few different lengths: its kernel gives the same bits each time."""
    import torch

    before = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
