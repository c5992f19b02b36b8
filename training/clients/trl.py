"""For TRL (trl 1.16), on what `duplexgen export --to trl` writes: the weights of BayLing-Duplex, and its DPO.

`trl.SFTTrainer` has no weights of tokens, `trl.DPOTrainer` tokenizes whatever it is given, and its collator counts the
ids of the user, which the model only hears.
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
from ...pipeline.exports.labels import IGNORED
from ...pipeline.layouts.layout import Layout
from ...pipeline.layouts.shared import SharedVocabulary
from ..recipe import Weights
from ..sequences import SequenceFormat


@dataclass(frozen=True)
class TokenWeights:
    """ω of each target, by its id (BayLing-Duplex, equation 5)."""

    by_id: Tensor  # float32 [ids]

    @classmethod
    def read(cls, export: Path | str, weights: Mapping[str, float] | None = None) -> "TokenWeights":
        """export: a folder that `duplexgen export --to trl` wrote.

        weights: ω by kind (silence, assistant, pad, epad, text, audio), where they are not the paper's. Raises
        UserError if the folder has no vocabulary.json of the layout `bayling`.
        """
        vocabulary = SequenceFormat.read(Path(export)).vocabulary
        if not isinstance(vocabulary, SharedVocabulary):
            raise UserError(f"{export}: expected the layout bayling, whose ids say what kind they are of.")
        omega = Weights.model_validate(dict(weights or {})).model_dump()
        by_id = np.where(vocabulary.is_audio(np.arange(vocabulary.size)), omega["audio"], omega["text"])
        for state, id_ in vocabulary.state.items():
            by_id[id_] = omega[state]
        return cls(torch.tensor(by_id, dtype=torch.float32))

    def of(self, labels: Tensor) -> Tensor:
        """ω of what each position but the last predicts, [rows, length - 1].

        labels: [rows, length]; -100 is no target.
        """
        targets = labels[:, 1:]
        return self.by_id.to(labels.device)[targets.clamp(min=0)] * (targets != IGNORED)


class SFTTrainer(trl.SFTTrainer):  # type: ignore[misc, name-defined]
    """TRL's trainer with the loss Σ ω ℓ / Σ ω, over all micro-batches and devices of a step."""

    def __init__(self, *args: Any, token_weights: TokenWeights, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.token_weights = token_weights

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """The micro-batches of a step, and Σ ω over them, where the base class counts the labels."""
        batches, items = super().get_batch_samples(*args, **kwargs)
        if items is None:
            return batches, None
        total = torch.stack([self.token_weights.of(batch["labels"]).sum() for batch in batches]).sum()
        total = total.to(self.accelerator.device)
        if self.args.average_tokens_across_devices:
            total = self.accelerator.gather(total).sum()
        return batches, total

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The part of the loss that a micro-batch makes. num_items_in_batch: Σ ω of the step; None: its own."""
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"}, use_cache=False)
        omega = self.token_weights.of(labels)
        logits = outputs.logits[:, :-1].float().transpose(1, 2)
        losses = functional.cross_entropy(logits, labels[:, 1:], ignore_index=IGNORED, reduction="none")
        loss = (omega * losses).sum() / (omega.sum() if num_items_in_batch is None else num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # devices average their gradients
        return (loss, outputs) if return_outputs else loss


@dataclass
class PreferenceCollator(DataCollatorForPreference):
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
