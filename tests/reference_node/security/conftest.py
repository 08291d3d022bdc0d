"""The backends under test and the known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reference_node.security.sm2 import Sm2Backend
from reference_node.security.sm2_gmssl import GmsslBackend
from reference_node.security.sm2_libcrypto import LibcryptoBackend

VECTORS = Path(__file__).resolve().parents[3] / "specs" / "vectors"


def vector(name: str) -> Any:
    """Read one file of known answers."""
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session", params=[LibcryptoBackend, GmsslBackend], ids=["libcrypto", "gmssl"])
def backend(request: pytest.FixtureRequest) -> Sm2Backend:
    """Each SM2 backend in turn."""
    made: Sm2Backend = request.param()
    return made
