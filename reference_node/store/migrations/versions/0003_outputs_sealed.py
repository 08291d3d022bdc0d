"""What tasks have put out is sealed, and the rows of tasks and of their parts carry codes (9.2-e-1, 9.2-e-2).

A row gets its code as it is found: whether it was changed before this version nobody can tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from alembic import context, op

from reference_node.security.vault import Vault
from reference_node.store.sealed import spelled

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_PAGE: Final = 500
# by table: what is to be sealed, what is sealed already, and what else the code of a row is over
_TABLES: Final = {
    "tasks": (
        "outputs",
        ("task_params", "run_params"),
        (
            *("task_id", "job_id", "task_name", "run", "status", "attempt", "cause", "priority"),
            *("created_at", "started_at", "finished_at"),
        ),
    ),
    "task_parts": (
        "files",
        (),
        ("task_id", "node_id", "role", "position", "status", "attempt", "cause", "detail", "unheard_since"),
    ),
}


def upgrade() -> None:
    """Bring the tables of the version before to this one."""
    for table, (clear, sealed, plain) in _TABLES.items():
        op.add_column(table, sa.Column("mac", sa.LargeBinary(), nullable=True))
        _seal(table, clear, sealed, plain)
        with op.batch_alter_table(table, schema=None) as batch_op:
            # with PostgreSQL this writes the table anew, so that nothing of what lay in clear is left in it
            using = f"decode({clear} #>> '{{}}', 'hex')"
            batch_op.alter_column(
                clear, type_=sa.LargeBinary(), existing_type=sa.JSON(), existing_nullable=False, postgresql_using=using
            )
            batch_op.alter_column("mac", existing_type=sa.LargeBinary(), nullable=False)


def _seal(table: str, clear: str, sealed: tuple[str, ...], plain: tuple[str, ...]) -> None:
    """Seal what lies in clear, as far as its old column can hold that, and give the rows their codes."""
    connection = op.get_bind()
    hexed = connection.dialect.name == "postgresql"
    kept: Any = sa.JSON() if hexed else sa.LargeBinary()
    written = sa.table(table, sa.column("seq"), sa.column(clear, kept), sa.column("mac", sa.LargeBinary()))
    for row in _rows(connection, table, clear, sealed, plain):
        vault: Vault = context.config.attributes["sealing"].vault()
        values = {name: row[name] for name in (*plain, clear)}
        values |= {name: _opened(vault, row[name], f"{table}.{name}") for name in sealed}
        closed = vault.seal(json.dumps(row[clear]).encode(), f"{table}.{clear}".encode())
        mac = vault.mac(spelled(values), table.encode())
        change = sa.update(written).where(written.c.seq == row["seq"])
        connection.execute(change.values({clear: closed.hex() if hexed else closed, "mac": mac}))


def _rows(
    connection: sa.Connection, table: str, clear: str, sealed: tuple[str, ...], plain: tuple[str, ...]
) -> Iterator[sa.RowMapping]:
    names: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("seq", *plain)] + [
        sa.column(name, sa.LargeBinary()) for name in sealed
    ]
    found = sa.table(table, *names, sa.column(clear, sa.JSON()))
    last = 0
    while (
        page := connection.execute(sa.select(found).where(found.c.seq > last).order_by(found.c.seq).limit(_PAGE))
        .mappings()
        .all()
    ):
        yield from page
        last = page[-1]["seq"]


def _opened(vault: Vault, value: bytes | None, place: str) -> Any:
    return None if value is None else json.loads(vault.open(bytes(value), place.encode()))
