"""What `moshi.models.lm.LMModel` makes of rows without delays: the columns it reads, and the columns it is to say.

Runs in the environment of the clones: run_moshi.py CLONES GIVEN.json RETURNED.json
"""

import json
import sys
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
        depformer_dim=16,
        depformer_num_heads=2,
        depformer_num_layers=1,
    ).eval()


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path.insert(0, str(clones / "moshi/moshi"))
    asked = json.loads(given.read_text())
    model = tiny_model(asked["text_card"], asked["card"])
    read, told = [], []
    forward_text, depformer = model.forward_text, model.forward_depformer_training

    def spy_text(sequence, *rest):
        read.append(sequence[0])
        return forward_text(sequence, *rest)

    def spy_depformer(sequence, hidden):
        told.append(sequence[0])
        return depformer(sequence, hidden)

    model.forward_text, model.forward_depformer_training = spy_text, spy_depformer
    answers = {}
    for name, codes in asked["examples"].items():
        with torch.no_grad():
            model(torch.tensor(codes)[None])
        answers[name] = {"read": read.pop().tolist(), "told": told.pop().tolist()}
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
