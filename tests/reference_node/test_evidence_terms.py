"""The term of the evidence as contracts agree upon it, and what is destroyed at its end (9.2-d-3)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from conformance.checks import bundle as harness
from reference_node.evidence import bundles, terms
from reference_node.evidence.noting import Act, Noted
from reference_node.security.errors import KeyDestroyed, StoreTampered
from reference_node.store.evidence import EvidenceRow
from tests.reference_node.jobbing import created, dag, settle, workers
from tests.reference_node.pair import DAY_MS, Stranger, TestNode, apply, nodes, sign_contract

DAY = DAY_MS // 1000
TERM = "evidence_retention_days"
Two = tuple[TestNode, TestNode]


def kept(days: Any) -> dict[str, Any]:
    """Return the field of an application."""
    return {TERM: days}


def told(node: TestNode, contract_id: str) -> list[Any]:
    """Return the term of a contract as the node's operator and its list of contracts show it."""
    return [node.own("ownContractQuery", contract_id=contract_id).data.get(TERM), node.contract(contract_id).get(TERM)]


def states(node: TestNode, subject: str) -> Counter[str]:
    """Return how many records of a subject an auditor finds in which state."""
    rows = node.audit("ownEvidenceList", subject_id=subject, page_size=100).data["records"]
    return Counter(row["state"] for row in rows)


def test_a_term_that_was_applied_for_stands_on_both_sides(two: Two) -> None:
    """What the applicant asked for and the partner approved is with the contract at both ends."""
    a, b = two
    contract_id = sign_contract(a, b, **kept(400))
    assert told(a, contract_id) == told(b, contract_id) == [400, 400]
    assert b.signed("contractQuery", a.as_stranger(), contract_id=contract_id).data[TERM] == 400
    other = sign_contract(a, b)
    assert told(a, other) == told(b, other) == [None, None]


@pytest.mark.parametrize("days", [0, 1, 182])
def test_less_than_six_months_is_refused(two: Two, stranger: Stranger, days: int) -> None:
    """The refusal names the place, the clause and the least that there is, and nothing is kept of the application."""
    a, b = two
    for node, reply in (
        (a, a.own("ownContractApply", address=b.address, node_id=b.id, **kept(days))),
        (b, b.signed("contractApply", stranger, **stranger.particulars(), **kept(days))),
    ):
        assert (reply.error, reply.data["pointer"]) == ("EVIDENCE_TERM_INVALID", f"/{TERM}")
        assert "183" in reply.data["hint"]
        assert "9.2-d-3" in reply.data["hint"]
        assert node.own("ownContractList").data["total"] == 0
    assert b.signed("contractApply", stranger, **stranger.particulars(), **kept(36_501)).error == "REQUEST_INVALID"
    assert b.signed("contractApply", stranger, **stranger.particulars(), **kept("200")).error == "REQUEST_INVALID"


def test_a_confirmation_repeats_the_term(two: Two) -> None:
    """Another term than was applied for is refused; a partner that names none has not agreed to one."""
    a, b = two
    contract_id = apply(a, b, **kept(400))
    key = {"auth_type": "SM3_SM2", "auth_credential": b.as_stranger().key.public.pem}
    until = a.contract(contract_id)["expired_time"]
    message = {"contract_id": contract_id, "status": "APPROVED", "expired_time": until, **key}
    other = a.signed("contractConfirm", b.as_stranger(), **message, **kept(500))
    assert (other.error, other.data["pointer"]) == ("EVIDENCE_TERM_INVALID", f"/{TERM}")
    assert a.contract(contract_id)["status"] == "APPLIED"
    assert a.signed("contractConfirm", b.as_stranger(), **message).code == 0
    assert (a.contract(contract_id)["status"], a.contract(contract_id).get(TERM)) == ("APPROVED", None)


def test_a_term_is_learned_from_the_query_where_the_confirmation_was_lost(two: Two) -> None:
    """The fall-back of a lost callback carries the term as well."""
    a, b = two
    contract_id = apply(a, b, **kept(400))
    a.network.down.add("node-a.test")
    assert b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").data["delivery"] == "PENDING"
    assert told(a, contract_id) == [400, 400]
    assert a.contract(contract_id)["status"] == "APPROVED"


def test_the_term_of_a_contract_cannot_be_changed_behind_the_node(two: Two) -> None:
    """The code of the row covers the term, given or taken away."""
    a, b = two
    for changed, contract_id in (("NULL", sign_contract(a, b, **kept(400))), ("183", sign_contract(a, b))):
        with b.node.store.begin() as session:
            text = f"UPDATE contracts SET {TERM} = {changed} WHERE contract_id = '{contract_id}'"
            session.connection().exec_driver_sql(text)
        assert b.own("ownContractQuery", contract_id=contract_id).error == "STORE_TAMPERED"


def test_contracts_lose_their_evidence_each_at_its_term(tmp_path: Path) -> None:
    """183 and 400 days: each is destroyed at its own term and not before; the rest stays, and the chain with it."""
    with nodes("node-a", "node-b", "node-c", data={"node-b": tmp_path / "b"}, evidence_retention_days=300) as (a, b, c):
        short, long = sign_contract(a, b, **kept(183)), sign_contract(c, b, **kept(400))
        usual = sign_contract(a, b)
        b.own("ownEvidenceCopy")
        seqs = {day: _destroyed_after(b, day) for day in (182, 184, 299, 301, 399, 401)}
        assert [len(found) for found in seqs.values()] == [0, 2, 2, 4, 4, 6]
        assert states(b, short) == states(b, long) == states(b, usual) == {"DESTROYED": 2}
        _verifies(b)
        rows = b.audit("ownEvidenceList", act="evidence.destroyed", page_size=100).data["records"]
        assert len(rows) == 3


def _destroyed_after(node: TestNode, day: int) -> set[int]:
    """Let the clock stand on a day after the start, destroy what is due, and return which records are gone."""
    begun = node.audit("ownEvidenceList", act="contract", page_size=100).data["records"][-1]["at"]
    node.clock.now = begun + day * DAY_MS
    assert "segments" in node.audit("ownEvidenceDestroy").data
    rows = node.audit("ownEvidenceList", act="contract", page_size=100).data["records"]
    gone = {row["seq"] for row in rows if row["state"] == "DESTROYED"}
    for line in node.node.evidence.auditing.backup.lines():
        _opens(node, line.record.seq, gone)
    _verifies(node)
    return gone


def _opens(node: TestNode, seq: int, gone: set[int]) -> None:
    """Show that the copy of a record opens unless it was destroyed."""
    line = node.node.evidence.auditing.backup.sound(seq)
    assert line is not None
    assert line.sealed is not None
    if seq in gone:
        with pytest.raises(KeyDestroyed):
            node.node.evidence.keeper.open(line.record, line.sealed)
    else:
        node.node.evidence.keeper.open(line.record, line.sealed)


def _verifies(node: TestNode) -> None:
    """The chain verifies at the node, and an export of it verifies by two implementations and lacks what is gone."""
    assert node.audit("ownEvidenceVerify").data["intact"] is True
    text = node.audit("ownEvidenceExport", first_seq=1, content=True, reason="audit").data["bundle"]
    assert harness.problems(text) == []
    with node.node.store.read() as session:
        gone = set(session.scalars(select(EvidenceRow.seq).where(EvidenceRow.sealed.is_(None))))
    assert gone == {line.record.seq for line in bundles.read(text.encode()).records if line.content is None}


def test_what_is_done_under_a_contract_has_its_term(two: Two) -> None:
    """Approvals and permits at both ends follow the contract, what belongs to nobody else the configuration."""
    a, b = two
    contract_id = sign_contract(a, b, **kept(400))
    b.own("ownDatasetCreate", dataset_id="ds", name="ds", visibility="PROTECTED")
    given = b.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds", auth_scope={"type": "NODE"})
    b.own("ownDatasetAuditTerminate", audit_id=given.data["audit_id"])
    for node in (a, b):
        rows = node.audit("ownEvidenceRestore", first_seq=1, last_seq=50, reason="audit").data["records"]
        terms = {row["act"]: row["content"].get("retention_days") for row in rows}
        assert terms.pop("dataset.registered", None) is None
        assert {"contract.signed", "approval.ended", "permit.issued", "permit.revoked"} <= set(terms)
        assert set(terms.values()) == {400}


def test_the_contract_in_force_decides_or_else_the_last_one(two: Two, stranger: Stranger) -> None:
    """What names a node only follows the contract in force that lasts longest, and later the one that ended last."""
    a, b = two
    until = b.clock.now + 30 * DAY_MS
    first = sign_contract(a, b, expired_time=until, **kept(200))
    second = sign_contract(a, b, expired_time=until + 1, **kept(400))
    found = [_of_partner(b, a.id)]
    for ended in (second, first):
        b.own("ownContractTerminate", contract_id=ended)
        found.append(_of_partner(b, a.id))
        b.clock.advance(1)
    apply(a, b, **kept(900))
    assert [*found, _of_partner(b, a.id)] == [400, 200, 200, 200]
    assert _of_partner(b, stranger.node_id) is None


def test_a_job_follows_the_contracts_with_its_other_parties() -> None:
    """Its acts and those of its tasks have the term agreed with the partner, and of several partners the longest."""
    with workers("node-a", "node-b", "node-c", evidence_retention_days=300) as (a, b, c):
        sign_contract(a, b, **kept(200))
        sign_contract(a, c, **kept(250))
        sign_contract(b, c)
        for partners, wanted in (((b,), (200, 200)), ((b, c), (250, None, None))):
            job_id = created(a, *partners, dag=dag(), project=f"prj-{len(partners)}")
            assert a.own("ownJobStart", job_id=job_id).code == 0
            for node in (a, *partners):
                node.runner.finish()
            settle(a, *partners)
            for node, term in zip((a, *partners), wanted, strict=True):
                assert _terms_of(node, job_id) == {term}


def _terms_of(node: TestNode, job_id: str) -> set[int | None]:
    """Return the terms of the records of a job and its tasks."""
    rows = node.audit("ownEvidenceList", subject_id=job_id, page_size=100).data["records"]
    assert {"job.created", "job.ended", "task.ended"} <= {row["act"] for row in rows}
    seqs = {row["seq"] for row in rows}
    told = node.audit("ownEvidenceRestore", first_seq=min(seqs), last_seq=max(seqs), reason="audit").data["records"]
    return {row["content"].get("retention_days") for row in told if row["seq"] in seqs}


def _of_partner(node: TestNode, partner: str) -> int | None:
    """Return the term of an act that was done with a node, of which no contract is named."""
    with node.node.store.read() as session:
        return terms.agreed(session, Noted(Act.JOB_CREATED, {}, partner), node.id, node.clock.now, 183)


def test_a_record_that_was_changed_is_destroyed_at_the_term_of_its_segment(two: Two) -> None:
    """The term is told by what is still sound, and where nothing is, nothing is destroyed before it was repaired."""
    a, b = two
    contract_id = sign_contract(a, b, **kept(400))
    b.own("ownEvidenceCopy")
    with b.node.store.begin() as session:
        session.connection().exec_driver_sql("UPDATE evidence SET sealed = X'0102' WHERE seq = 1")
    b.clock.advance(399 * DAY)
    assert b.audit("ownEvidenceDestroy").data == {"segments": 0, "records": 0}
    with b.node.store.begin() as session:
        session.connection().exec_driver_sql("UPDATE evidence SET sealed = X'0102' WHERE seq = 2")
    b.clock.advance(2 * DAY)
    assert b.audit("ownEvidenceDestroy").data == {"segments": 0, "records": 0}
    assert b.audit("ownEvidenceRepair").data["repaired"] == 2
    assert states(b, contract_id) == {"SOUND": 2}
    assert b.audit("ownEvidenceDestroy").data == {"segments": 1, "records": 2}
    assert b.audit("ownEvidenceVerify").data["intact"] is True


def test_each_term_has_one_segment_a_day(two: Two) -> None:
    """Acts in turn under two terms make no more keys than terms, and segments of yesterday are not kept as open."""
    a, b = two
    for _ in range(3):
        sign_contract(a, b, **kept(200))
        sign_contract(a, b)
    with b.node.store.read() as session:
        head = b.node.evidence.keeper.head(session)
        assert len(set(session.scalars(select(EvidenceRow.segment)))) == 2
    assert set(head.agreed) == {"200"}
    b.clock.advance(2 * DAY)
    sign_contract(a, b, **kept(300))
    with b.node.store.read() as session:
        assert set(b.node.evidence.keeper.head(session).agreed) == {"300"}
    with b.node.store.begin() as session:
        row = session.connection().exec_driver_sql("SELECT agreed FROM evidence_head").scalar()
        assert isinstance(row, str)
    for changed in (json.dumps({"183": json.loads(row)["300"]}), "{x", "[]", '{"300": 1}', '{"300": [NaN]}'):
        with b.node.store.begin() as session:
            session.connection().exec_driver_sql("UPDATE evidence_head SET agreed = ?", (changed,))
        with b.node.store.read() as session, pytest.raises(StoreTampered):
            b.node.evidence.keeper.head(session)
