"""Checks of the folders for a data set and for its work, before anything is written."""

import os
import unicodedata
from contextlib import suppress
from pathlib import Path

from ..errors import UserError

KEY = "0" * 16
UUID = "0" * 32
STAGING = ".{}." + KEY  # beside the data set, which it becomes: the longest name that is made from the data set's name
BELOW_STAGING = f".commits/.data--train-00000-of-00000.parquet.json.{UUID}.tmp"
BELOW_WORK = f"preferences-{KEY}/.part-000000.parquet.{UUID}.tmp"


def check_places(out: Path, work: Path) -> None:
    """Raise UserError if a data set cannot be made in `out` with its stages' folders in `work`, wherever links lead.

    It cannot if one is inside the other or both are the same, if `out` is a mount point, if a file stands where a
    folder is needed, or if a name that will be made there is too long for the file system.
    """
    check_out(out)
    check_work(work)
    if is_inside(work, out):
        raise UserError(
            f"the folder of the stages, {work}, is inside {out}, which must hold only the data set. "
            "Choose another folder with --work or with --out."
        )
    if is_inside(out, work):
        raise UserError(
            f"the folder of the data set, {out}, is inside {work}, where the stages keep their results. "
            "Choose another folder with --out or with --work."
        )


def check_out(out: Path) -> None:
    """Raise UserError if a folder cannot be staged beside `out` and take its name. See `check_places`."""
    _check_length(out, out.parent / STAGING.format(out.name) / BELOW_STAGING, len(STAGING.format("")))
    _check_way(out)
    if out.is_mount():
        raise UserError(f"{out} is a mount point, which a finished folder cannot replace. Name a folder inside it.")


def check_work(work: Path) -> None:
    """Raise UserError if stages cannot keep their results in `work`. See `check_places`."""
    _check_length(work, work / BELOW_WORK, 0)
    _check_way(work)


def is_inside(inner: Path, outer: Path) -> bool:
    """Whether a folder is another or lies in it, also under other names: links, mounts, upper and lower case.

    Neither needs to exist. What does not exist yet is compared without regard to case, as some file systems do.
    """
    inner, outer = expanded(inner), expanded(outer)
    existing = deepest(outer)
    rest = _folded(outer.relative_to(existing))
    for parent in (inner, *inner.parents):
        with suppress(OSError):
            if parent.samefile(existing) and _folded(inner.relative_to(parent))[: len(rest)] == rest:
                return True
    return False


def deepest(path: Path) -> Path:
    """The deepest folder on the way to a path, of those that exist."""
    for parent in (path, *path.parents):
        with suppress(OSError):
            if parent.is_dir():
                return parent
    return Path(path.anchor)


def expanded(path: Path, resolved: bool = True) -> Path:
    """An absolute path without ~ and, if `resolved`, without .. and links. Raises UserError if that cannot be made."""
    try:
        path = path.expanduser()
        return path.resolve() if resolved else path.absolute()
    except (RuntimeError, OSError) as error:  # the home of an unknown user, links in a circle
        raise UserError(f"{path} is not a path that can be used: {error}. Choose another one.") from error


def _folded(path: Path) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in path.parts)


def _check_way(path: Path) -> None:
    """Raise UserError if something that is no folder stands where the path needs one."""
    existing = deepest(path)
    names = path.relative_to(existing).parts
    if names and os.path.lexists(first := existing / names[0]):
        kind = "a link that leads to no folder" if first.is_symlink() else "no folder"
        raise UserError(f"{first} is {kind}, and a build would make {path}. Choose another folder, or remove {first}.")


def _check_length(path: Path, longest: Path, extra: int) -> None:
    """Raise UserError if a name or a path is too long for the file system.

    longest: the longest path that is made at or below `path`. extra: bytes that are put around the name itself.
    """
    existing = deepest(path.parent)
    most, most_in_all = os.pathconf(existing, "PC_NAME_MAX"), os.pathconf(existing, "PC_PATH_MAX") - 1
    above = [(name, most) for name in path.parent.relative_to(existing).parts]
    for name, limit in [*above, (path.name, most - extra)]:
        if (length := len(os.fsencode(name))) > limit:
            raise UserError(
                f"{path}: the name {name[:30]}… has {length} bytes, and can have {limit}: the file system allows "
                f"{most}{f', and a build puts {extra} around it' if limit < most else ''}. Choose a shorter one."
            )
    if (length := len(os.fsencode(longest))) > most_in_all:
        raise UserError(
            f"{path}: with what a build makes there, the path has up to {length} bytes, and the system allows "
            f"{most_in_all}. Choose a shorter one."
        )
