"""Backups of the data folder and their restoration; damage at the start is told (9.2-e-3)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from typer.testing import CliRunner

from conformance.cli import app as command_line
from reference_node.app import create_app, node_of
from reference_node.config import Config
from reference_node.errors import ConfigError
from reference_node.node import Node
from reference_node.security.errors import KeyDestroyed
from reference_node.store import migrate
from reference_node.store.backup import KEPT, restore
from reference_node.store.resources import ProjectRow
from tests.reference_node.pair import ManualClock, TestNode, nodes


def _node(folder: Path, clock: ManualClock | None = None, **settings: Any) -> Node:
    config = Config(data=folder / "data", node_id="node-a", background=False, **settings)
    return node_of(create_app(config, clock=clock))


def _keep(node: Node, name: str) -> None:
    with node.store.begin() as session:
        session.add(ProjectRow(project_id=name, name=name, owner_node_id="node-a", created_at=1, updated_at=1))


def _kept(node: Node) -> list[str]:
    with node.store.read() as session:
        return sorted(row.project_id for row in session.query(ProjectRow))


def _backed_up(tmp_path: Path) -> tuple[Path, Path]:
    """Return backup and data folder of a stopped node; `early` is in the first snapshot, `late` in the second too."""
    clock = ManualClock()
    node = _node(tmp_path, clock, backup=tmp_path / "backup", backup_seconds=5)
    for name in ("early", "late"):
        _keep(node, name)
        clock.now += 5000
        node.pump()
    node.close()
    shutil.copy(tmp_path / "data" / "vault.key", tmp_path / "kek")
    return tmp_path / "backup", tmp_path / "data"


def _snapshots(backup: Path) -> list[Path]:
    return sorted(backup.glob("*Z"))


def test_a_node_comes_back_from_its_backup_alone(tmp_path: Path) -> None:
    """With the whole data folder lost, backup and key bring records and identity back."""
    backup, data = _backed_up(tmp_path)
    before = _node(tmp_path)
    key = before.identity.key("SM3_SM2").public
    before.close()
    shutil.rmtree(data)
    answer = CliRunner().invoke(
        command_line,
        ["node", "restore", "--from", str(backup), "--data", str(data), "--key-file", str(tmp_path / "kek")],
    )
    assert answer.exit_code == 0, answer.output
    assert "rows" in answer.output
    again = _node(tmp_path)
    assert _kept(again) == ["early", "late"]
    assert again.identity.key("SM3_SM2").public == key
    again.close()


def test_the_key_of_a_node_is_changed_by_a_command(tmp_path: Path) -> None:
    """After `hutong node rekey` the node starts with its new key and reads what it had."""
    _, data = _backed_up(tmp_path)
    answer = CliRunner().invoke(command_line, ["node", "rekey", "--data", str(data)])
    assert answer.exit_code == 0, answer.output
    assert (data / "vault.key").read_text() != (tmp_path / "kek").read_text()
    again = _node(tmp_path)
    assert _kept(again) == ["early", "late"]
    again.close()
    assert CliRunner().invoke(command_line, ["node", "rekey", "--data", str(tmp_path / "nowhere")]).exit_code == 4


def test_a_damaged_database_is_told_and_restored(tmp_path: Path) -> None:
    """A start on a damaged or an absent database fails with the command that helps, and that command helps."""
    backup, data = _backed_up(tmp_path)
    content = bytearray((data / "node.db").read_bytes())
    content[4096 : 4096 + 2000] = bytes(2000)
    (data / "node.db").write_bytes(content)
    for damage in ("damaged", "damaged", "gone"):
        with pytest.raises(ConfigError, match=damage) as caught:
            _node(tmp_path)
        assert "hutong node restore --from" in caught.value.hint
        if (data / "node.db").exists() and content:
            (data / "node.db").write_bytes(b"no database at all, but of some length" * 50)
            content = bytearray()
        else:
            (data / "node.db").unlink(missing_ok=True)
    assert restore(backup, data).damaged == ()
    again = _node(tmp_path)
    assert _kept(again) == ["early", "late"]
    again.close()


def test_a_changed_snapshot_is_passed_over(tmp_path: Path) -> None:
    """One byte changed in the newest snapshot, or in its manifest: the one before is taken, and it is said why."""
    backup, data = _backed_up(tmp_path)
    newest = _snapshots(backup)[-1]
    for name in ("node.db", "manifest.json"):
        whole = (newest / name).read_bytes()
        place = whole.rindex(b"early") if name == "node.db" else whole.rindex(b'"rows": ') + 8
        (newest / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = restore(backup, data)
        assert found.snapshot == _snapshots(backup)[-2]
        assert newest.name in found.damaged[0]
        (newest / name).write_bytes(whole)
    again = _node(tmp_path)
    assert _kept(again) == ["early"]
    again.close()
    assert list(data.glob("node.db.replaced-*"))
    assert restore(newest, data).snapshot == newest


def test_what_cannot_be_restored_is_said(tmp_path: Path) -> None:
    """No snapshot, no key, another key, and nothing intact are four errors with a remedy each."""
    backup, data = _backed_up(tmp_path)
    with pytest.raises(ConfigError, match="no snapshot"):
        restore(tmp_path / "nowhere", data)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        restore(backup, tmp_path / "fresh")
    assert "--key-file" in caught.value.hint
    (tmp_path / "other").write_text("ab" * 32)
    (tmp_path / "other").chmod(0o600)
    with pytest.raises(ConfigError, match="does not open"):
        restore(backup, tmp_path / "fresh", tmp_path / "other")
    for snapshot in _snapshots(backup):
        (snapshot / "node.db").unlink()
    with pytest.raises(ConfigError, match="no snapshot is intact"):
        restore(backup, data)


def test_backups_are_few_and_only_of_changes(tmp_path: Path) -> None:
    """Nothing new, nothing taken; more than a few, the oldest go; none holds a key or a word in clear."""
    clock = ManualClock()
    node = _node(tmp_path, clock, backup=tmp_path / "backup", backup_seconds=5)
    sealed = node.vault.seal(b"x", b"y", key_id=(doomed := node.vault.new_key()))
    for number in range(KEPT + 2):
        _keep(node, f"p{number}")
        clock.now += 5000
        for _ in range(2):
            node.pump()
    assert len(_snapshots(tmp_path / "backup")) == KEPT
    assert not list((tmp_path / "backup").rglob("vault.key"))
    node.vault.destroy_key(doomed)
    clock.now += 5000
    node.pump()
    node.close()
    shutil.copy(tmp_path / "data" / "vault.key", tmp_path / "kek")
    shutil.rmtree(tmp_path / "data")
    restore(tmp_path / "backup", tmp_path / "data", tmp_path / "kek")
    again = _node(tmp_path)
    with pytest.raises(KeyDestroyed):
        again.vault.open(sealed, b"y")
    again.close()


def test_a_backup_of_postgresql_is_not_pretended(tmp_path: Path) -> None:
    """[store] backup without a database of its own is refused."""
    with pytest.raises(ConfigError, match="backup is of a data folder"):
        create_app(Config(backup=tmp_path / "backup"))


def test_an_upgrade_keeps_the_database_as_it_was(tmp_path: Path) -> None:
    """Before the tables are changed the file is copied beside itself."""
    node = _node(tmp_path)
    _keep(node, "p")
    node.close()
    path = tmp_path / "data" / "node.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(ConfigError, match="another version"):
        _node(tmp_path)
    kept = create_engine(f"sqlite:///{path}.version-0000")
    with kept.connect() as connection:
        assert connection.exec_driver_sql("SELECT project_id FROM projects").scalar() == "p"
    assert migrate.pending(engine)
    engine.dispose()
    kept.dispose()


def test_tampering_is_answered_in_words(tmp_path: Path) -> None:
    """A caller who asks for a record that was changed in the database learns so, and not the record."""
    with nodes("node-a", data=tmp_path / "d") as (node,):
        assert isinstance(node, TestNode)
        node.own("ownProjectCreate", project_id="prj-1", name="mine")
        with node.node.store.begin() as session:
            session.connection().exec_driver_sql("UPDATE projects SET name = 'theirs'")
        answer = node.own("ownProjectList")
        assert (answer.status, answer.error) == (503, "STORE_TAMPERED")
        assert "restore" in answer.data["hint"]
