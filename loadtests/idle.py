"""A component that does nothing, for `loadtests.bench_runtime`; a module of its own, because each start imports it."""

from __future__ import annotations

from typing import Any

from reference_node.algorithms.contract import Outputs


def start(*_given: Any) -> Outputs:
    """Do nothing."""
    return Outputs({}, {})
