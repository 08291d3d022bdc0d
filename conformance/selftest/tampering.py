"""The reference node's own hook for `[operator_hooks] tamper`: changes rows past the node, as a thief would (9.2-e-1).

    python -m conformance.selftest.tampering node.db alter dataset ds-1

Guarantees: what was altered and mended is as it was, its authentication code included.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import text

from conformance.harness.tampering import Act, Hand, Kind

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
        with node.store.begin() as session:
            session.execute(text(STATEMENTS[act, kind]), {"name": name})

    return reach


def main(database: str, act: str, kind: str, name: str) -> None:
    """Change one row; it must be there."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        if connection.execute(STATEMENTS[Act(act), Kind(kind)], {"name": name}).rowcount != 1:
            sys.exit(f"there is no {kind} {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
