"""Rows taken away, slipped in or put back by SQL, and an older copy of the database, are noticed (9.2-e-1, 9.2-e-3)."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from conformance.cli import app as command_line
from reference_node.accepting import accept
from reference_node.app import create_app, node_of
from reference_node.config import Config, load_config
from reference_node.errors import ConfigError
from reference_node.node import Node
from reference_node.security.errors import StoreTampered
from reference_node.store.resources import ProjectRow
from reference_node.store.seals import SEAL_FILE, Copy, Seal, SealBroken, Slots, begin_epoch
from reference_node.store.tally import Tally
from tests.reference_node.pair import ManualClock, nodes, sign_contract
from tests.reference_node.postgres import postgres


def _config(folder: Path, **more: Any) -> Config:
    return load_config(None, data=folder, node_id="node-a", background=False, **more)


@contextmanager
def _running(folder: Path, **more: Any) -> Iterator[Node]:
    node = node_of(create_app(_config(folder, **more)))
    try:
        yield node
    finally:
        node.close()


def _keep(node: Node, *names: str) -> None:
    with node.store.begin() as session:
        for name in names:
            session.add(ProjectRow(project_id=name, name=name, owner_node_id="node-a", created_at=1, updated_at=1))


def _rename(node: Node, name: str, to: str) -> None:
    with node.store.begin() as session:
        session.query(ProjectRow).filter_by(project_id=name).one().name = to


def _fail(node: Node) -> None:
    with node.store.begin() as session:
        session.add(ProjectRow(project_id="x", name="x", owner_node_id="node-a", created_at=1, updated_at=1))
        session.flush()
        raise ZeroDivisionError


def _tally(node: Node) -> Tally:
    tally = node.store.tally
    assert tally is not None
    return tally


def _sql(node: Node, statement: str, **values: Any) -> None:
    """Do something past the node."""
    with node.store.engine.begin() as connection:
        connection.execute(text(statement), values)


def _copied(data: Path) -> Path:
    """Return a consistent copy of the database of a stopped node."""
    place = data.parent / "older.db"
    shutil.copy(data / "node.db", place)
    return place


def _acts(node: Node) -> list[str]:
    with node.store.read() as session:
        return [row.act for row in session.execute(text("SELECT act FROM evidence ORDER BY seq"))]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(("add", "rename", "remove", "fail"))), max_size=25),
    st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_whatever_the_node_does_fits_its_count_and_what_others_do_does_not(
    steps: list[tuple[str, str]], victim: int
) -> None:
    """Any run of additions, changes, removals and failures leaves the count right; one row less does not fit it."""
    with nodes("node-a") as (item,):
        node, there = item.node, set[str]()
        for number, (name, what) in enumerate(steps):
            if what == "add" and name not in there:
                _keep(node, name)
                there.add(name)
            elif what == "rename" and name in there:
                _rename(node, name, f"{name}-{number}")
            elif what == "remove" and name in there:
                with node.store.begin() as session:
                    session.delete(session.query(ProjectRow).filter_by(project_id=name).one())
                there.remove(name)
            elif what == "fail":
                with pytest.raises(ZeroDivisionError):
                    _fail(node)
        assert _tally(node).look() == ()
        if there:
            _sql(node, "DELETE FROM projects WHERE project_id = :name", name=sorted(there)[victim % len(there)])
            assert _tally(node).look() == (f"projects: 1 of {len(there)} rows were deleted",)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM projects", "projects: 2 of 2 rows were deleted"),
        ("DELETE FROM own_node", "own_node: 1 of 1 rows were deleted"),
        (
            "INSERT INTO partner_keys SELECT 'n', 'f', 'SM3_SM2', 'c', 1, mac FROM projects LIMIT 1",
            "partner_keys: 1 rows were slipped in",
        ),
        ("UPDATE projects SET mac = (SELECT mac FROM own_node)", "projects: a row was replaced by another state"),
        ("UPDATE store_tally SET seq = seq - 1", "the count of the rows does not fit its authentication code"),
        ("UPDATE store_tally SET counts = '{}'", "the count of the rows does not fit its authentication code"),
        ("UPDATE store_tally SET counts = 'x'", "the count of the rows is none"),
        ("DELETE FROM store_tally", "the count of the rows is gone"),
    ],
)
def test_each_kind_of_change_is_told_for_what_it_is(statement: str, found: str) -> None:
    """Rows deleted, slipped in and exchanged; the count itself changed, put back and deleted."""
    with nodes("node-a") as (item,):
        _keep(item.node, "one", "two")
        _sql(item.node, statement)
        assert _tally(item.node).look() == (found,)


def test_a_row_put_back_to_an_earlier_state_of_itself_is_found() -> None:
    """A permit whose uses were put back, code and all, passes its own check and not the count."""
    with nodes("node-a") as (item,):
        _keep(item.node, "one")
        with item.node.store.engine.connect() as connection:
            before = connection.execute(text("SELECT name, folded, mac FROM projects")).mappings().one()
        _rename(item.node, "one", "another")
        _sql(item.node, "UPDATE projects SET name = :name, folded = :folded, mac = :mac", **before)
        assert item.own("ownProjectQuery", project_id="one").data["name"] == "one"  # its own code is right
        assert _tally(item.node).look() == ("projects: a row was replaced by another state",)


def test_a_deleted_record_is_not_one_that_there_never_was() -> None:
    """The operator is told; changes and partners are refused, with a record; put back, all is as before."""
    with nodes("node-a", "node-b") as (one, other):
        sign_contract(other, one)
        partner = other.as_stranger()
        one.own("ownProjectCreate", project_id="prj", name="one")
        with one.node.store.engine.connect() as connection:
            row = connection.execute(text("SELECT * FROM projects")).mappings().one()
        _sql(one.node, "DELETE FROM projects")
        assert one.own("ownProjectQuery", project_id="prj").error == "STORE_TAMPERED"
        assert one.own("ownProjectCreate", project_id="more", name="more").error == "STORE_TAMPERED"
        assert one.signed("nodeHealth", partner).error == "STORE_TAMPERED"
        told = one.own("ownEvidenceHealth").data
        assert told["status"] == "TAMPERED"
        assert told["problems"] == [{"where": "database", "what": "projects: 1 of 1 rows were deleted"}]
        assert one.audit("ownEvidenceVerify").data["intact"] is False
        assert _acts(one.node).count("evidence.store_tampered") == 1
        names = ", ".join(row)
        _sql(one.node, f"INSERT INTO projects ({names}) VALUES ({', '.join(':' + name for name in row)})", **row)
        assert one.signed("nodeHealth", partner).code == 0
        assert one.own("ownProjectQuery", project_id="prj").data["name"] == "one"
        assert one.own("ownProjectCreate", project_id="more", name="more").code == 0
        assert one.own("ownEvidenceHealth").data["status"] == "INTACT"


def test_a_look_by_the_clock_finds_it_too_and_chores_rest_meanwhile() -> None:
    """Nobody asks for the deleted row: the pump finds it within [store] check_seconds, and does nothing more."""
    clock = ManualClock()
    with nodes("node-a", clock=clock, store_check_seconds=60) as (item,):
        _keep(item.node, "one")
        item.node.pump()
        _sql(item.node, "DELETE FROM projects")
        item.node.pump()
        assert _tally(item.node).found == ()
        clock.now += 61_000
        item.node.pump()
        assert _tally(item.node).found == ("projects: 1 of 1 rows were deleted",)
        with pytest.raises(StoreTampered):
            _keep(item.node, "two")


def test_strangers_cause_few_looks() -> None:
    """Questions for what is not there lead to a look only if the last one is not too recent."""
    with nodes("node-a") as (item,):
        tally = _tally(item.node)
        tally.glance()
        tally._took = 1000.0
        _sql(item.node, "DELETE FROM own_node")
        assert tally.glance() == ()
        tally._took = 0.0
        assert tally.glance() == ("own_node: 1 of 1 rows were deleted",)


def test_an_older_copy_of_the_whole_database_does_not_start(tmp_path: Path) -> None:
    """The reason and the remedy are told, nothing is changed; the right database starts again."""
    data = tmp_path / "data"
    with _running(data) as node:
        _keep(node, "one")
    older = _copied(data)
    with _running(data) as node:
        _keep(node, "two")
    newer = (data / "node.db").read_bytes()
    shutil.copy(older, data / "node.db")
    with pytest.raises(ConfigError, match="it is older than it was: change 3, and change 4 was made") as refused:
        create_app(_config(data))
    assert "hutong node restore" in refused.value.hint
    assert "hutong node accept" in refused.value.hint
    (data / "node.db").write_bytes(newer)
    with _running(data) as node:
        assert node.evidence.keeper.troubles == {}
        _keep(node, "three")


def test_an_older_copy_with_its_seal_is_known_by_the_second_place(tmp_path: Path) -> None:
    """The whole data folder is put back: what is sealed with the copies of the evidence knows more."""
    data, copies = tmp_path / "data", tmp_path / "copies"
    with _running(data, evidence_backup=copies) as node:
        _keep(node, "one")
    shutil.copytree(data, tmp_path / "kept")
    with _running(data, evidence_backup=copies) as node:
        _keep(node, "two")
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "kept", data)
    with pytest.raises(ConfigError, match="older than it was"):
        create_app(_config(data, evidence_backup=copies))


def test_another_history_of_the_same_length_is_not_taken(tmp_path: Path) -> None:
    """An older copy that went on elsewhere for as long has another evidence than the one that was sealed."""
    data = tmp_path / "data"
    with _running(data) as node:
        _keep(node, "one")
    shutil.copytree(data, tmp_path / "elsewhere")
    with _running(data) as node:
        _keep(node, "two")
        _keep(node, "three")
    with _running(tmp_path / "elsewhere") as node:
        for name in ("four", "five", "six", "seven"):
            _keep(node, name)
    shutil.copy(tmp_path / "elsewhere" / "node.db", data / "node.db")
    with pytest.raises(ConfigError, match="the database was exchanged"):
        create_app(_config(data))


@pytest.mark.parametrize("statement", ["DELETE FROM projects", "DELETE FROM store_tally", "DROP TABLE store_tally"])
def test_what_was_deleted_while_the_node_was_down_keeps_it_down(tmp_path: Path, statement: str) -> None:
    """Rows, the count, or its table are gone: the start says so."""
    with _running(tmp_path) as node:
        _keep(node, "one")
    with closing(sqlite3.connect(tmp_path / "node.db")) as connection, connection:
        connection.execute(statement)
    with pytest.raises(ConfigError, match=r"rows were deleted|count is gone|cannot be used|is damaged"):
        create_app(_config(tmp_path))


@pytest.mark.parametrize("content", [None, b"", b"x" * 2048])
def test_a_seal_that_is_gone_or_changed_is_told(tmp_path: Path, content: bytes | None) -> None:
    """Whoever takes the seal away to put an older copy back is noticed by that."""
    with _running(tmp_path) as node:
        _keep(node, "one")
    place = tmp_path / SEAL_FILE
    place.unlink()
    (tmp_path / "evidence-backup" / SEAL_FILE).unlink()
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(ConfigError, match="seal"):
        create_app(_config(tmp_path))
    accept(_config(tmp_path), "the seal was lost")
    with _running(tmp_path) as node:
        assert _tally(node).look() == ()


def test_what_the_operator_accepts_is_counted_anew_and_recorded(tmp_path: Path) -> None:
    """`hutong node accept` after a row was deleted: the node starts, says so in its evidence, and goes on counting."""
    data = tmp_path / "data"
    with _running(data) as node:
        _keep(node, "one", "two")
    with closing(sqlite3.connect(data / "node.db")) as connection, connection:
        connection.execute("DELETE FROM projects WHERE project_id = 'one'")
    done = CliRunner().invoke(command_line, ["node", "accept", "--data", str(data), "--reason", "a disk was lost"])
    assert done.exit_code == 0, done.output
    with _running(data) as node:
        assert _tally(node).look() == ()
        assert _acts(node)[-1] == "evidence.store_accepted"
        _keep(node, "three")
    with _running(data) as node:
        assert _acts(node).count("evidence.store_accepted") == 1
        assert _tally(node).look() == ()


def test_an_acceptance_is_of_one_database(tmp_path: Path) -> None:
    """What was accepted is not a licence for another copy, neither before the start nor later on."""
    data = tmp_path / "data"
    with _running(data) as node:
        _keep(node, "one")
    older = _copied(data)
    with _running(data) as node:
        _keep(node, "two")
    accept(_config(data), "as it is")
    newer = (data / "node.db").read_bytes()
    shutil.copy(older, data / "node.db")
    with pytest.raises(ConfigError, match="another one than the operator took for good"):
        create_app(_config(data))
    (data / "node.db").write_bytes(newer)
    with _running(data) as node:
        _keep(node, "three")
    (data / "node.db").write_bytes(newer)
    with pytest.raises(ConfigError, match="older than it was"):
        create_app(_config(data))


def test_a_crash_at_any_point_is_no_false_alarm(tmp_path: Path) -> None:
    """The files as they are after each commit, seal before or after, start: a seal never says more than was kept."""
    data, chance = tmp_path / "data", random.Random(20261)
    with _running(data) as node:
        states = []
        for number in range(12):
            seal = (data / SEAL_FILE).read_bytes()
            _keep(node, f"p{number}")
            if chance.random() < 0.5:
                seal = (data / SEAL_FILE).read_bytes()  # else it was written and lost with the power
            place = tmp_path / f"state-{number}"
            shutil.copytree(data, place)
            (place / SEAL_FILE).write_bytes(seal)
            states.append(place)
    for place in states:
        with _running(place) as node:
            _keep(node, "after")
            assert _tally(node).look() == ()


def test_a_seal_whose_last_write_was_torn_still_says_the_one_before(tmp_path: Path) -> None:
    """Any cut of the slot that was written last leaves the other; both cut is told."""
    slots = Slots(tmp_path / "seal", lambda plain: plain[::-1])
    for seq in range(1, 4):
        slots.write(Seal(0, seq))
    whole = (tmp_path / "seal").read_bytes()
    for cut in range(0, 1024, 97):
        torn = bytearray(whole)
        torn[1024 + cut : 2048] = b"\0" * (1024 - cut)  # 3 is in the second slot
        (tmp_path / "seal").write_bytes(torn)
        found = slots.read()
        assert found is not None
        assert found.seq in (2, 3)
    (tmp_path / "seal").write_bytes(b"\0" * 2048)
    with pytest.raises(SealBroken):
        slots.read()


def test_seals_of_another_key_do_not_count(tmp_path: Path) -> None:
    """Who lacks the vault's key makes no seal; another epoch ranks over all seals that are there."""
    mine, other = (lambda plain: b"1" + plain), (lambda plain: b"2" + plain)
    own, copy = Slots(tmp_path / "seal", mine), Copy(tmp_path / "second" / "seal", mine)
    own.write(Seal(0, 7))
    copy.write(Seal(2, 1))
    with pytest.raises(SealBroken):
        Slots(tmp_path / "seal", other).read()
    made = begin_epoch([copy], own, pending="x", recount=False, reason="y", least=0)
    assert made.rank == (3, 0)
    assert own.read() == made


def test_replicas_on_postgresql_keep_one_count(tmp_path: Path) -> None:
    """Two replicas write in turn; an older state of the shared database is known to the one that saw more."""
    more = {"key_env": "HUTONG_TEST_KEK", "operator_token": "operator-token-of-all", "background": False}
    with pytest.MonkeyPatch.context() as patch, postgres() as url:
        patch.setenv("HUTONG_TEST_KEK", "12" * 32)
        settings = {"node_id": "node-a", "database": url, "auditor_token": "auditor-token-of-all", **more}
        one = node_of(create_app(load_config(None, data=tmp_path / "one", **settings)))
        two = node_of(create_app(load_config(None, data=tmp_path / "two", **settings)))
        for number in range(6):
            _keep((one, two)[number % 2], f"p{number}")
        assert _tally(one).look() == _tally(two).look() == ()
        with one.store.engine.begin() as connection:
            kept = connection.execute(text("SELECT epoch, seq, counts, code FROM store_tally")).mappings().one()
            row = connection.execute(text("SELECT * FROM projects WHERE project_id = 'p5'")).mappings().one()
        assert row["project_id"] == "p5"
        _keep(two, "late")
        two.close()
        with one.store.engine.begin() as connection:
            connection.execute(text("DELETE FROM projects WHERE project_id = 'late'"))
            connection.execute(
                text("UPDATE store_tally SET epoch = :epoch, seq = :seq, counts = :counts, code = :code"), dict(kept)
            )
        one.close()
        with pytest.raises(ConfigError, match="older than it was"):
            create_app(load_config(None, data=tmp_path / "two", **settings))
        accept(load_config(None, data=tmp_path / "two", **settings), "the database administrator restored it")
        two = node_of(create_app(load_config(None, data=tmp_path / "two", **settings)))
        one = node_of(create_app(load_config(None, data=tmp_path / "one", **settings)))
        _keep(one, "again")
        assert _tally(two).look() == ()
        assert _acts(two).count("evidence.store_accepted") == 1
        one.close()
        two.close()


def test_the_faults_are_those_that_the_suite_looks_for() -> None:
    """With its faults on a node sees neither."""
    with nodes("node-a", faults=("deleted-row-not-noticed",)) as (item,):
        _keep(item.node, "one")
        _sql(item.node, "DELETE FROM projects")
        assert _tally(item.node).look() == ()
