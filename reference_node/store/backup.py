"""Continuous backup of a node's data folder, and its restoration (9.2-e-3).

Guarantees: a snapshot is a consistent copy of the database while the node goes on working, checked row by row before it
counts, and complete or absent; its manifest names every file by digest under an authentication code of the vault, so
that a changed backup is not taken for one. What was sealed stays sealed. The data keys lie beside the snapshots once,
as they are now: a key that was destroyed is in no backup. The key-encryption key is never there: it is kept elsewhere.

    BACKUP/vault-keys.json
    BACKUP/20260131T120000.000Z/{node.db, node-key-*.sealed, manifest.json}
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from sqlalchemy.exc import SQLAlchemyError

from reference_node import private
from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.security.errors import SecurityFailure, StoreTampered
from reference_node.security.keyring import FileKeyring
from reference_node.security.vault import KEY_FILE, KEYRING_FILE, Vault, load_kek
from reference_node.store.base import DATABASE, Store
from reference_node.store.sealed import sweep
from reference_node.store.seals import CONTEXT, EVIDENCE_COPIES, SEAL_FILE, Copy, Slots, begin_epoch
from reference_node.store.tally import UNCOUNTED, Tally, TallyRow

KEPT: Final = 5
_MANIFEST: Final = "manifest.json"
_CONTEXT: Final = b"backup manifest"
_UNFINISHED: Final = ".unfinished"
_SECRETS: Final = "*.sealed"
_LEFT_OUT: Final = {"backup-without-permits": "permits", "backup-without-head-of-evidence": "evidence_head"}


@dataclass(slots=True)
class Backup:
    """Takes snapshots of a data folder whenever something has changed and the interval is over."""

    data: Path
    folder: Path
    vault: Vault
    seconds: int
    faults: Faults = field(default_factory=Faults)
    _taken: int = 0
    _seen: tuple[int, ...] = ()

    def due(self, now: int) -> Path | None:
        """Take a snapshot if it is time for one."""
        if self._taken and self.faults.on("backup-taken-once"):
            return None
        changed = _state(self.data)
        if now - self._taken < self.seconds * 1000 or changed == self._seen:
            return None
        taken = self.take(now)
        self._taken, self._seen = now, changed
        return taken

    def take(self, now: int) -> Path:
        """Take a snapshot, check it, and forget the oldest ones."""
        stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
        place, work = self.folder / stamp, self.folder / (stamp + _UNFINISHED)
        shutil.rmtree(work, ignore_errors=True)
        private.make(work)
        _copy(self.data / DATABASE, work / DATABASE)
        for fault, table in _LEFT_OUT.items():
            if self.faults.on(fault):
                _empty(work / DATABASE, table)
                _empty(work / DATABASE, TallyRow.__tablename__)  # a node that keeps no count either
        for secret in self.data.glob(_SECRETS):
            if not self.faults.on("backup-without-node-keys"):
                shutil.copy2(secret, work)
        shutil.copy2(self.data / KEYRING_FILE, self.folder / KEYRING_FILE)
        rows = _checked(work / DATABASE, self.vault)
        _write_manifest(work, self.vault, now, rows)
        shutil.rmtree(place, ignore_errors=True)
        work.rename(place)
        for old in sorted(_snapshots(self.folder))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return place


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored; `damaged` are the snapshots that were passed over, with what is wrong with them."""

    snapshot: Path
    taken_at: int
    rows: int
    damaged: tuple[str, ...] = field(default=())


def restore(source: Path, data: Path, key_file: Path | None = None, copies: Path | None = None) -> Restored:
    """Put the newest intact snapshot of a backup in the place of a data folder's database; the node must not run.

    `copies` is where the copies of the evidence lie, if not in the data folder: the seal there is looked at. The
    restoration is recorded in the evidence at the next start.
    """
    single = (source / _MANIFEST).exists()
    found = [source] if single else sorted(_snapshots(source), reverse=True)
    if not found:
        raise ConfigError(f"{source} holds no snapshot", hint="give the folder that [store] backup names")
    keyring = _keyring(source.parent if single else source, data)
    vault = _vault(keyring, key_file or data / KEY_FILE)
    damaged = []
    for snapshot in found:
        try:
            manifest = _verified(snapshot, vault)
        except (SecurityFailure, SQLAlchemyError, sqlite3.Error, OSError, ValueError, KeyError) as wrong:
            damaged.append(f"{snapshot.name}: {wrong}")
            continue
        _put(snapshot, data, keyring, key_file)
        _take_for_good(data, vault, f"restored from {snapshot.name}", copies or data / EVIDENCE_COPIES)
        return Restored(snapshot, manifest["taken_at"], manifest["rows"], tuple(damaged))
    raise ConfigError(
        "no snapshot is intact: " + "; ".join(damaged), hint="look for an older backup, or another key-encryption key"
    )


def _take_for_good(data: Path, vault: Vault, reason: str, copies: Path) -> None:
    """Begin another epoch of the seals, for the database that is there now; the node records it when it starts."""
    code = vault.counting(CONTEXT)
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        try:
            row = connection.execute("SELECT epoch, code FROM store_tally WHERE id = 1").fetchone()
        except sqlite3.OperationalError:  # of a version that did not count
            row = None
    epoch, pending = (0, "") if row is None else (int(row[0]), bytes(row[1]).hex())
    own, copy = Slots(data / SEAL_FILE, code), Copy(copies / SEAL_FILE, code)
    begin_epoch([copy], own, pending=pending, recount=row is None, reason=reason, least=epoch)


def _put(snapshot: Path, data: Path, keyring: Path, key_file: Path | None) -> None:
    private.make(data)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for old in (DATABASE, DATABASE + "-wal", DATABASE + "-shm"):
        if (data / old).exists():
            (data / old).rename(data / f"{old}.replaced-{stamp}")
    if keyring.parent != data:
        shutil.copy2(keyring, data / KEYRING_FILE)
    if key_file is not None and not (data / KEY_FILE).exists():
        shutil.copy2(key_file, data / KEY_FILE)
    for file in (*snapshot.glob(_SECRETS), snapshot / DATABASE):
        private.narrow(Path(shutil.copy2(file, data)))


def _keyring(backup: Path, data: Path) -> Path:
    """Return the file of data keys: the node's own where it can be read, it knows best what was destroyed."""
    try:
        if FileKeyring(data / KEYRING_FILE).read():
            return data / KEYRING_FILE
    except SecurityFailure:
        (data / KEYRING_FILE).rename(data / (KEYRING_FILE + ".damaged"))
    return backup / KEYRING_FILE


def _vault(keyring: Path, key_file: Path) -> Vault:
    try:
        return Vault(load_kek(key_file), FileKeyring(keyring))
    except SecurityFailure as refused:
        raise ConfigError(str(refused), hint="give the node's key-encryption key by --key-file") from refused


def _verified(snapshot: Path, vault: Vault) -> dict[str, Any]:
    kept = json.loads((snapshot / _MANIFEST).read_text(encoding="utf-8"))
    manifest: dict[str, Any] = kept["manifest"]
    vault.check(_canonical(manifest), bytes.fromhex(kept["code"]), _CONTEXT)
    for name, digest in manifest["files"].items():
        if _digest(snapshot / name) != digest:
            raise ValueError(f"{name} was changed")
    return manifest


def _write_manifest(work: Path, vault: Vault, now: int, rows: int) -> None:
    files = {file.name: _digest(file) for file in sorted(work.iterdir())}
    manifest = {"taken_at": now, "rows": rows, "files": files}
    kept = {"manifest": manifest, "code": vault.mac(_canonical(manifest), _CONTEXT).hex()}
    private.write(work / _MANIFEST, json.dumps(kept, indent=1).encode())


def _checked(database: Path, vault: Vault) -> int:
    """Read every row of a copy; return how many of them are protected."""
    store = Store(f"sqlite:///{database}", vault=lambda _: vault)
    try:
        store.tally = Tally(store, vault)
        with store.read() as session:
            rows = sweep(session)
        found = store.tally.look()
        if found not in ((), (UNCOUNTED,)):  # of a version that did not count there is none
            raise StoreTampered("; ".join(found))
        return rows
    finally:
        store.close()


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new, pages=1024)
        new.execute("PRAGMA journal_mode = DELETE")
    target.chmod(0o600)


def _empty(database: Path, table: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of this module's


def _snapshots(folder: Path) -> Iterator[Path]:
    return (item for item in folder.glob("*Z") if item.is_dir())


def _state(data: Path) -> tuple[int, ...]:
    files = (data / DATABASE, data / (DATABASE + "-wal"), data / KEYRING_FILE)
    return tuple(number for file in files if file.exists() for number in (file.stat().st_mtime_ns, file.stat().st_size))


def _digest(file: Path) -> str:
    digest = hashes.Hash(hashes.SM3())
    with file.open("rb") as content:
        while piece := content.read(1 << 20):
            digest.update(piece)
    return digest.finalize().hex()


def _canonical(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
