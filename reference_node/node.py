"""One running node: what every service needs, held together; no behaviour of its own beside `pump`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy.orm import Session

from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.faults import Faults
from reference_node.identity import Identity
from reference_node.store import Store
from reference_node.store.contracts import ContractRow
from reference_node.transport.outbox import Outbox
from reference_node.transport.partner import Partner
from reference_node.transport.sessions import Sessions

log = structlog.get_logger("reference_node")


@dataclass(slots=True)
class Node:
    """The parts of a node, injected by `create_app`.

    `chores` are run by every `pump`; `contract_ended` are called within the transaction that ends a contract, so that
    what hangs on it (approvals, permits) ends with it.
    """

    node_id: str
    config: Config
    clock: Clock
    store: Store
    faults: Faults
    identity: Identity
    partner: Partner
    outbox: Outbox
    sessions: Sessions
    chores: Sequence[Callable[[Node], None]]
    contract_ended: Sequence[Callable[[Node, Session, ContractRow], None]]
    listening: str = field(default="http://127.0.0.1")

    def now(self) -> int:
        """Return the time in Unix milliseconds."""
        return self.clock.now_ms()

    def pump(self) -> None:
        """Carry out everything that is due; one chore that fails does not keep the others from their turn."""
        for chore in self.chores:
            try:
                chore(self)
            except Exception:  # the next pump tries again
                log.exception("chore failed", chore=chore.__name__, node_id=self.node_id)

    def close(self) -> None:
        """End the sessions of the data plane and let go of the database."""
        self.sessions.close_all()
        self.store.close()
