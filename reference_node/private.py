"""What a node writes is its own user's alone, under any umask: files 0600, folders 0700 (9.2-e-2).

>>> with open(path, "wb", opener=opener) as file:
...     file.write(b"for this node only")
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE: Final = 0o600
FOLDER: Final = 0o700
_OTHERS: Final = 0o077


def opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=opener)`: a new one is its owner's alone."""
    return os.open(path, flags, FILE)


def write(path: Path, content: bytes) -> None:
    """Write a file that is its owner's alone."""
    with open(path, "wb", opener=opener) as file:
        file.write(content)
    narrow(path)


def make(folder: Path) -> Path:
    """Make a folder, with those above it that are missing, and return it; what is there stays as it is."""
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            with suppress(FileExistsError):  # another process, just now
                place.mkdir(mode=FOLDER)
                narrow(place)
    if not folder.is_dir():
        folder.mkdir(mode=FOLDER)  # says what is wrong with it
    return folder


def narrow(path: Path) -> None:
    """Take from others what rights they have to a file or folder of this user's; links and what is gone are left."""
    with suppress(FileNotFoundError, PermissionError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS and found.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def tighten(folder: Path, leave: Collection[Path] = ()) -> None:
    """Narrow a folder and all in it, but for folders that are somebody else's to decide about."""
    narrow(folder)
    left = {path.resolve() for path in leave}
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if (here / name).resolve() not in left]
        for name in (*folders, *files):
            narrow(here / name)
