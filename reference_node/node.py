"""One running node: what every service needs, held together; no behaviour of its own beside `pump`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from reference_node.clock import Clock
from reference_node.config import Config
from reference_node.evidence.refusals import Refusals, note_all
from reference_node.evidence.room import Evidence
from reference_node.faults import Faults
from reference_node.gap.link import Links
from reference_node.identity import Identity
from reference_node.runtime.catalogue import Catalogue
from reference_node.runtime.confinement import Means
from reference_node.runtime.contract import Runner
from reference_node.runtime.logs import Journal
from reference_node.security.tls import SecureChannel
from reference_node.security.trust import Trust
from reference_node.security.vault import Vault
from reference_node.store import Store
from reference_node.store.backup import Backup
from reference_node.store.contracts import ContractRow
from reference_node.store.shared import Leadership
from reference_node.transport.outbox import Outbox
from reference_node.transport.partner import Partner
from reference_node.transport.places import Places
from reference_node.transport.sessions import Sessions

log = structlog.get_logger("reference_node")


class Driver(Protocol):
    """What carries jobs and tasks on."""

    def kick(self, node: Node) -> None:
        """Look at the jobs, soon or now: something has changed."""

    def drive(self, node: Node) -> None:
        """Carry out everything about jobs that is due."""

    def close(self) -> None:
        """Stop whatever runs of its own."""


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
    places: Places
    outbox: Outbox
    sessions: Sessions
    chores: Sequence[Callable[[Node], None]]
    contract_ended: Sequence[Callable[[Node, Session, ContractRow], None]]
    runner: Runner
    journal: Journal
    catalogue: Catalogue
    driver: Driver
    means: Means
    vault: Vault
    leadership: Leadership
    backup: Backup | None
    evidence: Evidence
    trust: Trust | None = None
    tls: SecureChannel | None = None
    gap: Links | None = None
    listening: str = field(default="http://127.0.0.1")
    inner: str = ""
    grpc_listening: str | None = None
    grpc_told: str | None = None
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def component_address(self) -> str:
        """Where components of this machine reach the node: without TLS, which stands between nodes only."""
        return self.inner or self.listening

    @property
    def work_folder(self) -> Path:
        """Where the files of tasks lie."""
        return self.journal.folder

    def now(self) -> int:
        """Return the time in Unix milliseconds."""
        return self.clock.now_ms()

    def pump(self) -> None:
        """Carry out everything that is due; one chore that fails does not keep the others from their turn.

        Of the processes of a node only the leading one does.
        """
        if self.store.tally is not None and not self.store.tally.due(self.now(), self.config.store_check_seconds):
            return  # nothing is acted on by what was changed behind the node
        leads = self.leadership.held()
        own: tuple[Callable[[Node], None], ...] = (_learn_of_keys,) if self.store.shared or not leads else ()
        for chore in (_keep_refusals, *own, *(self.chores if leads else ())):
            try:
                chore(self)
            except Exception:  # the next pump tries again
                log.exception("chore failed", chore=chore.__name__, node_id=self.node_id)

    def close(self) -> None:
        """End what runs and the sessions of the data plane, and let go of the database."""
        if self.gap is not None:
            self.gap.close()
        self.driver.close()
        self.runner.close()
        self.sessions.close_all()
        try:
            _keep_refusals(self, at_once=True)
        except Exception:  # the database may have gone before the node
            log.exception("refusals not kept", node_id=self.node_id)
        self.leadership.close()
        self.evidence.keeper.detach()
        self.store.close()
        self.journal.close()


def _keep_refusals(node: Node, *, at_once: bool = False) -> None:
    """Keep as evidence what this process has refused, once a minute."""
    counts = node.refusals.take(node.now(), at_once=at_once)
    if counts:
        with node.store.begin() as session:
            note_all(session, node.node_id, counts)


def _learn_of_keys(node: Node) -> None:
    node.vault.refresh()
