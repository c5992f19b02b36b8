"""Damage that a disk, a person or another program may do to files; seeded, so that a test that fails fails again."""

import random
import shutil
from pathlib import Path


def flip(file: Path, place: int, bits: int) -> None:
    """Change the bits of one byte."""
    content = bytearray(file.read_bytes())
    content[place] ^= bits
    file.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def spoil(folder: Path, rng: random.Random) -> str:
    """Do one thing to one of the files of a folder, hidden ones too; returns what, or "" if there are none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return ""
    file = rng.choice(files)
    kind = rng.choice(["deleted", "emptied", "flipped", "linked", "folder linked", "added", "swapped"])
    elsewhere = folder.with_name(f"elsewhere-{rng.random()}")
    if kind == "deleted":
        file.unlink()
    elif kind == "emptied":
        file.write_bytes(b"")
    elif kind == "flipped" and file.stat().st_size:
        flip(file, rng.randrange(file.stat().st_size), 1 << rng.randrange(8))
    elif kind == "linked":  # to the very same bytes
        file.rename(elsewhere)
        file.symlink_to(elsewhere)
    elif kind == "folder linked" and file.parent != folder:
        file.parent.rename(elsewhere)
        file.parent.symlink_to(elsewhere)
    elif kind == "added":
        shutil.copyfile(file, file.with_name(f"{file.stem} (copy){file.suffix}"))
        shutil.copyfile(file, file.with_name(f".{file.name}"))
        (folder / "notes").mkdir(exist_ok=True)
        (folder / "notes" / str(rng.random())).symlink_to("/etc/passwd")
    elif kind == "swapped":
        other = rng.choice([one for one in files if one.parent == file.parent])
        if other != file:
            swap(file, other)
    return kind
