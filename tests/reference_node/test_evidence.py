"""What is kept as evidence, what it says, and who may look at it (9.2-d, 9.2-d-1, 9.2-d-2, 9.2-d-5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance.checks import bundle as harness
from reference_node.app import create_app
from reference_node.config import load_config
from reference_node.errors import ConfigError
from reference_node.evidence import bundles
from reference_node.evidence.records import digest
from tests.reference_node import pair
from tests.reference_node.pair import TestNode, nodes, sign_contract

Two = tuple[TestNode, TestNode]
AUDITORS = ("ownEvidenceList", "ownEvidenceVerify", "ownEvidenceRepair", "ownEvidenceDestroy")


def acts(node: TestNode, **search: Any) -> list[str]:
    """Return the acts that an auditor finds, oldest first."""
    found = node.audit("ownEvidenceList", page_size=500, **search).data["records"]
    return [row["act"] for row in reversed(found)]


def contents(node: TestNode, first: int, last: int) -> list[dict[str, Any]]:
    """Return the contents of some records."""
    told = node.audit("ownEvidenceRestore", first_seq=first, last_seq=last, reason="test")
    return [row["content"] for row in told.data["records"]]


def test_the_life_of_a_contract_is_on_record_at_both_ends(two: Two) -> None:
    """9.2-d: applied for, signed, ended, by whom and with whom, on either side."""
    a, b = two
    contract_id = sign_contract(a, b)
    a.own("ownContractTerminate", contract_id=contract_id)
    for node, other in ((a, b), (b, a)):
        assert acts(node, subject_id=contract_id) == ["contract.applied", "contract.signed", "contract.ended"]
        rows = node.audit("ownEvidenceList", subject_id=contract_id).data["records"]
        assert {row["counterpart"] for row in rows} == {other.id}
    actors = [row["actor"] for row in reversed(b.audit("ownEvidenceList", subject_id=contract_id).data["records"])]
    assert actors == [{"role": "NODE", "id": a.id}, {"role": "OPERATOR"}, {"role": "NODE", "id": a.id}]


def test_the_life_of_a_grant_is_on_record(two: Two) -> None:
    """9.2-d: registered, granted, used and withdrawn; found by the dataset and by the approval alike."""
    a, b = two
    contract_id = sign_contract(a, b)
    b.own("ownDatasetCreate", dataset_id="ds", name="ds", visibility="PROTECTED")
    told = b.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds", auth_scope={"type": "NODE"})
    permit = a.own("ownDatasetAuditQuery", audit_id=told.data["audit_id"]).data["resource_permit"]
    headers = b.sign(
        "datasetPubQuery",
        a.as_stranger(),
        {"contract_id": contract_id, "dataset_id": "ds"},
        token_set=f"ds/3/{permit['token']}",
    )
    assert b.raw("datasetPubQuery", headers, {"contract_id": contract_id, "dataset_id": "ds"}).code == 0
    b.own("ownDatasetAuditTerminate", audit_id=told.data["audit_id"])
    wanted = {"dataset.registered", "approval.applied", "permit.issued", "permit.used", "permit.revoked"}
    found = acts(b, subject_id="ds")
    assert wanted < set(found)
    assert found.index("permit.issued") < found.index("permit.used") < found.index("permit.revoked")
    assert "permit.issued" in acts(a, subject_id=told.data["audit_id"])
    assert "dataset.registered" not in acts(b, subject_id=told.data["audit_id"])


def test_what_is_refused_leaves_no_record_and_failed_identities_do(two: Two, stranger: pair.Stranger) -> None:
    """9.2-d: no record without an act; an attempt in another's name is an act."""
    a, b = two
    contract_id = sign_contract(a, b)
    before = acts(b)
    assert b.signed("contractCancel", a.as_stranger(), contract_id=contract_id).error == "CONTRACT_NOT_PENDING"
    assert acts(b)[: len(before)] == before
    forger = pair.Stranger(a.id, stranger.key)
    for _ in range(b.node.config.lockout_threshold):
        assert b.signed("nodeHealth", forger).error == "SIGNATURE_INVALID"
    found = acts(b, subject_id=a.id, act="identity")
    assert found == ["identity.failed"] * (b.node.config.lockout_threshold - 1) + ["identity.locked_out"]


def test_digests_are_those_of_what_went_over_the_wire(two: Two) -> None:
    """9.2-d-5: who has request and answer can show that they are the ones on record."""
    a, b = two
    body = {"dataset_id": "ds", "name": "户号 0123", "visibility": "PUBLIC", "description": "secret-of-a-person"}
    headers = {"authorization": "Bearer " + b.node.identity.operator_token, "x-trace-id": "trace-1"}
    client = b.app.test_client()
    sent = json.dumps(body).encode()
    answer = client.post("/v1/platform/dataset/create", data=sent, headers=headers, content_type="application/json")
    assert answer.status_code == 200
    (content,) = contents(b, 1, 1)
    assert (content["request"], content["answer"]) == (digest(sent), digest(answer.data))
    assert (content["trace_id"], content["subjects"]) == ("trace-1", {"dataset_id": "ds"})
    assert "secret-of-a-person" not in json.dumps(content)
    assert acts(a) == []


def test_only_the_auditor_gets_to_the_records(two: Two, stranger: pair.Stranger) -> None:
    """9.2-d-2: neither the operator nor a node nor anybody else views, exports or destroys; tokens differ."""
    _a, b = two
    for operation in AUDITORS:
        assert b.own(operation).error == "AUDITOR_TOKEN_INVALID"
        assert b.raw(operation, {}, {}).error == "AUDITOR_TOKEN_INVALID"
        assert b.signed(operation, stranger).error == "AUDITOR_TOKEN_INVALID"
    assert b.own("ownEvidenceExport", first_seq=1, reason="x").error == "AUDITOR_TOKEN_INVALID"
    assert b.audit("ownContractList").error == "OPERATOR_TOKEN_INVALID"
    assert b.audit("ownEvidenceHealth").error == "OPERATOR_TOKEN_INVALID"
    assert b.node.evidence.token not in repr(b.node.evidence)


def test_looking_at_evidence_is_on_record(two: Two) -> None:
    """9.2-d-2: views, exports, verifications and restorations leave records of their own."""
    a, b = two
    sign_contract(a, b)
    b.audit("ownEvidenceList")
    b.audit("ownEvidenceVerify")
    b.audit("ownEvidenceExport", first_seq=1, reason="audit")
    contents(b, 1, 2)
    wanted = ["evidence.viewed", "evidence.verified", "evidence.exported", "evidence.restored"]
    assert acts(b, act="evidence") == wanted
    rows = b.audit("ownEvidenceList", act="evidence").data["records"]
    assert {row["actor"]["role"] for row in rows} == {"AUDITOR"}


@pytest.mark.parametrize("content", [True, False])
def test_a_bundle_verifies_here_and_by_the_harness(two: Two, content: bool) -> None:
    """9.2-d-2: two implementations agree that an export is whole, with its contents and without."""
    a, b = two
    sign_contract(a, b)
    text = b.audit("ownEvidenceExport", first_seq=1, content=content, reason="audit").data["bundle"]
    assert harness.problems(text) == []
    read = bundles.read(text.encode())
    assert read.signer.fingerprint == b.node.identity.key("SM3_SM2").public.fingerprint
    assert [line.content is not None for line in read.records] == [content] * 2
    assert harness.last_checkpoint(text) == 2


def test_a_part_can_be_exported_and_nonsense_is_refused(two: Two) -> None:
    """9.2-d-5: a range of records is a bundle too; ranges that are not there are refused with the place."""
    a, b = two
    sign_contract(a, b)
    a.own("ownNodeUpdate", description="x")
    part = b.audit("ownEvidenceExport", first_seq=2, last_seq=2, reason="audit").data
    assert (part["records"], harness.problems(part["bundle"])) == (1, [])
    for fields in ({"first_seq": 3, "last_seq": 2}, {"first_seq": 1, "last_seq": 9_000}):
        assert b.audit("ownEvidenceExport", **fields, reason="audit").error == "REQUEST_INVALID"
        assert b.audit("ownEvidenceRestore", **fields, reason="audit").error == "REQUEST_INVALID"
    assert b.audit("ownEvidenceExport", first_seq=1, last_seq=99, reason="audit").error == "EVIDENCE_NOT_FOUND"
    assert b.audit("ownEvidenceRestore", first_seq=99, last_seq=99, reason="audit").error == "EVIDENCE_NOT_FOUND"
    assert b.audit("ownEvidenceExport", first_seq=99, reason="audit").error in ("REQUEST_INVALID", "EVIDENCE_NOT_FOUND")


def test_what_is_kept_is_configured() -> None:
    """9.2-d-1: acts by group or by name; what is done with evidence is kept whatever is configured."""
    with nodes("node-a", "node-b", evidence_acts=["contract.signed", "dataset"]) as (a, b):
        contract_id = sign_contract(a, b)
        b.own("ownDatasetCreate", dataset_id="ds", name="ds", visibility="PUBLIC")
        b.own("ownContractTerminate", contract_id=contract_id)
        assert acts(b) == ["contract.signed", "dataset.registered"]
        assert acts(b, act="evidence") == ["evidence.viewed"]
        assert b.own("ownEvidenceHealth").data["settings"]["acts"] == ["contract.signed", "dataset"]


def test_terms_are_digests_unless_they_are_wanted() -> None:
    """9.2-d-1: by default the terms of a contract are a digest; configured, they are said."""
    for level in ("digests", "terms"):
        with nodes("node-a", "node-b", evidence_content=level) as (a, b):
            sign_contract(a, b)
            details = contents(b, 1, 1)[0]["details"]
            assert ("expired_time" in details) == (level == "terms")
            assert ("terms" in details) == (level == "digests")


def test_settings_that_the_standard_forbids_are_refused() -> None:
    """9.2-d-3: less than six months cannot be configured, nor acts that there are not, nor the operator as auditor."""
    with pytest.raises(ConfigError, match=r"retention_days = 182 is not a number from 183"):
        load_config(None, evidence_retention_days=182)
    with pytest.raises(ConfigError, match=r"\[evidence\] acts"):
        load_config(None, evidence_acts=["contract.singed"])
    same = "one-token-for-both-of-them"
    with pytest.raises(ConfigError, match="auditor_token is the operator's"):
        create_app(load_config(None, operator_token=same, auditor_token=same))


def test_health_tells_the_operator_nothing_of_the_contents(two: Two) -> None:
    """9.2-d-4: counts, settings and problems; no subject, no actor."""
    a, b = two
    contract_id = sign_contract(a, b)
    told = b.own("ownEvidenceHealth").data
    assert (told["status"], told["records"], told["last_seq"], told["problems"]) == ("INTACT", 2, 2, [])
    assert contract_id not in json.dumps(told)
    assert a.id not in json.dumps(told)
