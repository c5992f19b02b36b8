"""What a test runs in each of several processes: SFT of a recipe in JSON, to its end or until after a given step."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import PartialState

from duplexgen.pipeline.show.progress import Display
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import SFTRecipe


class StopAt(Display):
    @contextmanager
    def training(self, steps: int, start: int) -> Iterator[Callable[[int, str], None]]:
        def report(done: int, figures: str) -> None:
            if sys.argv[3:] == [str(done)]:
                sys.exit()

        yield report


if __name__ == "__main__":
    train_sft(SFTRecipe.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), StopAt())
    state = PartialState()  # what training has set up
    print(f"device {state.process_index} of {state.num_processes}")
