"""Addresses that a job's configuration gives for its parties, and what counts instead (9.1-c, 9.2-b).

Guarantees: where a party is, this node knows from its contract with that very party and from nobody else. A job that
says anything else is refused with a record, so that messages and the session's token never go where a third node says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.node import Node
from reference_node.schedule.common import contract_with, defect

_KEY = "address"


def check(node: Node, session: Session, job_id: str, config: Mapping[str, Any], source: str | None = None) -> None:
    """Return when a configuration names no address but those of the contracts; else keep a record and refuse."""
    if defect(node, "job-address-taken"):
        return
    for party in plan.parties(config):
        given = plan.merged(config["job_params"], party.role, party.index).get(_KEY)
        if given is None or party.node_id == node.node_id or given in _agreed(node, session, party.node_id):
            continue
        session.rollback()
        said = {"reason": "not agreed", "field": _KEY}
        note(session, Noted(Act.ADDRESS_REFUSED, {"node_id": party.node_id, "job_id": job_id}, source, said))
        session.commit()
        raise Refusal("ADDRESS_NOT_AGREED", pointer=_place(config["job_params"], party))


def _agreed(node: Node, session: Session, node_id: str) -> tuple[str | None, ...]:
    contract = contract_with(node, session, node_id)
    return () if contract is None else (contract.partner_address, contract.partner.get("grpc_address"))


def _place(params: Mapping[str, Any], party: plan.Party) -> str:
    """Return the layer that the address stands in."""
    of_role = params.get(party.role, {})
    if _KEY in of_role.get(str(party.index), {}):
        return f"/config/job_params/{party.role}/{party.index}/{_KEY}"
    return f"/config/job_params/{party.role if _KEY in of_role else plan.COMMON}/{_KEY}"
