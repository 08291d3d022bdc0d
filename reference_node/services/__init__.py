"""Use cases, one module for each protocol: they decide by the domain's rules, keep in the store, tell the partners.

A service takes the node, the request's session and what it needs of the request. It never holds a transaction open
across a call to a partner: it commits first, and takes up a new transaction afterwards.

`CHORES` are what every `Node.pump` carries out, in this order; `CONTRACT_ENDED` are called, within the transaction that
ends a contract, for what hangs on it. A further protocol adds its functions here.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from reference_node.node import Node
from reference_node.schedule import driver, retention
from reference_node.security import guards
from reference_node.services import job_runs, own_approvals, own_contracts
from reference_node.services.announcing import tell_what_is_new
from reference_node.services.subjects import poll_approvals
from reference_node.store.contracts import ContractRow


def deliver(node: Node) -> None:
    """Try the deliveries that are due, and forget those settled long ago."""
    node.outbox.pump()
    node.outbox.prune()


def relay(node: Node) -> None:
    """Send what sessions owe to other nodes, where no thread of their own does."""
    node.sessions.pump()


def drive_jobs(node: Node) -> None:
    """Carry out what is due of jobs and tasks."""
    driver.pump(node)


def back_up(node: Node) -> None:
    """Take a snapshot of the data folder, if one is due."""
    if node.backup is not None:
        node.backup.due(node.now())


def keep_evidence(node: Node) -> None:
    """Sign, copy and destroy what is due of the evidence."""
    node.evidence.keeping.pump()


CHORES: tuple[Callable[[Node], None], ...] = (
    own_contracts.expire,
    own_approvals.expire,
    tell_what_is_new,
    deliver,
    own_contracts.poll,
    poll_approvals,
    guards.prune,
    relay,
    drive_jobs,
    retention.sweep,
    back_up,
    keep_evidence,
)

CONTRACT_ENDED: tuple[Callable[[Node, Session, ContractRow], None], ...] = (
    own_approvals.end_with_contract,
    job_runs.end_with_contract,
)
