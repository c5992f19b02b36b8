"""Talking to a model: a recording in, both channels and a transcript out, one block at a time, as if it were live."""

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
from .modes import mode_of
from .stream import Sampling

PLOT_DPI = 110
RATES = (4000, 768_000)  # Hz, of recordings
LONGEST_S = 3600  # of a recording
READ_FRAMES = 1 << 16  # per read
STATE_COLOURS = {
    "silence": "#d9d9d9",
    "assistant": "#b03a2e",
    "text": "#3b6ea5",
    "pad": "#a9c4e0",
    "epad": "#1e8449",
    "wait": "#d9d9d9",
    "asr": "#b9770e",
    "answer": "#b03a2e",
    "initial": "#ffffff",
}


@dataclass(frozen=True)
class TextReply:
    """A reply as the text channel has it, in seconds on the user's time axis."""

    start_s: float  # when its first sound is heard
    end_s: float  # the same of its text's end; in the layout flm, where text runs ahead, the speech may go on
    text: str


@dataclass(frozen=True)
class Talk:
    """A conversation that is over."""

    user: Waveform  # [samples]
    assistant: Waveform  # [samples], as many: what is sampled at block b is heard at block b + 1
    text_ids: NDArray[np.int32]  # [blocks * text slots]
    took_s: NDArray[np.float64]  # [blocks]

    def real_time_factor(self, block_s: float) -> float:
        return float(self.took_s.mean() / block_s)


def read_recording(path: Path, sample_rate: int, channel: int | None) -> tuple[NDArray[np.int16], int]:
    """One channel of a recording, int16 [samples] at `sample_rate`, and the rate it had.

    channel: which one, needed if there are several. Raises UserError if the recording cannot be read, is empty, or has
    a rate, a length or samples that no recording of speech has.
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
        raise UserError(f"{path} is longer than {LONGEST_S} s. Use a shorter recording.")
    if not np.isfinite(user).all():
        raise UserError(f"{path} holds samples that are not finite numbers. Use another recording.")
    resampled = user if rate == sample_rate else soxr.resample(user, rate, sample_rate)
    return pcm.to_int16(resampled), rate


def _check_recording(path: Path, rate: int, channels: int, channel: int | None) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(f"{path} says that it has {rate} samples per second. Expected {RATES[0]} … {RATES[1]}.")
    if channel is None and channels > 1:
        raise UserError(f"{path} has {channels} channels. Say which one is the user's, counted from 0: --channel 0")
    if channel is not None and not 0 <= channel < channels:
        raise UserError(f"{path} has no channel {channel}, expected 0 … {channels - 1}.")


def _read_channel(file: soundfile.SoundFile, channel: int) -> NDArray[np.float32]:
    """Samples of one channel: all, or a little more than LONGEST_S allows, whatever length the header says."""
    most, pieces, length = LONGEST_S * file.samplerate, [np.zeros(0, np.float32)], 0
    while length <= most and len(piece := file.read(READ_FRAMES, dtype="float32", always_2d=True)):
        pieces.append(piece[:, channel].copy())
        length += len(piece)
    return np.concatenate(pieces)


def with_silence(user: NDArray[np.int16], silence_s: float, sequence_format: SequenceFormat) -> NDArray[np.int16]:
    """The user's samples, then at least `silence_s` of silence, up to the end of a block."""
    size = sequence_format.block_samples
    blocks = -(-(len(user) + round(silence_s * sequence_format.sample_rate)) // size)
    return np.pad(user, (0, blocks * size - len(user)))


def talk(model: DuplexModel, user: NDArray[np.int16], sampling: Sampling, report: Callable[[int], None]) -> Talk:
    """Let a model listen to `user`, int16 [samples] at its rate, whole blocks, and answer.

    report: called with the number of blocks done. Raises UserError if the model has too few positions for all blocks,
    or if the text tokenizer that the transcript needs is missing.
    """
    text_tokenizer(model.format)  # raises now, and not after the conversation, if it is missing
    size = model.format.block_samples
    blocks: list[Block] = []
    for block in converse(model, ["talk"], user[np.newaxis], sampling):
        blocks.append(block)
        report(len(blocks))
    assistant = np.concatenate([np.zeros(size, np.float32), *(block.waveforms[0] for block in blocks)])
    return Talk(
        pcm.to_float(np.pad(user, (0, size))),
        assistant,
        np.concatenate([block.text_ids[0] for block in blocks]),
        np.array([block.took_s for block in blocks]),
    )


def text_tokenizer(sequence_format: SequenceFormat) -> TextTokenizer:
    """The tokenizer that a model was trained with. Raises UserError if it is missing, or is another one."""
    described = sequence_format.described.text_tokenizer
    tokenizer: TextTokenizer = installed(TEXT_TOKENIZERS, described, sequence_format.tokens)
    return tokenizer


def replies(text_ids: NDArray[np.int32], sequence_format: SequenceFormat) -> list[TextReply]:
    """The replies in a text channel [blocks * text slots], whatever order of states a model has written."""
    tokenizer = text_tokenizer(sequence_format)
    return [
        TextReply(
            heard_at_s(span.start, sequence_format),
            heard_at_s(span.end, sequence_format),
            tokenizer.decode(span.ids).strip(),
        )
        for span in mode_of(sequence_format).replies([int(id_) for id_ in text_ids])
    ]


def heard_at_s(slot: int, sequence_format: SequenceFormat) -> float:
    """When the sound of a text slot is heard."""
    mode, block_s = mode_of(sequence_format), sequence_format.block_samples / sequence_format.sample_rate
    return round((slot / mode.text_slots + mode.heard_after) * block_s, 3)


def write(conversation: Talk, model: DuplexModel, about: dict[str, Any], out: Path) -> list[TextReply]:
    """Write both.wav (channel 0 the user, 1 the assistant), assistant.wav, the transcript and a picture to `out`.

    about: what else transcript.json says. Returns the replies of the text channel.
    """
    texts = replies(conversation.text_ids, model.format)
    rate = model.format.sample_rate
    block_s = model.format.block_samples / rate
    for name, samples in (
        ("both.wav", np.stack([conversation.user, conversation.assistant], axis=1)),
        ("assistant.wav", conversation.assistant),
    ):
        with atomic_path(out / name) as path, explained(out / name):
            soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")
    took_s = conversation.took_s
    write_json(
        out / "transcript.json",
        about
        | {"replies": [asdict(reply) for reply in texts], "text_ids": conversation.text_ids.tolist()}
        | {"block_s": block_s, "block_took_s": {"mean": took_s.mean(), "most": took_s.max()}},
    )
    with atomic_path(out / "transcript.txt") as path:
        path.write_text("".join(f"{line}\n" for line in transcript(texts)), encoding="utf-8")
    _write_picture(conversation, model, out / "channels.png")
    return texts


def transcript(texts: list[TextReply]) -> list[str]:
    """Lines for a person."""
    return [f"{reply.start_s:7.2f} s to {reply.end_s:7.2f} s  {reply.text}" for reply in texts] or ["nothing was said"]


def _write_picture(conversation: Talk, model: DuplexModel, target: Path) -> None:
    """Both channels over time, and below them the state of each text slot, at the time when it is heard."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rate, step = model.format.sample_rate, max(1, model.format.sample_rate // 1000)
    seconds = len(conversation.user) / rate
    figure = Figure(figsize=(max(8.0, min(30.0, seconds / 2)), 4), layout="constrained")
    FigureCanvasAgg(figure)
    user, assistant, states = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    for axis, name, samples in (
        (user, "user", conversation.user),
        (assistant, "assistant", conversation.assistant),
    ):
        axis.plot(np.arange(0, len(samples), step) / rate, samples[::step], linewidth=0.4, color="#3b6ea5")
        axis.set_ylabel(name, fontsize=8)
        axis.set_ylim(-1, 1)
        axis.set_yticks([])
    mode = mode_of(model.format)
    names = {id_: name for name, id_ in mode.states.items()}
    width_s = model.format.block_samples / rate / mode.text_slots
    for slot, id_ in enumerate(conversation.text_ids):
        colour = STATE_COLOURS[names.get(int(id_), "text")]
        states.axvspan(heard_at_s(slot, model.format), heard_at_s(slot, model.format) + width_s, color=colour)
    states.set_yticks([])
    states.set_xlim(0, seconds)
    states.set_xlabel("s", fontsize=8)
    shown = [name for name in STATE_COLOURS if name == "text" or name in mode.states]
    patches = [Patch(color=STATE_COLOURS[name], label=_label(name)) for name in shown]
    figure.legend(handles=patches, loc="outside upper center", ncols=len(patches), fontsize=7)
    with atomic_path(target) as path:
        figure.savefig(path, format="png", dpi=PLOT_DPI, metadata={"Software": None})


def _label(name: str) -> str:
    return STATE_TOKENS.get(name, name)
