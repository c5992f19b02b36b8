"""moshi-finetune (kyutai-labs, 2acc879): stereo WAV at 24 kHz, words in a JSON beside each, and a list, data.jsonl.

Its left channel, 0, is Moshi, so ours are swapped. Words are the assistant's alone. It finds the words of a chunk by
binary search, so they are in order of start, and it drops those that take no time. It multiplies seconds by 12.5 to
find a frame; for half of the borders between frames the product is less than the frame, and the word would stand one
frame early: so half a sample is added to every time.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..dataset.reader import Dataset
from .exporter import AUDIO, DIALOGUES_ALONE, REPLY_WORDS, Exporter, Row, Shard, Summary
from .sound import channels, resampled, wav

RATE_HZ = 24_000  # Mimi's
SPEAKER = "SPEAKER_MAIN"
HALF = 0.5  # of a sample
LIST = "data.jsonl"


class MoshiFinetune(Exporter):
    name: ClassVar[str] = "moshi"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = DIALOGUES_ALONE
    needs: ClassVar[frozenset[str]] = frozenset({AUDIO, REPLY_WORDS})

    def write(self, shard: Shard, out: Path) -> Summary:
        folder = Path(f"audio/{shard.number:05d}")
        (out / folder).mkdir(parents=True)
        lines = []
        rate = shard.dataset.sample_rate
        for number, row in shard.rows(["dialogue_id", "events", "audio"]):
            samples = resampled(channels(shard, number, row)[:, ::-1], rate, RATE_HZ)
            file = folder / f"{number:08d}.wav"
            (out / file).write_bytes(wav(samples, RATE_HZ))
            about = {"alignments": alignments(row["events"], rate), "dialogue_id": row["dialogue_id"]}
            (out / file).with_suffix(".json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
            lines.append({"path": str(file), "duration": len(samples) / RATE_HZ})
        return {"lines": lines}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        with (out / LIST).open("w", encoding="utf-8") as file:
            for summary in summaries:
                file.writelines(json.dumps(line) + "\n" for line in summary["lines"])
        return {}


def alignments(events: list[Row], sample_rate: int) -> list[list[Any]]:
    """The assistant's words as moshi-finetune reads them: [word, [start_s, end_s], speaker], in order of start."""
    words = [word for event in events if event["channel"] == "assistant" for word in event["words"]]
    return [
        [word["text"], [(word[f"{edge}_sample"] + HALF) / sample_rate for edge in ("start", "end")], SPEAKER]
        for word in sorted(words, key=lambda word: word["start_sample"])
        if word["start_sample"] < word["end_sample"]
    ]
