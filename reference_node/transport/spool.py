"""Messages in memory while there is room, in files of the spool folder beyond that (9.1-c: bounded memory).

Guarantees: no more than `memory` bytes of payloads are held in memory by one node; a message above `inline` bytes goes
to a file whatever the room; a payload is written chunk by chunk and never needs to be in memory whole; what goes to a
file can be read while it is written; its file is gone once it is discarded; a spool that is opened sweeps away what an
earlier process of the node has left.

>>> spool = Spool(None, memory=1 << 20, inline=1 << 16)
>>> writer = spool.writer()
>>> writer.write(b"hello")
>>> writer.finish().read()
b'hello'
"""

from __future__ import annotations

import io
import itertools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from reference_node import private

CHUNK = 1024 * 1024


class Content(Protocol):
    """The bytes of a message on its way; `size` is final where they are `complete`."""

    @property
    def complete(self) -> bool:
        """Whether all bytes are here."""

    @property
    def size(self) -> int:
        """How many bytes are here."""

    def parts(self, size: int) -> Iterator[tuple[bytes, bool]]:
        """Yield the bytes in pieces of `size`, each with whether it is the last; there is always one."""

    def discard(self) -> None:
        """Let go of them."""


class Spool:
    """Where the payloads of one node lie; any thread may use it."""

    def __init__(self, folder: Path | None, *, memory: int, inline: int) -> None:
        self._folder = folder
        self._temporary = folder is None
        self._limit = memory
        self._inline = min(inline, memory)
        self._used = 0
        self._names = itertools.count()
        self._lock = threading.Lock()
        self.spilled = 0
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def writer(self) -> Writer:
        """Return what a new payload is written into."""
        return Writer(self)

    def keep(self, data: bytes) -> Payload:
        """Return the payload that holds these bytes."""
        writer = self.writer()
        writer.write(data)
        return writer.finish()

    def close(self) -> None:
        """Remove every file."""
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None if self._temporary else self._folder

    @property
    def used(self) -> int:
        """Bytes in memory."""
        return self._used

    def fits(self, size: int) -> bool:
        """Tell whether a payload of this size may stay in memory, and count it if so."""
        with self._lock:
            if size > self._inline or self._used + size > self._limit:
                return False
            self._used += size
            return True

    def give_back(self, size: int) -> None:
        """Count a payload no longer."""
        with self._lock:
            self._used -= size

    def new_path(self) -> Path:
        """Return the path of a new file."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="hutong-spool-"))
            private.make(self._folder)
            self.spilled += 1
            return self._folder / f"{next(self._names):012d}"

    @property
    def inline(self) -> int:
        """The largest payload that may stay in memory."""
        return self._inline


class Writer:
    """One payload being written; end it with `finish` or `abandon`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._growing: Growing | None = None
        self.size = 0

    def growing(self) -> Growing | None:
        """Return what reads this payload while it is written; None as long as it is small."""
        if self._growing is None and self._path is not None:
            self._growing = Growing(self._path, self.size)
        return self._growing

    def write(self, chunk: bytes) -> None:
        """Add a chunk."""
        self.size += len(chunk)
        if self._file is None:
            self._parts.append(chunk)
            if self.size > self._spool.inline:
                self._spill()
        else:
            self._file.write(chunk)
        if self._growing is not None:
            self._growing.grow(self.size)

    def finish(self) -> Payload:
        """Return the payload."""
        if self._file is None and not self._spool.fits(self.size):
            self._spill()
        if self._file is not None and self._path is not None:
            self._file.close()
            if self._growing is not None:
                self._growing.end(whole=True)
            return Payload(self._spool, self.size, None, self._path)
        return Payload(self._spool, self.size, b"".join(self._parts), None)

    def abandon(self) -> None:
        """Drop what was written."""
        self._parts = []
        if self._file is not None and self._path is not None:
            self._file.close()
            if self._growing is not None:
                self._growing.end(whole=False)
            self._path.unlink(missing_ok=True)

    def _spill(self) -> None:
        self._path = self._spool.new_path()
        self._file = open(self._path, "wb", buffering=0, opener=private.opener)  # noqa: SIM115 - it has no opener
        for part in self._parts:
            self._file.write(part)
        self._parts = []


class CutShort(Exception):
    """What was being written ended before it was whole."""


class Growing:
    """The bytes of one message while they are written. One thread writes, another one reads."""

    complete = False

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._whole: bool | None = None
        self.size = size

    def grow(self, size: int) -> None:
        """Tell that so many bytes are there."""
        with self._changed:
            self.size = size
            self._changed.notify_all()

    def end(self, *, whole: bool) -> None:
        """Tell that there will be no more."""
        with self._changed:
            self._whole = whole if self._whole is None else self._whole
            self._changed.notify_all()

    def discard(self) -> None:
        """Let nobody read on; the file belongs to the writer."""
        self.end(whole=False)

    def parts(self, size: int) -> Iterator[tuple[bytes, bool]]:
        """Yield the pieces as they come; raise CutShort when there will be no end."""
        at, last = 0, False
        with self._path.open("rb", buffering=0) as file:
            while not last:
                with self._changed:
                    self._changed.wait_for(lambda: self._whole is not None or self.size > at + size)  # noqa: B023
                    ended = self._whole
                if ended is False:
                    raise CutShort
                piece = file.read(size)
                at += len(piece)
                last = ended is True and at == self.size
                yield piece, last


class Payload:
    """The bytes of one message; whoever holds it last discards it."""

    __slots__ = ("_counted", "_data", "_path", "_spool", "size")
    complete = True

    def __init__(self, spool: Spool, size: int, data: bytes | None, path: Path | None, *, counted: bool = True) -> None:
        self._spool = spool
        self._data = data
        self._path = path
        self._counted = counted and path is None
        self.size = size

    def __repr__(self) -> str:
        return f"Payload({self.size} bytes, {'in memory' if self._path is None else 'in a file'})"

    def reader(self) -> BinaryIO:
        """Return a file of the bytes, which stays readable after the payload is discarded."""
        return io.BytesIO(self._data or b"") if self._path is None else self._path.open("rb", buffering=0)

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """Yield the bytes in pieces of `size`; nothing for an empty payload."""
        with self.reader() as file:
            while piece := file.read(size):
                yield piece

    def parts(self, size: int) -> Iterator[tuple[bytes, bool]]:
        """Yield the bytes in pieces of `size`, each with whether it is the last; an empty payload is one such piece."""
        left = self.size
        for piece in self.chunks(size) if left else (b"",):
            left -= len(piece)
            yield piece, left == 0

    def read(self) -> bytes:
        """Return all bytes."""
        return self._data if self._data is not None else b"".join(self.chunks())

    def share(self) -> Payload:
        """Return another payload of the same bytes, to be discarded on its own."""
        if self._path is None:
            return Payload(self._spool, self.size, self._data, None, counted=False)
        path = self._spool.new_path()
        path.hardlink_to(self._path)
        return Payload(self._spool, self.size, None, path)

    def discard(self) -> None:
        """Let go of memory and file; a second time does nothing."""
        if self._counted:
            self._counted = False
            self._spool.give_back(self.size)
        self._data = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
