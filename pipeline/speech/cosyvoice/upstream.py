"""The CosyVoice code in use: an installed package, or a clone of the repository."""

import contextlib
import hashlib
import importlib
import io
import logging
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...errors import UserError

MATCHA = Path("third_party") / "Matcha-TTS"
PACKAGES = ("torch", "torchaudio", "transformers", "diffusers", "onnxruntime", "openai-whisper", "librosa")
PACKAGES_OF_V3 = ("x-transformers",)
INSTALL = (
    'pip install "duplexgen[cosyvoice]" && pip install --no-deps cosyvoice2-eu openai-whisper; '
    "or clone CosyVoice with its submodule and name the clone in `source`"
)


@dataclass(frozen=True, slots=True)
class Code:
    """Where the code of CosyVoice and of its part Matcha-TTS is."""

    cosyvoice: Path  # the package's folder
    matcha: Path

    @classmethod
    def find(cls, source: str | None) -> "Code":
        """The code of the clone `source`, or of the package. Imports nothing. Raises UserError if there is none."""
        if source is None:
            return cls(_installed("cosyvoice"), _installed("matcha"))
        clone = Path(source)
        if not (clone / "cosyvoice" / "cli").is_dir():
            raise UserError(f"{clone} is not a clone of CosyVoice: expected the folder cosyvoice/cli there")
        matcha = clone / MATCHA / "matcha"
        if not matcha.is_dir():
            if find_spec("matcha") is None:
                update = f"git -C {clone} submodule update --init"
                raise UserError(f"{clone / MATCHA} is empty: the clone lacks its submodule. Run: {update}")
            matcha = _installed("matcha")
        return cls(clone / "cosyvoice", matcha)

    def checksum(self) -> str:
        """sha256 over the names and contents of all modules, wherever they lie."""
        digest = hashlib.sha256()
        for package in (self.cosyvoice, self.matcha):
            for path in sorted(package.rglob("*.py")):
                digest.update(f"{path.relative_to(package.parent).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def make_importable(self) -> None:
        """Let this process import it. Raises UserError if the process has other code of that name."""
        for package in (self.matcha, self.cosyvoice):
            if (loaded := sys.modules.get(package.name)) is None:
                if str(package.parent) not in sys.path:
                    sys.path.insert(0, str(package.parent))
                importlib.invalidate_caches()
                continue
            if package.resolve() not in [Path(place).resolve() for place in loaded.__path__]:
                raise UserError(f"{package.name} of {loaded.__path__[0]} is loaded already, wanted that of {package}")


def _installed(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {name!r} is not installed: {INSTALL}")
    return Path(spec.submodule_search_locations[0])


def versions(model: int = 1) -> dict[str, str]:
    """Versions of the packages that shape the speech of a model of version `model`, besides CosyVoice's own code.

    Raises UserError if one is missing.
    """
    packages = (*PACKAGES, *(PACKAGES_OF_V3 if model == 3 else ()))
    try:
        return {package: version(package).partition("+")[0] for package in packages}
    except PackageNotFoundError as error:
        raise UserError(f"the package {error.name!r} is not installed: {INSTALL}") from error


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Undo what importing and building CosyVoice does to the process: it seeds every global generator, sets the log
    to DEBUG and prints."""
    import torch

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        root.handlers[:] = handlers
        root.setLevel(level)
