"""Models (8.7.2) on one node and between two; their approvals are in test_approvals and test_approvals_lost."""

from __future__ import annotations

from tests.reference_node.pair import TestNode, sign_contract
from tests.reference_node.sharing import agree_project

Two = tuple[TestNode, TestNode]
GIVEN = {
    "model_id": "model-1",
    "name": "违规排放识别",
    "project_id": "prj-1",
    "job_id": "job-1",
    "task_id": "task_1",
    "algorithm": "hetero_lr",
    "location": "secret/hlr.bin",
    "digest": "sm3:66C7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
}


def test_a_model_is_kept_as_it_was_recorded(two: Two) -> None:
    """8.7.2.1-b: name, task, place, time and algorithm are found again; an id is recorded once."""
    a, _ = two
    assert a.own("ownModelCreate", **GIVEN).data == {"model_id": "model-1"}
    found = a.own("ownModelQuery", model_id="model-1").data
    assert found == {**GIVEN, "created_at": a.clock.now}
    assert a.own("ownModelCreate", **{**GIVEN, "name": "x"}).error == "ID_TAKEN"
    made = a.own("ownModelCreate", **{name: value for name, value in GIVEN.items() if name != "model_id"})
    assert made.data["model_id"].startswith("model-")
    assert a.own("ownModelQuery", model_id="model-x").error == "RESOURCE_NOT_FOUND"


def test_the_list_of_a_project_holds_its_models_only(two: Two) -> None:
    """8.7.2.1-a: with totals and numbers by algorithm that do not depend on the page."""
    a, _ = two
    for index, project in enumerate(["prj-1", "prj-1", "prj-2"]):
        algorithm = "hetero_lr" if index else "psi"
        a.own("ownModelCreate", **{**GIVEN, "model_id": f"m-{index}", "project_id": project, "algorithm": algorithm})
    data = a.own("ownModelList", project_id="prj-1", page_size=1, page_num=2).data
    assert ([record["model_id"] for record in data["records"]], data["total"]) == (["m-0"], 2)
    assert data["statistics"] == {"by_algorithm": {"psi": 1, "hetero_lr": 1}}
    assert a.own("ownModelList").data["total"] == 3
    assert a.own("ownModelList", keyword="M-2").data["records"][0]["model_id"] == "m-2"


def test_partners_learn_the_digest_and_not_the_place(two: Two) -> None:
    """8.7.2.2-a, 9.2-c: digest, task, job, project and the owner's proof arrive, the location does not."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownModelCreate", **GIVEN)
    audit_id = a.own("ownModelAuditApply", contract_id=contract_id, model_id="model-1").data["audit_id"]
    content = b.own("ownModelAuditQuery", audit_id=audit_id).data["content"]
    proof = content.pop("proof")
    assert (proof["owner"], proof["digest"]) == ("node-a", GIVEN["digest"].lower())
    assert content == {
        "model_id": "model-1",
        "apply_project_id": "prj-1",
        **{name: GIVEN[name] for name in ("digest", "job_id", "task_id")},
    }


def test_a_model_is_offered_only_within_a_common_project(two: Two) -> None:
    """8.7.2.2-a: the project in which it is to be used must be agreed with the partner."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownModelCreate", **GIVEN)
    assert a.own("ownModelAuditApply", contract_id=contract_id, model_id="model-1").error == "RESOURCE_NOT_APPROVED"
    offer = {"audit_id": "audit-1", "model_id": "m", "apply_project_id": "prj-1"}
    assert b.signed("modelAuditApply", a.as_stranger(), **offer).error == "RESOURCE_NOT_APPROVED"
    agree_project(a, b, "prj-2", contract_id=contract_id)
    wanted = {"contract_id": contract_id, "model_id": "model-1", "project_id": "prj-2"}
    assert a.own("ownModelAuditApply", **wanted).data["status"] == "APPLIED"


def test_a_model_with_an_approval_is_not_forgotten(two: Two) -> None:
    """8.7.2.1-a: pending or in force keeps it; afterwards it can go."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownModelCreate", **GIVEN)
    audit_id = a.own("ownModelAuditApply", contract_id=contract_id, model_id="model-1").data["audit_id"]
    assert a.own("ownModelDelete", model_id="model-1").error == "IN_USE"
    b.own("ownModelAuditConfirm", audit_id=audit_id, status="APPROVED")
    assert a.own("ownModelDelete", model_id="model-1").error == "IN_USE"
    a.own("ownModelAuditTerminate", audit_id=audit_id)
    assert a.own("ownModelDelete", model_id="model-1").data == {}
    assert a.own("ownModelQuery", model_id="model-1").error == "RESOURCE_NOT_FOUND"
