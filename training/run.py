"""The folder of a training run: whose it is, and the model once it is finished."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from pipeline import __version__
from pipeline.errors import UserError
from pipeline.shards.atomic import canonical_json, locked, write_json
from pipeline.shards.dataset import read_json
from training.model import ABOUT, save_model
from training.recipe import Common

RUN = "run.json"


@dataclass(frozen=True)
class Run:
    folder: Path
    about: dict[str, Any]
    accelerator: Accelerator

    @property
    def is_finished(self) -> bool:
        return (self.folder / ABOUT).exists()

    def finish(self, network: nn.Module, data_set: Path) -> None:
        """Write the model beside the checkpoints; what says that it is whole comes last."""
        accelerator = self.accelerator
        staging = self.folder / ".model.tmp"
        state = accelerator.get_state_dict(network)
        if accelerator.is_main_process:
            shutil.rmtree(staging, ignore_errors=True)
            save_model(accelerator.unwrap_model(network), state, data_set, staging)
            for file in staging.iterdir():
                file.replace(self.folder / file.name)
            staging.rmdir()
            write_json(self.folder / ABOUT, self.about)
        accelerator.wait_for_everyone()


@contextmanager
def open_run(
    out: Path, recipe: Common, data: list[dict[str, str]], tokens: dict[str, Any], accelerator: Accelerator
) -> Iterator[Run]:
    """The run of a recipe over these data in `out`, locked; raises UserError if `out` holds anything else.

    tokens: the section of the data's recipe, kept with the model.
    """
    shape = {"recipe": recipe.model_dump(mode="json"), "data": data}
    key = hashlib.sha256(canonical_json(shape).encode()).hexdigest()[:16]
    about = {"format_version": 1, "key": key, "software": {"duplexgen": __version__}, "tokens": tokens, **shape}
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(locked(out.parent / f".{out.name}.lock", f"{out} is being trained by another process"))
            if (out / RUN).exists():
                _check_same(out, read_json(out / RUN), about)
            elif out.exists() and any(out.iterdir()):
                raise UserError(
                    f"{out} exists and is no training run of duplexgen; it was left as it is. "
                    "Choose another folder with --out, or remove it."
                )
            write_json(out / RUN, about)
        accelerator.wait_for_everyone()
        yield Run(out, about, accelerator)


def _check_same(out: Path, stored: dict[str, Any], about: dict[str, Any]) -> None:
    if stored.get("key") == about["key"]:
        return
    unlike = "recipe" if stored.get("recipe") != about["recipe"] else "data"
    raise UserError(
        f"{out} holds a run of another {unlike}; it was left as it is. Choose another folder with --out, or remove it."
    )
