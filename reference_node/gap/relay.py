"""The relay: moves files between the folders of two nodes, of those that may pass (9.2-h).

It is a program of its own between the networks, and neither node can reach it but by files. Guarantees: one file at a
time, in pieces, in the order of its side's numbers; a file is judged as it is copied, and what the other side sees is
what was judged; a number passes once; killed at any moment, it goes on without loss and without doubling, since a copy
is complete before the ledger has it and shows after that; what is refused lies in quarantine with a record of why, and
who has asked is told at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import structlog

from reference_node import private
from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.gap.admission import Gate, Inspector, Passage, Reason, Refused
from reference_node.gap.files import FILE_MODE, IN, NAME, OUT, GapFile, GapFileBad, Head, Leniency, waiting
from reference_node.gap.ledger import Last, Ledger
from reference_node.gap.policy import Party, Policy

_ROUND: Final = 64
_NAME_LIMIT: Final = 100
_TROUBLED: Final = 1.0
log = structlog.get_logger("reference_node")


class _Stopped(Exception):
    """The relay is to end while a file is copied."""


@dataclass(frozen=True, slots=True)
class Side:
    """One network's side: its name, its node and the folder of that node's link."""

    name: str
    party: Party
    folder: Path

    @property
    def out(self) -> Path:
        """What the node sends."""
        return self.folder / OUT

    @property
    def into(self) -> Path:
        """What the node is to get."""
        return self.folder / IN


class Pace:
    """So many files in a second, and at most a second's worth at once."""

    def __init__(self, rate: int, now: Callable[[], float]) -> None:
        self._rate, self._now = rate, now
        self._room, self._at = float(rate), now()

    def spend(self) -> bool:
        """Tell whether one more may pass now, and count it."""
        now = self._now()
        self._room, self._at = min(self._rate, self._room + (now - self._at) * self._rate), now
        if self._room < 1:
            return False
        self._room -= 1
        return True


class GapRelay:
    """One relay; a context, which alone uses its state folder.

    >>> with GapRelay(outer, inner, load_policy(Path("gap.toml")), Path("gap-state")) as relay:
    ...     relay.run(threading.Event())
    """

    def __init__(
        self,
        outer: Path,
        inner: Path,
        policy: Policy,
        state: Path,
        *,
        now: Callable[[], float] = time.monotonic,
        faults: Faults | None = None,
    ) -> None:
        self._faults = Faults() if faults is None else faults
        self._sides = (Side("outer", policy.outer, outer), Side("inner", policy.inner, inner))
        self._policy = policy
        for side in self._sides:
            if not side.out.is_dir() or not side.into.is_dir():
                hint = "start the node once: it makes the folder of each partner of [gap] partners"
                raise ConfigError(f"{side.folder} is not the folder of a link", hint=hint)
        self._quarantine = state / "refused"
        private.make(self._quarantine)
        self._lock = (state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as failure:
            self._lock.close()
            raise ConfigError(f"another relay uses {state}", hint="each relay has a --state of its own") from failure
        try:
            self._ledger = Ledger(state, self._faults)
        except ConfigError:
            self._lock.close()
            raise
        self._gate = Gate(policy, self._ledger, self._faults)
        self._paces = {side.name: Pace(policy.files_per_second, now) for side in self._sides}
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._recover()
        self._settle({"act": "STARTED"})
        return self

    def __exit__(self, *_exc: object) -> None:
        self._settle({"act": "STOPPED"})
        self._ledger.close()
        self._lock.close()

    def run(self, stop: threading.Event, *, poll: float = 0.05) -> None:
        """Move files until told to stop; one that is being copied then waits for the next start."""
        self._stop = stop
        said = ""
        while not stop.is_set():
            try:
                wait = 0.0 if self.step() else poll
                said = ""
            except (OSError, sqlite3.Error) as failure:  # a full disk or a folder that is not there may come right
                if said != str(failure):
                    log.warning("gap folder unusable", reason=str(failure))
                said, wait = str(failure), _TROUBLED
            stop.wait(wait)

    def step(self) -> bool:
        """Move some of what waits, of both sides; return whether anything did."""
        moved = False
        for source, target in (self._sides, self._sides[::-1]):
            if source.name == "inner" and self._faults.on("relay-passes-nothing-back"):
                continue
            for name in self._names(source.out)[:_ROUND]:
                if self._stop.is_set() or not self._paces[source.name].spend():
                    break
                self._move(source, target, name)
                moved = True
        return moved

    def exported(self, at: int) -> Iterable[str]:
        """Return the lines of an export of the evidence."""
        return self._ledger.exported(at)

    def _names(self, folder: Path) -> list[str]:
        if self._faults.on("relay-draft-taken"):
            return sorted(path.name for path in folder.iterdir())
        return waiting(folder)

    def _move(self, source: Side, target: Side, name: str) -> None:
        path = source.out / name
        head: Head | None = None
        try:
            with self._opened(path) as file:
                self._check_origin(source, target, file)
                head = file.head
                passage = self._copied(source, target, file)
                self._pass(source, target, file, passage)
        except FileNotFoundError:
            return  # its node has taken it back
        except _Stopped:
            return
        except GapFileBad as bad:
            if self._faults.on("relay-stuck-at-garbage"):
                raise OSError("the file stays where it is") from bad
            self._refuse(source, target, path, Refused(Reason.FORMAT, str(bad)), head)
        except Refused as refused:
            self._refuse(source, target, path, refused, head)
        path.unlink(missing_ok=True)

    def _opened(self, path: Path) -> GapFile:
        lenient = {
            Leniency.NAME: self._faults.on("relay-name-unchecked"),
            Leniency.LINK: self._faults.on("relay-link-followed"),
            Leniency.HEAD: self._faults.on("relay-path-followed"),
            Leniency.BODY: self._faults.on("relay-body-unchecked"),
        }
        return GapFile.open(path, lenient=frozenset(name for name, is_on in lenient.items() if is_on))

    def _check_origin(self, source: Side, target: Side, file: GapFile) -> None:
        """Return when the file is of this side's node, for the other side's, and new."""
        try:
            if not self._faults.on("relay-signature-unchecked"):
                file.check_signature(source.party.key)
        except GapFileBad as bad:
            raise Refused(Reason.SIGNATURE, str(bad)) from None
        parties = (file.head.sender, file.head.receiver)
        if parties != (source.party.node_id, target.party.node_id) and not self._faults.on("relay-parties-unchecked"):
            raise Refused(Reason.PARTIES, "the file is not from this side's node to the other's")
        last = self._ledger.last(source.name)
        old = last is not None and file.head.sequence <= last.sequence
        if old and not self._faults.on("relay-replay-passed"):
            raise Refused(Reason.REPLAYED, f"the number {file.head.sequence} has passed or was passed over")

    def _copied(self, source: Side, target: Side, file: GapFile) -> Passage:
        """Write the other side's copy under a name that is not looked at, and judge it on the way."""
        inspector: Inspector = self._gate.inspector(source.name, file.head)
        part = target.into / f".{file.head.name}.part"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as copy:
            try:
                for piece in file.pieces():
                    if self._stop.is_set():
                        raise _Stopped
                    inspector.feed(piece)
                    copy.write(piece)
                passage = inspector.finish()
            except BaseException:
                part.unlink()
                raise
            if self._faults.on("relay-bytes-changed"):
                copy.write(b"\n")
            copy.write(file.tail())
            copy.flush()
            os.fsync(copy.fileno())
        return passage

    def _pass(self, source: Side, target: Side, file: GapFile, passage: Passage) -> None:
        head = file.head
        record = {"act": "ADMITTED", **_of_head(head), "operation": passage.operation, **passage.details}
        last = Last(head.sequence, file.signature, admitted=True)
        self._settle(record | {"from": source.name}, (source.name, last), passage.change)
        (target.into / f".{head.name}.part").rename(target.into / head.name)
        _sync(target.into)

    def _refuse(self, source: Side, target: Side, path: Path, refused: Refused, head: Head | None) -> None:
        """Record, put away and tell. `head` is given where it is authentic: its number counts as used then."""
        record: dict[str, Any] = {"act": "REFUSED", "from": source.name, "file": _in_ascii(path.name)}
        record |= {"reason": refused.reason.value, "words": str(refused)} | ({} if head is None else _of_head(head))
        if self._faults.on("relay-refusal-unrecorded"):
            record = {"act": "PAUSED", "from": source.name}
        last = None if head is None else (source.name, Last(head.sequence, b"", admitted=False))
        number = self._settle(record, last)
        log.warning("refused at the gap", **record)
        self._put_away(path, number)
        if head is not None and not self._faults.on("relay-refusal-untold"):
            back, request_id = (source, head.id) if head.kind == "request" else (target, head.answers or "")
            self._tell(back, request_id, refused)

    def _put_away(self, path: Path, number: int) -> None:
        shutil.move(path, self._quarantine / f"{number:08d}-{_in_ascii(path.name)}")
        kept = waiting(self._quarantine)
        for name in kept[: max(0, len(kept) - self._policy.refused_kept)]:
            old = self._quarantine / name
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()

    def _tell(self, side: Side, request_id: str, refused: Refused) -> None:
        said = json.dumps({"error": refused.error, "reason": f"{refused.reason.value}: {refused}"})
        if self._faults.on("relay-path-followed"):
            (side.into / f"{request_id}.refused").write_text(said, encoding="utf-8")
            return
        part = side.into / f".{request_id}.part"
        part.write_text(said, encoding="utf-8")
        part.rename(side.into / f"{request_id}.refused")

    def _settle(
        self,
        record: dict[str, Any],
        last: tuple[str, Last] | None = None,
        change: Callable[[], None] | None = None,
    ) -> int:
        return self._ledger.settle({"at": time.time_ns() // 1_000_000, **record}, last, change)

    def _recover(self) -> None:
        """Finish what the last relay had settled when it ended, and drop what it had not."""
        for source, target in (self._sides, self._sides[::-1]):
            last = self._ledger.last(source.name)
            for part in target.into.glob(".*.part"):
                found = NAME.fullmatch(part.name[1 : -len(".part")])
                if last is not None and last.admitted and found and int(found["sequence"]) == last.sequence:
                    part.rename(target.into / part.name[1 : -len(".part")])
                else:
                    part.unlink()
            _sync(target.into)
            for path in source.out.glob(f"{0 if last is None else last.sequence:016d}.*.gap"):
                if last is not None and last.admitted and _same(path, last):
                    path.unlink()


def _in_ascii(name: str) -> str:
    """Return a file's name as records and quarantine have it, whatever bytes it is made of."""
    return name.encode("ascii", "backslashreplace").decode("ascii")[:_NAME_LIMIT]


def _same(path: Path, last: Last) -> bool:
    """Tell whether a file is the very one that has passed."""
    try:
        with GapFile.open(path) as file:
            return file.signature == last.signature
    except (GapFileBad, OSError):
        return False


def _of_head(head: Head) -> dict[str, Any]:
    return {
        "kind": head.kind,
        "sequence": head.sequence,
        "id": head.id,
        "sender": head.sender,
        "receiver": head.receiver,
        "bytes": head.size,
        "digest": head.digest,
    }


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
