"""Half precision for a model's weights."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def round_weights(module: Any, dtype: "torch.dtype") -> None:
    """Round a module's weights to a type, and nothing else of it.

    Its buffers are frequencies of positions: rounded to bf16, the angle of a position 500 tokens away would be wrong by
    up to a radian.
    """
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
