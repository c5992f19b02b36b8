"""CosyVoice as a build runs it, in batches, beside the package's own one-at-a-time inference, weights random.

Speed does not depend on the weights, but on lengths: each utterance is about as long as a turn of the corpus that ships
would be (`--mean-s` stretches them all), each has a length of its own, and voices have clips of 3 to 8 s. Both models
hear the clip again before each utterance, so that a second of a short utterance takes longer. `--size full` has the
dimensions of the published models (v2: 0.5 B), `tiny` those of the tests. `--soak 1000` speaks that many utterances of
many lengths and voices with the whole engine instead, and prints its memory at each quarter. See benchmarks/README.md.
"""

import argparse
import copy
import gc
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from duplexgen.pipeline.audio.pcm import to_int16
from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.speech.cosyvoice import configuration
from duplexgen.pipeline.speech.cosyvoice.decoding import Row
from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder
from duplexgen.pipeline.speech.cosyvoice.parts import Parts, Precision, assemble, budgets
from duplexgen.pipeline.speech.cosyvoice.upstream import Code, contained
from duplexgen.pipeline.speech.cosyvoice.utterances import Utterance, VoicePrompt
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.section import CosyVoice, Speech
from tests.speech.cosyvoice import configurations, folders

if TYPE_CHECKING:
    import torch

TOKENS_HZ = {1: 50, 2: 25, 3: 25}
FULL_BY_VERSION = {
    1: {"hidden": 1024, "layers": 14, "heads": 16, "units": 4096},
    3: {"flow_heads": 16},
}
PARTITION = 64  # utterances that the engine is given at once in a soak
VOICES = 20
WANTED = {"bf16": 100, "fp32": 40}  # audio-seconds a second of v2 and v3 on one H100
CORPUS = Path(__file__).parents[1] / "recipes" / "sample" / "ultrachat.jsonl"
LETTERS_PER_S = 15.0  # of English that is read aloud
END_OF_PROMPT = 151646  # v3 wants it in its text


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
    # Folds the weight norm. Copies share its classes, so that it could be folded in one of them alone.
    assembled(parts, "fp32", torch.device("cpu"), version)
    return parts


@dataclass(frozen=True, slots=True)
class Turn:
    """An utterance to be spoken."""

    number: int
    text: tuple[int, ...]  # ids
    tokens: int  # of speech
    prompt: VoicePrompt

    def row(self, parts: Parts) -> Row:
        draws = np.random.default_rng(self.number).random((self.tokens, 2), dtype=np.float32)
        return Row(parts.prefix(list(self.text), self.prompt), self.tokens, self.tokens, draws)


def turns(version: int, count: int, mean_s: float | None, voices: int = VOICES) -> list[Turn]:
    """As long as the turns of the corpus that ships, one after the other, and each a bit different.

    mean_s: stretch them to this mean.
    """
    said = [text for line in CORPUS.read_text("utf-8").splitlines() for text in json.loads(line)["data"]]
    said_s = np.array([len(text) for text in said]) / LETTERS_PER_S
    said_s *= 1.0 if mean_s is None else mean_s / said_s.mean()
    prompts = [random_prompt(version, voice) for voice in range(voices)]
    made = []
    for number in range(count):
        rng = np.random.default_rng(number)
        seconds = max(1.0, said_s[number % len(said)] * rng.uniform(0.8, 1.2))
        text = tuple(rng.integers(0, 100, round(3.5 * seconds)).tolist())
        made.append(Turn(number, text, round(seconds * TOKENS_HZ[version]), prompts[number % voices]))
    return made


def random_prompt(version: int, voice: int) -> VoicePrompt:
    rng = np.random.default_rng(1000 + voice)
    seconds = rng.uniform(3.0, 8.0)
    tokens = round(seconds * TOKENS_HZ[version])
    frames = round(seconds * 22050 / 256) if version == 1 else 2 * tokens
    marks = (END_OF_PROMPT,) if version == 3 else ()
    return VoicePrompt(
        text=(*rng.integers(0, 100, round(3.5 * seconds)).tolist(), *marks),
        tokens=rng.integers(0, configurations.SPEECH_TOKENS[version], tokens),
        mel=rng.normal(size=(frames, 80)).astype(np.float32),
        embedding=rng.normal(size=192).astype(np.float32),
    )


def batched(parts: Parts, spoken: Sequence[Turn], batch: int) -> tuple[dict[str, float], str]:
    """Seconds of work by part, in batches of at most so many as an engine makes them, and a digest of the sound."""
    clock = Clock(parts.device)
    decoding, sounding = budgets(parts, share=1.0, positions=None, most=batch)
    with clock("llm"):
        decoded = decoding.run(
            lambda chosen: parts.decoder.decode([turn.row(parts) for turn in chosen]),
            spoken,
            [len(turn.prompt.text) + len(turn.prompt.tokens) + len(turn.text) + turn.tokens for turn in spoken],
        )
    assert [len(row.tokens) for row in decoded] == [turn.tokens for turn in spoken]
    utterances = [Utterance(row.tokens, turn.prompt, turn.number) for turn, row in zip(spoken, decoded, strict=True)]

    def sound(chosen: Sequence[Utterance]) -> list[Waveform]:
        with clock("flow"):
            mels = parts.flow.mels(chosen)
        with clock("vocoder"):
            return parts.vocoder.waves(mels, [utterance.seed for utterance in chosen])

    waves = sounding.run(sound, utterances, [parts.flow.frames(utterance) for utterance in utterances])
    return clock.spent, hashlib.sha256(b"".join(to_int16(wave).tobytes() for wave in waves)).hexdigest()


def one_at_a_time(modules: dict[str, Any], parts: Parts, spoken: Sequence[Turn]) -> float:
    """Seconds that the package's own `tts` needs, which `inference_zero_shot` calls for each segment."""
    import torch

    with contained():
        from cosyvoice.cli import model as models
    name = {1: "CosyVoiceModel", 2: "CosyVoice2Model", 3: "CosyVoice3Model"}[parts.version]
    model = getattr(models, name)(modules["llm"], modules["flow"], modules["hift"], parts.dtype is torch.float16)
    llm, clock = modules["llm"], Clock(parts.device)
    own = llm.sampling

    def sampling(scores: Any, *rest: Any) -> Any:
        """Without the ids that end an utterance: newer code knows 200 of them, and bars one for the shortest time."""
        scores[configurations.SPEECH_TOKENS[parts.version] :] = -torch.inf
        return own(scores, *rest)

    llm.sampling = sampling
    started = clock.now()
    for turn in spoken:
        text = torch.tensor([turn.text], dtype=torch.int32)
        ratio = turn.tokens / text.shape[1] + 1e-6
        llm.inference = partial(type(llm).inference, llm, min_token_text_ratio=ratio, max_token_text_ratio=ratio)
        embedding, tokens = (torch.from_numpy(value)[None] for value in (turn.prompt.embedding, turn.prompt.tokens))
        chunks = list(
            model.tts(
                text=text,
                prompt_text=torch.tensor([turn.prompt.text], dtype=torch.int32),
                llm_prompt_speech_token=tokens.int(),
                flow_prompt_speech_token=tokens.int(),
                prompt_speech_feat=torch.from_numpy(turn.prompt.mel)[None],
                llm_embedding=embedding,
                flow_embedding=embedding,
            )
        )
        made_s = sum(chunk["tts_speech"].shape[1] for chunk in chunks) / parts.sample_rate
        wanted_s = turn.tokens / TOKENS_HZ[parts.version]
        if not 0.9 * wanted_s < made_s < 1.1 * wanted_s:
            raise SystemExit(f"the package made {made_s:.2f} s instead of {wanted_s} s: the two cannot be compared")
    del llm.inference
    llm.sampling = own
    return clock.now() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 16, 32])
    parser.add_argument(
        "--utterances", type=int, default=16, help="measure each batch size on this many, and on a whole batch at least"
    )
    parser.add_argument("--own", type=int, default=4, help="measure the package's own inference on this many of them")
    parser.add_argument("--repeats", type=int, default=2, help="take the best of this many runs, which say the same")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), nargs="+", default=["fp32"])
    parser.add_argument("--mean-s", type=float, help="stretch the utterances to this mean (default: as in the corpus)")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--source", help="use this clone of CosyVoice (default: the installed package)")
    parser.add_argument(
        "--soak", type=int, metavar="UTTERANCES", help="print the memory over this many utterances, and no speeds"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not has_gpu():
        print("not measured: torch sees no GPU")
    elif arguments.soak:
        soak(arguments)
    else:
        run(arguments)


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


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
        fields = {"source": arguments.source, "precision": arguments.precision[0]}
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
    modules = random_model(arguments.version, size_of(arguments), arguments.source)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"CosyVoice v{arguments.version} {arguments.size}, {where}, torch {torch.__version__}")
    most = max(arguments.utterances, *arguments.batch, arguments.own)
    spoken, hz = turns(arguments.version, most, arguments.mean_s), TOKENS_HZ[arguments.version]
    print(f"utterances of {audio_s(spoken, hz) / most:.1f} s on average, their clips of {clips_s(spoken, hz):.1f} s")
    results: dict[str, Any] = {"device": where, "options": {k: str(v) for k, v in vars(arguments).items()}}
    own: dict[Precision, float] = {}
    for precision in arguments.precision:
        own_precision: Precision = "fp32" if precision == "bf16" else precision  # the package has no bf16
        if own_precision not in own:
            own[own_precision] = package_rate(modules, own_precision, spoken[: arguments.own], device, arguments)
            print(f"the package in {own_precision}, one at a time: {own[own_precision]:6.2f} audio-seconds per second")
        parts = assembled(own_modules(modules), precision, device, arguments.version)
        results[precision] = measure(parts, precision, spoken, own[own_precision], arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def own_modules(modules: dict[str, Any]) -> dict[str, Any]:
    """A copy, as each precision converts its weights."""
    return modules | {name: copy.deepcopy(modules[name]) for name in ("llm", "flow", "hift")}


def assembled(modules: dict[str, Any], precision: Precision, device: "torch.device", version: int) -> Parts:
    return assemble(modules, None, version, configurations.RATE_HZ[version], device, precision)


def package_rate(
    modules: dict[str, Any],
    precision: Precision,
    spoken: Sequence[Turn],
    device: "torch.device",
    arguments: argparse.Namespace,
) -> float:
    """Audio-seconds per second of the package's own inference."""
    own = own_modules(modules)
    parts = assembled(own, precision, device, arguments.version)
    one_at_a_time(own, parts, spoken[:1])  # the first run sets up libraries
    best = min(one_at_a_time(own, parts, spoken) for _ in range(arguments.repeats))
    return audio_s(spoken, TOKENS_HZ[arguments.version]) / best


def measure(
    parts: Parts, precision: Precision, spoken: Sequence[Turn], own: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Print a row for each batch size, beside the package's own audio-seconds per second."""
    import torch

    on_gpu, hz = parts.device.type == "cuda", TOKENS_HZ[parts.version]
    print(f"{precision}\nbatch   audio-s/s   first   x the package   llm    flow   vocoder   peak GiB   twice the same")
    results: dict[str, Any] = {"own": own}
    for batch in arguments.batch:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        chosen = spoken[: max(arguments.utterances, batch)]
        # The first run makes the graphs of this batch size, and chooses kernels for its lengths.
        (first, digest), *runs = (batched(parts, chosen, batch) for _ in range(arguments.repeats + 1))
        spent = min((seconds for seconds, _ in runs), key=lambda seconds: sum(seconds.values()))
        is_same = all(other == digest for _, other in runs)
        total = sum(spent.values())
        rate, at_first = (audio_s(chosen, hz) / sum(seconds.values()) for seconds in (spent, first))
        peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan")
        shares = "  ".join(f"{share / total:5.1%}" for share in spent.values())
        row = f"{batch:5}   {rate:9.2f}   {at_first:5.2f}   {rate / own:13.2f}   {shares}   {peak:8.1f}"
        print(f"{row}   {'yes' if is_same else 'NO'}", flush=True)
        results[str(batch)] = {
            "audio_seconds_per_second": rate,
            "at_first": at_first,
            "spent_s": spent,
            "peak_gib": peak,
            "twice_the_same": is_same,
        }
    if precision in WANTED:
        print(f"wanted on one H100 at the best batch: {WANTED[precision]} audio-s/s, and twice the same bytes")
    return results


def clips_s(spoken: Sequence[Turn], hz: int) -> float:
    """The mean length of the clip before an utterance."""
    return sum(len(turn.prompt.tokens) for turn in spoken) / hz / len(spoken)


def audio_s(spoken: Sequence[Turn], hz: int) -> float:
    return sum(turn.tokens for turn in spoken) / hz


if __name__ == "__main__":
    main()
