"""The second place, where copies of the evidence lie (9.2-d-4): a folder, or the memory of a node without one.

Guarantees: a copy is read back before it counts as written, and is there whole or not at all; none is ever overwritten.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Protocol

from reference_node import private

_NAME: Final = re.compile(r"evidence-([0-9]{12})-([0-9]{12})\.jsonl")


def name_of(first: int, last: int) -> str:
    """Return the name of the copy of these records."""
    return f"evidence-{first:012}-{last:012}.jsonl"


def span_of(name: str) -> tuple[int, int] | None:
    """Return which records a copy is of; None where the name is not that of a copy."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2]))


class Shelf(Protocol):
    """Where copies lie."""

    def names(self) -> list[str]:
        """Return the names of the copies, by their first record."""

    def put(self, name: str, text: bytes) -> None:
        """Keep a copy; raise OSError when it cannot be read back as it was written."""

    def get(self, name: str) -> bytes:
        """Return a copy."""


class MemoryShelf:
    """Copies in memory."""

    def __init__(self) -> None:
        self._copies: dict[str, bytes] = {}

    def names(self) -> list[str]:
        """Return the names of the copies."""
        return sorted(self._copies)

    def put(self, name: str, text: bytes) -> None:
        """Keep a copy."""
        self._copies[name] = text

    def get(self, name: str) -> bytes:
        """Return a copy."""
        return self._copies[name]


class FolderShelf:
    """Copies as files of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the names of the copies."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if span_of(path.name))

    def put(self, name: str, text: bytes) -> None:
        """Keep a copy: written, flushed to the disk, read back, then given its name."""
        private.make(self._folder)
        fresh = self._folder / (name + ".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if fresh.read_bytes() != text:
            raise OSError(f"{fresh.name} does not read as it was written")
        fresh.replace(self._folder / name)

    def get(self, name: str) -> bytes:
        """Return a copy."""
        return (self._folder / name).read_bytes()
