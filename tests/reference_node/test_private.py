"""What the node writes is its user's alone, and what the system refuses at the start is told for what it is (9.2-e)."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from reference_node import private
from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.errors import ConfigError
from reference_node.store import Store, reasons
from reference_node.store.reasons import RESTORE
from reference_node.store.resources import ProjectRow


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A mask of the process."""
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


def _open_to_others(*folders: Path) -> list[str]:
    found = [path for folder in folders for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    assert len(found) > 5
    return [f"{path} {stat.S_IMODE(path.stat().st_mode):o}" for path in found if path.stat().st_mode & 0o077]


def _run(data: Path, **more: Any) -> None:
    """Have a node write all that it writes."""
    config = load_config(None, data=data, node_id="node-a", background=False, **more)
    node = node_of(create_app(config))
    with node.store.begin() as session:
        session.add(ProjectRow(project_id="p", name="p", owner_node_id="node-a", created_at=1, updated_at=1))
    node.journal.write("task-1", "INFO", "x", node.now())
    node.evidence.keeping.copy()
    node.pump()
    assert (data / "node.db-wal").exists()
    assert _open_to_others(data) == []  # with the files beside the database, while it is open
    node.close()


@pytest.mark.usefixtures("umask")
def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    """Database and what SQLite keeps beside it, keys, tokens, seals, logs, copies, backups: under any mask."""
    _run(tmp_path / "data", backup=tmp_path / "backup", backup_seconds=1, evidence_backup=tmp_path / "copies")
    assert _open_to_others(tmp_path / "data", tmp_path / "backup", tmp_path / "copies") == []


def test_what_was_open_is_closed_at_the_start_but_for_folders_of_data(tmp_path: Path) -> None:
    """A folder of an earlier version is tightened; what lies in the folders of datasets is the operator's to decide."""
    data = tmp_path / "data"
    _run(data)
    (data / "datasets").mkdir()
    (data / "datasets" / "t.csv").write_text("id\n")
    for path in (data, *data.rglob("*")):
        if path.name != "vault.key":  # which is refused where others can read it
            path.chmod(0o755 if path.is_dir() else 0o644)
    node = node_of(create_app(load_config(None, data=data, dataset_folders=[data / "datasets"], background=False)))
    node.close()
    assert stat.S_IMODE((data / "datasets" / "t.csv").stat().st_mode) == 0o644
    left = [path for path in _open_to_others(data) if "datasets" not in path]
    assert left == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link out of the data folder does not change what it leads to."""
    other = tmp_path / "other"
    other.write_text("x")
    other.chmod(0o644)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(other)
    private.tighten(tmp_path / "data")
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


START = "import sys; from reference_node.config import load_config; from reference_node.server import NodeServer\n"
START += "from reference_node.errors import ConfigError\nfrom pathlib import Path\n"
START += "try:\n    NodeServer(load_config(None, data=Path(sys.argv[1]), port=0))\n"
START += "except ConfigError as refused:\n    sys.exit(f'{refused} | {refused.hint}')\n"


def _full() -> None:
    """Refuse the process every write to a file, as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _started_in(place: Path, prepare: Any = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START, str(place)], capture_output=True, text=True, preexec_fn=prepare, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("before", [False, True], ids=["first start", "later start"])
def test_a_full_disk_at_the_start_is_told_and_no_backup_advised(tmp_path: Path, before: bool) -> None:
    """A real limit of the system: the process can write nothing to any file."""
    data = tmp_path / "data"
    if before:
        _run(data)
    said = _started_in(data, _full)
    assert "nothing is damaged" in said or "look at the disk" in said, said
    assert "is damaged:" not in said
    assert "restore" not in said
    if before:
        _run_again(data)


def _run_again(data: Path) -> None:
    node = node_of(create_app(load_config(None, data=data, background=False)))
    node.close()


@pytest.mark.parametrize("place", ["file/data", "/proc/hutong/data", "/sys/hutong"])
def test_a_place_that_cannot_be_a_folder_is_told(tmp_path: Path, place: str) -> None:
    """Below a file, in a file system that takes no folders: the system's own reason, whoever runs the node."""
    (tmp_path / "file").write_text("x")
    said = _started_in(tmp_path / place)
    assert "the node cannot start" in said
    assert "restore" not in said


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room on the disk"),
        (errno.EDQUOT, "make room on the disk"),
        (errno.EROFS, "let the node's user write"),
        (errno.EACCES, "let the node's user write"),
        (errno.EMFILE, "more open files"),
        (errno.EIO, "look at the disk"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    """Each reason of the system for not opening the database's file."""

    def refuse(*_given: Any, **_more: Any) -> int:
        raise OSError(number, os.strerror(number), str(tmp_path / "node.db"))

    monkeypatch.setattr("reference_node.store.base.os.open", refuse)
    with pytest.raises(ConfigError, match=os.strerror(number)) as refused:
        Store(f"sqlite:///{tmp_path / 'node.db'}")
    assert advice in refused.value.hint
    assert RESTORE not in refused.value.hint


class _Sqlite(Exception):
    """An error as SQLite gives it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.sqlite_errorcode = code


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (13, "make room"),
        (8, "let the node's user write"),
        (8 | 6 << 8, "let the node's user write"),
        (14, "let the node's user write"),
        (5, "end the process"),
        (10 | 3 << 8, "look at the disk"),
        (11, RESTORE),
        (26, RESTORE),
    ],
)
def test_only_damage_is_called_damage(code: int, advice: str) -> None:
    """SQLite's result codes, plain and extended: full, read-only, cannot open, busy, failed, corrupt, no database."""
    said = reasons.refused("node.db", OperationalError("x", {}, _Sqlite(code)))
    assert advice in said.hint
    assert ("damaged" in str(said)) == (advice == RESTORE)
