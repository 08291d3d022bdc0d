"""The reference node's own hook for `[operator_hooks] tamper`: changes its storage past it, as a thief would (9.2-e-1).

    python -m conformance.selftest.tampering node.db alter dataset ds-1

Guarantees: what was altered and mended, or deleted and undeleted, is as it was, its authentication code included.
"""

from __future__ import annotations

import pickle
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from conformance.harness.tampering import Act, Hand, Kind
from reference_node.runtime.logs import TASKS
from reference_node.security.sealed_files import HEAD_BYTES, is_sealed

if TYPE_CHECKING:
    from reference_node.node import Node

STATEMENTS: Mapping[tuple[Act, Kind], str] = {
    (Act.ALTER, Kind.DATASET): "UPDATE datasets SET visibility = 'PUBLIC' WHERE dataset_id = :name",
    (Act.MEND, Kind.DATASET): "UPDATE datasets SET visibility = 'PROTECTED' WHERE dataset_id = :name",
    (Act.ALTER, Kind.CONTRACT): "UPDATE contracts SET status = 'APPROVED' WHERE contract_id = :name",
    (Act.MEND, Kind.CONTRACT): "UPDATE contracts SET status = 'TERMINATED' WHERE contract_id = :name",
    (Act.ALTER, Kind.PROJECT): "UPDATE projects SET name = name || '!' WHERE project_id = :name",
    (Act.MEND, Kind.PROJECT): "UPDATE projects SET name = rtrim(name, '!') WHERE project_id = :name",
}


_TABLES: Mapping[Kind, tuple[str, str]] = {
    Kind.DATASET: ("datasets", "dataset_id"),
    Kind.CONTRACT: ("contracts", "contract_id"),
    Kind.PROJECT: ("projects", "project_id"),
}
Row = dict[str, Any]


def hand(node: Node) -> Hand:
    """Return what alters rows of a node in this process."""
    taken: dict[tuple[Kind, str], Row] = {}

    def reach(act: Act, kind: Kind, name: str) -> None:
        if act in (Act.DELETE, Act.UNDELETE):
            with closing(node.store.engine.raw_connection()) as pooled:
                connection: Any = pooled.driver_connection
                connection.execute("PRAGMA foreign_keys = OFF")
                if act is Act.DELETE:
                    taken[kind, name] = _deleted(connection, kind, name)
                else:
                    _undeleted(connection, kind, taken.pop((kind, name)))
                connection.execute("PRAGMA foreign_keys = ON")
            return
        if kind is Kind.OUTPUT:
            _bend(node.work_folder, name)
            return
        with node.store.begin() as session:
            session.execute(text(STATEMENTS[act, kind]), {"name": name})

    return reach


def main(database: str, act: str, kind: str, name: str) -> None:
    """Change one row, or the files of one task; they must be there."""
    if act in (Act.DELETE, Act.UNDELETE):
        _take(Path(database), Act(act), Kind(kind), name)
        return
    if Kind(kind) is Kind.OUTPUT:
        if not _bend(Path(database).parent / TASKS, name):
            sys.exit(f"task {name} has put out no file")
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        if connection.execute(STATEMENTS[Act(act), Kind(kind)], {"name": name}).rowcount != 1:
            sys.exit(f"there is no {kind} {name}")


def _deleted(connection: Any, kind: Kind, name: str) -> Row:
    """Take one row away and return it."""
    table, key = _TABLES[kind]
    found = connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (name,))  # noqa: S608 - names of this module's
    row = dict(zip([column[0] for column in found.description], found.fetchone() or sys.exit("not there"), strict=True))
    connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (name,))  # noqa: S608 - the same
    return row


def _undeleted(connection: Any, kind: Kind, row: Row) -> None:
    """Put one row back."""
    into, places = ", ".join(row), ", ".join("?" for _ in row)
    connection.execute(
        f"INSERT INTO {_TABLES[kind][0]} ({into}) VALUES ({places})",  # noqa: S608 - the same
        tuple(row.values()),
    )


def _take(database: Path, act: Act, kind: Kind, name: str) -> None:
    """Take one row away and keep it in a file beside the database, or put it back from there."""
    kept = database.with_name(f"taken-{kind}-{sha256(name.encode()).hexdigest()[:16]}")
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        if act is Act.DELETE:
            kept.write_bytes(pickle.dumps(_deleted(connection, kind, name)))
        else:
            _undeleted(connection, kind, pickle.loads(kept.read_bytes()))  # noqa: S301 - written above
            kept.unlink()


def _bend(tasks: Path, task_id: str) -> int:
    """Flip one bit of the first character of what a task has put out; done again, it is as it was."""
    found = [path for path in (tasks / task_id).glob("*/*") if path.is_file()]
    for path in found:
        content = bytearray(path.read_bytes())
        content[HEAD_BYTES if is_sealed(path) else 0] ^= 1
        path.write_bytes(content)
    return len(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
