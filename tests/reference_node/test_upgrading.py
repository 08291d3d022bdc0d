"""A database of an earlier version is brought to this one with what it holds (9.2-e-1, 9.2-e-2, 9.2-e-3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from reference_node.errors import ConfigError
from reference_node.evidence.keeper import Head
from reference_node.evidence.records import canonical
from reference_node.security.errors import StoreTampered
from reference_node.security.vault import Vault, load_kek
from reference_node.store import Store, migrate
from reference_node.store.contracts import ContractRow
from reference_node.store.evidence import EvidenceHeadRow
from reference_node.store.jobs import TaskRow, find_task, parts_of
from reference_node.store.sealed import spelled
from reference_node.store.shared import TableKeyring

CANARY = "canary-5b21c7"
OUTPUTS = [{"output_type": "metric", "output_content": {"size": 4102, "名": f"{CANARY}-output"}}]
FILES = {"joined": f"/data/tasks/{CANARY}-file.csv.sealed"}
MANY = 1203  # several pages of the migration
JOB = {
    "job_id": "job-1",
    "status": "FINISHED",
    "component_digest": "d",
    **dict.fromkeys(("initiator_node_id", "scheduler_node_id"), "a"),
    **dict.fromkeys(("run", "epoch", "priority", "timeout", "poll_at", "created_at"), 1),
    **dict.fromkeys(("dag", "config", "targets", "session_token", "component_token", "mac"), b"x"),
}
TASK = {
    "job_id": "job-1",
    "task_name": "t",
    "run": 1,
    "status": "SUCCESS",
    "attempt": 1,
    "priority": 5,
    "created_at": 1,
}
CONTRACT = {
    "contract_id": "contract-1",
    "role": "APPROVER",
    "status": "APPROVED",
    "expired_time": 2_000_000_000_000,
    "partner_node_id": "b",
    "partner_address": "http://b.test",
    "own_auth_type": "SM3_SM2",
    **dict.fromkeys(("end_reason", "partner_auth_type", "partner_credential", "partner_key", "application_digest")),
    **dict.fromkeys(("created_at", "updated_at"), 1),
}
PART = {"task_id": "task-0", "node_id": "a", "position": 0, "status": "SUCCESS", "attempt": 1}


def _insert(connection: sa.Connection, table: str, row: dict[str, Any]) -> None:
    values = {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in row.items()}
    names = ", ".join(values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + n for n in values)})"), values)


def _earlier(url: str, params: bytes | None = None) -> None:
    """Make a database of version 0002 with a job, its tasks and a part."""
    engine = sa.create_engine(url)
    migrate.upgrade(engine, version="0002")
    with engine.begin() as connection:
        _insert(connection, "jobs", JOB)
        for number in range(MANY):
            task = {**TASK, "task_id": f"task-{number}", "outputs": OUTPUTS, "task_params": params}
            _insert(connection, "tasks", task)
        _insert(connection, "task_parts", {**PART, "role": "guest", "files": FILES})
    engine.dispose()


def _sound(store: Store) -> None:
    """The rows are what they were, their codes fit, and the tables are those of the classes, with their constraints."""
    with store.read() as session:
        rows = session.scalars(sa.select(TaskRow).order_by(TaskRow.seq)).all()
        assert [row.task_id for row in rows] == [f"task-{number}" for number in range(MANY)]
        assert all(row.outputs == OUTPUTS for row in rows)
        assert [part.files for part in parts_of(session, "task-0")] == [FILES]
    with store.reading() as connection:
        assert migrate.differences(connection) == []
    for table, row in (
        ("tasks", {**TASK, "task_id": "task-0"}),
        ("task_parts", {**PART, "task_id": "no", "role": "r"}),
    ):
        sealed = {"outputs" if table == "tasks" else "files": b"x", "mac": b"x"}
        with pytest.raises(IntegrityError), store.begin() as session:
            _insert(session.connection(), table, {**row, **sealed})


def _tampered(store: Store) -> None:
    """A status or a place that somebody else has written is noticed."""
    with store.begin() as session:
        session.connection().exec_driver_sql("UPDATE tasks SET status = 'FAILED' WHERE task_id = 'task-7'")
        session.connection().exec_driver_sql("UPDATE task_parts SET attempt = 2")
    with store.read() as session:
        assert find_task(session, "task-8") is not None
        with pytest.raises(StoreTampered):
            find_task(session, "task-7")
        with pytest.raises(StoreTampered):
            parts_of(session, "task-0")


@pytest.fixture
def sqlite(tmp_path: Path) -> tuple[str, Vault]:
    """A SQLite file of version 0002 with parameters that were sealed already, and the vault of its folder."""
    vault = Vault.of_folder(tmp_path)
    url = f"sqlite:///{tmp_path / 'node.db'}"
    _earlier(url, vault.seal(json.dumps({"common": {"t": {"x": 1.5}}}).encode(), b"tasks.task_params"))
    return url, vault


def test_outputs_in_clear_are_sealed_by_the_upgrade(sqlite: tuple[str, Vault], tmp_path: Path) -> None:
    """Nothing that was put out is in any file of the folder afterwards, free pages and kept files included."""
    url, vault = sqlite
    assert CANARY.encode() in (tmp_path / "node.db").read_bytes()
    store = Store(url, vault=lambda _: vault)
    try:
        assert [path.name for path in tmp_path.iterdir() if CANARY.encode() in path.read_bytes()] == []
        assert not (tmp_path / "node.db.version-0002").exists()
        _sound(store)
        with store.read() as session:
            assert session.scalars(sa.select(TaskRow).limit(1)).one().task_params == {"common": {"t": {"x": 1.5}}}
        _tampered(store)
    finally:
        store.close()


def test_an_upgrade_that_seals_needs_the_vault_and_changes_nothing_without(
    sqlite: tuple[str, Vault], tmp_path: Path
) -> None:
    """Without a vault, or with one that does not open what is sealed, the database stays as it was, and usable."""
    url, vault = sqlite
    with pytest.raises(ConfigError, match="has to be sealed"):
        Store(url)
    (tmp_path / "other").mkdir()
    with pytest.raises(StoreTampered):
        Store(url, vault=lambda _: Vault.of_folder(tmp_path / "other"))
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0002"
    engine.dispose()
    store = Store(url, vault=lambda _: vault)
    _sound(store)
    store.close()


def test_an_empty_database_is_upgraded_without_a_vault(tmp_path: Path) -> None:
    """Where there is nothing to seal none is opened, and the file that was kept stays."""
    url = f"sqlite:///{tmp_path / 'node.db'}"
    engine = sa.create_engine(url)
    migrate.upgrade(engine, version="0002")
    engine.dispose()
    Store(url).close()
    assert (tmp_path / "node.db.version-0002").exists()


def test_codes_of_contracts_and_of_the_evidence_fit_after_the_upgrade(tmp_path: Path) -> None:
    """9.2-d-3: what has no term of its own keeps its code; a term that is written in by hand is noticed."""
    vault = Vault.of_folder(tmp_path)
    url = f"sqlite:///{tmp_path / 'node.db'}"
    engine = sa.create_engine(url)
    migrate.upgrade(engine, version="0003")
    coded = {**CONTRACT, "partner": {"name": "节点"}}
    mac = vault.mac(spelled(coded), b"contracts")
    closed = vault.seal(json.dumps(coded["partner"]).encode(), b"contracts.partner")
    head: dict[str, Any] = {
        "seq": 7,
        "hash": "h",
        "segment": vault.new_key(),
        "begun_seq": 1,
        "begun_at": 5,
        "signed_seq": 6,
    }
    with engine.begin() as connection:
        _insert(connection, "contracts", {**coded, "partner": closed, "mac": mac, "poll_at": 0})
        code = vault.mac(canonical(head), b"evidence.head")
        _insert(connection, "evidence_head", {"id": 1, **head, "code": code})
    engine.dispose()
    store = Store(url, vault=lambda _: vault)
    try:
        with store.read() as session:
            contract = session.scalars(sa.select(ContractRow)).one()
            assert (contract.partner, contract.evidence_retention_days) == ({"name": "节点"}, None)
            row = session.execute(sa.select(*EvidenceHeadRow.__table__.columns)).one()
            vault.check(Head(**head, agreed=json.loads(row.agreed)).spelled(), row.code, b"evidence.head")
        with store.reading() as connection:
            assert migrate.differences(connection) == []
        with store.begin() as session:
            session.connection().exec_driver_sql("UPDATE contracts SET evidence_retention_days = 183")
        with store.read() as session, pytest.raises(StoreTampered):
            session.scalars(sa.select(ContractRow)).one()
    finally:
        store.close()


@pytest.mark.slow
def test_outputs_in_clear_are_sealed_on_postgresql_too(shared: dict[str, Any]) -> None:
    """The keys lie in the same database; its tables hold nothing in clear afterwards, old versions of rows included."""
    _earlier(shared["database"])
    kek = load_kek(Path(shared["key_file"]))
    store = Store(shared["database"], vault=lambda opened: Vault(kek, TableKeyring(opened)))
    try:
        with store.aside() as connection:
            connection.exec_driver_sql("CHECKPOINT")
            folder = Path(str(connection.exec_driver_sql("SHOW data_directory").scalar()))
            database = connection.exec_driver_sql("SELECT oid FROM pg_database WHERE datname = current_database()")
            tables = folder / "base" / str(database.scalar())
        assert [path.name for path in tables.iterdir() if CANARY.encode() in path.read_bytes()] == []
        _sound(store)
        _tampered(store)
    finally:
        store.close()
