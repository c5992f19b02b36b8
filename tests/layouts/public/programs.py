"""The public programs: where their clones are, how one is run, and what each was seen to consume.

DUPLEXGEN_PUBLIC names a folder with a clone of each (`CLONES`) and an environment of their own, `venv`. CONTRIBUTING.md
says how to make it. Without it the committed numbers stand in for the programs.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
FOLDER = os.environ.get("DUPLEXGEN_PUBLIC")
CLONES = (
    *("flm-audio", "moshi", "moshi-finetune", "nu-dialogue", "bayling-duplex", "glm-4-voice-sft", "glm-4-tokenizer"),
    "full-duplex-bench",
)


def clones(*names: str) -> Path:
    """The folder of the clones; skips the test if one of these is missing."""
    if FOLDER is None:
        pytest.skip(f"set DUPLEXGEN_PUBLIC to a folder with clones of {', '.join(names)}: see CONTRIBUTING.md")
    folder = Path(FOLDER).resolve()
    for name in (*names, "venv/bin/python"):
        if not (folder / name).exists():
            pytest.skip(f"DUPLEXGEN_PUBLIC has no {name}: see CONTRIBUTING.md")
    return folder


def run(program: str, tmp_path: Path, given: Any, *needs: str) -> dict[str, Any]:
    """What `run_PROGRAM.py` returns in the environment of the clones. given: what it gets, as JSON has it."""
    folder = clones(*needs)
    question, answer = tmp_path / "given.json", tmp_path / "returned.json"
    question.write_text(json.dumps(given, default=np.ndarray.tolist))
    command = [folder / "venv/bin/python", HERE / f"run_{program}.py", folder, question, answer]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    offline = environment | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    offline |= {"HF_MODULES_CACHE": str(tmp_path / "modules")}  # where transformers copies the code of a model
    ran = subprocess.run(command, cwd=tmp_path, env=offline, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    returned: dict[str, Any] = json.loads(answer.read_text())
    return returned


def numbers(program: str) -> dict[str, Any]:
    """What the program returned for the examples when it was last recorded."""
    found: dict[str, Any] = json.loads((HERE / "numbers" / f"{program}.json").read_text())
    return found


def differences(got: Iterable[Any], wanted: Iterable[Any]) -> list[str]:
    """Which cells of two arrays of streams are not the same: at most ten, in words."""
    left, right = np.asarray(got), np.asarray(wanted)
    if left.shape != right.shape:
        return [f"shape {left.shape}, not {right.shape}"]
    cells = np.argwhere(left != right)
    return [f"{tuple(map(int, cell))}: {left[tuple(cell)]}, not {right[tuple(cell)]}" for cell in cells[:10]]
