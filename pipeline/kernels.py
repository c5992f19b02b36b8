"""Which kernels torch may take, for rooms that run models."""


def leave_out_cudnn_attention() -> None:
    """Keep torch from cuDNN's attention, which it prefers in half precision on newer GPUs. This is set for the process.

    cuDNN plans again for each new length, and each step of decoding and nearly each batch has a new one. The plan takes
    longer than the work, and the results are not repeatable.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
