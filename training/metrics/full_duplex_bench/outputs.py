"""What a model says to the items of Full-Duplex-Bench, in copies of their folders.

    v1.0/smooth_turn_taking/7/  input.wav  turn_taking.json  output.wav  output.json

So the scripts of the benchmark can be run over the copy, and the folder of the inputs stays as it is. A folder of an
item appears once it is whole. It has output.json only if there is a recogniser.
"""

import filecmp
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ....pipeline.audio.activity import Segment, joined, speech_segments
from ....pipeline.audio.pcm import to_float, to_int16
from ....pipeline.dialogue import Waveform
from ....pipeline.errors import UserError
from ....pipeline.measures.transcript import Recogniser
from ....pipeline.storage.atomic import atomic_folder, explained
from ...live.modes import check_length
from ...live.talk import read_recording, with_silence
from ...models.model import DuplexModel
from ..items import Settings, Unmeasured, batches, play
from ..metrics import PAUSE_S
from .inputs import CLEAN, FILES, INPUT, Item, Task
from .rules import Intervals, intervals

OUTPUT, WORDS, TIMING = "output.wav", "output.json", "latency_intervals.json"
OUTPUT_OF = {INPUT: OUTPUT, CLEAN: "clean_output.wav"}
RATE = 16_000  # of outputs: eval_backchannel.py takes any output for one of 16 kHz
LANGUAGE = "en"  # of the benchmark, whose own recogniser knows no other
Recordings = dict[str, NDArray[np.int16]]  # [samples] by the name of the file, at the model's rate


def place(item: Item, out: Path) -> Path:
    """The folder of an item's outputs."""
    return out / item.set_name / item.id


def is_there(item: Item, out: Path) -> bool:
    """Whether an item has outputs."""
    return (place(item, out) / OUTPUT).is_file()


def missing(items: Sequence[Item], out: Path) -> list[Item]:
    """Items that have no outputs yet. Raises UserError if there are outputs for other inputs."""
    for item in items:
        if is_there(item, out):
            _check_inputs(item, place(item, out))
    return [item for item in items if not is_there(item, out)]


def write(
    model: DuplexModel, items: Sequence[Item], out: Path, settings: Settings, recogniser: Recogniser | None
) -> Iterator[Item | Unmeasured]:
    """Play items to a model, and write what it says; yields each one that is finished, or why it cannot be played."""
    played = sorted(items, key=lambda item: item.length_s)
    for batch in batches(played, settings.batch, lambda item: len(item.inputs)):
        usable = list[tuple[Item, Recordings]]()
        for item in batch:
            try:
                usable.append((item, _recordings(item, model)))
            except UserError as error:
                yield Unmeasured(item.set_name, "unusable_audio", f"{item.id}: {error}")
        if usable:
            yield from _answered(model, usable, out, settings, recogniser)


def _check_inputs(item: Item, target: Path) -> None:
    names = _published(item)
    with explained(target):
        if all((target / name).is_file() and filecmp.cmp(item.folder / name, target / name, False) for name in names):
            return
    raise UserError(
        f"{target} has the outputs for other inputs than those in {item.folder}. Choose another folder with --out."
    )


def _published(item: Item) -> list[str]:
    return [name for name in FILES if item.has(name)]


def _recordings(item: Item, model: DuplexModel) -> Recordings:
    """Raises UserError if a recording cannot be read, or is too long for the model."""
    rate, block = model.format.sample_rate, model.format.block_samples
    recordings = {name: read_recording(item.folder / name, rate, 0)[0] for name in item.inputs}
    check_length(model, -(-max(map(len, recordings.values())) // block))
    return recordings


def _answered(
    model: DuplexModel,
    batch: Sequence[tuple[Item, Recordings]],
    out: Path,
    settings: Settings,
    recogniser: Recogniser | None,
) -> Iterator[Item]:
    clips = [(item, name, samples) for item, recordings in batch for name, samples in recordings.items()]
    ids = [item.name.encode("utf-8", "backslashreplace").decode() for item, _, _ in clips]
    said = play(model, ids, [with_silence(samples, 0, model.format) for _, _, samples in clips], settings)
    rate = model.format.sample_rate
    outputs = {
        (item.name, name): _output(waveform[: len(samples)], rate)
        for (item, name, samples), waveform in zip(clips, said, strict=True)
    }
    for item, recordings in batch:
        own = {name: outputs[item.name, name] for name in recordings}
        _write(item, recordings, own, rate, place(item, out), recogniser)
        yield item


def _output(waveform: Waveform, rate: int) -> NDArray[np.int16]:
    """As long as what the user says, and on the same time axis."""
    return to_int16(waveform if rate == RATE else soxr.resample(waveform, rate, RATE, quality="VHQ"))


def _write(
    item: Item, heard: Recordings, said: Recordings, rate: int, target: Path, recogniser: Recogniser | None
) -> None:
    """heard: what was played, at `rate`. said: the answers to it, by the name of the input, at RATE."""
    with atomic_folder(target) as folder:
        for name in _published(item):
            shutil.copyfile(item.folder / name, folder / name)
        for name, samples in said.items():
            soundfile.write(folder / OUTPUT_OF[name], samples, RATE, subtype="PCM_16")
        if recogniser:
            for name, words in _words(item, heard, said, rate, recogniser):
                _write_json(folder / name, words)
        if item.task is Task.OVERLAP:
            found = timing(heard[INPUT], rate, said[INPUT])
            _write_json(folder / TIMING, {"latency_stop_list": found.overlaps_s, "latency_resp_list": found.gaps_s})


def segments_after(samples: Waveform, rate: int, after_s: float = 0.0) -> list[Segment]:
    """Segments of speech in what follows some time."""
    heard = samples[int(after_s * rate) :]
    return [(after_s + start, after_s + end) for start, end in speech_segments(heard, rate)] if len(heard) else []


def timing(user: NDArray[np.int16], rate: int, said: NDArray[np.int16]) -> Intervals:
    """get_timing.py: where both speak, and how long the model waits. user: at `rate`; said: at RATE."""
    return intervals(speech_segments(to_float(user), rate), speech_segments(to_float(said), RATE))


def _words(
    item: Item, heard: Recordings, said: Recordings, rate: int, recogniser: Recogniser
) -> Iterator[tuple[str, dict[str, Any]]]:
    """get_transcript/asr.py: of an interruption of v1.0, what follows its end. Of v1.5, all recordings are written
    down, as eval_behavior.py needs them.
    """
    for name, samples in said.items():
        yield f"{Path(OUTPUT_OF[name]).stem}.json", _transcribed(samples, RATE, item.scored_from_s, recogniser)
    if item.task is Task.OVERLAP:
        for name, samples in heard.items():
            yield f"{Path(name).stem}.json", _transcribed(samples, rate, 0.0, recogniser)


def _transcribed(samples: NDArray[np.int16], rate: int, after_s: float, recogniser: Recogniser) -> dict[str, Any]:
    """Each stretch of speech is transcribed alone: after silence, Whisper puts the first word too early (by 0.36 s in
    one that was measured), and latencies count from it.
    """
    waveform = to_float(samples)
    stretches = joined(segments_after(waveform, rate, after_s), PAUSE_S)
    clips = [(waveform[round(start_s * rate) : round(end_s * rate)], rate) for start_s, end_s in stretches]
    chunks = [
        {
            "text": word.text,
            "timestamp": [round(min(start_s + one_s, end_s), 3) for one_s in (word.start_s, word.end_s)],
        }
        for (start_s, end_s), wording in zip(stretches, recogniser.wordings(clips, LANGUAGE, timed=True), strict=True)
        for word in wording.words
    ]
    return {"text": " ".join(str(chunk["text"]) for chunk in chunks), "chunks": chunks}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
