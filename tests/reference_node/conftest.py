"""Two nodes in one process for every test that wants them, their approvals, a PostgreSQL for those that share one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reference_node.domain.approval import Kind
from reference_node.security.keys import PrivateKey
from reference_node.security.vault import make_kek
from tests.reference_node import pair
from tests.reference_node.postgres import postgres
from tests.reference_node.sharing import Scene

_NAMES = (f"d{number}" for number in itertools.count())


@pytest.fixture
def two() -> Iterator[tuple[pair.TestNode, pair.TestNode]]:
    """Nodes a and b, in memory, that reach each other."""
    with pair.nodes("node-a", "node-b") as (a, b):
        yield a, b


# a job is applied for as it is created, see test_job_approvals
@pytest.fixture(params=[kind for kind in Kind if kind is not Kind.JOB])
def scene(request: pytest.FixtureRequest, two: tuple[pair.TestNode, pair.TestNode]) -> Iterator[Scene]:
    """An application of each kind."""
    return Scene(request.param, *two)


@pytest.fixture
def dataset_scene(two: tuple[pair.TestNode, pair.TestNode]) -> Scene:
    """An application of one kind, for what all kinds share line by line."""
    return Scene(Kind.DATASET, *two)


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
