"""Contracts say for how long their evidence is kept, and the chain's head which segments are filled (9.2-d-3).

No row needs another code: what is empty in these columns is not in it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables of the version before to this one."""
    with op.batch_alter_table("contracts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("evidence_retention_days", sa.Integer(), nullable=True))
    with op.batch_alter_table("evidence_head", schema=None) as batch_op:
        batch_op.add_column(sa.Column("agreed", sa.Text(), server_default="{}", nullable=False))
