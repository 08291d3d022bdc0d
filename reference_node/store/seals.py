"""How far a database has come, sealed outside of it, so that an older copy of it is known for one (9.2-e-1, 9.2-e-3).

Guarantees: a seal says of a state only what was committed before it was written, so that no crash makes it say too
much; nobody without the vault's key can write one; of two places the one that knows more counts; a file of which the
last write was cut off still has the one before. A seal costs no flush to the disk: `settle` does that, once a second.

    DATA/store.seal               written after each commit, two slots of which the later one counts
    EVIDENCE-BACKUP/store.seal    written with the checkpoints of the evidence, in the second place

What ranks highest by (epoch, seq) is what counts. The operator begins another epoch: by restoring a backup, or by
taking the database for good as it is.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from reference_node import private
from reference_node.errors import ConfigError
from reference_node.store import reasons

log = structlog.get_logger("reference_node")

SEAL_FILE: Final = "store.seal"
EVIDENCE_COPIES: Final = "evidence-backup"  # of a data folder, where the configuration names no other place
CONTEXT: Final = b"store.seal"
ACCEPT: Final = "hutong node restore --from BACKUP --data DIR, or hutong node accept --data DIR --reason WHY"
_SLOT: Final = 1024  # bytes: one write, within one page
_SLOTS: Final = 2
MOST_REASON: Final = 200  # characters of a reason, so that a seal fits its slot

Code = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Seal:
    """A state that was reached: of the count of rows, and of the evidence (up to `evidence_seq`, whose hash it was).

    `pending` stands in the first seal of an epoch: the code of the count that the operator has taken for good, "" where
    it has none; `recount` is whether its rows are to be counted anew.
    """

    epoch: int = 0
    seq: int = 0
    evidence_seq: int = 0
    evidence_hash: str = ""
    pending: str | None = None
    recount: bool = False
    reason: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        """By what seals are compared."""
        return self.epoch, self.seq

    def spelled(self) -> bytes:
        """Return what the code of a seal authenticates."""
        return json.dumps({item.name: getattr(self, item.name) for item in fields(self)}, sort_keys=True).encode()


class SealBroken(ValueError):
    """A file holds no seal that this node has written."""


class Place(Protocol):
    """Where a seal is kept; both raise OSError where the place fails."""

    def read(self) -> Seal | None:
        """Return the seal, None where there never was one; raise SealBroken."""

    def write(self, seal: Seal) -> None:
        """Keep a seal."""


@dataclass(slots=True)
class Slots:
    """A file of two slots that are written in turn, in place: it takes no more room later on."""

    path: Path
    code: Code
    _file: int | None = None

    def read(self) -> Seal | None:
        """Return the later seal of those that are whole."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = [_opened(content[at : at + _SLOT], self.code) for at in range(0, _SLOTS * _SLOT, _SLOT)]
        whole = [seal for seal in found if seal is not None]
        if not whole:
            raise SealBroken(f"{self.path} holds no seal of this node's")
        return max(whole, key=lambda seal: seal.rank)

    def write(self, seal: Seal) -> None:
        """Write over the older slot; not flushed."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(self._file).st_size < _SLOTS * _SLOT:  # both at once: nothing is left to grow later
                os.pwrite(self._file, _closed(seal, self.code) * _SLOTS, 0)
                return
        os.pwrite(self._file, _closed(seal, self.code), (seal.seq % _SLOTS) * _SLOT)

    def flush(self) -> None:
        """Have what was written on the disk."""
        if self._file is not None:
            os.fsync(self._file)

    def begin(self, seal: Seal) -> None:
        """Write both slots and flush them: another epoch begins."""
        self.write(seal)
        if self._file is not None:
            os.pwrite(self._file, _closed(seal, self.code) * _SLOTS, 0)
        self.flush()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy in the second place, written anew each time and flushed."""

    path: Path
    code: Code

    def read(self) -> Seal | None:
        """Return the seal."""
        try:
            seal = _opened(self.path.read_bytes(), self.code)
        except FileNotFoundError:
            return None
        if seal is None:
            raise SealBroken(f"{self.path} holds no seal of this node's")
        return seal

    def write(self, seal: Seal) -> None:
        """Write it beside and put it in the place of the former."""
        private.make(self.path.parent)
        fresh = self.path.with_name(self.path.name + ".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(_closed(seal, self.code))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


@dataclass(slots=True)
class Seals:
    """The seals of one process of a node, and the highest that it knows of; without places it is its own memory."""

    own: Slots | None = None
    copies: Sequence[Copy] = ()
    known: Seal = field(default_factory=Seal)
    _evidence: tuple[int, str] = (0, "")
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _dirty: bool = False
    _copied: tuple[int, int] = (-1, -1)
    _failing: bool = False

    def read(self) -> Seal | None:
        """Return the highest of all places, None where there is none; a broken one is told and never passed over."""
        found = []
        places: list[Place] = [*([] if self.own is None else [self.own]), *self.copies]
        for place in places:
            try:
                seal = place.read()
            except SealBroken as broken:
                raise ConfigError(f"{broken}: it was changed, or is another node's", hint=ACCEPT) from broken
            except OSError as failure:
                hint = reasons.hint(failure)
                raise ConfigError(f"a seal of the database cannot be read: {failure}", hint=hint) from failure
            if seal is not None:
                found.append(seal)
        if not found:
            return None
        self.known = max(found, key=lambda seal: seal.rank)
        self._evidence = (self.known.evidence_seq, self.known.evidence_hash)
        return self.known

    def begin(self) -> None:
        """Leave the first seal of all, before there is anything to be counted."""
        if self.own is not None:
            try:
                self.own.begin(self.known)
            except OSError as failure:
                raise ConfigError(
                    f"{self.own.path} cannot be written: {failure.strerror}", hint=reasons.hint(failure)
                ) from failure

    def evidence(self, seq: int, digest: str) -> None:
        """Learn how far the evidence has come; the next seal says it."""
        with self._lock:
            self._evidence = max(self._evidence, (seq, digest))

    def forget_evidence(self) -> None:
        """Say nothing of the evidence until it goes on: it was repaired, and may end earlier than before."""
        with self._lock:
            self._evidence = (0, "")
            self.known = replace(self.known, evidence_seq=0, evidence_hash="")
            self._dirty, self._copied = True, (-1, -1)
            self._tried(lambda: None if self.own is None else self.own.write(self.known))

    def reached(self, epoch: int, seq: int) -> None:
        """Seal a state that is committed; a place that fails is told once and does not fail the act that is done."""
        with self._lock:
            if epoch > self.known.epoch:  # what was sealed of the evidence before is not of this epoch
                self._evidence = (0, "")
            seal = Seal(epoch, seq, *self._evidence)
            if seal.rank <= self.known.rank:  # also where another epoch was begun and is not taken up yet
                return
            self.known, self._dirty = seal, True
            self._tried(lambda: None if self.own is None else self.own.write(seal))

    def settle(self) -> None:
        """Have the last seal on the disk."""
        with self._lock:
            if self._dirty and self.own is not None:
                self._dirty = False
                self._tried(self.own.flush)

    def copy(self) -> None:
        """Bring the last seal to the second place."""
        with self._lock:
            if self.known.rank == self._copied or self.known.pending is not None:
                return
            self._copied = self.known.rank
            for place in self.copies:
                self._tried(partial(self._write_copy, place))

    def close(self) -> None:
        """Leave the last seal behind everywhere."""
        self.settle()
        self.copy()
        if self.own is not None:
            self.own.close()

    def _write_copy(self, place: Copy) -> None:
        """Write a copy, unless another process of the node has written a higher one."""
        try:
            there = place.read()
        except SealBroken:
            there = None
        if there is None or there.rank <= self.known.rank:
            place.write(self.known)

    def _tried(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as failure:
            if not self._failing:
                log.error("the database cannot be sealed", reason=str(failure))  # noqa: TRY400 - expected
            self._failing, self._copied = True, (-1, -1)
        else:
            self._failing = False


def begin_epoch(places: Sequence[Place], own: Slots, *, pending: str, recount: bool, reason: str, least: int) -> Seal:
    """Write the first seal of another epoch, by which the database is taken that has this count; an operator's act."""
    epoch = least
    for place in (own, *places):
        try:
            seal = place.read()
        except SealBroken:
            continue
        epoch = max(epoch, 0 if seal is None else seal.epoch)
    made = Seal(epoch + 1, 0, pending=pending, recount=recount, reason=reason[:MOST_REASON])
    own.begin(made)
    own.close()
    for place in places:  # also where there was one that cannot be read any more
        place.write(made)
    return made


def _closed(seal: Seal, code: Code) -> bytes:
    spelled = seal.spelled()
    line = json.dumps({"seal": json.loads(spelled), "code": code(spelled).hex()}).encode()
    return line.ljust(_SLOT - 1) + b"\n"


def _opened(slot: bytes, code: Code) -> Seal | None:
    try:
        kept: Any = json.loads(slot)
        seal = Seal(**kept["seal"])
        return seal if code(seal.spelled()).hex() == kept["code"] else None
    except (ValueError, TypeError, KeyError):
        return None
