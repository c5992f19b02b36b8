"""What the quality gate takes, what it rejects, and what it costs beside synthesis by Kokoro.

    python -m benchmarks.gate SHAPE:FILE [SHAPE:FILE ...] --work WORK --whisper FOLDER [--judge FOLDER] [--device cuda]

Turns of each source, read out by the rules, are spoken by the training voices in turn. A recogniser that rejects what
it does not understand lowers its own word error rate in any case: `--judge` is a second one, which only listens.
WORK stores the speech, so that other thresholds can be tried on it. Processor time, one thread; `--batches` also prints
the clock's.
"""

import argparse
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from duplexgen.pipeline.audio.trim import trim
from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.measures.judge import MEASURE_HZ, at_measure_rate
from duplexgen.pipeline.measures.transcript import Device, Recogniser
from duplexgen.pipeline.measures.words import error_rate, words
from duplexgen.pipeline.rewriting.rewriters import Rewritten
from duplexgen.pipeline.rewriting.rules import RulesRewriter
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.sources import reading as sources
from duplexgen.pipeline.sources.section import Source
from duplexgen.pipeline.speech import section
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.gate import Gate, Quality
from duplexgen.pipeline.speech.gate.gate import THRESHOLDS, GateInput
from duplexgen.pipeline.speech.guard import BadSpeechError
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.speech.speaking import finish
from duplexgen.pipeline.storage.atomic import atomic_path

SPEECH = section.Speech(assistant_voice="af_heart")
PARTITION = 64  # utterances that are judged together, as in a stage
BATCHED, SIZES = 32, (1, 8, 16, 32)  # clips, and how many are decoded together
TIMED = 20  # utterances, about, on which each threshold is timed by itself


@dataclass(frozen=True)
class Judged:
    """One utterance, what the gate says about it, and what the second recogniser hears."""

    text: str
    voice: str
    duration_s: float
    quality: Quality
    problem: str | None
    heard_by_judge: str | None = None

    def error(self, heard: str | None) -> tuple[int, int]:
        """Words wrong, and words spoken."""
        spoken = words(self.text, "en")
        return round(error_rate(spoken, words(heard or "", "en")) * len(spoken)), len(spoken)


def texts(place: str) -> Iterator[str]:
    """Turns of SHAPE:FILE as the rules read them out."""
    shape, _, path = place.partition(":")
    source = Source.model_validate({"name": Path(path).stem or "source", "shape": shape, "path": path})
    rewriter = RulesRewriter(Rewriting())
    for item in sources.read(source, Path.cwd()):
        if isinstance(item, sources.Read):
            (result,) = rewriter.rewrite_all([item.dialogue])
            if isinstance(result, Rewritten):
                yield from (turn.text for turn in result.dialogue.turns)


class Speaker:
    """Speaks with Kokoro. Each utterance is synthesized once, and stored with the time that this took."""

    def __init__(self, work: Path) -> None:
        self.engine = Kokoro(SPEECH)
        self.engine.load()
        self.work = work
        work.mkdir(parents=True, exist_ok=True)

    def speak(self, request: SpeechRequest) -> tuple[Waveform, float]:
        """Waveform and seconds. Raises BadSpeechError if it cannot be spoken, or a guard rejects it."""
        path = self.work / f"{hashlib.sha256(f'{request.voice} {request.text}'.encode()).hexdigest()}.npz"
        if not path.exists():
            started = time.process_time()
            (result,) = self.engine.speak([request])
            spent_s = time.process_time() - started
            if isinstance(result, DialogueRejected):
                raise BadSpeechError(str(result))
            with atomic_path(path) as file, file.open("wb") as stream:
                np.savez(stream, waveform=result.waveform, spent_s=spent_s)
        with np.load(path) as kept:
            waveform, spent_s = kept["waveform"], float(kept["spent_s"])
        finished = finish(RawSpeech(waveform), self.engine.sample_rate, request, SPEECH)
        if isinstance(finished, BadSpeechError):
            raise finished
        return waveform, spent_s


def speak(texts: Sequence[str], work: Path) -> tuple[list[tuple[SpeechRequest, Waveform]], list[str], float]:
    """The utterances that pass the guards, the reasons why others do not, and the seconds of synthesis."""
    kokoro = Speaker(work)
    candidates = kokoro.engine.voices().values()
    voices = sorted(voice.name for voice in candidates if voice.split == "train" and "en" in voice.languages)
    spoken: list[tuple[SpeechRequest, Waveform]] = []
    refused: list[str] = []
    total_s = 0.0
    for number, text in enumerate(texts):
        request = SpeechRequest(text, voices[number % len(voices)], "en", seed=0)
        try:
            waveform, spent_s = kokoro.speak(request)
        except BadSpeechError as error:
            refused.append(f"{error}; {text!r}")
            continue
        spoken.append((request, waveform))
        total_s += spent_s
        print(f"\r{number + 1} of {len(texts)} spoken, {total_s:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    return spoken, refused, total_s


def heard_clip(waveform: Waveform) -> tuple[Waveform, int]:
    """Trimmed speech [samples] at the rate that recognisers want, and that rate."""
    return at_measure_rate(trim(waveform, Kokoro.sample_rate), Kokoro.sample_rate), MEASURE_HZ


def show_batches(spoken: Sequence[tuple[SpeechRequest, Waveform]], whisper: str, device: Device) -> None:
    """Whisper's time on some clips in batches of several sizes, and whether a text depends on its batch."""
    recogniser = Recogniser(whisper, "en", device=device)
    clips = [heard_clip(waveform) for _, waveform in spoken[:: max(1, len(spoken) // BATCHED)][:BATCHED]]
    audio_s = sum(len(samples) for samples, _ in clips) / MEASURE_HZ
    print(f"\ntranscripts of {len(clips)} clips ({audio_s:.0f} s), {recogniser.device}")
    started, spent = time.perf_counter(), time.process_time()
    recogniser.transcribe(clips)
    print(
        f"  with word times    {time.perf_counter() - started:7.1f} s, {time.process_time() - spent:7.1f} of processor"
    )
    alone: list[str] | None = None
    for size in SIZES:
        started, spent = time.perf_counter(), time.process_time()
        texts = recogniser.texts(clips, "en", size)
        alone = alone or texts
        same = sum(one == other for one, other in zip(texts, alone, strict=True))
        spent_s = time.process_time() - spent
        print(
            f"  {size:2} at a time       {time.perf_counter() - started:7.1f} s, {spent_s:7.1f} of processor;", end=" "
        )
        print(f"{same} of {len(clips)} texts as alone")


def listen(
    spoken: Sequence[tuple[SpeechRequest, Waveform]], gate: Gate, judge: Recogniser | None
) -> tuple[list[Judged], float]:
    """Every utterance as the gate judges it, and the seconds that the gate took."""
    judged: list[Judged] = []
    spent_s = 0.0
    for first in range(0, len(spoken), PARTITION):
        some = spoken[first : first + PARTITION]
        started = time.process_time()
        figures = gate.judge_all([GateInput(wave, Kokoro.sample_rate, one.text, one.language) for one, wave in some])
        spent_s += time.process_time() - started
        texts = judge.texts([heard_clip(wave) for _, wave in some], "en") if judge else [None] * len(some)
        for (request, waveform), quality, heard in zip(some, figures, texts, strict=True):
            duration_s = len(waveform) / Kokoro.sample_rate
            judged.append(Judged(request.text, request.voice, duration_s, quality, gate.problem(quality), heard))
        print(f"\r{len(judged)} of {len(spoken)} judged, {spent_s:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    return judged, spent_s


def word_error_rate(judged: Sequence[Judged], by_judge: bool) -> str:
    errors = [one.error(one.heard_by_judge if by_judge else one.quality.heard) for one in judged]
    wrong, spoken = (sum(column) for column in zip(*errors, strict=True)) if errors else (0, 0)
    return f"{wrong / max(1, spoken):6.2%} ({wrong} of {spoken} words)"


def show(judged: Sequence[Judged], refused: Sequence[str], judge: bool) -> None:
    kept = [one for one in judged if one.problem is None]
    print(f"{len(judged) + len(refused)} utterances; {len(refused)} refused by the guards; the gate rejects", end=" ")
    print(f"{len(judged) - len(kept)} of {len(judged)}\n")
    for by_judge in (False, True)[: 1 + judge]:
        print("word error rate by", "the judge, which rejects nothing" if by_judge else "the gate's own recogniser")
        print(f"  without the gate  {word_error_rate(judged, by_judge)}")
        print(f"  with it           {word_error_rate(kept, by_judge)}")
        rejected = [one for one in judged if one.problem]
        print(f"  of the rejected   {word_error_rate(rejected, by_judge)}")
    print("\nfigures: least, 5 %, median, 95 %, most")
    for name in dict.fromkeys(name for one in judged for name in one.quality.figures()):
        values = [one.quality.figures()[name] for one in judged if name in one.quality.figures()]
        print(f"  {name:22}", "  ".join(f"{value:.3f}" for value in np.percentile(values, [0, 5, 50, 95, 100])))
    print("\nrejected")
    for one in judged:
        if one.problem:
            print(f"  {one.problem}\n    said {one.text[:100]!r} ({one.voice})")
    for refusal in refused:
        print(f"  guards: {refusal}")


def cost(spoken: Sequence[tuple[SpeechRequest, Waveform]], spec: section.Gate) -> Iterator[tuple[str, float]]:
    """Processor seconds per second of audio of each threshold by itself, trimming included."""
    timed = spoken[:: max(1, len(spoken) // TIMED)]  # from all sources
    utterances = [GateInput(wave, Kokoro.sample_rate, one.text, one.language) for one, wave in timed]
    audio_s = sum(len(wave) for _, wave in timed) / Kokoro.sample_rate
    for name, threshold in spec:
        if name not in THRESHOLDS or threshold is None:
            continue
        gate = Gate(spec.model_copy(update={other: None for other in THRESHOLDS if other != name}))
        gate.load()
        gate.judge_all(utterances[:1])
        started = time.process_time()
        gate.judge_all(utterances)
        yield name, (time.process_time() - started) / audio_s


def main() -> int:
    parser = argparse.ArgumentParser(description="Kokoro with and without the quality gate.")
    parser.add_argument("source", nargs="+", metavar="SHAPE:FILE", help="speak such texts: ultrachat:dialogues.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="store the speech in this folder")
    parser.add_argument("--whisper", required=True, help="let the gate use this model: a size or a folder")
    parser.add_argument("--judge", help="let this model hear everything as well, and reject nothing")
    parser.add_argument(
        "--count", type=int, default=200, help="speak this many utterances, in equal parts of all sources"
    )
    parser.add_argument("--max-wer", type=float, default=0.2)
    parser.add_argument("--min-dnsmos", type=float, default=2.5)
    parser.add_argument("--max-silence-s", type=float, default=1.0)
    parser.add_argument("--max-repeats", type=int, default=2)
    parser.add_argument("--batches", action="store_true", help="time Whisper alone and in batches, and nothing else")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="run Whisper there, as `speech.gate.num_gpus` does"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every utterance's figures there")
    arguments = parser.parse_args()
    thresholds = {name: getattr(arguments, name) for name in ("max_wer", "min_dnsmos", "max_silence_s", "max_repeats")}
    spec = section.Gate(whisper=arguments.whisper, num_gpus=float(arguments.device == "cuda"), **thresholds)
    try:
        gate = Gate(spec)
        if mistakes := gate.check(frozenset({"en"})):
            raise UserError("\n".join(message for _, message in mistakes))
        gate.load()
        judge = Recogniser(arguments.judge, "en", device=arguments.device) if arguments.judge else None
        each = -(-arguments.count // len(arguments.source))
        turns = [text for place in arguments.source for text in islice(texts(place), each)]
        spoken, refused, synthesis_s = speak(turns[: arguments.count], arguments.work)
        if arguments.batches:
            show_batches(spoken, arguments.whisper, arguments.device)
            return 0
        judged, gate_s = listen(spoken, gate, judge)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    show(judged, refused, judge is not None)
    audio_s = sum(one.duration_s for one in judged)
    print(f"\nprocessor seconds per second of audio, over {audio_s:.0f} s of it")
    print(f"  synthesis      {synthesis_s / audio_s:.3f}\n  gate           {gate_s / audio_s:.3f}")
    for name, seconds in cost(spoken, spec):
        print(f"    {name:13}{seconds:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in judged], indent=1, ensure_ascii=False), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
