"""The reference node's own hook for `[operator_hooks] tamper`: changes its storage past it, as a thief would (9.2-e-1).

    python -m conformance.selftest.tampering node.db alter dataset ds-1

Guarantees: what was altered and mended is as it was, its authentication code included.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

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


def hand(node: Node) -> Hand:
    """Return what alters rows of a node in this process."""

    def reach(act: Act, kind: Kind, name: str) -> None:
        if kind is Kind.OUTPUT:
            _bend(node.work_folder, name)
            return
        with node.store.begin() as session:
            session.execute(text(STATEMENTS[act, kind]), {"name": name})

    return reach


def main(database: str, act: str, kind: str, name: str) -> None:
    """Change one row, or the files of one task; they must be there."""
    if Kind(kind) is Kind.OUTPUT:
        if not _bend(Path(database).parent / TASKS, name):
            sys.exit(f"task {name} has put out no file")
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        if connection.execute(STATEMENTS[Act(act), Kind(kind)], {"name": name}).rowcount != 1:
            sys.exit(f"there is no {kind} {name}")


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
