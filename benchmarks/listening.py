"""Listens to a data set, row by row: words against texts, edges of turns, speech of each voice."""

import io
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.hearing import HEARING_HZ, Recogniser, Segment, SpeakerEncoder, VoiceActivity, by_turn, needed, words
from duplexgen.pipeline.dialogue import CHANNELS, Waveform
from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.measures.words import words as units
from duplexgen.pipeline.rewriting import english

COLUMNS = ["dialogue_id", "language", "events", "audio"]
LONGEST_VOICE_SAMPLE_S = 60.0


@dataclass
class Errors:
    """Word errors of some turns; of Chinese, a word is a character."""

    spoken: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    confusions: Counter[str] = field(default_factory=Counter)

    def add(self, spoken: str, heard: str) -> float:
        """Count the errors of one turn. Returns its word error rate."""
        if not spoken:  # jiwer has no rate for nothing
            self.inserted += len(heard.split())
            return float(bool(heard))
        output = needed("jiwer").process_words(spoken, heard)
        self.spoken += output.hits + output.substitutions + output.deletions
        self.substituted += output.substitutions
        self.deleted += output.deletions
        self.inserted += output.insertions
        for chunk in output.alignments[0]:
            if chunk.type != "equal":
                reference = " ".join(output.references[0][chunk.ref_start_idx : chunk.ref_end_idx])
                hypothesis = " ".join(output.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx])
                self.confusions[f"{reference or '-'} > {hypothesis or '-'}"] += 1
        return float(output.wer)

    @property
    def rate(self) -> float:
        return (self.substituted + self.deleted + self.inserted) / max(1, self.spoken)


@dataclass
class Results:
    """Measurements over all dialogues."""

    dialogues: int = 0
    audio_s: float = 0.0
    turns: int = 0
    turns_not_heard: int = 0
    stray_speech_s: float = 0.0
    language: str | None = None  # of all dialogues
    errors: dict[str, Errors] = field(default_factory=lambda: {role: Errors() for role in CHANNELS})
    whole_replies: Errors = field(default_factory=Errors)  # without an interruption
    best_cuts: Errors = field(default_factory=Errors)  # interrupted replies, against as much of their text as fits
    reply_delay_s: list[float] = field(default_factory=list)
    next_turn_s: list[float] = field(default_factory=list)
    reaction_s: list[float] = field(default_factory=list)
    voices: dict[str, list[Waveform]] = field(default_factory=lambda: defaultdict(list))
    mistakes: list[dict[str, Any]] = field(default_factory=list)


def rows(dataset: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """Rows of `dataset`/data. Raises UserError if there are none, or they have no audio."""
    import pyarrow.parquet as pq

    files = sorted((dataset / "data").glob("*.parquet"))
    if not files:
        raise UserError(f"{dataset}: expected data/*.parquet there, as `duplexgen build` writes it")
    if missing := sorted(set(COLUMNS) - set(pq.read_schema(files[0]).names)):
        raise UserError(f"{files[0]}: no column {', '.join(missing)}; build with `output: {{audio: flac}}`")
    every = (
        row
        for file in files
        for batch in pq.ParquetFile(file).iter_batches(16, columns=COLUMNS)
        for row in batch.to_pylist()
    )
    yield from itertools.islice(every, limit)


def decode(audio: dict[str, Any] | None, dialogue_id: str) -> tuple[NDArray[np.float32], int]:
    """Channels [2, samples] at HEARING_HZ, and the rate at which turns are counted."""
    import soundfile
    import soxr

    if not audio or not audio["bytes"]:
        raise UserError(f"{dialogue_id}: its row has no audio; build with `output: {{audio: flac}}`")
    samples, rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32", always_2d=True)
    if samples.shape[1] != len(CHANNELS):
        raise UserError(f"{dialogue_id}: expected {len(CHANNELS)} channels, got {samples.shape[1]}")
    if rate != HEARING_HZ:
        samples = soxr.resample(samples, rate, HEARING_HZ)
    return np.ascontiguousarray(samples.T), rate


class Listener:
    """Listens to rows, and adds up what it measures."""

    def __init__(self) -> None:
        self.voice_activity, self.speakers = VoiceActivity(), SpeakerEncoder()
        self.recogniser = cache(Recogniser)  # one of each language
        self.results = Results()

    def listen(self, row: dict[str, Any]) -> None:
        tracks, rate = decode(row["audio"], row["dialogue_id"])
        language, recogniser = row["language"], self.recogniser(row["language"])
        self.results.dialogues += 1
        if self.results.language not in (None, language):
            raise UserError(
                f"{row['dialogue_id']} is in {language!r}, dialogues before it in {self.results.language!r}"
            )
        self.results.language = language
        self.results.audio_s += tracks.shape[1] / HEARING_HZ
        spans: dict[int, Segment | None] = {}
        for role, track in zip(CHANNELS, tracks, strict=True):
            numbers = [number for number, turn in enumerate(row["events"]) if turn["channel"] == role]
            segments = self.voice_activity.segments(track)
            turns, strays = by_turn([_at_hearing_rate(row["events"][number], rate) for number in numbers], segments)
            for number, own in zip(numbers, turns, strict=True):
                spans[number] = (own[0][0], own[-1][1]) if own else None
                heard = recogniser.transcribe(track, own)
                self._compare(row["dialogue_id"], language, row["events"][number], heard)
            self.results.stray_speech_s += sum(end - start for start, end in strays) / HEARING_HZ
            if role == "user" and segments:
                voice = row["events"][numbers[0]]["voice"]
                self.results.voices[voice].append(np.concatenate([track[start:end] for start, end in segments]))
        self._time(row["events"], [spans[number] for number in range(len(row["events"]))])

    def _compare(self, dialogue_id: str, language: str, turn: dict[str, Any], transcript: str) -> None:
        role, heard = turn["channel"], compared(transcript, language)
        spoken = compared(turn["spoken_text"], language)
        rate = self.results.errors[role].add(spoken, heard)
        if turn["cut_by"] is not None:
            self.results.best_cuts.add(best_cut(compared(turn["text"], language), heard), heard)
        elif role == "assistant":
            self.results.whole_replies.add(spoken, heard)
        if rate > 0:
            mistake = {"dialogue_id": dialogue_id, "role": role, "interrupted": turn["cut_by"] is not None, "wer": rate}
            self.results.mistakes.append(mistake | {"spoken": spoken, "heard": heard})

    def _time(self, turns: list[dict[str, Any]], spans: list[Segment | None]) -> None:
        self.results.turns += len(turns)
        self.results.turns_not_heard += spans.count(None)
        for turn, (before, now) in enumerate(itertools.pairwise(spans)):
            if before is None or now is None:
                continue
            if turns[turn]["channel"] == "user":
                self.results.reply_delay_s.append((now[0] - before[1]) / HEARING_HZ)
            elif turns[turn]["cut_by"] is not None:
                self.results.reaction_s.append((before[1] - now[0]) / HEARING_HZ)
            else:
                self.results.next_turn_s.append((now[0] - before[1]) / HEARING_HZ)

    def cosines(self) -> tuple[int, float | None, tuple[str, str] | None]:
        """Number of user voices, highest pairwise cosine, and between which two."""
        longest = round(LONGEST_VOICE_SAMPLE_S * HEARING_HZ)
        names = sorted(self.results.voices)
        if len(names) < 2:
            return len(names), None, None
        embeddings = np.stack([self.speakers.embed(np.concatenate(self.results.voices[n])[:longest]) for n in names])
        similarity = embeddings @ embeddings.T
        np.fill_diagonal(similarity, -1.0)
        first, second = np.unravel_index(int(similarity.argmax()), similarity.shape)
        return len(names), float(similarity[first, second]), (names[first], names[second])


def _at_hearing_rate(turn: dict[str, Any], rate: int) -> Segment:
    return turn["start_sample"] * HEARING_HZ // rate, turn["end_sample"] * HEARING_HZ // rate


def compared(text: str, language: str) -> str:
    """Words of a text between spaces, as they are compared; of Chinese its characters."""
    return words(read_out(text)) if language == "en" else " ".join(units(text, language))


def read_out(text: str) -> str:
    """Text with its numbers, times and symbols as words: Whisper writes `3:45` where "three forty five" was said."""
    clocks = re.sub(r"\b(\d{1,2})\.(\d\d)(?=\s?[ap]\.?m\b)", r"\1:\2", text, flags=re.IGNORECASE)  # Whisper's 3.45pm
    try:
        return english.spoken(clocks, [])
    except DialogueRejected:  # the recogniser wrote text that cannot be spoken, which is an error
        return text


def best_cut(text: str, heard: str) -> str:
    """The first words of `text`, as many as come nearest to what was heard of it."""
    distance = needed("rapidfuzz.distance").Levenshtein.distance
    whole, words_heard = text.split(), heard.split()
    distances = [distance(whole[:count], words_heard) for count in range(1, len(whole) + 1)]
    return " ".join(whole[: 1 + int(np.argmin(distances))])
