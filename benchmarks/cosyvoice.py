"""CosyVoice: batched decoding beside the package's own one-at-a-time inference, lengths fixed, weights random.

Speed does not depend on the weights, but on lengths: every utterance lasts exactly `--seconds`. `--size full` has the
dimensions of the published models (v2: 0.5 B), `tiny` those of the tests. `--soak 2000` speaks that many utterances of
many lengths and voices with the whole engine instead, and prints its memory at each quarter.
See benchmarks/README.md.
"""

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from duplexgen.pipeline.speech.cosyvoice import configuration
from duplexgen.pipeline.speech.cosyvoice.decoding import Row, decode
from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder
from duplexgen.pipeline.speech.cosyvoice.parts import Parts, Precision, VoicePrompt, assemble
from duplexgen.pipeline.speech.cosyvoice.upstream import Code, contained
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.section import CosyVoice, Speech
from tests.speech.cosyvoice import configurations, folders

TOKENS_HZ = {1: 50, 2: 25, 3: 25}
FULL_BY_VERSION = {
    1: {"hidden": 1024, "layers": 14, "heads": 16, "units": 4096},
    3: {"flow_heads": 16},
}
PARTITION = 64  # utterances that the engine is given at once in a soak
VOICES = 20
WANTED = 4.0  # times the package's own, at batch 16


class Clock:
    """Seconds of the parts of the work; it waits for the device."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.spent = {"llm": 0.0, "flow": 0.0, "vocoder": 0.0}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started = self.now()
        yield
        self.spent[part] += self.now() - started

    def now(self) -> float:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def random_model(version: int, size: dict[str, int], source: str | None) -> dict[str, Any]:
    """Parts with random weights, built as a model folder's are."""
    import torch

    Code.find(source).make_importable()
    with tempfile.TemporaryDirectory() as name, contained():
        folder = ModelFolder(Path(name), configurations.NAMES[version], version)
        (folder.path / folder.configuration).write_text(configurations.configuration(version, size))
        torch.manual_seed(0)
        if version > 1:
            folders.make_qwen(folder.path / "CosyVoice-BlankEN", size, words=folders.QWEN_WORDS)
        parts = configuration.build(folder)
        for module in (parts["llm"], parts["flow"], parts["hift"]):
            module.float().eval()
    return parts


def random_prompt(version: int, seconds: float) -> VoicePrompt:
    rng = np.random.default_rng(0)
    tokens = round(seconds * TOKENS_HZ[version])
    frames = round(seconds * 22050 / 256) if version == 1 else 2 * tokens
    return VoicePrompt(
        text=tuple(rng.integers(0, 100, round(3.5 * seconds)).tolist()),
        tokens=rng.integers(0, configurations.SPEECH_TOKENS[version], tokens),
        mel=rng.normal(size=(frames, 80)).astype(np.float32),
        embedding=rng.normal(size=192).astype(np.float32),
    )


def text_of(number: int, seconds: float) -> list[int]:
    ids: list[int] = np.random.default_rng(number).integers(0, 100, round(3.5 * seconds)).tolist()
    return ids


def batched(parts: Parts, prompt: VoicePrompt, utterances: int, batch: int, seconds: float) -> dict[str, float]:
    """Seconds of work by part, for so many utterances in batches."""
    clock = Clock(parts.device)
    count = round(seconds * TOKENS_HZ[parts.version])
    for first in range(0, utterances, batch):
        with clock("llm"):
            rows = [
                Row(
                    parts.prefix(text_of(number, seconds), prompt),
                    shortest=count,
                    longest=count,
                    draws=np.random.default_rng(number).random((count, 2), dtype=np.float32),
                )
                for number in range(first, min(first + batch, utterances))
            ]
            decoded = decode(parts.llm, rows, parts.sampling)
        for utterance in decoded:
            assert len(utterance.tokens) == count
            with clock("flow"):
                mel = parts.mel(utterance.tokens, prompt)
            with clock("vocoder"):
                parts.wave(mel)
    return clock.spent


def one_at_a_time(modules: dict[str, Any], parts: Parts, prompt: VoicePrompt, utterances: int, seconds: float) -> float:
    """Seconds that the package's own `tts` needs, which `inference_zero_shot` calls for each segment."""
    import torch

    with contained():
        from cosyvoice.cli import model as models
    name = {1: "CosyVoiceModel", 2: "CosyVoice2Model", 3: "CosyVoice3Model"}[parts.version]
    model = getattr(models, name)(modules["llm"], modules["flow"], modules["hift"], parts.dtype is torch.float16)
    clock = Clock(parts.device)
    embedding = torch.from_numpy(prompt.embedding)[None]
    tokens = torch.from_numpy(prompt.tokens)[None].int()
    started = clock.now()
    for number in range(utterances):
        text = torch.tensor([text_of(number, seconds)], dtype=torch.int32)
        ratio = round(seconds * TOKENS_HZ[parts.version]) / text.shape[1] + 1e-6
        own = type(modules["llm"]).inference
        modules["llm"].inference = partial(own, modules["llm"], min_token_text_ratio=ratio, max_token_text_ratio=ratio)
        chunks = list(
            model.tts(
                text=text,
                prompt_text=torch.tensor([prompt.text], dtype=torch.int32),
                llm_prompt_speech_token=tokens,
                flow_prompt_speech_token=tokens,
                prompt_speech_feat=torch.from_numpy(prompt.mel)[None],
                llm_embedding=embedding,
                flow_embedding=embedding,
            )
        )
        spoken_s = sum(chunk["tts_speech"].shape[1] for chunk in chunks) / parts.sample_rate
        if not 0.9 * seconds < spoken_s < 1.1 * seconds:
            raise SystemExit(f"the package made {spoken_s:.2f} s instead of {seconds} s: the two cannot be compared")
    del modules["llm"].inference
    return clock.now() - started


def best(measure: Callable[[], Any], score: Callable[[Any], float], repeats: int) -> Any:
    """The measurement with the lowest score, of so many."""
    return min((measure() for _ in range(repeats)), key=score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 16, 32])
    parser.add_argument("--seconds", type=float, default=8.0, help="let every utterance last this long")
    parser.add_argument(
        "--utterances", type=int, help="measure each batch size on this many (default: the largest batch)"
    )
    parser.add_argument(
        "--own", type=int, default=4, help="measure the package's own inference on this many utterances"
    )
    parser.add_argument("--repeats", type=int, default=2, help="take the best of this many runs")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--source", help="use this clone of CosyVoice (default: the installed package)")
    parser.add_argument(
        "--soak", type=int, metavar="UTTERANCES", help="print the memory over this many utterances, and no speeds"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.soak:
        soak(arguments)
    else:
        run(arguments)


def size_of(arguments: argparse.Namespace) -> dict[str, int]:
    if arguments.size == "tiny":
        return dict(configurations.TINY)
    return {**configurations.FULL, **FULL_BY_VERSION.get(arguments.version, {})}


def soak(arguments: argparse.Namespace) -> None:
    """Memory of the process, and of the GPU if there is one, while an engine speaks partition after partition."""
    import torch

    on_gpu = (arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")) == "cuda"
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name  # of prompts
        Code.find(arguments.source).make_importable()
        folder = folders.make_folder(Path(name) / "model", arguments.version, size_of(arguments))
        bank = folders.make_bank(Path(name) / "bank", voices=VOICES)
        fields = {"source": arguments.source, "precision": arguments.precision}
        section = CosyVoice(model=str(folder), bank=str(bank), num_gpus=1.0 if on_gpu else 0.0, **fields)
        engine = CosyVoiceEngine(Speech(engine="cosyvoice", assistant_voice="voice0", cosyvoice=section))
        engine.load()
        count, quarter = 0, -(-arguments.soak // 4)
        print("utterances   with sound   process GiB   GPU GiB (now, most reserved)")
        for first in range(0, arguments.soak, quarter):
            last = min(first + quarter, arguments.soak)
            for start in range(first, last, PARTITION):
                batch = [utterance(number) for number in range(start, min(start + PARTITION, last))]
                count += sum(isinstance(result, RawSpeech) for result in engine.speak(batch))
            gc.collect()
            process = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            gpu = (torch.cuda.memory_allocated(), torch.cuda.max_memory_reserved()) if on_gpu else (0, 0)
            row = f"{last:10}   {count:10}   {process / 2**30:11.3f}   {gpu[0] / 2**30:.3f} {gpu[1] / 2**30:.3f}"
            print(row, flush=True)


def utterance(number: int) -> SpeechRequest:
    words = int(np.random.default_rng(number).integers(1, 9))
    return SpeechRequest(" ".join(["Yes"] * words) + ".", f"voice{number % VOICES}", "en", number)


def run(arguments: argparse.Namespace) -> None:
    import torch

    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    precision: Precision = arguments.precision
    size = size_of(arguments)
    # Two models, as each side converts its own to half precision. The package has no bf16.
    own_precision: Precision = "fp32" if precision == "bf16" else precision
    our_modules, package_modules = (random_model(arguments.version, size, arguments.source) for _ in range(2))
    # Ours last: it chooses kernels for the whole process, and so for the package as well.
    theirs, parts = (
        assemble(modules, None, arguments.version, configurations.RATE_HZ[arguments.version], device, kind)
        for modules, kind in ((package_modules, own_precision), (our_modules, precision))
    )
    prompt = random_prompt(arguments.version, 5.0)
    utterances = arguments.utterances or max(arguments.batch)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"CosyVoice v{arguments.version} {arguments.size}, {precision}, {where}, torch {torch.__version__}")
    batched(parts, prompt, 1, 1, 1.0)  # the first run chooses kernels and takes memory
    own_s = best(
        lambda: one_at_a_time(package_modules, theirs, prompt, arguments.own, arguments.seconds),
        float,
        arguments.repeats,
    )
    own = arguments.own * arguments.seconds / own_s
    print(f"the package, one at a time: {own:6.2f} audio-seconds per second")
    print("batch   audio-s/s   x the package   llm    flow   vocoder   peak GiB")
    results: dict[str, Any] = {"own": own, "device": where, "options": {k: str(v) for k, v in vars(arguments).items()}}
    for batch in arguments.batch:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        measure = partial(batched, parts, prompt, max(utterances, batch), batch, arguments.seconds)
        spent = best(measure, lambda parts_s: sum(parts_s.values()), arguments.repeats)
        total = sum(spent.values())
        rate = max(utterances, batch) * arguments.seconds / total
        peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
        shares = "  ".join(f"{share / total:5.1%}" for share in spent.values())
        print(f"{batch:5}   {rate:9.2f}   {rate / own:13.2f}   {shares}   {peak:8.1f}", flush=True)
        results[str(batch)] = {"audio_seconds_per_second": rate, "spent_s": spent, "peak_gib": peak}
    print(f"wanted at batch 16 on a GPU: {WANTED:.0f} x the package")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
