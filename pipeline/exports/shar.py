"""Lhotse Shar (lhotse 1.33), as NeMo's `DuplexS2SDataset` reads it: the user is a cut's recording, the agent its
`target_audio`.

    shar/cuts.000000.jsonl.gz  recording.000000.tar  target_audio.000000.tar

Some versions of NeMo resample a cut to the rate of their vocoder and leave `target_audio` as it is, so the agent is at
22,050 Hz. A supervision ends where its speech really stops, and says what was said until then: NeMo writes its text
into the frames up to its end. The tar files are written here, and not by Lhotse, because theirs cannot be continued.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..audio import flac
from ..dataset.reader import Dataset
from ..dialogue import BYSTANDER
from .exporter import AUDIO, DIALOGUES_ALONE, Exporter, Row, Shard, Summary
from .sound import channels, resampled
from .tars import tar

FOLDER = "shar"
AGENT_RATE_HZ = 22_050
SPEAKERS = {"user": "user", "assistant": "agent"}


class Shar(Exporter):
    name: ClassVar[str] = "shar"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = DIALOGUES_ALONE
    needs: ClassVar[frozenset[str]] = frozenset({AUDIO})

    def write(self, shard: Shard, out: Path) -> Summary:
        folder, rate = out / FOLDER, shard.dataset.sample_rate
        folder.mkdir()
        names = ("recording", "target_audio")
        user_tar, agent_tar = (tar(folder / f"{name}.{shard.number:06d}.tar") for name in names)
        cuts = (folder / f"cuts.{shard.number:06d}.jsonl.gz").open("wb")
        with user_tar as users, agent_tar as agents, cuts, gzip.GzipFile("", "wb", fileobj=cuts, mtime=0) as lines:
            for number, row in shard.rows(["dialogue_id", "language", "scenario", "events", "audio"]):
                user, agent = channels(shard, number, row).T
                agent = resampled(agent, rate, AGENT_RATE_HZ)
                key = f"{number:08d}"
                recordings = []
                for file, samples, rate_hz in ((users, user, rate), (agents, agent, AGENT_RATE_HZ)):
                    recording = _recording(key, len(samples), rate_hz, len(user) / rate)
                    file.add(f"{key}.flac", flac.encode(samples, rate_hz))
                    file.add(f"{key}.json", _json(recording))
                    recordings.append(recording)
                lines.write(_json(_cut(key, row, rate, *recordings)))
        return {}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        return {}


def _recording(key: str, num_samples: int, rate_hz: int, duration_s: float) -> Row:
    return {
        "id": key,
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": rate_hz,
        "num_samples": num_samples,
        "duration": duration_s,
        "channel_ids": [0],
    }


def _cut(key: str, row: Row, rate: int, recording: Row, target_audio: Row) -> Row:
    custom = {
        "dialogue_id": row["dialogue_id"],
        "scenario": row["scenario"],
        "total_turns": len(row["events"]),
        "target_audio": target_audio,
    }
    return {
        "id": key,
        "start": 0,
        "duration": recording["duration"],
        "channel": 0,
        "supervisions": [_supervision(key, index, row, event, rate) for index, event in enumerate(row["events"])],
        "recording": recording,
        "custom": custom,
        "type": "MonoCut",
    }


def _supervision(key: str, index: int, row: Row, event: Row, rate: int) -> Row:
    return {
        "id": f"{key}-{index:03d}",
        "recording_id": key,
        "start": event["start_sample"] / rate,
        "duration": (event["end_sample"] - event["start_sample"]) / rate,
        "channel": 0,
        "text": event["spoken_text"],
        "language": row["language"],
        "speaker": BYSTANDER if event["kind"] == BYSTANDER else SPEAKERS[event["channel"]],
        "custom": {"kind": event["kind"], "voice": event["voice"]},
    }


def _json(value: Row) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
