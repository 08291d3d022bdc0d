"""Steps that several tests of shared projects and resources begin with."""

from __future__ import annotations

from typing import Any

from reference_node.domain.approval import Kind
from tests.reference_node.pair import Stranger, TestNode, sign_contract

DAG = {
    "version": "1.0",
    "components": [
        {
            "name": "psi_0",
            "componentName": "psi",
            "version": "1.0.0",
            "provider": "hutong",
            "input": [{"key": "table", "type": "dataset"}],
            "output": [{"key": "joined", "type": "dataset"}],
        }
    ],
}
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


class Scene:
    """Nodes a and b under contract with a common project; a applies to b for something of one kind."""

    def __init__(self, kind: Kind, a: TestNode, b: TestNode) -> None:
        self.kind, self.a, self.b = kind, a, b
        self.contract_id = agree_project(a, b, "prj-1")
        self.resource_id = getattr(self, f"_make_{kind.lower()}")()

    def _make_project(self) -> str:
        self.a.own("ownProjectCreate", project_id="prj-2", name="another")
        return "prj-2"

    def _make_flow(self) -> str:
        return str(self.a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG).data["flow_id"])

    def _make_dataset(self) -> str:
        self.b.own("ownDatasetCreate", dataset_id="ds-1", name="d", visibility="PROTECTED")
        return "ds-1"

    def _make_model(self) -> str:
        record = {"name": "m", "project_id": "prj-1", "algorithm": "lr", "location": "m.bin", "digest": "0" * 64}
        self.a.own("ownModelCreate", model_id="model-1", **record)
        return "model-1"

    def op(self, step: str, *, own: bool = True) -> str:
        """Name of an operation of this kind."""
        return f"own{self.kind.capitalize()}Audit{step}" if own else f"{self.kind.lower()}Audit{step}"

    def apply(self, **limits: Any) -> str:
        """Have a apply; return the audit id."""
        wanted = {"contract_id": self.contract_id, f"{self.kind.lower()}_id": self.resource_id}
        reply = self.a.own(self.op("Apply"), **wanted, **limits)
        assert (reply.code, reply.data.get("status")) == (0, "APPLIED"), reply
        return str(reply.data["audit_id"])

    def decide(self, audit_id: str, status: str = "APPROVED", **more: Any) -> Any:
        """Have b's operator decide."""
        return self.b.own(self.op("Confirm"), audit_id=audit_id, status=status, **more)

    def seen(self, node: TestNode, audit_id: str) -> dict[str, Any]:
        """The approval as an operator sees it in the list, without asking the partner."""
        records = node.own(self.op("List"), page_size=500).data["records"]
        return next(record for record in records if record["audit_id"] == audit_id)

    def statuses(self, audit_id: str) -> list[str]:
        """Where the approval stands at both ends."""
        return [self.seen(node, audit_id)["status"] for node in (self.a, self.b)]
