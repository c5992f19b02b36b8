"""How fast is everything but synthesis, what does it spend its time on, and what does the Kokoro stage add?

    python -m benchmarks.throughput [--only turn_taking natural acoustics]

One thread, processor time, the sample corpus. Everything but synthesis is: rewriting, reading the speech artefact
(FLAC), resampling, timing, composing, tokenizing both channels, the sequence, FLAC of the track, Parquet with its
checksum and fsync, and joining the shards. Trimming and levelling belong to the voice stage, which is measured beside
a bare onnxruntime loop over the same phonemes, taking turns with it.
"""

import argparse
import cProfile
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import pstats
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soxr

from benchmarks.floor import measure_floor
from benchmarks.replay import register, replayed_recipe
from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.commands.build import Build, prepare
from duplexgen.pipeline.dataset.finish import group_shards, measured, write_shard
from duplexgen.pipeline.dataset.recipe import Output
from duplexgen.pipeline.dataset.statistics import Statistics
from duplexgen.pipeline.making.stage import Account, Stage, run_partition
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.stages.rows import read_speech_row
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.storage.partitions import PartitionFolder

SCENARIOS = ("turn_taking", "interruption", "natural")
ACOUSTICS, KOKORO = "acoustics", "kokoro"
PARTS = (*SCENARIOS, ACOUSTICS, KOKORO)
EFFECTS = ("gain", "room", "leak", "noise", "bursts", "telephone")
WANTED_COST = 2
ROUNDS = 4
KOKORO_DIALOGUES = 8  # after one to warm up
PROFILE_LINES = 14
WANTED_HOURS, WANTED_RATIO = 300, 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure only these")
    only = parser.parse_args().only
    register()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measured = [Measured(folder / name, name) for name in PARTS if name in only and name != KOKORO]
        for _ in range(ROUNDS):  # in turn, so that whatever else the machine does slows all of them down
            for one in measured:
                one.make()
        for one in measured:
            one.report()
        first = measured[0] if measured else None
        if first and first.name == "turn_taking":
            print("processor time of an hour of dialogue beside that of turn_taking")
            for one in measured:
                wanted = f"   (wanted: at most {WANTED_COST})" if one.name == ACOUSTICS else ""
                print(f"  {one.title:24} {one.hour_s / first.hour_s:8.2f}{wanted}")
        if KOKORO in only:
            kokoro_beside_bare_loop(folder)


class Measured:
    """What everything but synthesis costs, for a scenario, or for `natural` with all effects."""

    def __init__(self, folder: Path, name: str) -> None:
        """Speak, and make all of it once: what is loaded, or kept for later dialogues, costs no round any time."""
        self.name, self.folder = name, folder
        self.effects: tuple[str, ...] = EFFECTS if name == ACOUSTICS else ()
        scenario = "natural" if name == ACOUSTICS else name
        self.title = "natural, all acoustics" if name == ACOUSTICS else name
        self.hours, self.spent_s, self.round = 0.0, 0.0, 0
        folder.mkdir()
        recipe, base = checking.load(str(replayed_recipe(folder, scenario, 20, effects=self.effects)))
        self.build = prepare(recipe, base, folder / "work", None, Display())
        speak(self.build)
        for stage in self.build.stages:
            stage.load(folder)
        make_all(self.build, folder / "warm")

    @property
    def hour_s(self) -> float:
        """Processor seconds of an hour of dialogue."""
        return self.spent_s / self.hours

    def make(self) -> None:
        """A round that is measured."""
        started = time.process_time()
        statistics = make_all(self.build, self.folder / f"round-{self.round}")
        self.spent_s += time.process_time() - started
        self.hours += total_hours(statistics)
        self.round += 1

    def report(self) -> None:
        """Print the figures, and a profile of one more round, as profiling costs time."""
        profile = cProfile.Profile(time.process_time)
        profile.enable()
        make_all(self.build, self.folder / "profile")
        profile.disable()
        rate = self.build.recipe.output.sample_rate
        utterances = [
            soxr.resample(utterance.waveform, utterance.sample_rate, rate)
            for row in self.build.folders[1].read(0).to_pylist()
            for utterance in read_speech_row(row).utterances
        ]
        effects = f": {', '.join(self.effects)}" if self.effects else ""
        print(f"{self.title}{effects}: audio-hours of dialogue per core-hour, {rate // 1000} kHz, with FLAC and codes")
        print(f"  everything but synthesis {3600 / self.hour_s:8,.0f}   (wanted: at least {WANTED_HOURS})")
        print(f"  mix + FLAC alone         {measure_floor(utterances, rate):8,.0f}")
        print(f"  processor seconds of an hour of dialogue {self.hour_s:.1f}")
        print_profile(profile)


def speak(build: Build) -> None:
    """Run the stages script and speech."""
    sources = (build.plan.folder, build.folders[0])
    for stage, source, target in zip(build.stages[:2], sources, build.folders[:2], strict=True):
        stage.load(target.path.with_suffix(".scratch"))
        for number in build.plan.partitions:
            target.write(number, *run_partition(stage, source.read(number)))


def make_all(build: Build, folder: Path) -> Statistics:
    """Run the stages script, tracks and sequences, and write shards, as workers do, without Ray."""
    script, tracks, data = (PartitionFolder(folder / name) for name in ("script", "tracks", "sequences"))
    steps: list[tuple[Stage, PartitionFolder, PartitionFolder]] = [
        (build.stages[0], build.plan.folder, script),
        (build.stages[2], build.folders[1], tracks),
        (build.stages[3], tracks, data),
    ]
    for stage, source, target in steps:
        for number in build.plan.partitions:
            target.write(number, *run_partition(stage, source.read(number)))
    shards = group_shards(data, build.plan.partitions, Output().shard_mb * 1_000_000)
    for shard in shards:
        write_shard(shard, data, folder / "out", build.sequences.schema)
    files = [folder / "out" / shard.file for shard in shards]
    return measured(files, build.kind, build.sequences.layout, build.sequences.sample_rate, lambda _: None)


def total_hours(statistics: Statistics) -> float:
    tally = statistics.get("dialogue_s")
    assert tally is not None, "no dialogue was built"
    return tally.total / 3600


def print_profile(profile: cProfile.Profile) -> None:
    entries = pstats.Stats(profile).get_stats_profile()
    total_s = entries.total_tt
    print(f"  of {total_s:.1f} s with the profiler on, by function (its own time):")
    by_own_time = sorted(entries.func_profiles.items(), key=lambda item: -item[1].tottime)
    for name, entry in by_own_time[:PROFILE_LINES]:
        print(f"    {entry.tottime / total_s:6.1%}  {Path(entry.file_name).name}: {name}")


@dataclass(frozen=True, slots=True)
class Recorder:
    """An onnxruntime session that remembers what it was asked to run."""

    session: Any
    calls: list[tuple[Any, Any]] = field(default_factory=list)

    def run(self, outputs: Any, inputs: Any) -> Any:
        self.calls.append((outputs, inputs))
        return self.session.run(outputs, inputs)


def kokoro_beside_bare_loop(folder: Path) -> None:
    """Time the voice stage on real dialogues, in turn with a loop that only runs the network on the same input."""
    recipe, base = checking.load("turn_taking")
    build = prepare(recipe, base, folder / "kokoro", 1 + KOKORO_DIALOGUES, Display())
    stage = SpeechStage(recipe.speech, recipe.seed)
    stage.load(folder)
    assert isinstance(stage.engine, Kokoro), "the recipe that ships speaks with Kokoro"
    recorder = stage.engine._session = Recorder(stage.engine._session)
    rows = [row for number in build.plan.partitions for row in build.plan.folder.read(number).to_pylist()]
    build.stages[0].load(folder)
    rows = build.stages[0].process(rows, Account("script"))
    stage.process(rows[:1], Account("speech"))
    recorder.calls.clear()
    stage_s = bare_s = audio_s = 0.0
    for row in rows[1:]:
        started = time.process_time()
        spoken = stage.process([row], Account("speech"))
        stage_s += time.process_time() - started
        utterances = read_speech_row(spoken[0]).utterances
        audio_s += sum(len(utterance.waveform) / utterance.sample_rate for utterance in utterances)
        started = time.process_time()
        for outputs, inputs in recorder.calls:
            recorder.session.run(outputs, inputs)
        bare_s += time.process_time() - started
        recorder.calls.clear()
    print(f"Kokoro, {audio_s:.0f} s of speech: processor seconds per second of speech")
    print(f"  voice stage              {stage_s / audio_s:8.3f}")
    print(f"  bare onnxruntime loop    {bare_s / audio_s:8.3f}")
    print(f"  ratio                    {stage_s / bare_s:8.3f}   (wanted: at most {WANTED_RATIO})")


if __name__ == "__main__":
    main()
