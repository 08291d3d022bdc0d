"""Two nodes in one process for every test that wants them, and a PostgreSQL for those that share one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reference_node.security.keys import PrivateKey
from reference_node.security.vault import make_kek
from tests.reference_node import pair
from tests.reference_node.postgres import postgres

_NAMES = (f"d{number}" for number in itertools.count())


@pytest.fixture
def two() -> Iterator[tuple[pair.TestNode, pair.TestNode]]:
    """Nodes a and b, in memory, that reach each other."""
    with pair.nodes("node-a", "node-b") as (a, b):
        yield a, b


@pytest.fixture
def stranger() -> pair.Stranger:
    """A third node that exists only as an id and a key."""
    return pair.Stranger("node-s", PrivateKey.generate("SM3_SM2"))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL for the tests of this process."""
    with postgres() as url:
        yield url


@pytest.fixture
def shared(server: str, tmp_path: Path) -> dict[str, Any]:
    """The settings that replicas have in common: a fresh database and a key."""
    name = next(_NAMES)
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    make_kek(tmp_path / "kek")
    return {"database": server.replace("/postgres?", f"/{name}?"), "key_file": str(tmp_path / "kek")}
