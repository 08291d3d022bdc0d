"""Steps that several tests of shared projects and resources begin with."""

from __future__ import annotations

from typing import Any

from tests.reference_node.pair import Stranger, TestNode, sign_contract

SECURITY = {"model": "semi-honest", "computational_bits": 128, "statistical_bits": 40, "leakage": "sizes"}


def agree_project(
    owner: TestNode,
    partner: TestNode,
    project_id: str,
    *,
    contract_id: str | None = None,
    limits: dict[str, Any] | None = None,
    **fields: Any,
) -> str:
    """Have two nodes share a project of the first; return the contract id."""
    contract_id = contract_id or sign_contract(owner, partner)
    created = owner.own("ownProjectCreate", project_id=project_id, **{"name": "common", **fields})
    assert created.code == 0, created
    applied = owner.own("ownProjectAuditApply", contract_id=contract_id, project_id=project_id, **(limits or {}))
    assert applied.code == 0, applied
    decided = partner.own("ownProjectAuditConfirm", audit_id=applied.data["audit_id"], status="APPROVED")
    assert decided.data["delivery"] == "DELIVERED", decided
    return contract_id


def signed_stranger(node: TestNode, stranger: Stranger) -> str:
    """Bring a node that exists only as a key under contract; return the contract id."""
    applied = node.signed("contractApply", stranger, **stranger.particulars())
    assert applied.code == 0, applied
    contract_id = str(applied.data["contract_id"])
    assert node.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").code == 0
    return contract_id
