"""Numbers of the public depth models, on small random weights, for test_depth.py to compare ours with.

    python -m tests.training.models.public_numbers --flm CLONE --moshi CLONE

CLONE is a clone of https://github.com/cofe-ai/flm-audio, and of https://github.com/kyutai-labs/moshi, which needs the
package einops. What was written here last came from the commits 41d768c and e6a55d2.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

NUMBERS = Path(__file__).parent / "numbers"
HIDDEN, SIZE, HEADS, LAYERS, CODEBOOKS = 12, 8, 2, 2, 8  # 8 codebooks: FLM-Audio's takes no other number
CODES, TEXT = 18, 14
COLUMNS = 5
Arrays = dict[str, NDArray[np.generic]]


def drawn(model: nn.Module) -> None:
    """Draw weights that show each mistake in their order: also those of norms are all different."""
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        nn.init.normal_(weight, std=0.4)
        if "ln_" in name or "norm" in name:
            weight.data += 1


def arrays(model: nn.Module, **values: torch.Tensor) -> Arrays:
    weights = {f"weights/{name}": weight for name, weight in model.state_dict().items()}
    return {name: value.detach().numpy() for name, value in (values | weights).items()}


def flm(clone: Path) -> Arrays:
    """DepthGPT of FLM-Audio, with the switches of its released model."""
    source = clone / "flmaudio/models/depth_gpt.py"
    specification = importlib.util.spec_from_file_location("public_depth_gpt", source)
    assert specification and specification.loader
    theirs = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(theirs)
    sizes = {"block_size": CODEBOOKS, "vocab_size": CODES + 2, "n_layer": LAYERS, "n_head": HEADS, "n_embd": SIZE}
    switches = {"use_cmlp": True, "use_rmsnorm": True, "use_swiglu": True}
    config = theirs.DepthGPTConfig(**sizes, **switches, main_hidden_size=HIDDEN, pad_token_id=CODES + 1)
    model = theirs.DepthGPT(config).eval()
    drawn(model)
    hidden, codes = torch.randn(COLUMNS, HIDDEN), torch.randint(0, CODES, (COLUMNS, CODEBOOKS))
    return arrays(model, hidden=hidden, codes=codes, logits=model(hidden, codes[:, :-1]))


def moshi(clone: Path) -> Arrays:
    """The depth part of Moshi's LMModel, with the switches of its released model."""
    for package in ("sentencepiece", "bitsandbytes", "sounddevice", "sphn"):
        if importlib.util.find_spec(package) is None:
            sys.modules[package] = MagicMock()  # Moshi imports it, for other ends
    sys.path.insert(0, str(clone / "moshi"))
    from moshi.models import lm as theirs  # type: ignore[import-not-found]

    sizes = {"n_q": CODEBOOKS, "dep_q": CODEBOOKS, "card": CODES, "text_card": TEXT - 1, "dim": HIDDEN, "num_heads": 2}
    depth = {"dim": SIZE, "dim_feedforward": 33, "num_heads": HEADS, "num_layers": LAYERS, "pos_emb": "none"}
    depth |= {"multi_linear": True, "weights_per_step": True, "gating": "silu", "context": CODEBOOKS}
    model = theirs.LMModel(
        **sizes,
        **{f"depformer_{name}": value for name, value in depth.items()},
        delays=[0] * (CODEBOOKS + 1),
        num_layers=1,
        norm="rms_norm_f32",
        gating="silu",
        causal=True,
    ).eval()
    drawn(model)
    hidden = torch.randn(1, COLUMNS, HIDDEN)
    codes, text = torch.randint(0, CODES, (COLUMNS, CODEBOOKS)), torch.randint(0, TEXT, (COLUMNS,))
    sequence = torch.cat([text[:, None], codes], dim=1).T[None]
    logits = model.forward_depformer_training(sequence, hidden)[0].transpose(0, 1)
    found = arrays(model, hidden=hidden[0], codes=codes, text=text, logits=logits)
    return {name: value for name, value in found.items() if not name.startswith(BACKBONE)}


BACKBONE = ("weights/emb.", "weights/text_emb.", "weights/text_linear.", "weights/transformer.", "weights/out_norm.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flm", type=Path, help="a clone of cofe-ai/flm-audio")
    parser.add_argument("--moshi", type=Path, help="a clone of kyutai-labs/moshi")
    given = parser.parse_args()
    NUMBERS.mkdir(exist_ok=True)
    for name, compute in (("flm", flm), ("moshi", moshi)):
        if clone := getattr(given, name):
            np.savez_compressed(NUMBERS / f"{name}.npz", **compute(clone))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
