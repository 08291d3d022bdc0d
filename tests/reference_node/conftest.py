"""Two nodes in one process for every test that wants them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference_node.security.keys import PrivateKey
from tests.reference_node import pair


@pytest.fixture
def two() -> Iterator[tuple[pair.TestNode, pair.TestNode]]:
    """Nodes a and b, in memory, that reach each other."""
    with pair.nodes("node-a", "node-b") as (a, b):
        yield a, b


@pytest.fixture
def stranger() -> pair.Stranger:
    """A third node that exists only as an id and a key."""
    return pair.Stranger("node-s", PrivateKey.generate("SM3_SM2"))
