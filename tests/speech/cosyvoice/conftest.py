"""A tiny model folder of each version, and the code to load it: installed, or COSYVOICE_SOURCE names a clone.

With DUPLEXGEN_DEVICE=cuda (or COSYVOICE_DEVICE) engines and parts are put on a GPU: `make gpu` does it.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine
from duplexgen.pipeline.speech.cosyvoice.parts import choose_kernels
from duplexgen.pipeline.speech.cosyvoice.upstream import Code
from duplexgen.pipeline.speech.section import CosyVoice, Speech
from tests.devices import device
from tests.speech.cosyvoice.folders import make_bank, make_folder

SOURCE = os.environ.get("COSYVOICE_SOURCE")
DEVICE = device()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def kernels_of_fp32() -> None:
    """A model chooses kernels for the whole process when it is loaded, and some tests load one in half precision."""
    if find_spec("torch") is not None:
        choose_kernels("fp32")


@pytest.fixture(scope="session")
def code() -> Code:
    for name in ("torchaudio", "hyperpyyaml", "onnx"):
        pytest.importorskip(name, reason=f"{name} comes with the extra `cosyvoice`", exc_type=ImportError)
    if SOURCE is None and find_spec("cosyvoice") is None:
        pytest.skip("the extra `cosyvoice` names the package; or set COSYVOICE_SOURCE to a clone")
    import torch

    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("tests are to run on a GPU (DUPLEXGEN_DEVICE=cuda), and torch sees none")
    torch.set_num_threads(1)
    found = Code.find(SOURCE)
    found.make_importable()
    return found


@pytest.fixture(scope="session")
def folder_of(code: Code, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    @cache
    def make(version: int) -> Path:
        if version == 3 and not (code.cosyvoice / "flow" / "DiT").is_dir():
            pytest.skip("this CosyVoice code knows no v3: set COSYVOICE_SOURCE to a clone that does")
        return make_folder(tmp_path_factory.mktemp("models") / f"v{version}", version)

    return make


@pytest.fixture(params=[1, 2, 3], ids=["v1", "v2", "v3"])
def folder(request: pytest.FixtureRequest, folder_of: Callable[[int], Path]) -> Path:
    return folder_of(request.param)


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bank(tmp_path_factory.mktemp("banks") / "bank")


def spec(model: Path, bank: Path, **fields: Any) -> Speech:
    named = {"model": str(model), "bank": str(bank), "source": SOURCE, "num_gpus": float(DEVICE == "cuda")}
    section = CosyVoice(**{**named, **fields})
    return Speech(engine="cosyvoice", assistant_voice="voice0", cosyvoice=section)


@pytest.fixture(scope="session")
def engine_of(folder_of: Callable[[int], Path], bank: Path) -> Callable[[int], CosyVoiceEngine]:
    @cache
    def make(version: int) -> CosyVoiceEngine:
        engine = CosyVoiceEngine(spec(folder_of(version), bank))
        engine.load()
        return engine

    return make


@pytest.fixture(params=[1, 2, 3], ids=["v1", "v2", "v3"])
def engine(request: pytest.FixtureRequest, engine_of: Callable[[int], CosyVoiceEngine]) -> CosyVoiceEngine:
    return engine_of(request.param)
