"""Records to rows of a data set and back. Only here are the names of the columns known."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from ..audio.activity import Segment
from ..dialogue import CHANNELS, CodedTrack, Event, Pause, Uncut, Utterance, Word

Row = dict[str, Any]


def event_row(event: Event, utterance: Utterance, spoken_text: str, words: Sequence[Word] | None) -> Row:
    """An event as a row has it. spoken_text, words: what is heard of the utterance, with times on the track."""
    return {
        "channel": event.channel,
        "kind": event.kind,
        "voice": utterance.voice,
        "text": utterance.text,
        "spoken_text": spoken_text,
        "start_sample": event.start_sample,
        "end_sample": event.end_sample,
        "whole_end_sample": event.whole_end_sample,
        "answers": event.answers,
        "cut_by": event.cut_by,
        "words": None if words is None else [word_row(word) for word in words],
        "pauses": [{"start_sample": pause.start_sample, "end_sample": pause.end_sample} for pause in event.pauses],
        "quality": None if utterance.quality is None else dict(utterance.quality),
    }


def word_row(word: Word) -> Row:
    return {"text": word.text, "start_sample": word.start_sample, "end_sample": word.end_sample}


def read_words(words: Sequence[Mapping[str, Any]] | None) -> tuple[Word, ...] | None:
    if words is None:
        return None
    return tuple(Word(word["text"], word["start_sample"], word["end_sample"]) for word in words)


def uncut_row(uncut: Uncut) -> Row:
    words = None if uncut.words is None else [word_row(word) for word in uncut.words]
    return {"event": uncut.event, "first_frame": uncut.first_frame, "codes": list(uncut.codes), "words": words}


def read_events(rows: Sequence[Mapping[str, Any]]) -> tuple[Event, ...]:
    """The events of a row, in its order. Each is numbered as an utterance of its own."""
    return tuple(
        Event(
            index,
            row["channel"],
            row["kind"],
            row["start_sample"],
            row["end_sample"],
            row["whole_end_sample"],
            row["answers"],
            row["cut_by"],
            read_words(row.get("words")),
            tuple(Pause(pause["start_sample"], pause["end_sample"]) for pause in row.get("pauses") or ()),
        )
        for index, row in enumerate(rows)
    )


def activity_rows(segments: Sequence[Sequence[tuple[int, int]]]) -> list[Row]:
    """Where each channel has speech, in order of start. segments: in samples, for each of CHANNELS."""
    rows = [
        {"channel": channel, "start_sample": start, "end_sample": end}
        for channel, of_channel in zip(CHANNELS, segments, strict=True)
        for start, end in of_channel
    ]
    return sorted(rows, key=lambda row: row["start_sample"])


def read_activity(rows: Sequence[Mapping[str, Any]], sample_rate: int) -> tuple[list[Segment], list[Segment]]:
    """The segments of speech of the user and of the assistant, in seconds."""
    user, assistant = (
        [(row["start_sample"] / sample_rate, row["end_sample"] / sample_rate) for row in rows if row["channel"] == name]
        for name in CHANNELS
    )
    return user, assistant


def read_track(row: Mapping[str, Any], margin_frames: int, samples_per_frame: int) -> CodedTrack:
    """The track of a row, which must have events and codes; it has the codebooks that the columns have."""
    return CodedTrack(
        np.asarray(row["user_codes"], np.int16),
        np.asarray(row["assistant_codes"], np.int16),
        margin_frames,
        samples_per_frame,
        read_events(row["events"]),
        tuple(event["text"] for event in row["events"]),
        tuple(
            Uncut(
                uncut["event"],
                uncut["first_frame"],
                np.asarray(uncut["codes"], np.int16),
                read_words(uncut["words"]),
            )
            for uncut in row.get("assistant_uncut_codes") or ()
        ),
    )


def audio_name(dialogue_id: str) -> str:
    """The file name for a reader that writes the audio to a folder."""
    return f"{quote(dialogue_id, safe='')}.flac"
