"""Optimizes any objective over batches: accumulation, schedule, checkpoints, logs.

It runs on one device, or on several if `accelerate launch` starts it: each has the whole model (DDP), or a part of it
(FSDP 2, `optimization.sharded`).
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from transformers import PreTrainedModel, get_cosine_with_min_lr_schedule_with_warmup

from ..pipeline.errors import UserError, enough_memory
from ..pipeline.show.progress import Display
from .checkpoints import Checkpoints
from .data import Batches, Row
from .devices import (
    check_no_other_fsdp,
    check_precision,
    choose_training_kernels,
    explained_kernels,
    num_processes,
)
from .recipe import Optimization
from .sharding import divide_again, is_sharded, shard, whole_norm

LOG = "log.jsonl"
LESS_MEMORY = (
    "A smaller micro_batch_size takes less memory and changes results only by rounding; gradient_checkpointing: true "
    "takes still less, and so does sharded: true on several devices. Change the recipe and run the same command again: "
    "it continues from the newest checkpoint."
)
Micro = Sequence[Row | None]  # None fills up a device's share to the length of the others


class Objective(Protocol):
    """A loss that is a sum over the rows of a batch, divided by totals over the whole batch."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the figures that `loss` reports."""
        ...

    def totals(self, rows: Sequence[Row]) -> Tensor:
        """The divisors of a batch's losses: a float tensor that adds up over rows."""
        ...

    def loss(self, network: nn.Module, rows: Micro, totals: Tensor) -> tuple[Tensor, Tensor]:
        """The part of the batch's loss that these rows make, and for each of `names` a sum and a count, [2, names]."""
        ...


@dataclass(frozen=True)
class Loop:
    """Trains a network over batches, in the folder of a run."""

    folder: Path
    optimization: Optimization
    batches: Batches
    accelerator: Accelerator

    @property
    def steps(self) -> int:
        epochs = self.optimization.epochs or 0
        return self.optimization.steps or max(1, round(epochs * self.batches.steps_per_epoch))

    def run(self, network: PreTrainedModel, objective: Objective, display: Display) -> None:
        """Train, starting at the newest checkpoint. `network` comes from `put_on_devices`."""
        settings = self.optimization
        divide_again(network)  # DPO's reference has run it
        optimizer = _optimizer(network, settings)
        checkpoints = Checkpoints(self.folder / "checkpoints", self.accelerator, network, optimizer)
        with enough_memory(f"for the newest checkpoint. {LESS_MEMORY}"):
            start = checkpoints.restore()
        schedule = self._schedule(optimizer, start)
        network.train()
        rows = self.batches.from_step(start)
        with _Log(self.folder, start, self.accelerator) as log, display.training(self.steps, start) as report:
            for step in range(start, self.steps):
                step_start = monotonic()
                batch = next(rows)
                with enough_memory(f"at step {step}. {LESS_MEMORY}"), explained_kernels():
                    figures = self._backward(network, objective, batch)
                    figures["gradient_norm"] = self._clip(network)
                    _stop_unless_finite(figures, step, batch, self.folder)
                    figures["learning_rate"] = float(schedule.get_last_lr()[0])
                    optimizer.step()  # the first step allocates AdamW's state
                schedule.step()
                optimizer.zero_grad()
                log.write(step, figures)
                speed = sum(row.num_positions for row in batch) / (monotonic() - step_start)
                report(step + 1, f"loss {figures['loss']:.3f}  {speed:,.0f} positions/s")
                if (step + 1) % settings.checkpoint_every == 0 and step + 1 < self.steps:
                    checkpoints.save(step + 1)

    def _schedule(self, optimizer: torch.optim.Optimizer, start: int) -> torch.optim.lr_scheduler.LambdaLR:
        """The learning rate from step `start` on."""
        warmup = round(self.optimization.warmup_share * self.steps)
        options = {"num_warmup_steps": warmup, "num_training_steps": self.steps, "last_epoch": start - 1}
        final = self.optimization.final_learning_rate
        schedule: torch.optim.lr_scheduler.LambdaLR
        schedule = get_cosine_with_min_lr_schedule_with_warmup(optimizer, min_lr=final, **options)
        return schedule

    def _backward(self, network: nn.Module, objective: Objective, batch: list[Row]) -> dict[str, float]:
        """Compute the gradients of one batch; returns the loss and the objective's figures, over all devices."""
        world = self.accelerator.num_processes
        own_rows = batch[self.accelerator.process_index :: world]
        totals = self.sum(objective.totals(own_rows))
        report = torch.zeros(2, len(objective.names) + 1, device=self.accelerator.device)
        micros, sharded = list(self._micro_batches(own_rows)), is_sharded(network)
        for index, micro in enumerate(micros):
            # A divided model would keep whole gradients on each device until they are summed.
            summed = sharded or index == len(micros) - 1
            with nullcontext() if summed else self.accelerator.no_sync(network):
                loss, sums = objective.loss(network, micro, totals)
                self.accelerator.backward(loss * world)  # devices' gradients are averaged
            report[0, -1] += loss.detach()
            report[:, :-1] += sums
        sums, counts = self.sum(report).tolist()
        figures = {
            name: total / count for name, total, count in zip(objective.names, sums, counts, strict=False) if count
        }
        return {"loss": sums[-1], **figures}

    def _micro_batches(self, rows: Sequence[Row]) -> Iterator[Micro]:
        """Equally many on each device, also of a last, shorter batch: FSDP's devices must keep in step."""
        size = self.optimization.micro_batch_size
        share = -(-self.optimization.batch_size // self.accelerator.num_processes)
        padded = [*rows, *[None] * (share - len(rows))]
        for start in range(0, share, size):
            micro = padded[start : start + size]
            if start < len(rows) or self.accelerator.num_processes > 1:
                yield micro

    def each_row_once(self) -> Iterator[Micro]:
        """This device's micro-batches of all rows that training will use, each row once; equally many per device."""
        numbers: set[int] = set()
        for batch in islice(self.batches.from_step(0), self.steps):
            new = [row for row in batch if row.number not in numbers]
            numbers.update(row.number for row in new)
            if not new and len(numbers) == self.batches.data.num_rows:
                return
            yield from self._micro_batches(new[self.accelerator.process_index :: self.accelerator.num_processes])

    def _clip(self, network: nn.Module) -> float:
        """Scale the gradients so that their norm is at most the recipe's; returns the norm before that."""
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        norm = whole_norm(get_total_norm(gradients))
        clip_grads_with_norm_(network.parameters(), self.optimization.max_grad_norm or math.inf, norm)
        return float(norm)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all devices."""
        total = self.accelerator.reduce(values.to(self.accelerator.device), "sum")
        assert isinstance(total, Tensor)
        return total


def make_accelerator(folder: Path, optimization: Optimization) -> Accelerator:
    """Raises UserError if the device cannot do what the recipe asks for."""
    choose_training_kernels(optimization.repeatable)
    check_precision(optimization.precision, "optimization.precision: fp32")
    check_no_other_fsdp()
    sharded = optimization.sharded and num_processes() > 1
    precision = "bf16" if optimization.precision == "bf16" and not sharded else "no"  # a divided model has its own way
    try:
        return Accelerator(mixed_precision=precision, log_with="tensorboard", project_dir=str(folder))
    except ValueError as error:
        raise UserError(f"{error}. If the device has no bf16, set optimization.precision: fp32.") from error


def put_on_devices(network: PreTrainedModel, accelerator: Accelerator, settings: Optimization) -> PreTrainedModel:
    """The network on the accelerator's devices, ready to train. Raises UserError if a device has no room for it."""
    if settings.gradient_checkpointing:
        older = network.gradient_checkpointing_enable  # its name in older versions of transformers
        getattr(network, "activation_checkpointing_enable", older)({"use_reentrant": False})
    with enough_memory(
        "for the model: training takes four times the memory of its weights in fp32. optimization.sharded: true "
        "divides it among devices, and `lora` trains few weights; `duplexgen doctor` tells how much each takes."
    ):
        if settings.sharded and accelerator.num_processes > 1:
            return shard(network, accelerator.device, settings.precision)
        prepared: PreTrainedModel = accelerator.prepare(network)
    return prepared


def _optimizer(network: nn.Module, settings: Optimization) -> torch.optim.Optimizer:
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    # The schedule of a run that goes on looks for `initial_lr`.
    groups = [{"params": weights, "initial_lr": settings.learning_rate}]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )


def _stop_unless_finite(figures: dict[str, float], step: int, batch: Sequence[Row], folder: Path) -> None:
    if math.isfinite(figures["loss"]) and math.isfinite(figures["gradient_norm"]):
        return
    names = ", ".join(row.dialogue_id for row in batch[:8])
    raise UserError(
        f"step {step}: the loss is {figures['loss']} and the gradient norm {figures['gradient_norm']}, in a batch with "
        f"{names}. The step was not taken, and {folder} was not changed. A lower learning_rate, a longer warm-up or "
        "precision: fp32 may help."
    )


class _Log:
    """One line of JSON per step, and the same figures for TensorBoard. Lines from step `start` on are removed first."""

    def __init__(self, folder: Path, start: int, accelerator: Accelerator) -> None:
        self.path = folder / LOG
        self.start = start
        self.accelerator = accelerator

    def __enter__(self) -> "_Log":
        if self.accelerator.is_main_process:
            lines = self.path.read_text().splitlines(keepends=True)[: self.start] if self.path.exists() else []
            self.path.write_text("".join(lines))
            self.file = self.path.open("a", buffering=1)
        self.accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": self.start}})
        return self

    def __exit__(self, *_: object) -> None:
        if self.accelerator.is_main_process:
            self.file.close()
        for tracker in self.accelerator.trackers:  # end_training would end the process group too
            tracker.finish()

    def write(self, step: int, figures: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.file.write(json.dumps({"step": step, **figures}) + "\n")
        self.accelerator.log(figures, step=step)
