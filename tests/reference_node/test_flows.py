"""Flows (8.3) on one node and between two; their approvals are in test_approvals and test_approvals_lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference_node.pair import Stranger, TestNode, nodes
from tests.reference_node.sharing import DAG, agree_project, signed_stranger

Two = tuple[TestNode, TestNode]
CONFIG = {
    "version": "1.0",
    "initiator": {"role": "guest", "node_id": "node-a"},
    "role": {"guest": ["node-a"], "host": ["node-b"], "arbiter": []},
    "job_params": {"common": {"timeout": 3600}},
    "task_params": {"common": {"psi_0": {"curve": "sm2"}}},
}


def other_dag() -> dict[str, Any]:
    """Another valid DAG."""
    return {**DAG, "components": [{**DAG["components"][0], "version": "2.0.0"}]}  # type: ignore[dict-item, index]


def agreed_flow(a: TestNode, b: TestNode, contract_id: str) -> tuple[str, str]:
    """Have a flow of a's approved by b; return its id and the audit id."""
    flow_id = a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG, config=CONFIG).data["flow_id"]
    audit_id = a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).data["audit_id"]
    assert b.own("ownFlowAuditConfirm", audit_id=audit_id, status="APPROVED").data["delivery"] == "DELIVERED"
    return flow_id, audit_id


def test_a_flow_is_kept_as_it_was_written(two: Two) -> None:
    """8.3.1, 8.3.2-b: name, description, DAG and configuration are found again under a snowflake id."""
    a, _ = two
    a.own("ownProjectCreate", project_id="prj-1", name="p")
    given = {"project_id": "prj-1", "name": "对齐", "description": "求交", "dag": DAG, "config": CONFIG}
    flow_id = a.own("ownFlowCreate", **given).data["flow_id"]
    assert 0 < int(flow_id) < 1 << 63
    found = a.own("ownFlowQuery", flow_id=flow_id).data
    assert {name: found[name] for name in given} == given
    assert (found["owner_node_id"], found["status"], found["version"]) == (a.id, "DRAFT", 1)
    assert a.own("ownFlowCreate", **{**given, "project_id": "prj-x"}).error == "RESOURCE_NOT_FOUND"
    assert a.own("ownFlowQuery", flow_id="1").error == "RESOURCE_NOT_FOUND"


def test_flow_ids_are_never_made_twice(tmp_path: Any) -> None:
    """8.3.1: not within a millisecond, not after a deletion, not after a restart, not with the clock set back."""
    made = []
    for step in (0, -3600):
        with nodes("node-a", data={"node-a": tmp_path}) as (a,):
            a.clock.advance(step)
            a.own("ownProjectCreate", project_id="prj-1", name="p")
            for _ in range(3):
                made.append(int(a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG).data["flow_id"]))
                a.own("ownFlowDelete", flow_id=str(made[-1]))
    assert made == sorted(set(made))


def test_a_dag_is_checked_wherever_it_comes_in(two: Two) -> None:
    """8.3.1-dag: at creation, at update and with an application, with the place of the defect."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    part: Any = DAG["components"][0]
    broken = {**DAG, "components": [{**part, "input": [{"key": "psi_0.joined", "type": "dataset"}]}]}
    flow = {"project_id": "prj-1", "name": "f"}
    refused = a.own("ownFlowCreate", **flow, dag=broken)
    assert (refused.error, refused.data["pointer"]) == ("DAG_INVALID", "/dag/components/0")
    flow_id = a.own("ownFlowCreate", **flow, dag=DAG).data["flow_id"]
    assert a.own("ownFlowUpdate", flow_id=flow_id, dag=broken).error == "DAG_INVALID"
    offer = {"audit_id": "audit-1", "contract_id": contract_id, "flow_id": "7", **flow, "dag": broken}
    assert b.signed("flowAuditApply", a.as_stranger(), **offer).error == "DAG_INVALID"


def test_the_list_of_a_project_holds_its_flows_only(two: Two) -> None:
    """8.3.2-a: by project, state and keyword, newest first, with the total of all pages."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownProjectCreate", project_id="prj-2", name="p2")
    approved, audit_id = agreed_flow(a, b, contract_id)
    drafts = [a.own("ownFlowCreate", project_id="prj-1", name=f"Draft {n}", dag=DAG).data["flow_id"] for n in (1, 2)]
    a.own("ownFlowCreate", project_id="prj-2", name="other", dag=DAG)
    pending = drafts[1]
    a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=pending)

    def ids(**query: Any) -> list[str]:
        data = a.own("ownFlowList", project_id="prj-1", **query).data
        assert data["total"] == len(data["records"])
        return [record["flow_id"] for record in data["records"]]

    assert ids() == [*reversed(drafts), approved]
    assert (ids(status="DRAFT"), ids(status="IN_REVIEW"), ids(status="APPROVED")) == (
        [drafts[0]],
        [pending],
        [approved],
    )
    assert ids(keyword="DRAFT") == [*reversed(drafts)]
    assert ids(keyword="Draft", match="exact") == []
    assert a.own("ownFlowList", project_id="prj-x").error == "RESOURCE_NOT_FOUND"
    assert a.own("ownFlowList", project_id="prj-1", page_size=1, page_num=2).data["total"] == 3
    a.own("ownFlowAuditTerminate", audit_id=audit_id)
    assert ids(status="APPROVED") == []


def test_an_update_changes_what_it_names(two: Two) -> None:
    """8.3.4: other fields and flows stay, the version grows."""
    a, _ = two
    a.own("ownProjectCreate", project_id="prj-1", name="p")
    ids = [
        a.own("ownFlowCreate", project_id="prj-1", name="f", description="d", dag=DAG, config=CONFIG).data["flow_id"]
        for _ in range(2)
    ]
    changed = a.own("ownFlowUpdate", flow_id=ids[0], name="new", dag=other_dag()).data
    assert (changed["name"], changed["description"], changed["config"], changed["version"]) == ("new", "d", CONFIG, 2)
    assert a.own("ownFlowQuery", flow_id=ids[0]).data["dag"] == other_dag()
    untouched = a.own("ownFlowQuery", flow_id=ids[1]).data
    assert (untouched["name"], untouched["dag"], untouched["version"]) == ("f", DAG, 1)
    assert a.own("ownFlowUpdate", flow_id="1", name="x").error == "RESOURCE_NOT_FOUND"


@pytest.mark.parametrize("after", ["pending", "approved", "terminated"])
def test_a_settled_dag_does_not_change(two: Two, after: str) -> None:
    """8.3.1-dag: not while an approval is pending, not once it was given; name and configuration may."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    flow_id = a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG).data["flow_id"]
    audit_id = a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).data["audit_id"]
    if after != "pending":
        b.own("ownFlowAuditConfirm", audit_id=audit_id, status="APPROVED")
    if after == "terminated":
        b.own("ownFlowAuditTerminate", audit_id=audit_id)
    frozen = a.own("ownFlowUpdate", flow_id=flow_id, dag=other_dag())
    assert (frozen.error, frozen.data["pointer"]) == ("DAG_FROZEN", "/dag")
    assert a.own("ownFlowUpdate", flow_id=flow_id, name="new", dag=DAG, config=CONFIG).data["name"] == "new"


@pytest.mark.parametrize("how", ["REJECTED", "cancelled"])
def test_a_dag_that_was_not_approved_may_change_again(two: Two, how: str) -> None:
    """8.3.4: a rejection or a withdrawal leaves the flow a draft."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    flow_id = a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG).data["flow_id"]
    audit_id = a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).data["audit_id"]
    if how == "REJECTED":
        b.own("ownFlowAuditConfirm", audit_id=audit_id, status=how)
    else:
        a.own("ownFlowAuditCancel", audit_id=audit_id)
    assert a.own("ownFlowUpdate", flow_id=flow_id, dag=other_dag()).data["status"] == "DRAFT"


def test_the_partner_keeps_an_approved_flow(two: Two) -> None:
    """8.3.1, 8.3.3: the same id, DAG and configuration on both nodes; only the owner changes or deletes it."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    flow_id, _ = agreed_flow(a, b, contract_id)
    copy = b.own("ownFlowQuery", flow_id=flow_id).data
    assert (copy["owner_node_id"], copy["dag"], copy["config"], copy["status"]) == (a.id, DAG, CONFIG, "APPROVED")
    assert b.own("ownFlowUpdate", flow_id=flow_id, name="x").error == "NOT_YOURS"
    assert b.own("ownFlowDelete", flow_id=flow_id).error == "NOT_YOURS"
    assert b.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).error == "NOT_YOURS"
    a.own("ownFlowUpdate", flow_id=flow_id, name="renamed")
    audit_id = a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).data["audit_id"]
    b.own("ownFlowAuditConfirm", audit_id=audit_id, status="APPROVED")
    assert b.own("ownFlowQuery", flow_id=flow_id).data["name"] == "renamed"
    offer = {"audit_id": "audit-1", "contract_id": contract_id, "flow_id": flow_id, "project_id": "prj-1", "name": "f"}
    changed = b.signed("flowAuditApply", a.as_stranger(), **offer, dag=other_dag())
    assert (changed.error, changed.data["pointer"]) == ("DAG_FROZEN", "/dag")


def test_a_flow_is_offered_only_within_a_common_project(two: Two, stranger: Stranger) -> None:
    """8.3.3-a: neither this node nor a partner may leave the project out."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownProjectCreate", project_id="prj-2", name="own")
    flow_id = a.own("ownFlowCreate", project_id="prj-2", name="f", dag=DAG).data["flow_id"]
    assert a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).error == "RESOURCE_NOT_APPROVED"
    lie = a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id, project_id="prj-1")
    assert (lie.error, lie.data["pointer"]) == ("REQUEST_INVALID", "/project_id")
    mine = signed_stranger(b, stranger)
    offer = {"audit_id": "audit-1", "contract_id": mine, "flow_id": "7", "project_id": "prj-1", "name": "f", "dag": DAG}
    assert b.signed("flowAuditApply", stranger, **offer).error == "RESOURCE_NOT_APPROVED"


def test_the_id_of_another_owner_s_flow_is_not_taken_over(two: Two) -> None:
    """8.3.1: a partner cannot offer a flow under the id of this node's."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    flow_id = b.own("ownFlowCreate", project_id="prj-1", name="of b", dag=DAG).data["flow_id"]
    offer = {"audit_id": "audit-1", "contract_id": contract_id, "flow_id": flow_id, "project_id": "prj-1", "name": "f"}
    assert b.signed("flowAuditApply", a.as_stranger(), **offer, dag=DAG).error == "ID_TAKEN"


def test_a_deleted_flow_is_gone_and_the_partner_knows(two: Two) -> None:
    """8.3.5: unknown, unlisted, and no longer in force at the partner; the project waits for it."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    flow_id, audit_id = agreed_flow(a, b, contract_id)
    assert a.own("ownProjectDelete", project_id="prj-1").error == "IN_USE"
    assert a.own("ownFlowDelete", flow_id=flow_id).data == {}
    assert a.own("ownFlowQuery", flow_id=flow_id).error == "RESOURCE_NOT_FOUND"
    assert a.own("ownFlowList", project_id="prj-1").data["total"] == 0
    assert a.own("ownFlowAuditQuery", audit_id=audit_id).data["end_reason"] == "DELETED"
    assert b.own("ownFlowAuditQuery", audit_id=audit_id).data["status"] == "TERMINATED"
    assert a.own("ownProjectDelete", project_id="prj-1").code == 0
