"""Tables of the first version."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables of the version before to this one."""
    _nodes()
    _resources()
    _approvals()
    _jobs()
    _shared()


def _named() -> list[sa.Column[Any]]:
    """Return the columns that all resources have."""
    return [
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("folded", sa.String(length=512), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
    ]


def _nodes() -> None:
    """Contracts, keys, and what guards the entrance (8.1, 9.2-a)."""
    op.create_table(
        "contracts",
        sa.Column("contract_id", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("end_reason", sa.String(length=16), nullable=True),
        sa.Column("expired_time", sa.BigInteger(), nullable=False),
        sa.Column("partner_node_id", sa.String(length=128), nullable=False),
        sa.Column("partner_address", sa.String(length=512), nullable=False),
        sa.Column("partner", sa.LargeBinary(), nullable=False),
        sa.Column("partner_auth_type", sa.String(length=32), nullable=True),
        sa.Column("partner_credential", sa.String(), nullable=True),
        sa.Column("partner_key", sa.String(length=64), nullable=True),
        sa.Column("own_auth_type", sa.String(length=32), nullable=False),
        sa.Column("application_digest", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("poll_at", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("contract_id"),
    )
    with op.batch_alter_table("contracts", schema=None) as batch_op:
        batch_op.create_index("contracts_by_partner", ["partner_node_id", "status"], unique=False)
        batch_op.create_index("contracts_by_status", ["status", "expired_time"], unique=False)
    op.create_table(
        "partner_keys",
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("auth_type", sa.String(length=32), nullable=False),
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "fingerprint"),
    )
    op.create_table(
        "own_node",
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("address", sa.String(length=512), nullable=True),
        sa.Column("inst_id", sa.String(length=128), nullable=False),
        sa.Column("institution", sa.String(length=128), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id"),
    )
    op.create_table(
        "lockouts",
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("remote", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "remote"),
    )
    op.create_table(
        "nonces",
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "nonce"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("nonces", schema=None) as batch_op:
        batch_op.create_index("nonces_by_expiry", ["expires_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("contract_id", sa.String(length=128), nullable=False),
        sa.Column("operation", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["contract_id"], ["contracts.contract_id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index("outbox_by_contract", ["contract_id", "state", "id"], unique=False)
        batch_op.create_index("outbox_by_state", ["state", "due_at"], unique=False)


def _resources() -> None:
    """Projects, flows, datasets, models, components (8.2, 8.3, 8.6, 8.7)."""
    op.create_table(
        "projects",
        sa.Column("project_id", sa.String(length=128), nullable=False),
        sa.Column("owner_node_id", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=True),
        *_named(),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("project_id"),
    )
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_projects_owner_node_id"), ["owner_node_id"], unique=False)
    op.create_table(
        "project_datasets",
        sa.Column("project_id", sa.String(length=128), nullable=False),
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("dataset_id", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "node_id", "dataset_id"),
    )
    with op.batch_alter_table("project_datasets", schema=None) as batch_op:
        batch_op.create_index("project_datasets_by_dataset", ["node_id", "dataset_id"], unique=False)
    op.create_table(
        "flows",
        sa.Column("flow_id", sa.String(length=128), nullable=False),
        sa.Column("project_id", sa.String(length=128), nullable=False),
        sa.Column("owner_node_id", sa.String(length=128), nullable=False),
        sa.Column("dag", sa.LargeBinary(), nullable=False),
        sa.Column("config", sa.LargeBinary(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        *_named(),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("flow_id"),
    )
    with op.batch_alter_table("flows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_flows_project_id"), ["project_id"], unique=False)
    op.create_table(
        "last_flow_id",
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("flow_id", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("node_id"),
    )
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.String(length=128), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=True),
        sa.Column("count", sa.Integer(), nullable=True),
        sa.Column("join_columns", sa.String(length=1024), nullable=True),
        sa.Column("label_columns", sa.String(length=1024), nullable=True),
        sa.Column("column_metas", sa.LargeBinary(), nullable=True),
        sa.Column("source", sa.LargeBinary(), nullable=True),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        *_named(),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("dataset_id"),
    )
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_datasets_visibility"), ["visibility"], unique=False)
    op.create_table(
        "models",
        sa.Column("model_id", sa.String(length=128), nullable=False),
        sa.Column("project_id", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=True),
        sa.Column("task_id", sa.String(length=128), nullable=True),
        sa.Column("algorithm", sa.String(length=128), nullable=False),
        sa.Column("location", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=160), nullable=False),
        *_named(),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("model_id"),
    )
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_models_project_id"), ["project_id"], unique=False)
    op.create_table(
        "components",
        sa.Column("code", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=True),
        sa.Column("engine", sa.String(length=64), nullable=False),
        sa.Column("developer", sa.String(length=64), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=512), nullable=False),
        sa.Column("address_type", sa.String(length=16), nullable=False),
        sa.Column("image_url", sa.String(length=512), nullable=False),
        sa.Column("info", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        *_named(),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("components", schema=None) as batch_op:
        batch_op.create_index("components_by_code", ["code", "version"], unique=True)


def _approvals() -> None:
    """What is agreed and what may be used (9.2-b)."""
    op.create_table(
        "approvals",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("audit_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("partner_node_id", sa.String(length=128), nullable=False),
        sa.Column("contract_id", sa.String(length=128), nullable=False),
        sa.Column("resource_id", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("folded", sa.String(length=512), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("end_reason", sa.String(length=16), nullable=True),
        sa.Column("comment", sa.String(length=1024), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("apply_delivery", sa.Integer(), nullable=True),
        sa.Column("poll_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("audit_id"),
    )
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.create_index("approvals_by_contract", ["contract_id", "status"], unique=False)
        batch_op.create_index("approvals_by_partner", ["partner_node_id", "kind", "status"], unique=False)
        batch_op.create_index("approvals_by_poll", ["status", "role", "poll_at"], unique=False)
        batch_op.create_index("approvals_by_resource", ["kind", "resource_id", "status"], unique=False)
    op.create_table(
        "permits",
        sa.Column("audit_id", sa.String(length=128), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("resource_level", sa.Integer(), nullable=False),
        sa.Column("resource_type", sa.String(length=16), nullable=False),
        sa.Column("resource_id", sa.String(length=128), nullable=False),
        sa.Column("resource_node_id", sa.String(length=128), nullable=False),
        sa.Column("resource_inst_id", sa.String(length=128), nullable=False),
        sa.Column("request_node_id", sa.String(length=128), nullable=False),
        sa.Column("request_inst_id", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("project_id", sa.String(length=128), nullable=True),
        sa.Column("time_limit", sa.BigInteger(), nullable=True),
        sa.Column("times_limit", sa.Integer(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["approvals.audit_id"]),
        sa.PrimaryKeyConstraint("audit_id"),
    )
    with op.batch_alter_table("permits", schema=None) as batch_op:
        batch_op.create_index("permits_by_end", ["time_limit"], unique=False)
        batch_op.create_index("permits_by_resource", ["request_node_id", "resource_type", "resource_id"], unique=False)


def _jobs() -> None:
    """Jobs, tasks, parts, and what is told of them (8.4, 8.5)."""
    op.create_table(
        "jobs",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("flow_id", sa.String(length=128), nullable=True),
        sa.Column("project_id", sa.String(length=128), nullable=True),
        sa.Column("dag", sa.LargeBinary(), nullable=False),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("initiator_node_id", sa.String(length=128), nullable=False),
        sa.Column("scheduler_node_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.String(length=512), nullable=True),
        sa.Column("targets", sa.LargeBinary(), nullable=False),
        sa.Column("ending", sa.String(length=32), nullable=True),
        sa.Column("ending_until", sa.BigInteger(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=True),
        sa.Column("session_token", sa.LargeBinary(), nullable=False),
        sa.Column("component_token", sa.LargeBinary(), nullable=False),
        sa.Column("component_digest", sa.String(length=64), nullable=False),
        sa.Column("poll_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("job_id"),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_jobs_component_digest"), ["component_digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_flow_id"), ["flow_id"], unique=False)
        batch_op.create_index("jobs_by_status", ["status", "poll_at"], unique=False)
    op.create_table(
        "job_orders",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=True),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tried", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("give_up_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.String(length=512), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("job_orders", schema=None) as batch_op:
        batch_op.create_index("job_orders_by_state", ["state", "node_id", "job_id", "id"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("task_name", sa.String(length=128), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("task_params", sa.LargeBinary(), nullable=True),
        sa.Column("run_params", sa.LargeBinary(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"]),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("task_id"),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tasks_job_id"), ["job_id"], unique=False)
    op.create_table(
        "task_parts",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.String(length=512), nullable=True),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("poll_at", sa.BigInteger(), nullable=True),
        sa.Column("unheard_since", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("task_parts", schema=None) as batch_op:
        batch_op.create_index("task_parts_by_state", ["node_id", "status"], unique=False)
        batch_op.create_index("task_parts_by_task", ["task_id", "node_id", "role"], unique=True)


def _shared() -> None:
    """What replicas share beside their records (9.2-e-4)."""
    op.create_table(
        "vault_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("cipher", sa.String(length=16), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("wrapped", sa.String(length=256), nullable=False),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "node_secrets",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
