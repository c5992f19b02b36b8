"""What `accelerate launch` runs in a test: SFT of a recipe in JSON."""

import sys
from pathlib import Path

from pipeline.display import Display
from training.recipe import SFTRecipe
from training.sft import train_sft

if __name__ == "__main__":
    train_sft(SFTRecipe.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), Display())
