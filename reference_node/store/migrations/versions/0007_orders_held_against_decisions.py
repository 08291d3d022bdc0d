"""What operators decide that a run computes with, and which code a job names.

No row needs another code: what is empty in the new column of jobs is not in it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables of the version before to this one."""
    op.create_table(
        "job_decisions",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("task_id", sa.String(length=128), nullable=True),
        sa.Column("params", sa.LargeBinary(), nullable=True),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("job_decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_decisions_job_id"), ["job_id"], unique=False)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("components", sa.LargeBinary(), nullable=True))
