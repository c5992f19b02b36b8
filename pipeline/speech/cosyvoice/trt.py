"""The flow's estimator as a TensorRT engine, made and run by the CosyVoice code at hand.

An engine fits one version of TensorRT on one kind of GPU. It is built once, which takes minutes, and stored in the
user's cache folder, not in the model folder. TensorRT chooses its kernels by timing them: an engine that
is built again, or on another kind of GPU, may round differently.
"""

import ast
import hashlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from ...errors import UserError
from ...storage.atomic import atomic_path, canonical_json, locked
from ...storage.model_files import checksum
from ..guard import BadSpeechError
from .folder import ModelFolder
from .upstream import Code, contained

if TYPE_CHECKING:
    import torch

    from .parts import Parts

MODELS = {1: "CosyVoiceModel", 2: "CosyVoice2Model", 3: "CosyVoice3Model"}
PACKAGES = ("tensorrt-cu12", "tensorrt-cu13", "tensorrt")  # by CUDA version; the last one stands for one of them
WANTED = {  # by file and function: the arguments that this module passes
    ("cli/model.py", "load_trt"): (
        "self", "flow_decoder_estimator_model", "flow_decoder_onnx_model", "trt_concurrent", "fp16"
    ),
    ("cli/model.py", "get_trt_kwargs"): ("self",),
    ("utils/file_utils.py", "convert_onnx_to_trt"): ("trt_model", "trt_kwargs", "onnx_model", "fp16"),
}  # fmt: skip


def check(folder: ModelFolder, code: Code) -> None:
    """Raises UserError if an engine cannot be built and run here, for what is missing. Imports nothing."""
    installed_version()
    _ = folder.estimator
    for (file, name), wanted in WANTED.items():
        if (arguments := _arguments(code.cosyvoice / file, name)) != wanted:
            has = "has none" if arguments is None else f"has one of ({', '.join(arguments)})"
            raise UserError(
                f"tensorrt needs a {name} of ({', '.join(wanted)}), {code.cosyvoice / file} {has}. Use cosyvoice2-eu "
                "0.2.8 or a newer clone, or leave out speech.cosyvoice.tensorrt"
            )


def installed_version() -> str:
    """The version of the package tensorrt. Raises UserError if there is none."""
    for name in PACKAGES if find_spec("tensorrt") else ():
        with suppress(PackageNotFoundError):
            return version(name)
    raise UserError("the package 'tensorrt' is not installed: pip install tensorrt-cu12, or -cu13 for CUDA 13")


def engine_file(onnx: Path, shapes: dict[str, Any], fp16: bool, gpu: str) -> Path:
    """Where the engine of a model is kept, for this TensorRT on a GPU of that name."""
    contents = {
        "onnx": checksum(onnx),
        "shapes": shapes,
        "precision": "fp16" if fp16 else "fp32",
        "tensorrt": installed_version(),
        "gpu": gpu,
    }
    key = hashlib.sha256(canonical_json(contents).encode()).hexdigest()
    return user_cache_path("duplexgen") / "tensorrt" / f"{key}.plan"


def speed_up(parts: "Parts", folder: ModelFolder, code: Code) -> None:
    """Replace the flow's estimator by an engine, which is built first if this machine has none yet.

    With bf16, which these engines do not know, it computes in fp32. Raises UserError if TensorRT fails.
    """
    import torch

    check(folder, code)
    with contained():
        try:
            from cosyvoice.cli import model as models
            from cosyvoice.utils.file_utils import convert_onnx_to_trt

            # It is not told of fp16: it would convert weights to half precision by itself.
            model = getattr(models, MODELS[parts.version])(torch.nn.Identity(), parts.flow, torch.nn.Identity(), False)
            shapes, fp16 = model.get_trt_kwargs(), parts.dtype is torch.float16
            path = engine_file(folder.estimator, shapes, fp16, torch.cuda.get_device_name(parts.device))
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock"), message=None):  # workers of one machine make it once
                if not path.is_file():
                    with atomic_path(path) as temporary:
                        convert_onnx_to_trt(str(temporary), shapes, str(folder.estimator), fp16)
            model.load_trt(str(path), str(folder.estimator), 1, fp16)
        except (ImportError, AssertionError, AttributeError, RuntimeError, TypeError, ValueError, OSError) as error:
            raise UserError(
                f"TensorRT {installed_version()} cannot make or run an engine of {folder.estimator}: {error!r}. Remove "
                f"{user_cache_path('duplexgen') / 'tensorrt'} to have it made again, or leave out "
                "speech.cosyvoice.tensorrt"
            ) from error
    most = max(shape[2] for shape in shapes["max_shape"])
    parts.flow.decoder.forward_estimator = _Estimator(
        parts.flow.decoder.forward_estimator, torch.float16 if fp16 else torch.float32, most
    )


class _Estimator:
    """Upstream's `forward_estimator` with inputs of its engine's type: it passes addresses of memory unchecked."""

    def __init__(self, forward: Any, dtype: "torch.dtype", most_frames: int) -> None:
        self._forward, self._dtype, self._most_frames = forward, dtype, most_frames

    def __call__(self, x: "torch.Tensor", *conditions: Any, **named: Any) -> "torch.Tensor":
        """x: [2, 80, frames]. Raises BadSpeechError for more frames than the engine was made for.

        Raises UserError if the engine fails: upstream does not give back its only context then, and would wait for it.
        """
        if x.shape[2] > self._most_frames:
            raise BadSpeechError(
                f"{x.shape[2]} mel frames with the prompt's, the TensorRT engine takes {self._most_frames}"
            )
        inputs = [value.to(self._dtype) if hasattr(value, "to") else value for value in (x, *conditions)]
        try:
            spoken: torch.Tensor = self._forward(*inputs, **named)
        except AssertionError as error:
            raise UserError(
                f"the TensorRT engine failed on {x.shape[2]} mel frames: {error!r}. Start the same command again, or "
                "leave out speech.cosyvoice.tensorrt"
            ) from error
        return spoken.to(x.dtype)


def _arguments(path: Path, name: str) -> tuple[str, ...] | None:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return tuple(argument.arg for argument in node.args.args)
    return None
