"""Applications keep the address that they came from, so that one address cannot fill the room of all (9.2-a)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables of the version before to this one."""
    with op.batch_alter_table("contracts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("remote", sa.String(length=64), nullable=True))
