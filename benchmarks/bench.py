"""What benchmarks that train models share: one folder, in which each step is a command of duplexgen.

After a kill, the same benchmark continues, because each command does nothing twice.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from duplexgen.pipeline.recipe.file import find, load, read
from duplexgen.pipeline.storage.atomic import file_sha256
from duplexgen.training.recipe import TRAINING_RECIPES, Common, SFTRecipe

TRAINED_ON = ("train_turn_taking", "train_interruption")
MEASURED_ON = ("held_out_turn_taking", "held_out_interruption")
SFT = "sft_small"
CORES = len(os.sched_getaffinity(0))


def parser(description: str | None, out: str | None = None) -> argparse.ArgumentParser:
    """With the options that all have. out: the folder, unless the command names another; None: decided later."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(out) if out else None, help="write everything to this folder")
    parser.add_argument("--seed", type=int, default=1, help="seed training and sampling with this")
    return parser


@dataclass(frozen=True)
class Bench:
    """The steps, in one folder."""

    out: Path
    seed: int

    @classmethod
    def of(cls, arguments: argparse.Namespace, name: str) -> "Bench":
        """The folder is made, and in it the recipe of the evaluations, which is called `name`."""
        bench = cls(arguments.out.resolve(), arguments.seed)
        bench.out.mkdir(parents=True, exist_ok=True)
        bench.write_evaluation(name)
        return bench

    def write_evaluation(self, name: str) -> None:
        """Write the recipe of the evaluations."""
        self._evaluation_recipe.write_text(f"extends: timing\nname: {name}\nseed: {self.seed}\n")

    def build(self, name: str, recipe: Mapping[str, Any] | None = None, limit: int | None = None) -> None:
        """Build a data set into the folder `name`: of the recipe that ships, or of a recipe that is given.

        limit: how many dialogues of the sources to use; None: all.
        """
        named = name if recipe is None else self._written(name, {"name": name, **recipe})
        limited = () if limit is None else ("--limit", str(limit))
        self.run("build", named, "--out", str(self.out / name), "--work", str(self.work), *limited)

    @property
    def work(self) -> Path:
        """Where the stages of all data sets are, so that what they share is made once."""
        return self.out / ".work"

    def sft_recipe(self, name: str, data: Iterable[str], shipped: str = SFT) -> SFTRecipe:
        """A recipe that ships, under another name and over data sets in this folder."""
        recipe, _ = load(shipped, SFTRecipe, TRAINING_RECIPES)
        return recipe.model_copy(update=self.common(name, data))

    def common(self, name: str, data: Iterable[str]) -> dict[str, Any]:
        """Changes of any training recipe: its name, its seed, and data sets in this folder."""
        return {"name": name, "seed": self.seed, "data": [str(self.out / one) for one in data]}

    def pairs(self, name: str, recipe: str = "timing") -> None:
        """Make the pairs of a data set in this folder."""
        out = str(self.out / pairs_of(name))
        self.run("dpo-pairs", str(self.out / name), recipe, "--out", out, "--work", str(self.work))

    def train(self, stage: str, recipe: Common) -> None:
        """Train a model into the folder that has the recipe's name."""
        written = self._written(recipe.name, recipe.model_dump(mode="json", exclude_none=True))
        self.run("train", stage, written, "--out", str(self.out / recipe.name))

    def _written(self, name: str, recipe: Mapping[str, Any]) -> str:
        path = self.out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(recipe), sort_keys=False))
        return str(path)

    @property
    def _evaluation_recipe(self) -> Path:
        return self.out / "evaluation.yaml"

    def evaluate_all(self, models: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The figures of models, by their folders, then by name."""
        names = list(models)
        with ThreadPoolExecutor(1 if torch.cuda.is_available() else CORES) as pool:
            return dict(zip(names, pool.map(self.evaluate, names), strict=True))

    def evaluate(self, model: str) -> dict[str, Any]:
        """The figures of the model in a folder, by name. Evaluates it on MEASURED_ON, unless that is done."""
        return {name: value for figures in self.figures(model).values() for name, value in figures.items()}

    def figures(self, model: str, sets: Iterable[str] = MEASURED_ON) -> dict[str, dict[str, Any]]:
        """The figures of the model in a folder, by set and name. Evaluates it, unless that is done."""
        result = self._result(model)
        if not self._is_evaluated(model):
            shutil.rmtree(result.parent, ignore_errors=True)
            folders = [str(self.out / name) for name in sets]
            options = ("--out", str(result.parent), "--recipe", str(self._evaluation_recipe))
            self.run("evaluate", str(self.out / model), *folders, *options, threads=1)
        by_set: dict[str, dict[str, Any]] = json.loads(result.read_text())["figures"]
        return by_set

    def items(self, model: str) -> list[dict[str, Any]]:
        """What was measured of a model that is evaluated, dialogue by dialogue."""
        items: list[dict[str, Any]] = json.loads(self._result(model).read_text())["items"]
        return items

    def _is_evaluated(self, model: str) -> bool:
        """Whether the result is that of the model as it is now."""
        result = self._result(model)
        if not result.exists():
            return False
        files: dict[str, str] = json.loads(result.read_text())["model"]["files"]
        return all(file_sha256(self.out / model / name) == sum_ for name, sum_ in files.items())

    def _result(self, model: str) -> Path:
        return self.out / "evaluation" / model / "evaluation.json"

    def run(self, *arguments: str, threads: int = CORES) -> None:
        print("duplexgen", *arguments, flush=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([sys.executable, "-m", "duplexgen", *arguments], check=True, env=environment)


def over_long_replies(name: str, takes: int) -> dict[str, Any]:
    """Timing, acoustics and layout of a recipe that ships, over the dialogues of train_long, each by one user.

    takes: how many times each dialogue is laid out.
    """
    shipped = read(find(name)).raw
    return {
        "extends": "train_long",
        "speech": {"renditions": 1},
        "timing": shipped["timing"] | {"takes": takes},
        "acoustics": shipped.get("acoustics", []),
        "layout": shipped.get("layout", {}),
    }


def pairs_of(name: str) -> str:
    """The folder of the pairs of a data set."""
    return f"{name}.pairs"


def with_interval(figure: Mapping[str, Any], scale: int) -> str:
    """A figure with its interval. scale: 100 for shares, which are printed in percent; 1 for seconds."""
    if figure["value"] is None:
        return "–"
    value, low, high = (None if figure[key] is None else figure[key] * scale for key in ("value", "low", "high"))
    digits = 1 if scale == 100 else 2
    interval = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"
