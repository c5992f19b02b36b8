"""Listens to what happens in a data set of the scenario natural: measures its audio beside what its rows say.

    python -m benchmarks.events DATASET [--work WORK] [--limit N]

Pauses, asides, interruptions and third voices. With --work, the folder of the build's stages, each dialogue is made
once more from the stored speech without the asides that are said during replies: the assistant's channel must be the
same. Exits with 1 if a wanted figure is missed. See benchmarks/README.md.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.hearing import HEARING_HZ, SpeakerEncoder, VoiceActivity
from benchmarks.listen import Line, show
from benchmarks.listening import decode, rows
from benchmarks.word_times import Aligner
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.rows import read_events
from duplexgen.pipeline.dialogue import ASIDES, BYSTANDER, SILENCE_REQUEST, Event, Waveform
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making.stage import run_partition
from duplexgen.pipeline.stages.rows import SPEECH
from duplexgen.pipeline.stages.tracks import TracksStage

TOLERANCE_S = 0.1  # of an edge that is found on audio
SILENT = 1e-4  # of an amplitude of 1
LONG_SILENCE_S = 0.5  # so long an assistant that goes on is not silent, unless its own words have the silence
WANTED_ALIGNED = 0.95  # of pauses: the aligner errs, too

Row = dict[str, Any]
Segment = tuple[float, float]  # seconds


@dataclass
class Tally:
    """How many of some things are as they should be, and which are not."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, is_right: bool, what: str) -> None:
        if is_right:
            self.right += 1
        else:
            self.wrong.append(what)

    def line(self, title: str, least: float = 1.0) -> Line:
        total = self.right + len(self.wrong)
        wanted = "all" if least == 1.0 else f">= {least:.0%}"
        if not total:
            return Line(title, "none", wanted, None)
        detail = f"of {total}" + (f"; not {', '.join(self.wrong[:3])}" if self.wrong else "")
        return Line(title, str(self.right), wanted, self.right >= least * total, detail)


@dataclass(frozen=True)
class Heard:
    """One dialogue: its events in seconds of its audio, and where there is speech on each channel."""

    id: str
    row: Row
    events: tuple[Event, ...]
    tracks: NDArray[np.float32]  # [2, samples] at HEARING_HZ
    rate: int  # that events count in
    speech: tuple[list[Segment], list[Segment]]

    def s(self, sample: int) -> float:
        return sample / self.rate

    def name(self, index: int) -> str:
        return f"{self.id} event {index}"

    def sound(self, channel: int, start_s: float, end_s: float) -> Waveform:
        return self.tracks[channel, round(start_s * HEARING_HZ) : round(end_s * HEARING_HZ)]

    def speech_s(self, channel: int, start_s: float, end_s: float) -> float:
        """How much speech there is within a span, in seconds."""
        return sum(max(0.0, min(end, end_s) - max(start, start_s)) for start, end in self.speech[channel])


class EventListener:
    """Listens to rows, and adds up what it measures. recipe: of the data set."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.timing = recipe, recipe.timing
        self.activity, self.speakers, self.aligner = VoiceActivity(), SpeakerEncoder(), Aligner()
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.not_aligned = 0
        self.reactions_s: list[float] = []
        self.voices: dict[str, list[Waveform]] = defaultdict(list)  # of the user's own turns
        self.strangers: list[tuple[str, str, Waveform]] = []  # of bystanders: which event, the user's voice, its speech

    def listen(self, row: Row) -> None:
        tracks, rate = decode(row["audio"], row["dialogue_id"])
        user, assistant = (
            [(start / HEARING_HZ, end / HEARING_HZ) for start, end in self.activity.segments(track)] for track in tracks
        )
        heard = Heard(row["dialogue_id"], row, read_events(row["events"]), tracks, rate, (user, assistant))
        for index, event in enumerate(heard.events):
            if event.pauses:
                self._pauses(heard, index, event)
            if event.kind in ASIDES and event.channel == "user":
                self._aside(heard, index, event)
            if event.cut_by is not None:
                self._stop(heard, index, event, heard.events[event.cut_by])
            self._voice(heard, index, event)

    def _pauses(self, heard: Heard, index: int, event: Event) -> None:
        start_s, end_s = heard.s(event.start_sample), heard.s(event.end_sample)
        words = self.aligner.spans(heard.sound(0, start_s, end_s), heard.row["events"][index]["text"], HEARING_HZ)
        self.not_aligned += words is None
        for pause in event.pauses:
            first, past = heard.s(pause.start_sample), heard.s(pause.end_sample)
            if not self.recipe.acoustics:
                measured_s = _silence_around(heard.tracks[0], (first + past) / 2)
                self.tallies["length"].add(abs(measured_s - (past - first)) <= TOLERANCE_S, heard.name(index))
            if words is not None:
                within = [min(end, past - start_s) - max(start, first - start_s) for start, end in words]
                self.tallies["words"].add(max(within) <= TOLERANCE_S, heard.name(index))

    def _aside(self, heard: Heard, index: int, event: Event) -> None:
        start_s, end_s = heard.s(event.start_sample), heard.s(event.end_sample)
        self.tallies["aside heard"].add(heard.speech_s(0, start_s, end_s) > 0, heard.name(index))
        replies = [one for one in heard.events if one.channel == "assistant" and one.kind not in ASIDES]
        during = [one for one in replies if one.start_sample <= event.start_sample < one.end_sample]
        if not during:
            return
        (reply,) = during
        until_s = min(end_s + 2, heard.s(reply.end_sample))
        silences = [
            (max(start_s, before[1]), min(until_s, after[0]))
            for before, after in pairwise([(0.0, 0.0), *heard.speech[1], (np.inf, np.inf)])
        ]
        own = _gaps(heard, reply)
        goes_on = all(
            past - first < LONG_SILENCE_S
            or any(start - TOLERANCE_S <= first and past <= end + TOLERANCE_S for start, end in own)
            for first, past in silences
        )
        self.tallies["goes on"].add(goes_on and heard.speech_s(1, start_s, end_s) > 0, heard.name(index))

    def _stop(self, heard: Heard, index: int, reply: Event, barge_in: Event) -> None:
        began_s = heard.s(barge_in.start_sample)
        starts = [start for start, end in heard.speech[0] if end > began_s]
        heard_s = min(starts, key=lambda start: abs(start - began_s), default=np.inf)
        self.tallies["barge-in heard"].add(abs(heard_s - began_s) <= 2 * TOLERANCE_S, heard.name(index))
        later = [one for one in heard.events if one.start_sample > barge_in.start_sample]
        resumes_s = min(
            (heard.s(one.start_sample) for one in later if one.channel == "assistant"),
            default=heard.tracks.shape[1] / HEARING_HZ,
        )
        sounding = _sounding(heard.sound(1, began_s, resumes_s - 0.01))
        reaction_s = float(sounding[-1]) / HEARING_HZ if len(sounding) else 0.0
        self.reactions_s.append(reaction_s)
        wanted = self.timing.reaction_delay_s  # type: ignore[attr-defined]
        in_time = wanted.low - TOLERANCE_S <= reaction_s <= wanted.high + TOLERANCE_S
        self.tallies["stops"].add(in_time, f"{heard.name(index)}, {reaction_s:.2f} s")
        if barge_in.kind == SILENCE_REQUEST:
            next_turns = [one for one in later if one.channel == "user" and one.kind not in ASIDES]
            until_s = heard.s(next_turns[0].start_sample) if next_turns else heard.tracks.shape[1] / HEARING_HZ
            after = heard.sound(1, heard.s(reply.end_sample) + TOLERANCE_S, until_s)
            self.tallies["silenced"].add(not _sounding(after).size, heard.name(index))

    def _voice(self, heard: Heard, index: int, event: Event) -> None:
        if event.channel != "user":
            return
        sound = heard.sound(0, heard.s(event.start_sample), heard.s(event.end_sample))
        users = next(one["voice"] for one in heard.row["events"] if one["channel"] == "user")
        if event.kind == BYSTANDER:
            self.strangers.append((heard.name(index), users, sound))
        elif event.kind not in ASIDES:
            self.voices[users].append(sound)

    def compare_voices(self) -> None:
        """Whether each bystander is nearer to another voice of the set than to the user beside whom it is heard."""
        if not self.strangers or len(self.voices) < 2:
            return
        own = {name: self.speakers.embed(np.concatenate(sounds)) for name, sounds in self.voices.items()}
        for name, user, sound in self.strangers:
            embedding = self.speakers.embed(sound)
            nearest = max(float(embedding @ other) for voice, other in own.items() if voice != user)
            cosine = float(embedding @ own[user])
            self.tallies["bystander"].add(cosine < nearest, f"{name}, {cosine:.2f} and {nearest:.2f}")


def _gaps(heard: Heard, reply: Event) -> list[Segment]:
    """Silence between the words of a reply, and before and after them; all of it, if their times are not known."""
    edges = [(reply.start_sample, reply.start_sample), (reply.end_sample, reply.end_sample)]
    words = [(word.start_sample, word.end_sample) for word in reply.words or ()]
    return [(heard.s(end), heard.s(start)) for (_, end), (start, _) in pairwise([edges[0], *words, edges[1]])]


def _sounding(sound: Waveform) -> NDArray[np.intp]:
    """The samples that are not digitally silent, but for what a resampler leaves there."""
    return np.flatnonzero(np.abs(sound) > SILENT)


def _silence_around(track: Waveform, at_s: float) -> float:
    """How long the digital silence around a moment is, in seconds."""
    at, sounding = round(at_s * HEARING_HZ), _sounding(track)
    place = int(np.searchsorted(sounding, at))
    if place < len(sounding) and sounding[place] == at:
        return 0.0
    before = sounding[place - 1] if place else -1
    after = sounding[place] if place < len(sounding) else len(track)
    return float(after - before - 1) / HEARING_HZ


class Remaker:
    """Makes dialogues again from stored speech, with and without what is said during replies."""

    def __init__(self, recipe: Recipe, work: Path) -> None:
        self.stage = TracksStage(recipe)
        self.stage.load(work)
        self.speech: dict[str, list[Row]] = defaultdict(list)  # by id; several where the folder has several speeches
        for file in sorted(work.glob("speech-*/*.parquet")):
            if set(SPEECH.names) <= set(pq.read_schema(file).names):
                for row in pq.read_table(file).to_pylist():
                    self.speech[row["dialogue_id"]].append(row)
        if not self.speech:
            raise UserError(f"{work}: expected speech-…/*.parquet there: the folder --work of the build")

    def check(self, row: Row, tally: Tally) -> None:
        """Whether the assistant's channel of a row is as without the user's asides during replies."""
        stored, _ = decode(row["audio"], row["dialogue_id"])
        asides = [event for event in row["events"] if _is_users_aside(event["channel"], event["kind"])]
        replies = [event for event in row["events"] if event["channel"] == "assistant"]
        after = {
            aside["text"]
            for aside in asides
            if not any(one["start_sample"] <= aside["start_sample"] < one["end_sample"] for one in replies)
        }
        if not [event for event in asides if event["text"] not in after]:
            return
        for speech in self.speech[row["dialogue_id"].split("~")[0]]:
            whole = self._tracks(speech, row["dialogue_id"])
            if whole is not None and np.array_equal(whole, stored):
                without = self._tracks(_without(speech, after), row["dialogue_id"])
                same = without is not None and np.array_equal(without[1], stored[1]) and (without[0] != stored[0]).any()
                tally.add(same, row["dialogue_id"])
                return
        tally.add(False, f"{row['dialogue_id']}, whose speech is not in the folder")

    def _tracks(self, speech: Row, dialogue_id: str) -> NDArray[np.float32] | None:
        table, _ = run_partition(self.stage, pa.Table.from_pylist([speech], schema=SPEECH))
        audio = [decode(row["audio"], dialogue_id)[0] for row in table.to_pylist() if row["dialogue_id"] == dialogue_id]
        return audio[0] if audio else None


def _is_users_aside(channel: str, kind: str) -> bool:
    return channel == "user" and kind in ASIDES


def _without(speech: Row, after: set[str]) -> Row:
    """Speech without the user's asides, but for the groups of which one is said after its reply: these move turns."""
    kept: list[Row] = []
    for is_aside, group in groupby(speech["utterances"], lambda one: _is_users_aside(one["role"], one["kind"])):
        utterances = list(group)
        if not is_aside or any(one["text"] in after for one in utterances):
            kept += utterances
    return speech | {"utterances": kept}


def table(listener: EventListener, remade: Tally | None) -> Iterator[Line]:
    tallies, wanted = listener.tallies, listener.timing.reaction_delay_s  # type: ignore[attr-defined]
    if listener.recipe.acoustics:
        yield Line("pauses silent, as long as their rows say", "skipped: the channel has effects", "all", None)
    else:
        yield tallies["length"].line(f"pauses silent, as long as their rows say, ± {TOLERANCE_S:g} s")
    yield tallies["words"].line("pauses with no word of pocketsphinx's in them", WANTED_ALIGNED)
    yield Line("  turns that it cannot align", str(listener.not_aligned), "", None)
    yield tallies["aside heard"].line("asides of the user's with voice activity")
    yield tallies["goes on"].line("asides during which the assistant goes on")
    if remade is None:
        yield Line("  its channel is the same without them", "skipped: needs --work", "all", None)
    else:
        yield remade.line("  its channel is the same without them")
    yield tallies["barge-in heard"].line("barge-ins with voice activity from their start")
    yield tallies["stops"].line(
        f"silent after a barge-in until the next reply, from {wanted.low:g} to {wanted.high:g} s ± {TOLERANCE_S:g}"
    )
    yield tallies["silenced"].line("after a silence request, until the user's next turn")
    yield tallies["bystander"].line("bystanders nearer to another voice than the user's")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the events of a data set on its audio.")
    parser.add_argument("dataset", type=Path, help="listen to the data set in this folder, of the scenario natural")
    parser.add_argument("--work", type=Path, help="make dialogues again from the speech in this folder of the build")
    parser.add_argument("--limit", type=int, help="listen to the first N dialogues only")
    arguments = parser.parse_args()
    try:
        recipe = Dataset(arguments.dataset).manifest.made_of
        if recipe.timing.scenario != "natural":
            raise UserError(f"{arguments.dataset} is of the scenario {recipe.timing.scenario}, expected natural")
        listener, remade = EventListener(recipe), Tally() if arguments.work else None
        remaker = Remaker(recipe, arguments.work) if arguments.work else None
        for row in rows(arguments.dataset, arguments.limit):
            listener.listen(row)
            if remaker and remade is not None:
                remaker.check(row, remade)
        listener.compare_voices()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    lines = list(table(listener, remade))
    show(lines)
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
