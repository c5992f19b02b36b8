"""Checkpoints that are whole or not there, so that training continues exactly where it stopped."""

import re
import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from pydantic import ValidationError
from torch import nn

from ..pipeline.dataset.reader import read_json
from ..pipeline.errors import UserError
from ..pipeline.recipe.file import described
from ..pipeline.recipe.sections import Section
from ..pipeline.storage.atomic import explained, file_sha256, sync, write_json
from .models.saving import saved
from .states import read_random, read_state, write_random, write_state

RECORD = "checkpoint.json"
KEPT = 2
NAME = re.compile(r"step-(\d{8,})")


class Record(Section):
    """checkpoint.json: how many steps came before it, and the sha256 of each file."""

    step: int
    files: dict[str, str]


class Checkpoints:
    """The folder `checkpoints/` of a training run: `step-00000200` and so on, the newest two.

    A run continues from them on any number of devices, whether they divide the model or not.
    """

    def __init__(
        self, folder: Path, accelerator: Accelerator, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.network = accelerator.unwrap_model(network)
        self.optimizer = optimizer

    def steps(self) -> list[int]:
        """Steps after which there is a checkpoint, ascending."""
        matches = (NAME.fullmatch(path.parent.name) for path in self.folder.glob(f"step-*/{RECORD}"))
        return sorted(int(match[1]) for match in matches if match)

    def save(self, step: int) -> None:
        """Write model, optimizer and random states as they are after `step` steps. The schedule follows from `step`."""
        target = self.folder / f"step-{step:08d}"
        temporary = target.with_name(f".{target.name}.tmp")
        if self.accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
            with explained(self.folder):
                temporary.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        with saved(temporary):
            write_state(self.network, self.optimizer, temporary, self._index, self.accelerator.num_processes)
            write_random(temporary, self._index)
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                files = sorted(path for path in temporary.rglob("*") if path.is_file())
                sums = {str(path.relative_to(temporary)): file_sha256(path) for path in files}
                write_json(temporary / RECORD, {"step": step, "files": sums})
            self.accelerator.wait_for_everyone()
        self.accelerator.wait_for_everyone()  # all files of all devices must be on disk before the folder gets its name
        if self.accelerator.is_main_process:
            with explained(target):
                shutil.rmtree(target, ignore_errors=True)
                temporary.rename(target)
                sync(self.folder)
                for old in self.steps()[:-KEPT]:
                    shutil.rmtree(self.folder / f"step-{old:08d}")
        self.accelerator.wait_for_everyone()

    def restore(self) -> int:
        """Load the newest checkpoint and return the number of steps before it; 0 if there is none.

        Raises UserError if a file of it is missing or is not what was written.
        """
        if self.accelerator.is_main_process:
            for leftover in self.folder.glob(".step-*.tmp"):  # of a run that was killed while it saved
                shutil.rmtree(leftover, ignore_errors=True)
        steps = self.steps()
        if not steps:
            return 0
        folder = self.folder / f"step-{steps[-1]:08d}"
        for name, expected in _record(folder).files.items():
            path = folder / name
            if not path.is_file() or file_sha256(path) != expected:
                raise UserError(f"{path} is missing or is not what was written: {_damaged(folder)}")
        try:
            read_state(self.network, self.optimizer, folder)
        except KeyError as error:
            raise UserError(
                f"{folder} has no {error.args[0]}, or another version wrote it: {_damaged(folder)}"
            ) from None
        read_random(folder, self._index)
        return steps[-1]

    @property
    def _index(self) -> int:
        index: int = self.accelerator.process_index
        return index


def _record(folder: Path) -> Record:
    try:
        return Record.model_validate(read_json(folder / RECORD))
    except ValidationError as error:
        raise UserError(f"{folder / RECORD}: {described(error)}: {_damaged(folder)}") from error


def _damaged(folder: Path) -> str:
    return (
        f"the checkpoint is damaged. Remove {folder} and run the same command again: it continues from the checkpoint "
        "before that one, or from the start if there is none."
    )
