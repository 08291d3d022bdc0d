"""What Alembic runs: the scripts, on the connection that `store.migrate` gives."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context

from reference_node.store import Base
from reference_node.store.sealed import Sealed


def _rendered(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write a sealed column as what it is to the database."""
    return "sa.LargeBinary()" if kind == "type" and isinstance(item, Sealed) else False


connection: sa.Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_item=_rendered,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
