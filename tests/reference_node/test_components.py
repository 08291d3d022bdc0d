"""Components (8.6) on one node and as partners see them."""

from __future__ import annotations

from typing import Any

import pytest

from reference_node.transport.outbound import OutboundAnswer
from tests.reference_node.pair import TestNode, sign_contract
from tests.reference_node.sharing import DAG, SECURITY, agree_project

Two = tuple[TestNode, TestNode]
REF = {"code": "psi", "version": "1.0.0"}
MINE = {"developer": "maker"}


def described(version: str = "1.0.0", **fields: Any) -> dict[str, Any]:
    """The registration of a component."""
    info = {
        "componentName": fields.pop("code", "psi"),
        "title": "隐私求交",
        "provider": "maker",
        "version": version,
        "roleList": ["guest", "host"],
        "storageEngine": ["local"],
        "inputParam": fields.pop(
            "params",
            [{"name": "batch", "title": "批量", "type": "integer", "optional": False, "validator": "[1,64]"}],
        ),
        "inputData": [{"name": "table", "category": "dataset", "dataFormat": ["csv"]}],
        "outputData": [{"name": "joined", "category": "dataset", "dataFormat": ["csv"]}],
        "result": [],
        "security": SECURITY,
    }
    return {"imageUrl": "registry.example/psi:1", "component_info": info, "category": "求交", "engine": "own", **fields}


def test_a_component_is_found_as_it_was_registered(two: Two) -> None:
    """8.6.1, 8.6.2-d: name, address, kind of address, inputs, outputs and developer, by code and version."""
    a, _ = two
    given = described(address="http://psi.test/", address_type="HTTP", visibility="PRIVATE")
    assert a.own("ownComponentRegister", **given).data == REF
    found = a.own("ownComponentQuery", **REF).data
    assert (found["name"], found["engine"], found["developer"]) == ("隐私求交", "own", "maker")
    assert (found["address"], found["address_type"], found["visibility"]) == ("http://psi.test/", "HTTP", "PRIVATE")
    assert [port["name"] for port in found["inputs"]] == ["table", "batch"]
    assert [port["name"] for port in found["outputs"]] == ["joined"]
    assert (found["component_info"], found["status"]) == (given["component_info"], "AVAILABLE")
    bare = described("2.0.0")
    del bare["engine"], bare["category"]
    a.own("ownComponentRegister", **bare)
    found = a.own("ownComponentQuery", code="psi", version="2.0.0").data
    assert (found["engine"], found["address"], found["address_type"]) == ("maker", "registry.example/psi:1", "IMAGE")
    for pointer, ref in (("/version", {**REF, "version": "9"}), ("/code", {**REF, "code": "x"})):
        refused = a.own("ownComponentQuery", **ref)
        assert (refused.error, refused.data["pointer"]) == ("RESOURCE_NOT_FOUND", pointer)


def test_code_and_version_are_registered_once(two: Two) -> None:
    """8.6.1: the same again is harmless, other content is refused and changes nothing."""
    a, _ = two
    a.own("ownComponentRegister", **described())
    assert a.own("ownComponentRegister", **described()).data == REF
    assert a.own("ownComponentRegister", **described(engine="other")).error == "ID_TAKEN"
    assert a.own("ownComponentList", **MINE).data["total"] == 1
    assert a.own("ownComponentQuery", **REF).data["engine"] == "own"


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ([{"validator": "1..5"}], "/component_info/inputParam/0/validator"),
        ([{}, {}], "/component_info/inputParam/1/name"),
        ([{"dependsOn": ["nobody"]}], "/component_info/inputParam/0/dependsOn"),
    ],
)
def test_a_self_description_that_nothing_can_be_held_against_is_refused(
    two: Two, params: list[dict[str, Any]], pointer: str
) -> None:
    """8.6.1: unknown validators, double names and dependencies on nothing are named."""
    declared = [{"name": "a", "title": "a", "type": "integer", "optional": True, **param} for param in params]
    refused = two[0].own("ownComponentRegister", **described(params=declared))
    assert (refused.error, refused.data["pointer"]) == ("PARAMS_INVALID", pointer)


def test_lists_are_counted_and_partners_see_the_public_ones(two: Two) -> None:
    """8.6.2-a, 8.6.2-b, 8.6.2-c: the own side sees all, partners what is exposed; totals and statistics count all."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownComponentRegister", **described())
    a.own("ownComponentRegister", **described("2.0.0", category="other"))
    a.own("ownComponentRegister", **described(code="lr", visibility="PRIVATE"))
    own = a.own("ownComponentList", **MINE, page_size=2).data
    assert [(item["code"], item["version"], item["engine"]) for item in own["records"]] == [
        ("lr", "1.0.0", "own"),
        ("psi", "1.0.0", "own"),
    ]
    assert (own["total"], own["statistics"]) == (3, {"by_category": {"求交": 2, "other": 1}, "by_engine": {"own": 3}})
    seen = b.own("ownPartnerComponentList", **MINE, contract_id=contract_id).data
    assert [(item["version"], item["engine"]) for item in seen["records"]] == [("1.0.0", "own"), ("2.0.0", "own")]
    assert (seen["total"], seen["statistics"]["by_category"]) == (2, {"求交": 1, "other": 1})
    assert b.own("ownPartnerComponentList", contract_id=contract_id, category="other").data["total"] == 1
    detail = b.own("ownPartnerComponentQuery", contract_id=contract_id, **REF).data
    assert (detail["address"], detail["developer"], "component_info" in detail) == (
        "registry.example/psi:1",
        "maker",
        False,
    )
    hidden = b.own("ownPartnerComponentQuery", contract_id=contract_id, code="lr", version="1.0.0")
    unknown = b.own("ownPartnerComponentQuery", contract_id=contract_id, code="zz", version="1.0.0")
    assert hidden.data == unknown.data
    assert hidden.data["partner"]["error"] == "RESOURCE_NOT_FOUND"


def test_a_refusal_does_not_tell_which_components_are_hidden(two: Two) -> None:
    """8.6.2-b: a hidden component, an unknown version of it and an unknown code are refused in the same words."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownComponentRegister", **described(code="lr", visibility="PRIVATE"))
    replies = [
        a.signed("componentQuery", b.as_stranger(), contract_id=contract_id, code=code, version=version)
        for code, version in (("zz", "1.0.0"), ("lr", "1.0.0"), ("lr", "9.9.9"))
    ]
    assert [reply.data for reply in replies] == [replies[0].data] * 3


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({"batch": 64}, []),
        ({"batch": 65}, ["/params/batch"]),
        ({}, ["/params/batch"]),
        ({"batch": "1"}, ["/params/batch"]),
        ({"batch": 1, "more": 1}, ["/params/more"]),
    ],
)
def test_parameters_are_held_against_the_named_version(two: Two, given: dict[str, Any], pointers: list[str]) -> None:
    """8.6.3-a: a valid set passes, else each wrong parameter is named; an unknown component is refused."""
    a, _ = two
    a.own("ownComponentRegister", **described())
    a.own("ownComponentRegister", **described("2.0.0", params=[]))
    verdict = a.own("ownComponentValidate", **REF, params=given).data
    assert (verdict["valid"], [item["pointer"] for item in verdict["problems"]]) == (not pointers, pointers)
    assert a.own("ownComponentValidate", code="psi", version="3", params=given).error == "RESOURCE_NOT_FOUND"


@pytest.mark.parametrize(
    ("address", "kind", "status"),
    [
        ("http://node-b.test/v1/interconn/node/query?node_id=node-b", "HTTP", "UP"),
        ("http://gone.test/", "HTTP", "DOWN"),
        ("sh -c run", "COMMAND", "UP"),
        ("no-such-command-anywhere --x", "COMMAND", "DOWN"),
        ("'unbalanced", "COMMAND", "DOWN"),
        ("registry.example:5000/psi:0.1.0", "IMAGE", "UP"),
        ("not an image", "IMAGE", "DOWN"),
    ],
)
def test_health_is_what_is_seen_at_the_entry_point(two: Two, address: str, kind: str, status: str) -> None:
    """8.6.3-b: what cannot be reached is not reported as healthy, and the query shows it."""
    a, _ = two
    a.own("ownComponentRegister", **described(address=address, address_type=kind))
    seen = a.own("ownComponentHealth", **REF).data
    assert (seen["status"], seen["checked_at"]) == (status, a.clock.now)
    assert a.own("ownComponentQuery", **REF).data["status"] == ("AVAILABLE" if status == "UP" else "UNAVAILABLE")


def test_a_service_that_fails_is_down_and_recovers(two: Two) -> None:
    """8.6.3-b: an answer of 500 is no health, and a later check sees the recovery."""
    a, _ = two
    a.own("ownComponentRegister", **described(address="http://node-b.test/health", address_type="HTTP"))
    a.network.canned["/health"] = OutboundAnswer(503, {}, b"")
    assert a.own("ownComponentHealth", **REF).data["status"] == "DOWN"
    a.network.canned["/health"] = OutboundAnswer(200, {}, b"")
    assert a.own("ownComponentHealth", **REF).data["status"] == "UP"


def test_a_deregistered_version_is_gone_and_others_stay(two: Two) -> None:
    """8.6.4: for the own side and partners; a flow in force keeps what it uses."""
    a, b = two
    contract_id = agree_project(a, b, "prj-1")
    a.own("ownComponentRegister", **described())
    a.own("ownComponentRegister", **described("2.0.0"))
    flow_id = a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG).data["flow_id"]
    audit_id = a.own("ownFlowAuditApply", contract_id=contract_id, flow_id=flow_id).data["audit_id"]
    b.own("ownFlowAuditConfirm", audit_id=audit_id, status="APPROVED")
    assert a.own("ownComponentDeregister", **REF).error == "IN_USE"
    a.own("ownFlowDelete", flow_id=flow_id)
    assert a.own("ownComponentDeregister", **REF).data == {}
    for operation in ("ownComponentQuery", "ownComponentHealth"):
        assert a.own(operation, **REF).error == "RESOURCE_NOT_FOUND"
    assert a.own("ownComponentDeregister", **REF).error == "RESOURCE_NOT_FOUND"
    assert b.own("ownPartnerComponentQuery", contract_id=contract_id, **REF).error == "PARTNER_REFUSED"
    seen = b.own("ownPartnerComponentList", **MINE, contract_id=contract_id).data
    assert [item["version"] for item in seen["records"]] == ["2.0.0"]
