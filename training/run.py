"""The folder of a training run: which recipe and data it belongs to, and the finished model."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from ..pipeline import __version__
from ..pipeline.dataset.reader import read_json
from ..pipeline.errors import UserError, enough_memory
from ..pipeline.storage.atomic import explained, locked, sync, write_json
from ..pipeline.storage.objects import Place
from .models.model import ABOUT, save_model
from .recipe import Common
from .sharding import whole_state

RUN = "run.json"
# Keys of `optimization` that change results only by rounding (and dropout): a run may continue with other values.
FREE = {"micro_batch_size", "gradient_checkpointing", "sharded", "checkpoint_every", "repeatable"}


@dataclass(frozen=True)
class Run:
    """A run whose folder is locked. about: what training.json will say."""

    folder: Path
    about: dict[str, Any]
    accelerator: Accelerator

    @property
    def is_finished(self) -> bool:
        return (self.folder / ABOUT).exists()

    def finish(self, network: nn.Module, data_set: Place, merge: Callable[[], None] | None = None) -> None:
        """Write the model beside the checkpoints; training.json, which says that it is whole, comes last.

        data_set: its vocabulary is the model's. merge: what `lora.adapt` returned.
        """
        accelerator = self.accelerator
        staging = self.folder / ".model.tmp"
        plain = accelerator.unwrap_model(network)
        with enough_memory("to put the trained model together: the last checkpoint is safe."):
            if merge:
                merge()
            state = whole_state(plain, accelerator.is_main_process)
        if accelerator.is_main_process:
            shutil.rmtree(staging, ignore_errors=True)
            save_model(plain, state, data_set, staging)
            with explained(self.folder):
                for file in staging.iterdir():
                    file.replace(self.folder / file.name)
                staging.rmdir()
                sync(self.folder)
            write_json(self.folder / ABOUT, self.about)
        accelerator.wait_for_everyone()


@contextmanager
def open_run(
    out: Path, recipe: Common, data: list[dict[str, str]], tokens: dict[str, Any], accelerator: Accelerator
) -> Iterator[Run]:
    """The run of a recipe over these data in `out`, locked; raises UserError if `out` holds anything else.

    tokens: the section `tokens` of the data's recipe, which is stored with the model.
    """
    shape = {"recipe": recipe.model_dump(mode="json"), "data": data}
    about = {"format_version": 1, "software": {"duplexgen": __version__}, "tokens": tokens, **shape}
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(locked(out.parent / f".{out.name}.lock", f"{out} is being trained by another process"))
            if (out / RUN).exists():
                _check_same(out, read_json(out / RUN), about)
            elif out.exists() and any(out.iterdir()):
                raise UserError(
                    f"{out} exists and is not a training run of duplexgen; nothing was changed. "
                    "Choose another folder with --out, or remove it."
                )
            write_json(out / RUN, about)
        accelerator.wait_for_everyone()
        yield Run(out, about, accelerator)


def _identity(about: dict[str, Any]) -> dict[str, Any]:
    """Everything that must not change during a run."""
    recipe = about.get("recipe")
    recipe = dict(recipe) if isinstance(recipe, dict) else {}
    recipe.pop("description", None)
    recipe = {key: value for key, value in recipe.items() if value is not None}  # a key that an older version lacks
    optimization = recipe.get("optimization")
    settings = optimization if isinstance(optimization, dict) else {}
    recipe["optimization"] = {key: value for key, value in settings.items() if key not in FREE}
    return {"recipe": recipe, "data": about.get("data")}


def _check_same(out: Path, stored: dict[str, Any], about: dict[str, Any]) -> None:
    if _identity(stored) == _identity(about):
        return
    unlike = "over other data, or from another model" if stored.get("data") != about["data"] else "of another recipe"
    raise UserError(f"{out} holds a run {unlike}; nothing was changed. Choose another folder with --out, or remove it.")
