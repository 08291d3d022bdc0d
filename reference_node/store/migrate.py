"""Brings a database to the tables of this version (9.2-e-3): Alembic, with the scripts in `migrations/`.

Guarantees: an upgrade is one transaction and happens or does not, after a SQLite file was kept as it was; of replicas
that start at once one upgrades and the others wait; a database of a later version, or one that is none of ours, is
refused in words and left as it is.

A change to the tables: `python -m reference_node.store.migrations "What changes"` writes the script to be looked over.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect

from reference_node.errors import ConfigError

FOLDER: Final = Path(__file__).with_name("migrations")
_VERSIONS: Final = "alembic_version"


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest version of the tables."""
    from alembic import command
    from alembic.util import CommandError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    if pending(engine) and engine.dialect.name == "sqlite":
        _set_aside(engine)
    with engine.begin() as connection:
        if _foreign(connection):
            raise ConfigError(
                "the database holds tables of unknown origin",
                hint="give another folder or database, or restore a backup with hutong node restore",
            )
        try:
            command.upgrade(_config(connection), "head")
        except CommandError as unknown:
            raise ConfigError(
                f"the database is of another version of the node: {unknown}",
                hint="start the version that wrote it, or restore a backup of this one with hutong node restore",
            ) from unknown


def pending(engine: Engine) -> bool:
    """Tell whether an upgrade has something to do to tables that are there."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with engine.connect() as connection:
        if not inspect(connection).has_table(_VERSIONS):
            return False
        current = MigrationContext.configure(connection).get_current_revision()
        return current != ScriptDirectory.from_config(_config(connection)).get_current_head()


def _set_aside(engine: Engine) -> None:
    """Keep the database as it was before the upgrade."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", read_only=True) as connection:
        number = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        place = f"{engine.url.database}.version-{number}"
        Path(place).unlink(missing_ok=True)
        connection.exec_driver_sql("VACUUM INTO ?", (place,))
        Path(place).chmod(0o600)


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


def _config(connection: Connection) -> Any:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> Any:
    return FOLDER.glob("versions/[0-9]*.py")


def _foreign(connection: Connection) -> bool:
    tables = inspect(connection).get_table_names()
    return bool(tables) and _VERSIONS not in tables
