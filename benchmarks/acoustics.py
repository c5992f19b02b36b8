"""What effects do to the user's channel, measured on the audio of built data sets beside the values in their rows.

    python -m benchmarks.acoustics [--limit 12] [--out out/acoustics]

Builds the scenario natural from the same speech without effects and with each of them, and measures the difference.
After a kill, the same command continues. Exits with 1 if a wanted figure is missed. See benchmarks/README.md.
"""

import argparse
import io
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import welch

from benchmarks.bench import Bench
from benchmarks.listen import Line, show
from duplexgen.pipeline.acoustics.gain import utterances
from duplexgen.pipeline.acoustics.levels import level_db
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.rows import read_events
from duplexgen.pipeline.dialogue import Timeline

RECIPE = "natural"
EFFECTS: dict[str, dict[str, Any]] = {
    "gain": {},
    "noise": {"silence_probability": 0.0},
    "bursts": {"per_minute": 10},
    "leak": {"probability": 1.0, "gain": [0.05, 0.2]},
    "room": {},
    "telephone": {},
}
LEVEL_DB, FACTOR, DECAY, SABINE = (
    0.1,
    0.01,
    0.1,
    0.3,
)  # how far a figure may be from what its row says; shares but the first
OUTSIDE_DB = 20  # so much weaker than inside is what lies outside of the telephone's band
LOW_HZ, INSIDE_HZ, HIGH_HZ = 200, (400, 3200), 3900

Row = dict[str, Any]
Drawn = Mapping[str, Mapping[int | None, float]]
Signal = NDArray[np.float64]


@dataclass
class Errors:
    """How far what is measured lies from what the row says, at most."""

    largest: float = 0.0
    count: int = 0

    def add(self, error: float) -> None:
        self.largest, self.count = max(self.largest, abs(error)), self.count + 1

    def line(self, title: str, wanted: float, unit: str) -> Line:
        scale, digits = (100, 1) if unit == "%" else (1, 2)
        if not self.count:
            return Line(title, "none", f"<= {wanted * scale:g} {unit}", None)
        measured = f"{self.largest * scale:.{digits}f} {unit}"
        return Line(
            title, measured, f"<= {wanted * scale:g} {unit}", self.largest <= wanted, f"largest of {self.count}"
        )


@dataclass
class Measured:
    """Over all dialogues."""

    errors: dict[str, Errors] = field(default_factory=lambda: defaultdict(Errors))
    assistants: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))  # by effect: as without it?


def drawn(row: Row, effect: str) -> dict[str, dict[int | None, float]]:
    """The values of an effect in a row: by quantity, then by the number of the event or the clip."""
    values: dict[str, dict[int | None, float]] = defaultdict(dict)
    for one in row["acoustics"] or ():
        parts = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", one["quantity"])
        assert parts
        name, number = parts.groups()
        if one["effect"] == effect:
            values[name][None if number is None else int(number)] = one["value"]
    return values


def correlation(sound: Signal, of: Signal) -> Signal:
    """Of two signals [samples], by how many samples the first is later: 0 and up, then negative numbers."""
    size = 2 * len(of)
    return np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(of, size)), size)


def deconvolved(dry: Signal, wet: Signal, length: int) -> Signal:
    """The impulse response [length] between two signals [samples]."""
    size = 2 * len(dry)
    spectrum = np.fft.rfft(dry, size)
    power = np.abs(spectrum) ** 2
    response = np.fft.irfft(np.fft.rfft(wet, size) * np.conj(spectrum) / (power + 1e-5 * power.mean()), size)
    return response[:length]


def decay_s(response: Signal, rate: int) -> float:
    """T60 of a response by Schroeder's integral, from its decay between -5 and -25 dB, in seconds."""
    start = int(np.argmax(np.abs(response)))
    energy = np.cumsum(response[start:][::-1] ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0])
    first, last = (int(np.argmax(level <= below)) for below in (-5, -25))
    slope = np.polyfit(np.arange(first, last) / rate, level[first:last], 1)[0]
    return float(-60 / slope)


@dataclass(frozen=True)
class Pair:
    """A dialogue without and with an effect. Signals [samples], in [-1, 1]."""

    dry: Signal
    wet: Signal
    assistant: Signal
    timeline: Timeline
    rate: int
    drawn: Drawn

    @property
    def added(self) -> Signal:
        return self.wet - self.dry


def gain(pair: Pair, errors: Mapping[str, Errors]) -> None:
    for event, start, end in utterances(pair.timeline):
        if event not in pair.drawn["gain_db"] or event in pair.drawn["limited_samples"]:
            continue
        change_db = level_db(pair.wet[start:end]) - level_db(pair.dry[start:end])
        errors["gain"].add(change_db - pair.drawn["gain_db"][event])


def noise(pair: Pair, errors: Mapping[str, Errors]) -> None:
    of = pair.drawn
    if None in of["limited_samples"]:
        return
    for number, level in of["level_db"].items():
        start = int(of["start_sample"][number])
        errors["noise"].add(level_db(pair.added[start : start + int(of["samples"][number])]) - level)
    spoken = np.concatenate([np.arange(start, end) for _, start, end in utterances(pair.timeline)])
    snr_db = level_db(pair.dry[spoken]) - level_db(pair.added[spoken])
    errors["snr"].add(snr_db - of["snr_db"][None])


def bursts(pair: Pair, errors: Mapping[str, Errors]) -> None:
    of = pair.drawn
    if None in of["limited_samples"]:
        return
    spans = {number: (int(start), int(of["end_sample"][number])) for number, start in of["start_sample"].items()}
    for number, (start, end) in spans.items():
        if not any(start < last and first < end for other, (first, last) in spans.items() if other != number):
            errors["bursts"].add(level_db(pair.added[start:end]) - of["level_db"][number])
    quiet = np.ones(len(pair.added), np.bool_)
    for start, end in spans.values():
        quiet[start:end] = False
    errors["between"].add(float(np.count_nonzero(pair.added[quiet])))


def leak(pair: Pair, errors: Mapping[str, Errors]) -> None:
    of = pair.drawn
    likeness = correlation(pair.added, pair.assistant)
    delay = int(np.argmax(likeness))
    errors["delay"].add(delay - of["delay_samples"][None])
    if None not in of["limited_samples"]:
        heard = pair.assistant[: len(pair.assistant) - delay]
        errors["factor"].add(likeness[delay] / np.dot(heard, heard) / of["gain"][None] - 1)


def room(pair: Pair, errors: Mapping[str, Errors]) -> None:
    measured_s = decay_s(deconvolved(pair.dry, pair.wet, pair.rate), pair.rate)
    errors["decay"].add(measured_s / pair.drawn["measured_t60_s"][None] - 1)
    errors["sabine"].add(measured_s / pair.drawn["t60_s"][None] - 1)


def telephone(pair: Pair, errors: Mapping[str, Errors]) -> None:
    """What lies outside of the band is weaker by so many dB, at least, than it was beside what lies inside."""
    shares_db = []
    for sound in (pair.dry, pair.wet):
        hz, power = welch(sound, pair.rate, nperseg=2048)
        outside = power[(hz > 0) & (hz < LOW_HZ) | (hz > HIGH_HZ)].sum()
        inside = power[(hz > INSIDE_HZ[0]) & (hz < INSIDE_HZ[1])].sum()
        shares_db.append(10 * np.log10(outside / inside))
    errors["outside"].add(max(0.0, OUTSIDE_DB - (shares_db[0] - shares_db[1])))


MEASURES: dict[str, Callable[[Pair, Mapping[str, Errors]], None]] = {
    "gain": gain,
    "noise": noise,
    "bursts": bursts,
    "leak": leak,
    "room": room,
    "telephone": telephone,
}


def pairs(clean: Path, changed: Path, effect: str) -> Iterator[tuple[Pair, bool]]:
    """Dialogues without and with the effect, and whether the assistant's channel is the same."""
    for row, other in zip(Dataset(clean).rows(), Dataset(changed).rows(), strict=True):
        assert row["dialogue_id"] == other["dialogue_id"] and row["events"] == other["events"]
        without, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        with_it, _ = soundfile.read(io.BytesIO(other["audio"]["bytes"]), dtype="int16")
        dry, wet, assistant = (samples / 32768 for samples in (without[:, 0], with_it[:, 0], without[:, 1]))
        timeline = Timeline(read_events(row["events"]), len(without))
        pair = Pair(dry, wet, assistant, timeline, rate, defaultdict(dict, drawn(other, effect)))
        yield pair, without[:, 1].tobytes() == with_it[:, 1].tobytes()


def table(measured: Measured) -> Iterator[Line]:
    errors = measured.errors
    yield errors["gain"].line("gain of an utterance", LEVEL_DB, "dB")
    yield errors["noise"].line("noise: level of a clip", LEVEL_DB, "dB")
    yield errors["snr"].line("noise: user's speech against noise", LEVEL_DB, "dB")
    yield errors["bursts"].line("bursts: level of a burst", LEVEL_DB, "dB")
    yield errors["between"].line("bursts: between them, changed", 0, "samples")
    yield errors["delay"].line("leak: delay by cross-correlation", 0, "samples")
    yield errors["factor"].line("leak: factor", FACTOR, "%")
    yield errors["decay"].line("room: T60 by decay, against the response's", DECAY, "%")
    yield errors["sabine"].line("room: T60 by decay, against the drawn one", SABINE, "%")
    yield errors["outside"].line(f"telephone: outside of the band, short of -{OUTSIDE_DB} dB", 0, "dB")
    for effect, same in measured.assistants.items():
        title = f"assistant's channel the same bytes, {effect}"
        yield Line(title, str(sum(same)), "all", all(same), f"of {len(same)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/acoustics"), help="write everything to this folder")
    parser.add_argument("--limit", type=int, default=12, help="build the first N dialogues only")
    arguments = parser.parse_args()
    bench, measured = Bench(arguments.out.resolve(), 1), Measured()
    bench.out.mkdir(parents=True, exist_ok=True)
    audio = {"extends": RECIPE, "output": {"audio": "flac"}}
    bench.build("clean", audio, arguments.limit)
    for effect, keys in EFFECTS.items():
        bench.build(effect, audio | {"acoustics": [{"effect": effect, **keys}]}, arguments.limit)
        for pair, same in pairs(bench.out / "clean", bench.out / effect, effect):
            measured.assistants[effect].append(same)
            if pair.drawn:
                MEASURES[effect](pair, measured.errors)
    lines = list(table(measured))
    show(lines)
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
