"""Brings a database to the tables of this version (9.2-e-3): Alembic, with the scripts in `migrations/`.

Guarantees: an upgrade is one transaction and happens or does not, after a SQLite file was kept as it was; of replicas
that start at once one upgrades and the others wait; a database of a later version, or one that is none of ours, is
refused in words and left as it is. What lay in clear and is sealed by an upgrade is nowhere in clear afterwards: not in
pages that are free, and not in the file that was kept, which goes then (9.2-e-2).

A change to the tables: `python -m reference_node.store.migrations "What changes"` writes the script to be looked over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect

from reference_node.errors import ConfigError
from reference_node.security.vault import Vault

FOLDER: Final = Path(__file__).with_name("migrations")
_VERSIONS: Final = "alembic_version"
_RESTORE: Final = "restore a backup with hutong node restore"


@dataclass(slots=True)
class Sealing:
    """What scripts ask for the vault with which they seal what lay in clear; `asked` tells whether one has."""

    open: Callable[[], Vault] | None
    asked: bool = False

    def vault(self) -> Vault:
        """Return the vault of the database."""
        if self.open is None:
            raise ConfigError("the database holds what has to be sealed first", hint="start the node that it is of")
        self.asked = True
        return self.open()


def upgrade(engine: Engine, vault: Callable[[], Vault] | None = None, version: str = "head") -> None:
    """Bring the database to a version of the tables; `vault` opens what its columns are sealed with."""
    from alembic import command
    from alembic.util import CommandError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    kept = _set_aside(engine) if engine.dialect.name == "sqlite" and pending(engine) else None
    sealing = Sealing(vault)
    with _upgrading(engine) as connection:
        if _foreign(connection):
            raise ConfigError(
                "the database holds tables of unknown origin",
                hint=f"give another folder or database, or {_RESTORE}",
            )
        try:
            command.upgrade(_config(connection, sealing), version)
        except CommandError as unknown:
            raise ConfigError(
                f"the database is of another version of the node: {unknown}",
                hint="start the version that wrote it, or restore a backup of this one with hutong node restore",
            ) from unknown
        if kept is not None:
            _no_row_astray(connection)
    if kept is not None and sealing.asked:
        kept.unlink()


@contextmanager
def _upgrading(engine: Engine) -> Iterator[Connection]:
    """A transaction on a connection of its own; with SQLite tables can be made anew in it and leave nothing behind."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                yield connection
            return
        driver: Any = connection.connection.driver_connection  # what follows has no effect within a transaction
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute("PRAGMA secure_delete = ON")
        try:
            with connection.begin():
                yield connection
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.invalidate()


def _no_row_astray(connection: Connection) -> None:
    astray = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if astray is not None:
        raise ConfigError(f"a row of {astray[0]} belongs to none of {astray[2]}", hint=_RESTORE)


def pending(engine: Engine) -> bool:
    """Tell whether an upgrade has something to do to tables that are there."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with engine.connect() as connection:
        if not inspect(connection).has_table(_VERSIONS):
            return False
        current = MigrationContext.configure(connection).get_current_revision()
        return current != ScriptDirectory.from_config(_config(connection)).get_current_head()


def _set_aside(engine: Engine) -> Path:
    """Keep the database as it was before the upgrade; return where."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", read_only=True) as connection:
        number = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        place = Path(f"{engine.url.database}.version-{number}")
        place.unlink(missing_ok=True)
        connection.exec_driver_sql("VACUUM INTO ?", (str(place),))
        place.chmod(0o600)
        return place


def differences(connection: Connection) -> list[Any]:
    """Return in what a database is not what the classes say."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from reference_node.store import Base

    found: list[Any] = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    return found


def revise(message: str) -> None:
    """Write a script of what the classes have and the scripts have not."""
    from alembic import command

    with create_engine("sqlite://").begin() as connection:
        config = _config(connection)
        command.upgrade(config, "head")
        command.revision(config, message, autogenerate=True, rev_id=f"{len(list(_scripts())) + 1:04}")


def _config(connection: Connection, sealing: Sealing | None = None) -> Any:
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "sealing": sealing or Sealing(None)})
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> Any:
    return FOLDER.glob("versions/[0-9]*.py")


def _foreign(connection: Connection) -> bool:
    tables = inspect(connection).get_table_names()
    return bool(tables) and _VERSIONS not in tables
