"""What must hold for every row of `data/`, checked on the row alone."""

import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.activity import clean_segments
from ..dialogue import BYSTANDER, CHANNELS, CodedTrack, Codes, Event, Uncut
from ..errors import DialogueRejected
from ..layouts.layout import Layout
from ..scenarios.scenario import Grid, Scenario
from ..scenarios.scenarios import make_scenario
from ..sources.section import Source
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from ..tokens.track import tokenize_all, with_margin
from .audio import read_audio
from .recipe import Recipe
from .rows import audio_name, read_events, read_track, read_words, word_row
from .schema import ACTIVITY

Row = dict[str, Any]
ROUNDED_SHARE = 0.02
"""The share of a codebook's codes, in the speech of one channel, that may differ if a neural network made them.

Two entries of a codebook can be about equally near, and machines round float32 differently. Measured on small networks
of random weights, 30 s per signal, over all codebooks: no code differed with another number of threads, and at most
0.4 % with weights off by 1e-5. With weights off by 1e-3, as in lower precision, 13 to 19 % of Mimi's codes differed,
and at least 20 % for a signal that was moved by one frame.
"""

ROUNDED_SPEECH_S = 0.1
"""Of where a channel has speech, so much may differ: three frames of the detector, which rounds differently, too."""
LEAST_CONTRAST = 2
"""How many times the mean power within the words of a channel is that of the rest, at least."""
PAUSE_S, PAUSES_S = 0.1, 0.5
"""Pauses between words are compared with words if they last so long each, and so long together.

Measured on 469 channels that Kokoro spoke: words had at least 1.1 times the power of pauses. With times that were late
by 0.1 to 0.3 s it was less than that of pauses in nearly all. Times that are early are found in few rows.
"""


@dataclass(frozen=True)
class Sound:
    """The audio of a row, to be tokenized, and what its codes are compared with."""

    samples: NDArray[np.int16]  # [channels, samples], with the margin
    stored: tuple[Codes, Codes]  # those of the row, [codebooks, frames] of each channel
    frames: tuple[int, ...]  # of speech and of the margin, of each channel


@dataclass(frozen=True)
class Checker:
    """Checks the rows of one data set. Each check yields what is wrong, in words."""

    recipe: Recipe
    layout: Layout
    text_tokenizer: TextTokenizer
    speech_tokenizer: SpeechTokenizer
    samples_per_frame: int  # of the tracks
    margin_frames: int

    def check(self, row: Row) -> Iterator[str]:
        """What is wrong with a row. It has the right columns, with any values; lists hold no null."""
        (failures,) = self.with_codes([[*self.check_but_codes(row)]])
        yield from failures

    def with_codes(self, found: Sequence[Sequence[str | Sound]]) -> list[list[str]]:
        """What is wrong with each row, given what `check_but_codes` found: the audio of all is tokenized together."""
        sounds = [part for parts in found for part in parts if isinstance(part, Sound)]
        audio, rate = [sound.samples for sound in sounds], self.recipe.output.sample_rate
        codes = iter(tokenize_all(audio, rate, self.speech_tokenizer))
        return [
            [text for part in parts for text in ([part] if isinstance(part, str) else self._codes(part, next(codes)))]
            for parts in found
        ]

    def check_but_codes(self, row: Row) -> Iterator[str | Sound]:
        """What is wrong with a row, but for the codes of its audio. Last comes the audio, if it can be tokenized."""
        if row["scenario"] != self.recipe.timing.scenario:
            yield f"scenario is {reprlib.repr(row['scenario'])}, the recipe says {self.recipe.timing.scenario!r}"
        frames = len(row["user_codes"][0]) - self.margin_frames if row["user_codes"] else 0
        events = read_events(row["events"])
        misplaced = [*self._misplaced(events, frames * self.samples_per_frame)]
        misshapen = [*self._misshapen_codes(row, frames)]
        yield from misplaced or self._check_events(row, events, frames * self.samples_per_frame)
        yield from _misplaced_speech(row.get(ACTIVITY) or (), frames * self.samples_per_frame)
        yield from misshapen
        if not misplaced and not misshapen:
            track = read_track(row, self.margin_frames, self.samples_per_frame)
            yield from self._check_uncut(track)
            yield from self._check_layout(row, track)
        if (row.get("audio") is not None) != (self.recipe.output.audio == "flac"):
            has = "has no audio" if row.get("audio") is None else "has audio"
            yield f"it {has}, and output.audio of the recipe is {self.recipe.output.audio}"
        if row.get("audio") is not None and not misplaced and not misshapen:
            yield from self._check_audio(row, track)

    def _check_layout(self, row: Row, track: CodedTrack) -> Iterator[str]:
        try:
            texts = [self.text_tokenizer.encode(text) for text in self.layout.texts(track)]
        except DialogueRejected as error:
            yield f"its texts cannot be encoded: {error}"
            return
        yield from self.layout.check(row, track, texts)

    def _misplaced(self, events: Sequence[Event], end: int) -> Iterator[str]:
        """What is wrong with the places of events, and with the events that they name."""
        if not events:
            yield "it has no events"
        for index, event in enumerate(events):
            if event.channel not in CHANNELS:
                yield f"event {index} is on the channel {reprlib.repr(event.channel)}, expected {' or '.join(CHANNELS)}"
            if not 0 <= event.start_sample < event.end_sample <= min(end, event.whole_end_sample):
                whole = f", whole to {event.whole_end_sample}" if event.is_cut else ""
                yield f"event {index} lies at [{event.start_sample}, {event.end_sample}){whole}, of {end} samples"
            if index and event.start_sample < events[index - 1].start_sample:
                yield f"event {index} starts before event {index - 1}, and events are in order of their starts"
            for what, other in (("answers", event.answers), ("cut_by", event.cut_by)):
                if other is not None and (not 0 <= other < len(events) or events[other].channel == event.channel):
                    yield f"event {index}: {what} is {other}, expected an event of the other channel"
            if event.is_cut != (event.cut_by is not None):
                yield f"event {index}: cut_by and whole_end_sample disagree on whether it is cut"

    def _check_events(self, row: Row, events: Sequence[Event], end: int) -> Iterator[str]:
        timing, grid = self.recipe.timing, Grid(self.recipe.output.sample_rate, self.samples_per_frame)
        text_ids = None
        if self._scenario.needs_text_ids:
            text_ids = [len(self.text_tokenizer.encode(fields["text"])) for fields in row["events"]]
        yield from self._scenario.check(events, text_ids, grid)
        speakers = self._scenario.speakers(events)
        user_voice = next((of["voice"] for of, role in zip(row["events"], speakers, strict=True) if role == "user"), "")
        for index, (event, speaker, fields) in enumerate(zip(events, speakers, row["events"], strict=True)):
            text, spoken = fields["text"], fields["spoken_text"]
            if not text.strip():
                yield f"event {index} has no text"
            if spoken != (text[: len(spoken)] if event.is_cut else text):
                part = "the beginning of its text" if event.is_cut else "its text"
                yield f"event {index}: spoken_text is not {part}"
            voice = self.recipe.speech.assistant_voice if speaker == "assistant" else user_voice
            if event.kind == BYSTANDER:
                if fields["voice"] in (user_voice, self.recipe.speech.assistant_voice):
                    yield f"event {index} is a bystander's, and has the voice of the user or the assistant"
            elif fields["voice"] != voice:
                yield f"event {index} has the voice {reprlib.repr(fields['voice'])}, expected {reprlib.repr(voice)}"
            yield from self._check_hesitations(index, event)
            yield from self._check_words(f"event {index}", event, spoken, fields["words"])
        if max(event.end_sample for event in events) + grid.samples(timing.tail_s) > end:
            yield "the last event leaves less silence than tail_s"

    def _check_hesitations(self, index: int, event: Event) -> Iterator[str]:
        """Pauses must lie within their event, in order, and between two of its words."""
        at, words = event.start_sample, event.words or ()
        for pause in event.pauses:
            if not at < pause.start_sample < pause.end_sample < event.end_sample:
                yield f"event {index} has a pause at [{pause.start_sample}, {pause.end_sample})"
                return
            at = pause.end_sample
            if not all(
                word.end_sample <= pause.start_sample or pause.end_sample <= word.start_sample for word in words
            ):
                yield f"event {index} has a pause at [{pause.start_sample}, {pause.end_sample}), within a word"
            elif (
                not words or not words[0].end_sample <= pause.start_sample < pause.end_sample <= words[-1].start_sample
            ):
                yield f"event {index} has a pause at [{pause.start_sample}, {pause.end_sample}), not between two words"

    def _check_words(
        self, name: str, event: Event, spoken: str, rows: Sequence[Mapping[str, Any]] | None
    ) -> Iterator[str]:
        """What is wrong with the words: they must be those of the spoken text, in order, within the event."""
        words, start, place = read_words(rows), event.start_sample, 0
        if words is None:
            return
        for number, word in enumerate(words):
            if not start <= word.start_sample <= word.end_sample <= event.end_sample:
                yield f"{name}: word {number} lies at [{word.start_sample}, {word.end_sample})"
                return
            if not word.text or spoken[place:].lstrip()[: len(word.text)] != word.text:
                yield f"{name}: word {number}, {reprlib.repr(word.text)}, is not the next of its text"
                return
            start, place = word.start_sample, spoken.index(word.text, place) + len(word.text)
        if spoken[place:].strip():
            yield f"{name}: its words leave out {reprlib.repr(spoken[place:])}"

    def _misshapen_codes(self, row: Row, frames: int) -> Iterator[str]:
        if frames <= 0:
            yield f"user_codes has no more frames than the margin of {self.margin_frames}"
            return
        for column in ("user_codes", "assistant_codes"):
            yield from self._misshapen(column, row[column], frames + self.margin_frames)
        for uncut in row["assistant_uncut_codes"] or ():
            lengths = [len(codebook) for codebook in uncut["codes"]] or [0]
            yield from self._misshapen("assistant_uncut_codes", uncut["codes"], max(1, lengths[0]))

    def _misshapen(self, column: str, codes: Sequence[Sequence[int]], frames: int) -> Iterator[str]:
        tokenizer = self.speech_tokenizer
        if {len(codebook) for codebook in codes} != {frames} or len(codes) != tokenizer.codebooks:
            yield f"{column} does not have the shape [{tokenizer.codebooks}, {frames}]"
            return
        values = np.asarray(codes)
        if values.min() < 0 or values.max() >= tokenizer.codebook_size:
            yield f"{column} has codes {values.min()} … {values.max()}, expected 0 … {tokenizer.codebook_size - 1}"

    def _check_uncut(self, track: CodedTrack) -> Iterator[str]:
        cut = [index for index, event in enumerate(track.events) if event.is_cut]
        if [uncut.event for uncut in track.uncut] != cut:
            yield "assistant_uncut_codes are not those of the replies that are cut"
            return
        for uncut in track.uncut:
            event = track.events[uncut.event]
            first, past = uncut.first_frame, uncut.first_frame + uncut.codes.shape[1]
            stops = -(-event.end_sample // self.samples_per_frame)
            if not event.start_sample // self.samples_per_frame <= first <= stops:
                yield f"assistant_uncut_codes of event {uncut.event} start with frame {first}, not where it is cut"
            if past != -(-event.whole_end_sample // self.samples_per_frame):
                yield f"assistant_uncut_codes of event {uncut.event} end with frame {past - 1}, not with its whole end"
            yield from self._check_uncut_words(track, uncut)

    def _check_uncut_words(self, track: CodedTrack, uncut: Uncut) -> Iterator[str]:
        """What is wrong with the words of a whole reply: the first of them are those that are heard."""
        event = track.events[uncut.event]
        if (uncut.words is None) != (event.words is None):
            yield f"event {uncut.event}: the words of either what is heard or the whole reply are missing"
        if not uncut.words or not event.words:
            return
        whole = replace(event, end_sample=event.whole_end_sample)
        rows = [word_row(word) for word in uncut.words]
        yield from self._check_words(f"event {uncut.event} as it would go on", whole, track.texts[uncut.event], rows)
        starts = [(word.text, word.start_sample) for word in uncut.words[: len(event.words)]]
        if starts != [(word.text, word.start_sample) for word in event.words]:
            yield f"event {uncut.event}: its words are not the first of the whole reply"

    def _check_audio(self, row: Row, track: CodedTrack) -> Iterator[str | Sound]:
        rate = self.recipe.output.sample_rate
        if (name := row["audio"]["path"]) != (own := audio_name(row["dialogue_id"])):
            yield f"audio.path is {reprlib.repr(name)}, expected {own!r}"
        try:
            samples = read_audio(row["audio"]["bytes"], rate, track.frames * self.samples_per_frame)
        except ValueError as error:
            yield f"audio {error}"
            return
        for channel, role in enumerate(CHANNELS):
            power = np.square(samples[:, channel], dtype=np.float32)
            yield from self._check_silence(samples[:, channel], role, track.events)
            if role == "user" and self.recipe.acoustics:
                continue  # noise may be louder than what the user says
            yield from self._check_contrast(power, role, track.events)
            yield from self._check_pauses(power, role, track.events)
            yield from self._check_activity(samples[:, channel], role, row.get(ACTIVITY))
        whole = with_margin(samples.T, rate, self.speech_tokenizer, self.margin_frames)
        frames = tuple(self._speech_frames(track.events, role) + self.margin_frames for role in CHANNELS)
        yield Sound(whole, (track.user_codes, track.assistant_codes), frames)

    def _codes(self, sound: Sound, codes: NDArray[np.int16]) -> Iterator[str]:
        """What is wrong with the codes of a row. codes: [channels, codebooks, frames] of its audio."""
        for role, stored, of_audio, frames in zip(CHANNELS, sound.stored, codes, sound.frames, strict=True):
            yield from self._differing(f"{role}_codes are not the codes of the audio", stored, of_audio, frames)

    def _check_silence(self, samples: NDArray[np.int16], role: str, events: Sequence[Event]) -> Iterator[str]:
        silent = np.ones(len(samples), dtype=np.bool_)
        for event in events:
            if event.channel == role:
                silent[event.start_sample : event.end_sample] = False
                if not samples[event.start_sample : event.end_sample].any():
                    yield f"the {role}'s event at sample {event.start_sample} is silent"
                for pause in event.pauses:
                    silent[pause.start_sample : pause.end_sample] = True
        if samples[silent].any() and not (role == "user" and self.recipe.acoustics):
            yield f"the {role}'s channel is not silent between events"

    def _check_contrast(self, power: NDArray[np.float32], role: str, events: Sequence[Event]) -> Iterator[str]:
        """Whether a channel is louder within its words than elsewhere; events without word times are neither.

        power: [samples], of the channel.
        """
        within, elsewhere = np.zeros(len(power), np.bool_), np.ones(len(power), np.bool_)
        for event in events:
            if event.channel == role:
                elsewhere[event.start_sample : event.end_sample] &= event.words is not None
                for word in event.words or ():
                    within[word.start_sample : word.end_sample] = True
        elsewhere &= ~within
        if within.any() and elsewhere.any() and power[within].mean() <= LEAST_CONTRAST * power[elsewhere].mean():
            yield (
                f"the {role}'s channel is not louder within its words than elsewhere: expected more than "
                f"{LEAST_CONTRAST} times the mean power"
            )

    def _check_pauses(self, power: NDArray[np.float32], role: str, events: Sequence[Event]) -> Iterator[str]:
        """Whether words are louder than the pauses between them; else the times of words are wrong.

        Only where the engine told these times: those that the gate's recogniser hears are not exact enough. power:
        [samples], of the channel.
        """
        if self.recipe.speech.gate is not None:
            return
        words, pauses = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
        for event in (event for event in events if event.channel == role and event.words):
            ends = [event.start_sample, *(word.end_sample for word in event.words or ())]
            starts = [*(word.start_sample for word in event.words or ()), event.end_sample]
            words += [power[start:end] for start, end in zip(starts, ends[1:], strict=False)]
            gaps = [power[end:start] for end, start in zip(ends, starts, strict=True)]
            pauses += [gap for gap in gaps if len(gap) >= PAUSE_S * self.recipe.output.sample_rate]
        spoken, silent = np.concatenate(words), np.concatenate(pauses)
        if len(silent) >= PAUSES_S * self.recipe.output.sample_rate and spoken.mean() <= silent.mean():
            yield f"the {role}'s channel is louder between its words than within them: their times are wrong"

    def _check_activity(self, samples: NDArray[np.int16], role: str, rows: Sequence[Row] | None) -> Iterator[str]:
        """Whether speech was found where it is."""
        if rows is None:
            return
        stored, heard = np.zeros(len(samples), np.bool_), np.zeros(len(samples), np.bool_)
        for start, end in ((row["start_sample"], row["end_sample"]) for row in rows if row["channel"] == role):
            stored[start:end] = True
        for start, end in clean_segments(samples, self.recipe.output.sample_rate):
            heard[start:end] = True
        most = max(ROUNDED_SHARE * np.count_nonzero(heard), ROUNDED_SPEECH_S * self.recipe.output.sample_rate)
        if np.count_nonzero(stored != heard) > most:
            yield f"speech_activity is not where the {role} speaks"

    def _differing(self, message: str, stored: NDArray[Any], of_audio: NDArray[Any], frames: int) -> Iterator[str]:
        """The message, if stored codes [codebooks, frames] are not those of the audio, except for rounding.

        frames: those of speech and of the margin.
        """
        if stored.shape != of_audio.shape:
            yield message
            return
        count = int(np.count_nonzero(stored != of_audio, axis=1).max(initial=0))  # in the codebook that has the most
        exact = self.speech_tokenizer.frame_by_frame
        most = 0 if exact else math.ceil(ROUNDED_SHARE * frames)
        if count > most:
            detail = "" if exact else f": {count} of {stored.shape[1]} differ in a codebook, at most {most} may"
            yield f"{message}{detail}"

    def _speech_frames(self, events: Sequence[Event], role: str) -> int:
        frame, own = self.samples_per_frame, [event for event in events if event.channel == role]
        return sum(-(-event.end_sample // frame) - event.start_sample // frame for event in own)

    @cached_property
    def _scenario(self) -> Scenario:
        return make_scenario(self.recipe.timing)


def _misplaced_speech(rows: Sequence[Row], end: int) -> Iterator[str]:
    """What is wrong with the segments of `speech_activity`. end: of the track."""
    past = dict.fromkeys(CHANNELS, 0)
    for number, row in enumerate(rows):
        channel, start, stop = row["channel"], row["start_sample"], row["end_sample"]
        if channel not in past:
            yield f"speech_activity {number} is on the channel {reprlib.repr(channel)}"
        elif not past[channel] <= start < stop <= end:
            yield f"speech_activity {number} lies at [{start}, {stop}), of {end} samples, or before the one before it"
        past[channel] = stop


@dataclass
class RowOrder:
    """Checks rows, and that they are in order: the rows of a source together, the sources as in the recipe."""

    checker: Checker
    sources: Sequence[Source]
    at: int = 0  # the place of the last row's source

    def check(self, row: Row) -> Iterator[str | Sound]:
        """As `Checker.check_but_codes`. Call it with each row of a data set, in order."""
        names = [source.name for source in self.sources]
        if row["source"] not in names:
            yield f"source is {reprlib.repr(row['source'])}, expected one of {', '.join(names)}"
        else:
            number = names.index(row["source"])
            if number < self.at:
                yield f"comes after rows of {names[self.at]}, and the recipe names {names[number]} before it"
            self.at = max(self.at, number)
            if row["language"] != (language := self.sources[number].language):
                yield f"language is {reprlib.repr(row['language'])}, expected that of its source, {language!r}"
        yield from self.checker.check_but_codes(row)
