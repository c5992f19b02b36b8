"""`duplexgen timing fit`: a profile of timing from recordings of two people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .. import __version__
from ..audio import vad
from ..audio.activity import speech_segments
from ..dataset.audio import LONGEST_TRACK_S
from ..dataset.people import lines
from ..dataset.statistics import Statistics, measure_conversation
from ..dialogue import Waveform
from ..errors import UserError
from ..escapes import visible
from ..measures.conversation import Conversation, conversation
from ..measures.rttm import Speakers, read_rttm
from ..measures.timing_fit import Estimate, Fit, fit
from ..scenarios.natural import Natural
from ..scenarios.profile import HIGH_MS, LOW_MS, Profile
from ..show.progress import Display
from ..storage.atomic import atomic_path, check_free

RTTM, AUDIO = (".rttm",), (".wav", ".flac")
BLOCK_SAMPLES = 1 << 20
HIGHEST_HZ = 384_000


@dataclass(frozen=True)
class Fitted:
    """A profile, what was measured, and why files or recordings were left out."""

    fit: Fit
    statistics: Statistics
    rejected: tuple[str, ...]


def fit_timing(paths: Sequence[Path], out: Path, display: Display) -> Fitted:
    """Fit a profile to RTTM files and two-channel audio, and write it to a new file.

    paths: files, or folders that are searched at any depth. Raises UserError if there is something at `out` already, if
    a path does not exist, or if too little is left to fit; nothing is written then.
    """
    check_free(out)
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    conversations: list[Conversation] = []
    rejected: list[str] = []
    with display.counting("files", len(files)) as report:
        for done, file in enumerate(files, start=1):
            conversations += _read(file, rejected.append)
            report(done)
    try:
        fitted = fit(conversations, LOW_MS / 1000, HIGH_MS / 1000)
    except UserError as error:
        left_out = "".join(f"\n  {reason}" for reason in rejected)
        raise UserError(f"{error}{' Left out:' if rejected else ''}{left_out}") from None
    statistics = Statistics()
    for one in conversations:
        measure_conversation(statistics, one)
    text = profile_text(fitted, len(conversations), sum(one.length_s for one in conversations) / 60)
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Fitted(fitted, statistics, tuple(rejected))


def figures(fitted: Fitted) -> Iterator[str]:
    """What was left out, and the figures of the recordings beside published ones, line by line."""
    yield from (f"left out: {reason}" for reason in fitted.rejected)
    for line in lines(fitted.statistics):
        people = "" if line.people == "–" else f"   people: {line.people} ({line.source})"
        yield f"{line.what:38}{line.here:>20}{people}"


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in RTTM + AUDIO and file.is_file())
        if not found:
            raise UserError(f"{path}: holds no file that ends in {', '.join(RTTM + AUDIO)}")
        return [file.resolve() for file in found]
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.suffix.lower() not in RTTM + AUDIO:
        raise UserError(f"{path}: expected a file that ends in {', '.join(RTTM + AUDIO)}, or a folder of such files")
    return [path.resolve()]


def _read(file: Path, reject: Callable[[str], None]) -> Iterator[Conversation]:
    """The conversations of a file. What cannot be used is rejected, with the file and the reason."""
    try:
        if file.suffix.lower() in AUDIO:
            yield _from_audio(file)
            return
        recordings = read_rttm(file)
    except UserError as error:
        reject(str(error))
        return
    if not recordings:
        reject(f"{file}: has no line of a speaker")
    for name, speakers in recordings.items():
        try:
            yield _from_speakers(speakers)
        except ValueError as error:
            reject(f"{file}: recording {visible(name)}: {error}")


def _from_speakers(speakers: Speakers) -> Conversation:
    """A recording of RTTM. It lasts from the first start to the last end: RTTM does not say more."""
    spoken = {name: segments for name, segments in speakers.items() if segments}
    if len(spoken) != 2:
        raise ValueError(f"has {len(spoken)} speakers, expected 2")
    first, second = spoken.values()
    edges = [*first, *second]
    return conversation((first, second), max(end for _, end in edges) - min(start for start, _ in edges))


def _from_audio(file: Path) -> Conversation:
    """A recording of two channels. Raises UserError if it cannot be used."""
    try:
        channels = _channels(file)
    except (soundfile.SoundFileError, OSError) as error:
        detail = getattr(error, "error_string", error.__class__.__name__)
        raise UserError(f"{file}: cannot be read ({detail}), expected WAV or FLAC") from None
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None
    first, second = (speech_segments(channel, vad.RATE_HZ) for channel in channels)
    if silent := [str(number) for number, found in enumerate((first, second)) if not found]:
        raise UserError(f"{file}: no speech is found in channel {' and '.join(silent)}, expected a speaker in each")
    return conversation((first, second), len(channels[0]) / vad.RATE_HZ)


def _channels(file: Path) -> list[Waveform]:
    """Both channels at the rate of the detector, read in blocks. Raises ValueError, in words, if there are not two."""
    with soundfile.SoundFile(file) as sound:
        if sound.channels != 2:
            raise ValueError(f"has {sound.channels} channel{'s' * (sound.channels > 1)}, expected 2, one per speaker")
        if sound.samplerate > HIGHEST_HZ or sound.frames > LONGEST_TRACK_S * sound.samplerate:
            raise ValueError(f"is longer than {LONGEST_TRACK_S} s, or above {HIGHEST_HZ} Hz")
        resampler = soxr.ResampleStream(sound.samplerate, vad.RATE_HZ, 2)
        blocks, count = [], 0
        for block in sound.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True):
            count += len(block)
            blocks.append(resampler.resample_chunk(block))
        if count != sound.frames or not count:
            raise ValueError(f"is damaged: it holds {count} samples of {sound.frames}")
    blocks.append(resampler.resample_chunk(np.zeros((0, 2), np.float32), last=True))
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise ValueError("is damaged: it holds samples that are no numbers")
    return [np.ascontiguousarray(samples[:, 0]), np.ascontiguousarray(samples[:, 1])]


def profile_text(fitted: Fit, dialogues: int, minutes: float) -> str:
    """A profile as YAML: the section `timing` of a recipe, each number with its standard error."""
    offset = {
        **{name: getattr(fitted, name) for name in ("mean_ms", "sd_ms", "speaker_sd_ms")},
        "low_ms": LOW_MS,
        "high_ms": HIGH_MS,
        **{name: getattr(fitted, name) for name in ("overlap_share", "overlap_median_ms", "overlap_sigma")},
    }
    pause = {"median_ms": fitted.pause_median_ms, "sigma": fitted.pause_sigma}
    Profile.model_validate({"offset": _values(offset), "pause": _values(pause)})
    about = (
        f"# Timing of {dialogues:,} dialogues, {minutes:,.1f} minutes, by duplexgen {__version__}:\n"
        f"# {fitted.transfers:,} floor transfers and {fitted.pauses:,} pauses. After ±: the standard error.\n"
        f"# {fitted.lapses:,} transfers after silences of over {HIGH_MS / 1000:g} s are left out.\n"
    )
    sections = "".join(f"    {name}:\n{_yaml(numbers)}" for name, numbers in (("offset", offset), ("pause", pause)))
    return f"{about}timing:\n  scenario: {Natural.name}\n  profile:\n{sections}"


def _values(numbers: Mapping[str, Estimate | float]) -> dict[str, float]:
    return {name: one.value if isinstance(one, Estimate) else one for name, one in numbers.items()}


def _yaml(numbers: Mapping[str, Estimate | float]) -> str:
    return "".join(f"      {name}: {_number(name, one)}\n" for name, one in numbers.items())


def _number(name: str, one: Estimate | float) -> str:
    places = 1 if name.endswith("_ms") else 3
    if not isinstance(one, Estimate):
        return f"{one:.{places}f}"
    error = "not determined by these recordings" if one.error is None else f"± {one.error:.{places}f}"
    return f"{one.value:.{places}f}  # {error}"
