"""Moshi's own model, with tiny random weights: which columns it reads and is to say in training, and live.

Runs in the environment of the clones: run_moshi.py CLONES GIVEN.json RETURNED.json
"""

import json
import sys
from collections import deque
from pathlib import Path

import torch


def tiny_model(text_card: int, card: int):
    from moshi.models.lm import LMModel

    torch.manual_seed(0)
    return LMModel(
        delays=[0, *([0] + [1] * 7) * 2],
        n_q=16,
        dep_q=8,
        card=card,
        text_card=text_card,
        dim=32,
        num_heads=2,
        hidden_scale=2,
        num_layers=1,
        context=200,
        gating="silu",
        depformer_dim=16,
        depformer_weights_per_step=True,
        depformer_num_heads=2,
        depformer_num_layers=1,
    ).eval()


def training(model, codes: torch.Tensor) -> dict:
    """The delayed columns [17, frames + 1] of codes without delays, [17, frames].

    The model reads all but the last, and its depth model is told all but the first.
    """
    read, told = [], []
    forward_text, depformer = model.forward_text, model.forward_depformer_training

    def spy_text(sequence, *rest):
        read.append(sequence[0])
        return forward_text(sequence, *rest)

    def spy_depformer(sequence, hidden):
        told.append(sequence[0])
        return depformer(sequence, hidden)

    model.forward_text, model.forward_depformer_training = spy_text, spy_depformer
    with torch.no_grad():
        model(codes[None])
    del model.forward_text, model.forward_depformer_training
    assert torch.equal(read[0][:, 1:], told[0][:, :-1])
    return {"delayed": torch.cat([read[0], told[0][:, -1:]], dim=1).tolist()}


def live(model, row: torch.Tensor, listen: torch.Tensor) -> dict:
    """What the streaming loop feeds the model and emits, made to say the columns of a row, [17, T].

    listen: the user's codes that each step is fed, [8, T].
    """
    from moshi.models import lm

    fed, said, forced = [], [], deque()
    forward_text = model.forward_text

    def spy(sequence, *rest):
        fed.append(sequence[0, :, 0].clone())
        return forward_text(sequence, *rest)

    model.forward_text = spy
    lm.sample_token = lambda *_: forced.popleft().view(1, 1, 1)
    lm_gen = lm.LMGen(model)
    last = row.shape[1] - 1
    with lm_gen.streaming(1):
        for step in range(row.shape[1]):
            forced.extend(row[:9, min(step + 1, last)])  # what the last step says stands in no column
            emitted = lm_gen.step(listen[None, :, step, None])
            assert not forced, "the loop sampled fewer tokens than a column has"
            if emitted is not None:
                said.append(emitted[0, :, 0])
    del model.forward_text
    emitted = torch.stack(said, dim=1).tolist()
    return {"fed": torch.stack(fed, dim=1).tolist(), "emitted": emitted, "steps before it emits": len(fed) - len(said)}


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path.insert(0, str(clones / "moshi/moshi"))
    asked = json.loads(given.read_text())
    model = tiny_model(asked["text_card"], asked["card"])
    answers = {}
    for name, example in asked["examples"].items():
        codes, row, listen = (torch.tensor(example[key]) for key in ("codes", "row", "listen"))
        answers[name] = training(model, codes) | live(model, row, listen)
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
