"""A bank on disk: under a temporary name until it is whole, then under its own."""

import io
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..audio import pcm
from ..dialogue import Waveform
from ..errors import UserError
from ..speech.recorded import BANK_FILE, CLIPS, FORMAT_VERSION
from ..storage.atomic import TEMPORARY_SUFFIX, atomic_path, canonical_json, explained, file_sha256, locked, write_json
from .choosing import Chosen
from .judging import Candidate, Rejected
from .recipe import VoicesRecipe
from .report import CARD, PLOT, write_card

REJECTED = "rejected.jsonl"
RECIPE = "recipe.yaml"
REPORT = {CARD, PLOT, REJECTED, RECIPE}  # files of a folder of which no clip was kept


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a bank, and its rejected clips."""

    kept: int
    held_out: int
    rejected: tuple[Rejected, ...]


class Writer:
    """Writes each candidate at once, so that memory holds none of them. `finish` removes those that are not voices."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder, self._out = folder, out
        self.whole = False

    def keep(self, candidate: Candidate, samples: Waveform, rate: int) -> None:
        """Write a clip f32 [samples] as PCM16: exactly the samples of a recording in PCM16."""
        import soundfile

        wav = io.BytesIO()
        soundfile.write(wav, pcm.to_int16(samples), rate, subtype="PCM_16", format="WAV")
        with atomic_path(self.folder / CLIPS / f"{voice_name(candidate)}.wav") as path:
            path.write_bytes(wav.getvalue())

    def finish(
        self, chosen: Sequence[Chosen], rejected: Sequence[Rejected], recipe: VoicesRecipe, source: str
    ) -> Summary:
        """Write the index, the card and the rejected clips; without a voice, the report alone."""
        ordered = sorted(chosen, key=lambda voice: voice_name(voice.candidate))
        names = {voice_name(voice.candidate) for voice in ordered}
        for path in (self.folder / CLIPS).glob("*.wav"):
            if path.stem not in names:
                path.unlink()
        lines = [
            {"where": one.where, "reason": one.reason, "detail": one.detail, "figures": one.figures.rounded()}
            for one in sorted(rejected, key=lambda one: (one.where, one.reason))
        ]
        with atomic_path(self.folder / REJECTED) as path:
            path.write_text("".join(canonical_json(line) + "\n" for line in lines), encoding="utf-8")
        with atomic_path(self.folder / RECIPE) as path:
            path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
        title = Path(source).name
        voices = [self._row(voice, title) for voice in ordered]
        write_card(self.folder, self._out.name, title, ordered, rejected, recipe)
        if voices:
            write_json(self.folder / BANK_FILE, {"format_version": FORMAT_VERSION, "voices": voices})
        elif (self.folder / CLIPS).is_dir():
            (self.folder / CLIPS).rmdir()
        self.whole = True
        return Summary(len(ordered), sum(voice.split == "eval" for voice in ordered), tuple(rejected))

    def _row(self, voice: Chosen, title: str) -> dict[str, Any]:
        one = voice.candidate
        name = voice_name(one)
        file = f"{CLIPS}/{name}.wav"
        source = f"{title}: {one.where} (sha256 {one.sha256}), {one.start_s:.3f} to {one.end_s:.3f} s"
        return {
            "name": name,
            "languages": [one.language],
            "sex": one.sex,
            "split": voice.split,
            "file": file,
            "text": one.text,
            "duration_s": round(one.figures.duration_s or 0.0, 4),
            "dnsmos": round(one.dnsmos, 4),
            "license": one.license,
            "provenance": source if one.speaker is None else f"{source}, speaker {one.speaker}",
            "sha256": file_sha256(self.folder / file),
        }


def voice_name(candidate: Candidate) -> str:
    """The speaker's name, or the recording's, and eight digits of the recording's checksum: stable and a file name."""
    title = candidate.speaker or Path(candidate.where).stem
    slug = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[-40:].strip("-") or "voice"
    return f"{slug}-{candidate.sha256[:8]}"


@contextmanager
def writing(out: Path) -> Iterator[Writer]:
    """A folder beside `out` that takes its place once the bank is whole, and is removed otherwise.

    Files of a command that was killed are removed. Raises UserError if `out` holds anything but the report of an
    earlier attempt that kept no clip, or if another command is making it.
    """
    _check_free(out)
    lock = out.with_name(f".{out.name}.lock")
    with locked(lock, f"{out} is being made by another command"):
        try:
            yield from _writing(out, out.with_name(f".{out.name}{TEMPORARY_SUFFIX}"))
        finally:
            lock.unlink(missing_ok=True)


def _writing(out: Path, folder: Path) -> Iterator[Writer]:
    try:
        with explained(out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            writer = Writer(folder, out)
            yield writer
            if writer.whole:
                _check_free(out)
                if out.exists():
                    shutil.rmtree(out)
                folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_free(out: Path) -> None:
    with explained(out):
        if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= REPORT):
            raise UserError(f"{out} is there already. Choose another folder with --out, or remove it.")
