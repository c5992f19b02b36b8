"""The device that tests put models on."""

import os
from typing import Literal, cast, get_args

Device = Literal["cpu", "cuda"]


def device() -> Device:
    """What DUPLEXGEN_DEVICE says, or COSYVOICE_DEVICE; else the processor."""
    name = os.environ.get("DUPLEXGEN_DEVICE") or os.environ.get("COSYVOICE_DEVICE") or "cpu"
    if name not in get_args(Device):
        raise ValueError(f"DUPLEXGEN_DEVICE or COSYVOICE_DEVICE is {name!r}, expected cpu or cuda")
    return cast(Device, name)
