"""SQLAlchemy models, one module for each protocol, and the Store that hands out sessions.

A further protocol adds its module here, so that its tables are known before the first `Store` is made.
"""

from __future__ import annotations

from reference_node.store import approvals, contracts, evidence, guards, jobs, outbox, resources, shared, tally
from reference_node.store.base import Base, Store

__all__ = [
    "Base",
    "Store",
    "approvals",
    "contracts",
    "evidence",
    "guards",
    "jobs",
    "outbox",
    "resources",
    "shared",
    "tally",
]
