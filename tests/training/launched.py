"""What each process of several runs in a test: SFT of a recipe in JSON."""

import sys
from pathlib import Path

from accelerate import PartialState

from duplexgen.pipeline.display import Display
from duplexgen.training.recipe import SFTRecipe
from duplexgen.training.sft import train_sft

if __name__ == "__main__":
    train_sft(SFTRecipe.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), Display())
    state = PartialState()  # what training has set up
    print(f"device {state.process_index} of {state.num_processes}")
