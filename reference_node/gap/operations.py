"""Which operations may cross the gap at all: those that nodes ask each other, and no component nor operator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import specs

DATA: Final = frozenset({"chanInvoke", "chanTransport"})
_BETWEEN_NODES: Final = frozenset({"none", "known", "presented", "contract"})


@cache
def between_nodes() -> Mapping[tuple[str, str], specs.Operation]:
    """Return them by method and path."""
    return {
        (operation.method, operation.path): operation
        for operation in specs.operations().values()
        if operation.auth in _BETWEEN_NODES and operation.path.startswith("/v1/interconn/")
    }
