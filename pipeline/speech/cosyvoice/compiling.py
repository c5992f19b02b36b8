"""torch.compile of what runs most: the language model's step and the flow's blocks.

The compiler adds a variant when none that it has fits an input, and variants round differently in the last bits: the
output for an input would depend on the inputs before it in the process. So all variants are compiled for fixed inputs
while the model loads. A later input that fits none of them runs without the compiler.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...errors import UserError
from .decoding import Row, decode
from .language_models import QwenLM
from .parts import Parts, VoicePrompt

ROWS = ((2, 3), (4,))  # batches, by the tokens of text of their utterances; torch compiles for a batch of one apart
FRAMES = (40, 67)
STEPS = 6


def speed_up(parts: Parts) -> None:
    """Compile the parts of a loaded model, once per process. Raises UserError if the machine has no compiler.

    v1's language model stays as it is, and so does an estimator that is not a torch module (a TensorRT engine).
    """
    import torch

    functions: list[_Fixed] = []

    def compiled(module: Any) -> Any:
        functions.append(_Fixed(torch.compile(module, dynamic=True)))
        return functions[-1]

    if isinstance(parts.llm, QwenLM):
        parts.llm.speed_up(compiled)
    if isinstance(estimator := parts.flow.decoder.estimator, torch.nn.Module):
        for block in blocks(estimator):
            block.forward = compiled(block.forward)
    try:
        _warm_up(parts)
    except (RuntimeError, OSError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"torch.compile fails here: {first}. It needs a C++ compiler and Python's headers, on a GPU Triton; or "
            "leave out speech.cosyvoice.compile"
        ) from error
    for function in functions:
        function.is_fixed = True


def blocks(module: Any) -> Iterator[Any]:
    """The items of a module's lists: they are alike, so that one compilation serves many."""
    import torch

    for child in module.children():
        if isinstance(module, torch.nn.ModuleList) and not isinstance(child, torch.nn.ModuleList):
            yield child
        else:
            yield from blocks(child)


class _Fixed:
    """A compiled function that gets no more variants once it `is_fixed`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.is_fixed = False

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        import torch

        with torch.compiler.set_stance("eager_on_recompile" if self.is_fixed else "default"):
            return self._function(*inputs, **named)


def _warm_up(parts: Parts) -> None:
    import torch

    rng = np.random.default_rng(0)
    prompt = VoicePrompt(
        text=(1, 2, 3),
        tokens=np.arange(20),
        mel=np.zeros((40, 80), np.float32),
        embedding=rng.normal(size=192).astype(np.float32),
    )
    for batch in ROWS:
        rows = []
        for steps, count in enumerate(batch, STEPS):
            draws = np.zeros((steps, 2), dtype=np.float32)
            rows.append(Row(parts.prefix(list(range(count)), prompt), steps, steps, draws))
        decode(parts.llm, rows, parts.sampling)
    devices = [parts.device] if parts.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for count in FRAMES:
            parts.mel([index % 100 for index in range(count)], prompt)
