"""What a test runs in each of several processes: trainings, each to its end or until after a step."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import PartialState

from duplexgen.pipeline.show.progress import Display
from duplexgen.training.objectives.dpo import train_dpo
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import Common, DPORecipe, SFTRecipe

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """One training. stop_after: the step after which its process ends, as at Ctrl-C, or at SIGKILL; None: never."""

    recipe: str
    out: str
    stop_after: int | None = None
    killed: bool = False

    @classmethod
    def of(cls, recipe: Common, out: Path, stop_after: int | None = None, killed: bool = False) -> "Job":
        return cls(recipe.model_dump_json(), str(out), stop_after, killed)


class StopAt(Display):
    def __init__(self, job: Job) -> None:
        super().__init__(quiet=True)
        self.job = job

    @contextmanager
    def training(self, steps: int, start: int) -> Iterator[Callable[[int, str], None]]:
        def report(done: int, figures: str) -> None:
            if done == self.job.stop_after and self.job.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            if done == self.job.stop_after:
                sys.exit()

        yield report


def launch(
    jobs: Sequence[Job], processes: int, module: str = "tests.training.launched", processor: bool = False
) -> str:
    """Train one after the other in processes of their own; returns their output. Only the last job may stop.

    They run on GPUs if there are enough, unless `processor`. A process keeps its first precision, so that of all jobs
    must be one. module: what runs them.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += ["-m", module, json.dumps([asdict(job) for job in jobs])]
    on_processor = str(processor or torch.cuda.device_count() < processes)
    environment = {**os.environ, "ACCELERATE_USE_CPU": on_processor, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode != 0) == jobs[-1].killed, process.stderr
    return process.stdout


def run(job: Job) -> None:
    if "preference" in json.loads(job.recipe):
        train_dpo(DPORecipe.model_validate_json(job.recipe), Path(job.out), StopAt(job))
    else:
        train_sft(SFTRecipe.model_validate_json(job.recipe), Path(job.out), StopAt(job))


def main() -> None:
    for job in (Job(**fields) for fields in json.loads(sys.argv[1])):
        run(job)
    state = PartialState()  # what training has set up
    print(f"device {state.process_index} of {state.num_processes}")


if __name__ == "__main__":
    main()
