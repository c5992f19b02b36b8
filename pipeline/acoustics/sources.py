"""What noise and bursts are taken from: folders of the user's, and kinds that ship. Each is a source of recordings."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ..errors import UserError
from ..escapes import one_line
from ..recipe.file import Problem
from ..storage.atomic import canonical_json
from ..storage.model_files import place
from ..storage.paths import PathText
from .effect import Effect, EffectSection
from .folder import RAW_SUFFIXES, SUFFIXES, NoiseFile, examined, sound_files, stretches, text_sha256
from .recordings import HELD_OUT_OF, Recording, Split

MOST_NAMED = 3  # files that are left out


class SourcesSection(EffectSection):
    # Folders of sound, each drawn as often as another one. Relative to the working folder.
    folders: Annotated[list[PathText], Field(max_length=100)] = Field(default_factory=list)
    split: Split = "train"

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"folders"})


class FromSources(Effect):
    """An effect that is made of recordings.

    Sources are the folders of the recipe, in its order, then the kinds that ship. Recordings are those of the split, in
    the order of names. A class that extends this one says which kinds ship, and what shapes them.
    """

    KINDS: ClassVar[Sequence[str]]

    def __init__(self, section: SourcesSection, embedded: Sequence[str] | None) -> None:
        """embedded: kinds that ship. None: all of them if there are no folders, and else none."""
        self._split = section.split
        self._folders = [place(folder) for folder in section.folders]
        self._embedded = tuple(embedded if embedded is not None else [] if section.folders else self.KINDS)

    @abstractmethod
    def of_kind(self, kind: str, split: Split) -> list[Recording]:
        """The recordings of a kind that ships, of one split."""

    @abstractmethod
    def shape_of_kinds(self, kinds: Sequence[str]) -> dict[str, Any]:
        """What shapes the sound of kinds that ship, for the fingerprint. kinds: at least one."""

    def check(self) -> list[Problem]:
        problems: list[Problem] = []
        if not self._folders and not self._embedded:
            expected = f"expected one of {', '.join(self.KINDS)}, or folders"
            problems.append((("embedded",), f"{expected}: there is nothing to draw from"))
        for index, folder in enumerate(self._folders):
            if problem := _missing(folder):
                problems.append((("folders", index), problem))
        return problems

    def fingerprint(self) -> Mapping[str, Any]:
        folders = [
            {
                "sha256": text_sha256(canonical_json([[file.name, file.sha256] for file in files if not file.problem])),
                "files": sum(not file.problem for file in files),
                "left_out": sum(file.problem is not None for file in files),
            }
            for files in self.files
        ]
        _ = self.sources  # a split without a recording is an error before any work
        shape: dict[str, Any] = {"folders": folders} if folders else {}
        return shape | (self.shape_of_kinds(self._embedded) if self._embedded else {})

    def about(self) -> list[str]:
        return [*self._about_folders(), *([f"embedded: {', '.join(self._embedded)}"] if self._embedded else [])]

    def _about_folders(self) -> Iterator[str]:
        for folder, files, recordings in zip(self._folders, self.files, self.sources, strict=False):
            hours = sum(recording.seconds for recording in recordings) / 3600
            used = f"{folder}: {hours:.2f} hours in {len(recordings):,} recordings of the split {self._split}"
            yield one_line(used + _left_out(files))

    @cached_property
    def files(self) -> list[list[NoiseFile]]:
        """Of each folder. It is pickled to the workers, which so read no file as a whole."""
        return [examined(folder) for folder in self._folders]

    @cached_property
    def sources(self) -> list[list[Recording]]:
        """Recordings of the split. Raises UserError if a source has none."""
        folders = zip(self._folders, self.files, strict=True)
        of_folders = [_of_folder(folder, files, self._split, self.name) for folder, files in folders]
        return [*of_folders, *(self.of_kind(kind, self._split) for kind in self._embedded)]

    def load(self) -> None:
        _ = self.sources


def _of_folder(folder: Path, files: Sequence[NoiseFile], split: Split, use: str) -> list[Recording]:
    recordings: list[Recording] = [one for one in stretches(folder, files) if one.split == split]
    if recordings:
        return recordings
    if not any(file.problem is None for file in files):
        raise UserError(f"{folder}: no file there can be used as {use}{_left_out(files)}.")
    raise UserError(
        f"{folder}: none of its recordings is in the split {split}. About one in {HELD_OUT_OF} is held out, as its "
        f"content decides: expected more files there, or longer ones{_left_out(files)}."
    )


def _missing(folder: Path) -> str | None:
    expected = f"expected a folder with files that end in {', '.join(SUFFIXES + RAW_SUFFIXES)}"
    if not folder.is_dir():
        return f"{folder} is no folder: {expected}"
    return None if any(sound_files(folder)) else f"no sound in {folder}: {expected}"


def _left_out(files: Sequence[NoiseFile]) -> str:
    problems = [f"{file.name} {file.problem}" for file in files if file.problem]
    more = f"; and {len(problems) - MOST_NAMED:,} more" if len(problems) > MOST_NAMED else ""
    return f"; left out: {'; '.join(problems[:MOST_NAMED])}{more}" if problems else ""
