"""What the relay remembers, and its evidence, in one database: neither is ever ahead of the other (9.2-h, 9.2-d).

Guarantees: what passes is settled in one transaction (the number of the file, what follows from it, its record), so
that a relay that is killed at any moment goes on without loss and without passing a file twice; each record holds the
digest of the one before and is signed by the relay, so that one that is changed, left out or put in shows in
`broken_at`. Cutting off the end does not show in the database alone: compare `head` with what was exported before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.gap import evidence
from reference_node.gap.files import SUITE
from reference_node.gap.policy import Component
from reference_node.security.keys import PrivateKey

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS last (side TEXT PRIMARY KEY, sequence INTEGER, signature BLOB, admitted INTEGER);
CREATE TABLE IF NOT EXISTS asked (id TEXT PRIMARY KEY, side TEXT, operation TEXT, job_id TEXT);
CREATE TABLE IF NOT EXISTS jobs (job_id TEXT PRIMARY KEY, request_id TEXT, agreed INTEGER, components TEXT,
                                 parties TEXT, carried INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS tasks (task_id TEXT PRIMARY KEY, job_id TEXT, task_name TEXT, running INTEGER);
CREATE TABLE IF NOT EXISTS evidence (number INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT, digest TEXT,
                                     signature TEXT);
"""
_ASKED_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Last:
    """The last file of a side whose number counts."""

    sequence: int
    signature: bytes
    admitted: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has passed and has no answer yet."""

    side: str
    operation: str
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """What both sides have agreed to run: component by task name, node by party; and the bytes it has carried."""

    agreed: bool
    components: Mapping[str, Component]
    parties: Mapping[str, str]
    carried: int


@dataclass(frozen=True, slots=True)
class Task:
    """A component that was told to run."""

    job_id: str
    task_name: str
    running: bool


class Ledger:
    """One relay's memory; one thread uses it."""

    def __init__(self, folder: Path, faults: Faults | None = None) -> None:
        self._faults = Faults() if faults is None else faults
        self.key = evidence.relay_key(folder)
        self._db = sqlite3.connect(folder / "gap.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        if "signature" not in {row[1] for row in self._db.execute("PRAGMA table_info(evidence)")}:
            self._db.close()
            raise ConfigError(f"the evidence in {folder} is of a relay that did not sign", hint="begin a new --state")

    def settle(
        self, record: Mapping[str, Any], last: tuple[str, Last] | None = None, change: Callable[[], None] | None = None
    ) -> int:
        """Write a record, what follows from it, and the number of the file; return the record's number."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if change is not None:
                change()
            if last is not None:
                side, row = last
                values = (side, row.sequence, row.signature, row.admitted)
                self._db.execute("INSERT OR REPLACE INTO last VALUES (?, ?, ?, ?)", values)
            made = self._sealed(record)
            sealed = (made.number, made.text, made.digest, made.signature)
            self._db.execute("INSERT INTO evidence (number, record, digest, signature) VALUES (?, ?, ?, ?)", sealed)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return made.number

    def _sealed(self, record: Mapping[str, Any]) -> evidence.Row:
        """Return a record behind the last one."""
        number, previous = self._last()
        key = PrivateKey.generate(SUITE) if self._faults.on("relay-evidence-signed-by-another") else self.key
        if self._faults.on("relay-evidence-unchained"):
            previous = evidence.FIRST
        return evidence.sealed(key, number + 1, evidence.spelled(record), previous)

    def last(self, side: str) -> Last | None:
        """Return the last file of a side."""
        row = self._db.execute("SELECT sequence, signature, admitted FROM last WHERE side = ?", (side,)).fetchone()
        return None if row is None else Last(row[0], row[1], bool(row[2]))

    def asked(self, request_id: str) -> Asked | None:
        """Return a request that waits for its answer."""
        row = self._db.execute("SELECT side, operation, job_id FROM asked WHERE id = ?", (request_id,)).fetchone()
        return None if row is None else Asked(*row)

    def ask(self, request_id: str, asked: Asked) -> None:
        """Note a request; those of which no answer ever came are forgotten in the end."""
        values = (request_id, asked.side, asked.operation, asked.job_id)
        self._db.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", values)
        self._db.execute("DELETE FROM asked WHERE rowid <= (SELECT MAX(rowid) FROM asked) - ?", (_ASKED_KEPT,))

    def answer(self, request_id: str, *, agreed: bool) -> None:
        """Forget a request that is answered; a job that it asked for counts from here, if it was agreed to."""
        self._db.execute("DELETE FROM asked WHERE id = ?", (request_id,))
        if agreed:
            self._db.execute("UPDATE jobs SET agreed = 1 WHERE request_id = ?", (request_id,))

    def job(self, job_id: str) -> Job | None:
        """Return a job."""
        row = self._db.execute(
            "SELECT agreed, components, parties, carried FROM jobs WHERE job_id = ?", (job_id,)
        ).fetchone()
        return None if row is None else _job(*row)

    def offer(self, job_id: str, request_id: str, components: Mapping[str, Any], parties: Mapping[str, str]) -> None:
        """Note a job that one side asks of the other; one that is agreed stays as it is."""
        self._db.execute(
            "INSERT INTO jobs (job_id, request_id, agreed, components, parties) VALUES (?, ?, 0, ?, ?) ON CONFLICT "
            "(job_id) DO UPDATE SET request_id = excluded.request_id, components = excluded.components, "
            "parties = excluded.parties WHERE agreed = 0",
            (job_id, request_id, json.dumps(components), json.dumps(parties)),
        )

    def carry(self, job_id: str, size: int) -> None:
        """Count the bytes that a job's session has carried."""
        self._db.execute("UPDATE jobs SET carried = carried + ? WHERE job_id = ?", (size, job_id))

    def task(self, task_id: str) -> Task | None:
        """Return a task."""
        row = self._db.execute("SELECT job_id, task_name, running FROM tasks WHERE task_id = ?", (task_id,)).fetchone()
        return None if row is None else Task(row[0], row[1], bool(row[2]))

    def run(self, task_id: str, job_id: str, task_name: str) -> None:
        """Note that a component runs; a task never changes its job or name."""
        self._db.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, 1) ON CONFLICT (task_id) DO UPDATE SET running = 1 "
            "WHERE job_id = excluded.job_id AND task_name = excluded.task_name",
            (task_id, job_id, task_name),
        )

    def run_again(self, task_id: str, job_id: str) -> None:
        """Note that a component runs again."""
        self._db.execute("UPDATE tasks SET running = 1 WHERE task_id = ? AND job_id = ?", (task_id, job_id))

    def stop(self, job_id: str, task_id: str | None, task_name: str | None) -> None:
        """Note that the components of a job, or one of them, run no longer."""
        self._db.execute(
            "UPDATE tasks SET running = 0 WHERE job_id = ? AND task_id = COALESCE(?, task_id) "
            "AND task_name = COALESCE(?, task_name)",
            (job_id, task_id, task_name),
        )

    def _last(self) -> tuple[int, str]:
        row = self._db.execute("SELECT number, digest FROM evidence ORDER BY number DESC LIMIT 1").fetchone()
        return (0, evidence.FIRST) if row is None else (int(row[0]), str(row[1]))

    def head(self) -> str:
        """Return the digest of the last record."""
        return self._last()[1]

    def _rows(self) -> Iterator[evidence.Row]:
        for row in self._db.execute("SELECT number, record, digest, signature FROM evidence ORDER BY number"):
            yield evidence.Row(row[0], row[1], row[2], str(row[3]))

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the records in their order, each with its number, digest and signature."""
        return map(evidence.shown, self._rows())

    def exported(self, at: int) -> Iterator[str]:
        """Yield the lines of an export that `evidence.verified` takes, whatever is recorded meanwhile."""
        count, head = self._last()
        for row in self._rows():
            if row.number <= count:
                yield evidence.spelled(evidence.shown(row))
        yield evidence.spelled(evidence.ended(self.key, count, head, at))

    def broken_at(self) -> int | None:
        """Return the number of the first record that is not as this relay has left it, None where all are."""
        return evidence.broken_at(self._rows(), self.key.public)

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()


def _job(agreed: int, components: str, parties: str, carried: int) -> Job:
    named = {name: (code, version, by) for name, (code, version, by) in json.loads(components).items()}
    return Job(bool(agreed), named, json.loads(parties), carried)
