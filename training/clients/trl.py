"""For TRL (trl 1.16), on what `duplexgen export --to trl` writes: the weights of BayLing-Duplex, and its DPO.

A `Trainer` has no weights of tokens, `trl.DPOTrainer` tokenizes whatever it is given, and its collator counts the ids
of the user, which the model only hears.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trl
from torch import Tensor
from torch.nn import functional
from trl.trainer.dpo_trainer import DataCollatorForPreference

from ...pipeline.errors import UserError
from ...pipeline.layouts.layout import Layout
from ...pipeline.layouts.shared import SharedVocabulary
from ..recipe import Weights
from ..sequences import SequenceFormat

IGNORED = -100


@dataclass(frozen=True)
class WeightedLoss:
    """BayLing-Duplex's equation 5, Σ ω ℓ / Σ ω, for `SFTTrainer(compute_loss_func=…)`.

    With gradient accumulation or several devices, each micro-batch has its own Σ ω, and counts by its number of labels;
    `duplexgen train sft` takes Σ ω of the whole batch.
    """

    by_id: Tensor  # float32 [ids]: ω

    @classmethod
    def read(cls, export: Path | str, weights: Mapping[str, float] | None = None) -> "WeightedLoss":
        """export: a folder that `duplexgen export --to trl` wrote.

        weights: ω by kind (silence, assistant, pad, epad, text, audio), where they are not the paper's. Raises
        UserError if the folder has no vocabulary.json of the layout `bayling`.
        """
        vocabulary = SequenceFormat.read(Path(export)).vocabulary
        if not isinstance(vocabulary, SharedVocabulary):
            raise UserError(f"{export}: expected the layout bayling, whose ids say what kind they are of.")
        omega = Weights.model_validate(dict(weights or {})).model_dump()
        ids = np.arange(vocabulary.size)
        by_id = np.where(vocabulary.is_audio(ids), omega["audio"], omega["text"])
        for state, id_ in vocabulary.state.items():
            by_id[id_] = omega[state]
        return cls(torch.tensor(by_id, dtype=torch.float32))

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """The loss of a micro-batch. labels: [rows, length]; -100 is no target. outputs.logits: [rows, length, ids]."""
        targets = labels[:, 1:]
        inside = targets != IGNORED
        omega = self.by_id.to(targets.device)[targets.clamp(min=0)] * inside
        logits = outputs.logits[:, :-1].float().transpose(1, 2)
        losses = functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
        loss = (omega * losses).sum() / omega.sum()
        return loss if num_items_in_batch is None else loss * inside.sum() / num_items_in_batch


@dataclass
class PreferenceCollator(DataCollatorForPreference):  # type: ignore[misc]
    """Pairs as batches in which log π counts what the model says, and not what it hears (equation 7).

    Rows are never cut, whatever `DPOConfig.max_length` says: a part of a row is no row of the layout.
    """

    layout: Layout | None = None

    @classmethod
    def read(cls, export: Path | str) -> "PreferenceCollator":
        """export: a folder that `duplexgen export --to trl` wrote of pairs."""
        sequence_format = SequenceFormat.read(Path(export))
        return cls(pad_token_id=sequence_format.vocabulary.end_of_text, layout=sequence_format.layout)

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        rows = [example[f"{side}_ids"] for side in ("chosen", "rejected") for example in examples]
        for mask, ids in zip(batch["completion_mask"], rows, strict=True):
            mask[: len(ids)] *= self._is_said(ids)
        return batch

    def _is_said(self, ids: list[int]) -> Tensor:
        assert self.layout is not None, "made by `read`"
        kinds = self.layout.kinds({self.layout.IDS: ids})
        return torch.from_numpy((kinds != 0).astype(np.int64))  # the first of KINDS is the user's


class DPOTrainer(trl.DPOTrainer):  # type: ignore[misc, name-defined]
    """TRL's trainer, on rows of ids: nothing is tokenized. Give it a `PreferenceCollator`."""

    def _prepare_dataset(self, dataset: Any, *_: object) -> Any:
        return dataset
