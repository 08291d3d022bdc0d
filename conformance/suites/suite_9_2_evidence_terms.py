"""Stories about the term of the evidence that two nodes agree upon in their contract (9.2-d-3)."""

from __future__ import annotations

from conformance.harness.errors import NotOffered
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref
from conformance.suites.material import needed

TERM = "evidence_retention_days"
SHORT, AGREED, OTHER = 182, 400, 500
REASON = "互通测试 · audit of the conformance suite"


def _agrees(world: World) -> None:
    """End the scenario where the target does not say that a contract may have a term of its own."""
    settings = world.own("health", "ownEvidenceHealth", {}).data.get("settings")
    if not isinstance(settings, dict) or settings.get("per_contract") is not True:
        raise NotOffered("the settings of the target's evidence do not name per_contract")


@scenario()
def test_evidence_agreed(world: World) -> None:
    """Partners apply with a term under six months, with a longer one and with none (9.2-d-3)."""
    _agrees(world)
    world.fact("term", AGREED)
    short, partner = world.partner("short"), world.partner("agreed")
    until = contracts.until(world)
    asked = {**short.application(until), TERM: SHORT}
    told = world.call("apply-short", short, "contractApply", asked, breaks="the term is six months or more")
    if told.accepted:
        short.contract_id = str(told.at("/contract_id"))
        needed(world.call("cancel-short", short, "contractCancel", ref(short)))
    told = world.call("apply", partner, "contractApply", {**partner.application(until), TERM: AGREED})
    partner.contract_id = str(told.at("/contract_id"))
    partner.claims.add(partner.contract_id)
    world.signed_partner("usual")
    contracts.decided(world, partner, "approve")
    world.call("query", partner, "contractQuery", ref(partner))
    world.own("own", "ownContractQuery", ref(partner))
    found = world.own("kept", "ownEvidenceList", {"subject_id": partner.contract_id}).at("/records")
    numbers = sorted(int(row["seq"]) for row in found)
    span = {"first_seq": numbers[0], "last_seq": numbers[-1]} if numbers else {"first_seq": 1, "last_seq": 1}
    world.fact("numbers", numbers)
    world.own("export", "ownEvidenceExport", {**span, "content": True, "reason": REASON})


@scenario()
def test_evidence_agreed_own(world: World) -> None:
    """The target applies with a term; its partner confirms another one first, and then this one (9.2-d-3)."""
    _agrees(world)
    world.fact("term", AGREED)
    partner = world.partner()
    asked = {"address": partner.particulars["address"], "node_id": partner.node_id, TERM: AGREED}
    told = world.own("own-apply", "ownContractApply", {**asked, "expired_time": contracts.until(world)})
    partner.contract_id = str(told.at("/contract_id"))
    arrived = world.awaited("applied", partner, "contractApply", {"node_id": world.profile.target.node_id})
    partner.claims.add(partner.contract_id)
    sent = contracts.decision(partner, "APPROVED", arrived.sent.get("expired_time"))
    broken = "the term is the one that was applied for"
    world.call("confirm-other", partner, "contractConfirm", {**sent, TERM: OTHER}, breaks=broken)
    partner.open_contract = world.call("confirm", partner, "contractConfirm", {**sent, TERM: AGREED}).accepted
    world.own("own", "ownContractQuery", ref(partner))
