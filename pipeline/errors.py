"""The two kinds of failure: of one dialogue, or of the whole command."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

CPU_ALLOCATOR = "DefaultCPUAllocator"  # which has no error of its own where the machine has no memory left
DEVICE_WORDS = (
    "CUDA",
    "CUBLAS",
    "cuBLAS",
    "CUDNN",
    "cuDNN",
    "CUFFT",
    "cuFFT",
    "out of memory",
    "unable to find an engine to execute this computation",  # cuDNN: a convolution has no memory to work in
    CPU_ALLOCATOR,
)

Result = TypeVar("Result")


class UserError(Exception):
    """The command cannot continue: a bad recipe, a missing file, a full disk.

    The message is printed as it is, without a traceback: it says what is wrong, where, what was expected
    and what to do.
    """


class DialogueRejected(Exception):
    """One dialogue cannot be used; the build counts it and continues.

    `reason` is a short snake_case word that a table can be grouped by; `detail` is for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["DialogueRejected"], tuple[str, str]]:
        return DialogueRejected, (self.reason, self.detail)


def is_of_the_machine(error: Exception) -> bool:
    """Whether the machine has failed (its disk, memory, GPU or packages), and not the dialogue."""
    if isinstance(error, (UserError, OSError, MemoryError, ImportError)):
        return True
    if (torch := sys.modules.get("torch")) and isinstance(error, (torch.OutOfMemoryError, torch.AcceleratorError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in DEVICE_WORDS)


@contextmanager
def enough_memory(what_to_do: str) -> Iterator[None]:
    """Turn errors for a device or a machine without free memory into a UserError that says what to do."""
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or CPU_ALLOCATOR in str(error)
        if not of_memory:
            raise
        first, *_ = str(error).splitlines() or ["out of memory"]
        raise UserError(f"the device has no memory left ({first}) {what_to_do}") from error


def attempt(work: Callable[[], Result]) -> Result | None:
    """What work gives. None: the GPU has no memory for it; what torch kept of its memory is then given back.

    Other errors are raised.
    """
    import torch

    try:
        return work()
    except torch.OutOfMemoryError:
        pass  # the rest is outside of the handler, whose traceback keeps the tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
