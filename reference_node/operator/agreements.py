"""What must stand between nodes before a job can run: contracts, a project, a flow, the use of data (8.1 - 8.3, 8.7).

Guarantees: what is in force is used again, what is pending is not asked for twice; where both sides are ours both are
acted for, else the other side's operator is waited for, for a bounded time and with a line that says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from reference_node.operator.client import NodeClient, OperatorError, wait_for
from reference_node.operator.jobfile import DatasetEntry, JobFile
from reference_node.operator.plan import Hand, Hands

_APPLIED: Final = "APPLIED"
_APPROVED: Final = "APPROVED"
Say = Callable[[str], None]


class Agreements:
    """Brings about what a job rests on."""

    def __init__(self, job: JobFile, hands: Hands, say: Say, patience: float) -> None:
        self._job, self._hands, self._say, self._patience = job, hands, say, patience
        self._initiator = hands[job.initiator]
        self._client = _of(self._initiator)
        self._partners = [hands[node.label] for node in job.parties if node.label != job.initiator]
        self._made: dict[tuple[str, str], str] = {}
        self.project_id = job.project or _project_id(self._initiator.node_id, job.name)

    def contracts(self) -> None:
        """Have every two nodes of the job under contract, as far as one of them is ours."""
        labels = [self._initiator, *self._partners]
        scheduler = self._job.scheduler
        if scheduler is not None and self._hands[scheduler] not in labels:
            labels.append(self._hands[scheduler])
        for index, one in enumerate(labels):
            for other in labels[index + 1 :]:
                if one.client is not None or other.client is not None:
                    ours, theirs = (other, one) if one.client is None else (one, other)
                    self._made[one.label, other.label] = self._contract(ours, theirs)

    def _contract(self, one: Hand, other: Hand) -> str:
        """Return the contract between two nodes, which is made if there is none; the first is ours."""
        client = _of(one)
        for status in (_APPROVED, _APPLIED):
            for row in client.every("ownContractList", status=status, partner_node_id=other.node_id):
                if _stands(row, one, other) and (status == _APPROVED or self._settle(one, other, row)):
                    return str(row["contract_id"])
        self._say(f"{one.label} and {other.label}: contract")
        made = client.own("ownContractApply", address=other.address, node_id=other.node_id)
        self._settle(one, other, {**made, "role": "APPLICANT"})
        return str(made["contract_id"])

    def _settle(self, one: Hand, other: Hand, row: Mapping[str, Any]) -> bool:
        """Have a pending contract confirmed by the side that is asked."""
        asked = other if row["role"] == "APPLICANT" else one
        contract_id = str(row["contract_id"])
        if asked.client is not None:
            asked.client.own("ownContractConfirm", contract_id=contract_id, status=_APPROVED)
        else:
            self._say(f"waiting for the operator of {asked.label} to confirm contract {contract_id}")
        self._wait(_of(one), "ownContractQuery", f"contract {contract_id} with {other.label}", contract_id=contract_id)
        return True

    def _with(self, partner: Hand) -> str:
        """Return the contract between the initiator and a partner."""
        return self._made[self._initiator.label, partner.label]

    def project(self) -> None:
        """Have the project, and every party in it."""
        if self._client.known("ownProjectQuery", project_id=self.project_id) is None:
            self._say(f"project {self.project_id}")
            self._client.own("ownProjectCreate", project_id=self.project_id, name=self._job.name)
        for partner in self._partners:
            self._agree("Project", partner, self.project_id, {"project_id": self.project_id})

    def data(self) -> None:
        """Have the data of every party known to its node, and open to the initiator within the project."""
        for node in self._job.parties:
            hand = self._hands[node.label]
            for dataset in node.datasets.values():
                if hand.client is not None and dataset.location is not None:
                    self._register(hand.client, dataset)
                if hand is not self._initiator:
                    self._open(hand, dataset.dataset_id)

    def _register(self, client: NodeClient, dataset: DatasetEntry) -> None:
        source = {"type": "FILE", "location": dataset.location}
        known = client.known("ownDatasetQuery", dataset_id=dataset.dataset_id)
        if known is None:
            about = {"name": dataset.label, **({"join_columns": dataset.column} if dataset.column else {})}
            client.own(
                "ownDatasetCreate", dataset_id=dataset.dataset_id, source=source, visibility="PROTECTED", **about
            )
        else:  # the operator names the file anew: it is recorded as it is now (9.2-c)
            client.own("ownDatasetUpdate", dataset_id=dataset.dataset_id, source=source)

    def _open(self, owner: Hand, dataset_id: str) -> None:
        scope = {"type": "PROJECT", "project_id": self.project_id}
        contract_id = self._with(owner)
        asked = {"dataset_id": dataset_id, "auth_scope": scope}
        if owner.client is None:
            self._agree("Dataset", owner, dataset_id, asked)
            return
        known = owner.client.own("ownDatasetQuery", dataset_id=dataset_id)
        if known["visibility"] == "PUBLIC":
            return
        for row in owner.client.every("ownDatasetAuthList", mode="OUT", contract_id=contract_id):
            if row["dataset_id"] == dataset_id and _covers(row.get("resource_permit", {}), scope):
                return
        self._say(f"{owner.label} grants {dataset_id} to {self._initiator.label}")
        owner.client.own("ownDatasetGrant", contract_id=contract_id, **asked)

    def flow(self, dag: Mapping[str, Any], config: Mapping[str, Any]) -> str:
        """Return the flow of this DAG and configuration in the project, agreed with every party."""
        flow_id = self._known_flow(dag, config)
        if flow_id is None:
            shown = {"name": self._job.name, "dag": dag, "config": config}
            made = self._client.own("ownFlowCreate", project_id=self.project_id, **shown)
            flow_id = str(made["flow_id"])
            self._say(f"flow {flow_id}")
        for partner in self._partners:
            self._agree("Flow", partner, flow_id, {"flow_id": flow_id})
        return flow_id

    def _known_flow(self, dag: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
        for row in self._client.every("ownFlowList", project_id=self.project_id):
            known = self._client.own("ownFlowQuery", flow_id=row["flow_id"])
            if (known["dag"], known.get("config")) == (dag, config):
                return str(row["flow_id"])
        return None

    def _agree(self, kind: str, partner: Hand, resource_id: str, asked: Mapping[str, Any]) -> None:
        """Have a partner's approval of a project, a flow or the use of a dataset."""
        contract_id = self._with(partner)
        rows = self._client.every(f"own{kind}AuditList", role="APPLICANT", contract_id=contract_id)
        mine = [row for row in rows if row["resource_id"] == resource_id]
        if any(row["status"] == _APPROVED for row in mine):
            return
        pending = [row["audit_id"] for row in mine if row["status"] == _APPLIED]
        what = f"{kind.lower()} {resource_id}"
        if not pending:
            applied = self._client.own(f"own{kind}AuditApply", contract_id=contract_id, **asked)
            pending = [applied["audit_id"]]
        if partner.client is not None:
            self._say(f"{partner.label} agrees to {what}")
            partner.client.own(f"own{kind}AuditConfirm", audit_id=pending[0], status=_APPROVED)
        else:
            self._say(f"waiting for the operator of {partner.label} to approve {what} (approval {pending[0]})")
        self._wait(self._client, f"own{kind}AuditQuery", f"{what} at {partner.label}", audit_id=pending[0])

    def _wait(self, client: NodeClient, operation: str, what: str, **named: str) -> None:
        """Wait until something pending is in force; raise if it ends otherwise, or in no time."""
        found = wait_for(lambda: _decided(client.own(operation, **named)), self._patience)
        if found is None:
            raise OperatorError(
                f"{what}: no decision within {self._patience:g} seconds",
                hint="The other operator has to decide it; then run this again, it goes on from here.",
            )
        if found["status"] != _APPROVED:
            raise OperatorError(f"{what}: {found['status'].lower()} {found.get('comment', '')}".rstrip())


def _stands(row: Mapping[str, Any], one: Hand, other: Hand) -> bool:
    """Whether a contract is known at both ends, each under the address that the other has today."""
    if other.client is None:
        return True
    theirs = other.client.known("ownContractQuery", contract_id=row["contract_id"])
    known = theirs is not None and one.found_at(theirs["partner_address"])
    return known and other.found_at(row["partner_address"])


def _decided(record: dict[str, Any]) -> dict[str, Any] | None:
    return None if record["status"] == _APPLIED else record


def _covers(permit: Mapping[str, Any], scope: Mapping[str, str]) -> bool:
    """Whether a permit without limits of use opens a dataset in the project."""
    given = permit.get("auth_scope") or {"type": "NODE"}
    return "times_limit" not in permit and (given["type"] == "NODE" or given == scope)


def _project_id(node_id: str, name: str) -> str:
    return "prj-" + hashlib.sha256(f"{node_id} {name}".encode()).hexdigest()[:12]


def _of(hand: Hand) -> NodeClient:
    if hand.client is None:
        raise OperatorError(f"{hand.label} is not ours to operate")
    return hand.client
