"""What a test runs in each of several processes: trainings, each until its model is on the devices."""

import gc
import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from duplexgen.training import loop
from duplexgen.training.objectives import dpo, sft
from duplexgen.training.sharding import whole_state
from tests.training.launched import Job, run

PEAK = Path("/proc/self/clear_refs")  # of Linux; 5 forgets the largest memory that the process has had


class LoadedError(Exception):
    """The model is on the devices: that is enough."""


def memory(name: str) -> int:
    """Bytes. name: VmRSS, what this process has in memory, or VmHWM, the most it has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    for job in (Job(**fields) for fields in json.loads(sys.argv[1])):
        gc.collect()  # the network of the job before
        PEAK.write_text("5")
        before = memory("VmRSS")

        def put_on_devices(network: Any, accelerator: Any, settings: Any, before: int = before) -> None:
            placed = loop.put_on_devices(network, accelerator, settings)
            grown = memory("VmHWM") - before
            folder, index = Path(accelerator.project_dir), accelerator.process_index
            tensors = whole_state(placed, True) | dict(placed.named_buffers())
            save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / f"{index}.safetensors")
            (folder / f"{index}.json").write_text(json.dumps(grown))
            accelerator.wait_for_everyone()
            raise LoadedError

        for objective in (sft, dpo):
            vars(objective)["put_on_devices"] = put_on_devices
        try:
            run(job)
        except LoadedError:
            continue


if __name__ == "__main__":
    main()
