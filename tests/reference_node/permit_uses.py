"""Uses one permit in several threads, as one of several processes on a database, and prints what came of it.

python -m tests.reference_node.permit_uses SETTINGS USES
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import OperationalError

from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.domain import Role, Status
from reference_node.domain.approval import Kind
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.services.permits import Asked, admit
from reference_node.store.approvals import ApprovalRow, PermitRow

THREADS = 8
ASKED = Asked("partner", Kind.DATASET, "dataset-1", None, "dataset-1/3/the-token")


def opened(settings: dict[str, object]) -> Node:
    """Return a node on the database of the settings."""
    return node_of(create_app(load_config(None, node_id="node-r", background=False, **settings)))


def prepare(node: Node, uses: int) -> None:
    """Issue the permit."""
    with node.store.begin() as session:
        now = node.now()
        session.add(
            ApprovalRow(
                audit_id="audit-1", kind=Kind.DATASET.value, role=Role.APPROVER.value, partner_node_id="partner",
                contract_id="contract-1", resource_id="dataset-1", status=Status.APPROVED.value, content={},
                created_at=now, updated_at=now,
            )
        )  # fmt: skip
        session.flush()
        session.add(
            PermitRow(
                audit_id="audit-1", token="the-token", resource_level=3, resource_type=Kind.DATASET.value,
                resource_id="dataset-1", resource_node_id="node-r", resource_inst_id="i", request_node_id="partner",
                request_inst_id="i", times_limit=uses,
            )
        )  # fmt: skip


def use(node: Node) -> str:
    """Use the permit once, as long as the database needs for it."""
    while True:
        try:
            with node.store.begin() as session:
                admit(node, session, ASKED)
        except Refusal as refusal:
            return refusal.name
        except OperationalError:  # waited too long for its turn; nothing was changed
            continue
        return "ADMITTED"


def main(settings: dict[str, object], uses: int) -> None:
    """Use it in threads, and print how often each answer was given."""
    node = opened(settings)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: use(node), range(uses)))
    node.close()
    print(json.dumps({answer: answers.count(answer) for answer in set(answers)}))  # noqa: T201


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
