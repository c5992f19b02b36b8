"""Talking to a model: a recording in, both channels and a transcript out, a block at a time as it would be live."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ...pipeline.audio import pcm
from ...pipeline.dialogue import Waveform
from ...pipeline.errors import UserError
from ...pipeline.layouts.shared import STATE_TOKENS
from ...pipeline.storage.atomic import atomic_path, explained, write_json
from ...pipeline.tokens.tokenizers import TEXT_TOKENIZERS, TextTokenizer, installed
from ..models.model import DuplexModel
from ..sequences import SequenceFormat
from .live import Block, converse

PLOT_DPI = 110
RATES = (4000, 768_000)  # Hz, of recordings
LONGEST_S = 3600  # of a recording
READ_FRAMES = 1 << 16  # at a time
STATE_COLOURS = {"silence": "#d9d9d9", "assistant": "#b03a2e", "text": "#3b6ea5", "pad": "#a9c4e0", "epad": "#1e8449"}


@dataclass(frozen=True)
class Said:
    """A reply as the text channel has it."""

    start_s: float  # on the user's time axis: when it is heard
    end_s: float
    text: str


@dataclass(frozen=True)
class Talk:
    """A conversation that is over."""

    user: Waveform  # [samples]
    assistant: Waveform  # [samples], as long: what was said at block b is heard at block b + 1
    text_ids: NDArray[np.int32]  # [blocks * M]
    took_s: NDArray[np.float64]  # [blocks]

    def real_time_factor(self, block_s: float) -> float:
        return float(self.took_s.mean() / block_s)


def read_recording(path: Path, sample_rate: int, channel: int | None) -> tuple[NDArray[np.int16], int]:
    """One channel of a recording, int16 [samples] at `sample_rate`, and the rate it had.

    channel: which one, needed if there are several. Raises UserError if it cannot be read, is empty, or is no recording
    of speech: its rate, its length, its samples.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate, channels = file.samplerate, file.channels
            _check_recording(path, rate, channels, channel)
            user = _read_channel(file, channel or 0)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read: {error}. Expected a recording such as .wav or .flac.") from None
    if len(user) == 0:
        raise UserError(f"{path} is empty: it has no samples.")
    if len(user) > LONGEST_S * rate:
        raise UserError(f"{path} is longer than {LONGEST_S} s. Expected a shorter recording.")
    if not np.isfinite(user).all():
        raise UserError(f"{path} holds samples that are no numbers. Expected a recording.")
    resampled = user if rate == sample_rate else soxr.resample(user, rate, sample_rate)
    return pcm.to_int16(resampled), rate


def _check_recording(path: Path, rate: int, channels: int, channel: int | None) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(f"{path} says that it has {rate} samples a second. Expected {RATES[0]} … {RATES[1]}.")
    if channel is None and channels > 1:
        raise UserError(f"{path} has {channels} channels. Say which is the user's, counted from 0: --channel 0")
    if channel is not None and not 0 <= channel < channels:
        raise UserError(f"{path} has no channel {channel}, expected 0 … {channels - 1}.")


def _read_channel(file: soundfile.SoundFile, channel: int) -> NDArray[np.float32]:
    """Samples of one channel, a little more than the longest recording at most: what a header says is not believed."""
    most, pieces, length = LONGEST_S * file.samplerate, [np.zeros(0, np.float32)], 0
    while length <= most and len(piece := file.read(READ_FRAMES, dtype="float32", always_2d=True)):
        pieces.append(piece[:, channel].copy())
        length += len(piece)
    return np.concatenate(pieces)


def with_silence(user: NDArray[np.int16], silence_s: float, sequence_format: SequenceFormat) -> NDArray[np.int16]:
    """The user's samples and at least so much silence after them, whole blocks."""
    size = sequence_format.bayling.block_samples
    blocks = -(-(len(user) + round(silence_s * sequence_format.sample_rate)) // size)
    return np.pad(user, (0, blocks * size - len(user)))


def talk(
    model: DuplexModel, user: NDArray[np.int16], temperature: float, seed: int, report: Callable[[int], None]
) -> Talk:
    """Let a model listen to `user`, int16 [samples] at its rate, whole blocks, and answer.

    report: called with the number of blocks done. Raises UserError if there are more than the model has room for, or
    if the text tokenizer that the transcript needs is not there.
    """
    text_tokenizer(model.format)  # a missing one is told before the conversation, not after
    size = model.format.bayling.block_samples
    said: list[Block] = []
    for block in converse(model, ["talk"], user[np.newaxis], temperature, seed):
        said.append(block)
        report(len(said))
    assistant = np.concatenate([np.zeros(size, np.float32), *(block.waveforms[0] for block in said)])
    return Talk(
        pcm.to_float(np.pad(user, (0, size))),
        assistant,
        np.concatenate([block.text_ids[0] for block in said]),
        np.array([block.took_s for block in said]),
    )


def text_tokenizer(sequence_format: SequenceFormat) -> TextTokenizer:
    """The one a model was trained with. Raises UserError if it is not there, or is another."""
    found: TextTokenizer = installed(TEXT_TOKENIZERS, sequence_format.described.text_tokenizer, sequence_format.tokens)
    return found


def replies(text_ids: NDArray[np.int32], sequence_format: SequenceFormat) -> list[Said]:
    """What the text channel [blocks * M] says, reply by reply, in whatever order a model has written it.

    A reply starts at [ASSISTANT], or at text where there is none, and ends at [EPAD], at [SILENCE] or at the next one.
    """
    vocabulary = sequence_format.bayling.vocabulary
    tokenizer = text_tokenizer(sequence_format)
    found: list[tuple[int, int, list[int]]] = []
    start: int | None = None
    words: list[int] = []
    for slot, id_ in enumerate([*(int(id_) for id_ in text_ids), vocabulary.silence]):
        if start is not None and id_ in (vocabulary.silence, vocabulary.epad, vocabulary.assistant):
            found.append((start, slot, words))
            start = None
        if id_ == vocabulary.assistant:
            start, words = slot + 1, []
        elif vocabulary.is_text(id_):
            if start is None:
                start, words = slot, []
            words.append(id_)
    return [
        Said(heard_at_s(start, sequence_format), heard_at_s(end, sequence_format), tokenizer.decode(words).strip())
        for start, end, words in found
    ]


def heard_at_s(slot: int, sequence_format: SequenceFormat) -> float:
    """When the frame that starts at a text slot is heard: a block later than its place (section 2.1, causal shift)."""
    layout = sequence_format.bayling
    block_s = layout.block_samples / sequence_format.sample_rate
    return round((slot / layout.text_tokens + 1) * block_s, 3)


def write(made: Talk, model: DuplexModel, about: dict[str, Any], out: Path) -> list[Said]:
    """Write both.wav (channel 0 the user, 1 the assistant), assistant.wav, the transcript and a picture to `out`."""
    said = replies(made.text_ids, model.format)
    rate = model.format.sample_rate
    block_s = model.format.bayling.block_samples / rate
    for name, samples in (
        ("both.wav", np.stack([made.user, made.assistant], axis=1)),
        ("assistant.wav", made.assistant),
    ):
        with atomic_path(out / name) as path, explained(out / name):
            soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")
    write_json(
        out / "transcript.json",
        about
        | {"replies": [asdict(reply) for reply in said], "text_ids": made.text_ids.tolist()}
        | {"block_s": block_s, "block_took_s": {"mean": made.took_s.mean(), "most": made.took_s.max()}},
    )
    with atomic_path(out / "transcript.txt") as path:
        path.write_text("".join(f"{line}\n" for line in transcript(said)), encoding="utf-8")
    _write_picture(made, model, out / "channels.png")
    return said


def transcript(said: list[Said]) -> list[str]:
    return [f"{reply.start_s:7.2f} s to {reply.end_s:7.2f} s  {reply.text}" for reply in said] or ["nothing was said"]


def _write_picture(made: Talk, model: DuplexModel, target: Path) -> None:
    """Both channels over time, and below them the state that each text slot stands for, where it is heard."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rate, step = model.format.sample_rate, max(1, model.format.sample_rate // 1000)
    seconds = len(made.user) / rate
    figure = Figure(figsize=(max(8.0, min(30.0, seconds / 2)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    user, assistant, states = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    for axis, name, samples in ((user, "user", made.user), (assistant, "assistant", made.assistant)):
        axis.plot(np.arange(0, len(samples), step) / rate, samples[::step], linewidth=0.4, color="#3b6ea5")
        axis.set_ylabel(name, fontsize=8)
        axis.set_ylim(-1, 1)
        axis.set_yticks([])
    names = {id_: name for name, id_ in model.format.bayling.vocabulary.state.items()}
    width_s = model.format.bayling.block_samples / rate / model.format.bayling.text_tokens
    for slot, id_ in enumerate(made.text_ids):
        colour = STATE_COLOURS[names.get(int(id_), "text")]
        states.axvspan(heard_at_s(slot, model.format), heard_at_s(slot, model.format) + width_s, color=colour)
    states.set_yticks([])
    states.set_xlim(0, seconds)
    states.set_xlabel("s", fontsize=8)
    keys = [Patch(color=colour, label=_key(name)) for name, colour in STATE_COLOURS.items()]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), fontsize=7)
    with atomic_path(target) as path:
        figure.savefig(path, format="png", dpi=PLOT_DPI, metadata={"Software": None})


def _key(name: str) -> str:
    return STATE_TOKENS.get(name, name)
