"""What lies in the database: nothing important in clear, and nothing that can be changed unseen (9.2-e-1, 9.2-e-2)."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, select

from reference_node.errors import ConfigError
from reference_node.security.errors import StoreTampered
from reference_node.security.vault import Vault
from reference_node.store import Base, Store, migrate
from reference_node.store.approvals import ApprovalRow, PermitRow, count_use
from reference_node.store.contracts import ContractRow, OwnNodeRow, PartnerKeyRow
from reference_node.store.jobs import DecisionRow, JobRow, OrderRow, PartRow, TaskRow
from reference_node.store.outbox import OutboxRow
from reference_node.store.resources import ComponentRow, DatasetRow, FlowRow, ModelRow, ProjectRow
from reference_node.store.sealed import Protected, Sealed, sweep

CANARY = "canary-7f3a91d2"
SAMPLES = 2000


def _value(column: Any) -> Any:
    if isinstance(column.type, Sealed):
        return {"text": CANARY, "number": 1.5}
    if column.foreign_keys or column.unique or column.name in ("seq", "id"):
        return 1 if column.name in ("seq", "id") else "the-id"
    kind = column.type.python_type
    return {str: "some text", int: 7, bool: True}.get(kind, {})


def _row(table: type[Base]) -> Base:
    skipped = {"mac"}
    values = {column.name: _value(column) for column in table.__table__.columns if column.name not in skipped}
    return table(**values)


FILLED: tuple[type[Base], ...] = (
    ContractRow, PartnerKeyRow, OwnNodeRow, ApprovalRow, PermitRow, ProjectRow, FlowRow, DatasetRow, ModelRow,
    ComponentRow, JobRow, TaskRow, PartRow, OrderRow, DecisionRow, OutboxRow,
)  # fmt: skip


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Store, Path]]:
    """A database with a row in every table that has something to protect."""
    path = tmp_path / "node.db"
    store = Store(f"sqlite:///{path}", vault=lambda _: Vault.of_folder(tmp_path))
    with store.begin() as session:
        session.add(_row(ContractRow))
        session.flush()
        for table in FILLED[1:]:
            if table not in (ContractRow, PermitRow, TaskRow, PartRow, OrderRow, DecisionRow, OutboxRow):
                session.add(_row(table))
        session.flush()
        for table in (PermitRow, TaskRow, PartRow, OrderRow, DecisionRow, OutboxRow):
            row = _row(table)
            for column in table.__table__.columns:
                if column.foreign_keys:
                    setattr(row, column.name, "some text" if table is OutboxRow else "the-id")
            session.add(row)
            session.flush()
    yield store, path
    store.close()


def _read_all(store: Store) -> None:
    with store.read() as session:
        for table in FILLED:
            session.scalars(select(table)).all()


def _places(path: Path) -> list[tuple[str, str, int, Any]]:
    """Every byte, and every number, that must not be changed: table, column, position, what is there."""
    found: list[tuple[str, str, int, Any]] = []
    with sqlite3.connect(path) as raw:
        for table in FILLED:
            loose = table.loose | {"seq"} if issubclass(table, Protected) else set()
            for column in table.__table__.columns:
                guarded = issubclass(table, Protected) or isinstance(column.type, Sealed)
                if not guarded or column.name in loose or column.foreign_keys or column.name == "id":
                    continue
                (value,) = raw.execute(f"SELECT {column.name} FROM {table.__tablename__}").fetchone()
                places = range(len(value)) if isinstance(value, (str, bytes)) else [0]
                found += [(table.__tablename__, column.name, place, value) for place in places]
    raw.close()
    return found


def _bent(value: Any, place: int) -> Any:
    if isinstance(value, str):
        return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
    if isinstance(value, bytes):
        return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
    return 1 - value if value in (0, 1) else value + 1


@pytest.mark.slow
def test_every_changed_byte_of_what_is_protected_is_detected(filled: tuple[Store, Path]) -> None:
    """Each of 2,000 single changes, to sealed columns, protected ones and their codes, is found when it is read."""
    store, path = filled
    _read_all(store)
    places = _places(path)
    assert len(places) > 1500
    chosen = random.Random(9).sample(places, min(SAMPLES, len(places)))
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA foreign_keys = OFF")
    for table, column, place, value in chosen:
        raw.execute(f"UPDATE {table} SET {column} = ?", (_bent(value, place),))
        with pytest.raises(StoreTampered):
            _read_all(store)
        raw.execute(f"UPDATE {table} SET {column} = ?", (value,))
    raw.close()
    _read_all(store)


def test_nothing_important_is_stored_in_clear(filled: tuple[Store, Path]) -> None:
    """A token planted in every sealed column is nowhere in the files of the database."""
    store, path = filled
    _read_all(store)
    for file in path.parent.iterdir():
        content = file.read_bytes()
        for form in (CANARY.encode(), CANARY.encode().hex().encode(), CANARY.encode("utf-16-le")):
            assert form not in content


def test_a_value_moved_to_another_column_or_row_is_detected(filled: tuple[Store, Path]) -> None:
    """Sealed values of two columns that are exchanged, and a row that takes another's code, do not pass."""
    store, path = filled
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE jobs SET dag = config, config = dag")
    raw.close()
    with store.read() as session, pytest.raises(StoreTampered, match=r"jobs\."):
        session.scalars(select(JobRow)).all()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE jobs SET dag = config, config = dag")
        raw.execute("UPDATE projects SET mac = (SELECT mac FROM datasets)")
    raw.close()
    with store.read() as session, pytest.raises(StoreTampered, match="projects"):
        sweep(session)


def test_a_permit_cannot_be_wound_back(filled: tuple[Store, Path]) -> None:
    """Setting the number of uses to less is found at the next use, which is not counted."""
    store, path = filled
    with store.begin() as session:
        session.scalars(select(PermitRow)).one().times_limit = 20
    with store.begin() as session:
        assert count_use(session, "the-id")
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE permits SET uses = 0")
    raw.close()
    with pytest.raises(StoreTampered), store.begin() as session:
        count_use(session, "the-id")


def test_whole_numbers_written_as_fractions_are_no_tampering(filled: tuple[Store, Path]) -> None:
    """A count that came as 5.0 in JSON is read as 5 and fits its code."""
    store, _ = filled
    with store.begin() as session:
        session.scalars(select(PermitRow)).one().times_limit = 5.0
    with store.read() as session:
        assert session.scalars(select(PermitRow)).one().times_limit == 5


def test_migrations_make_the_tables_that_the_classes_describe(tmp_path: Path) -> None:
    """A database brought up by the scripts differs in nothing from one made by the classes."""
    store = Store(f"sqlite:///{tmp_path / 'node.db'}")
    with store.reading() as connection:
        assert migrate.differences(connection) == []
    assert not migrate.pending(store.engine)
    store.close()


def test_a_database_that_is_none_of_ours_is_left_alone(tmp_path: Path) -> None:
    """Tables of unknown origin, and those of a later version, are refused in words."""
    url = f"sqlite:///{tmp_path / 'node.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(ConfigError, match="unknown origin"):
        Store(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('9999')")
    with pytest.raises(ConfigError, match="another version"):
        Store(url)
    assert set(inspect(engine).get_table_names()) == {"theirs", "alembic_version"}
    engine.dispose()
