"""Contracts for which partners apply to the target (8.1.2, target as responder)."""

from __future__ import annotations

from conformance.harness.partner import Reply, raw
from conformance.harness.registry import scenario
from conformance.harness.story import LABEL
from conformance.harness.world import DAY_MS, World
from conformance.suites import contracts
from conformance.suites.contracts import ref


@scenario()
def test_contract_approved(world: World) -> None:
    """A node applies twice alike, the operator accepts, both sides read it, a reversal fails (8.1.2-a, -b)."""
    contracts.applied(world, "another")
    partner = world.partner()
    body = partner.application(world.fact("until", contracts.until(world)))
    world.fact("partner", dict(partner.particulars))
    partner.contract_id = str(world.call("apply", partner, "contractApply", body).at("/contract_id"))
    partner.claims.add(world.fact("contract", partner.contract_id))
    world.call("apply-again", partner, "contractApply", body)
    world.call("query-pending", partner, "contractQuery", ref(partner))
    world.own("own-pending", "ownContractQuery", ref(partner))
    contracts.decided(world, partner, "approve")
    world.call("query-approved", partner, "contractQuery", ref(partner))
    world.own("own-approved", "ownContractQuery", ref(partner))
    world.own("own-list", "ownContractList", {"partner_node_id": partner.node_id})
    turned = {**ref(partner), "status": "REJECTED"}
    world.own("reverse", "ownContractConfirm", turned, breaks="the application is pending")
    world.call("query-reversed", partner, "contractQuery", ref(partner))


@scenario()
def test_contract_reapplied(world: World) -> None:
    """A node applies, and before anybody has decided applies for another period (8.1.2-a)."""
    partner, first = world.partner(), contracts.until(world)
    world.call("apply", partner, "contractApply", partner.application(first))
    changed = partner.application(world.fact("changed", first - DAY_MS))
    partner.contract_id = str(world.call("apply-otherwise", partner, "contractApply", changed).at("/contract_id"))
    world.own("own", "ownContractQuery", ref(partner))


@scenario()
def test_contract_rejected(world: World) -> None:
    """A node applies and the operator rejects (8.1.2-b)."""
    partner = contracts.applied(world, "partner")
    contracts.decided(world, partner, "reject", "REJECTED")
    world.call("query", partner, "contractQuery", ref(partner))


@scenario()
def test_contract_decision_undelivered(world: World) -> None:
    """The applicant cannot be told at first; it asks instead, and is told later on (8.1.1-c, 8.1.2-b)."""
    partner = contracts.applied(world, "partner")
    world.answers(partner, "contractConfirm", raw(503, contracts.HTML))
    contracts.required(world.own("approve", "ownContractConfirm", {**ref(partner), "status": "APPROVED"}))
    partner.open_contract = True
    world.call("query", partner, "contractQuery", ref(partner))
    before = world.now_ms()
    world.answers(partner, "contractConfirm", lambda _sent: Reply())
    world.fact(f"{LABEL}told-again", world.eventually(lambda: _confirmed_since(world, before)))


def _confirmed_since(world: World, moment: int) -> str | None:
    rows = [row for row in world.transcript().exchanges if row.operation == "contractConfirm" and row.at_ms >= moment]
    return next((row.id for row in rows if row.answer is not None and row.answer.status == 200), None)


@scenario()
def test_contract_cancelled(world: World) -> None:
    """One application is withdrawn while it is pending, another once it was accepted (8.1.2-c)."""
    first, second = contracts.applied(world, "first"), contracts.applied(world, "second")
    world.call("cancel", first, "contractCancel", ref(first))
    world.call("query-cancelled", first, "contractQuery", ref(first))
    late = {**ref(first), "status": "APPROVED"}
    contracts.decided(world, second, "approve-pending")
    world.own("approve-cancelled", "ownContractConfirm", late, breaks="the application is pending")
    world.call("query-before", second, "contractQuery", ref(second))
    world.call("cancel-late", second, "contractCancel", ref(second), breaks="the application is pending")
    world.call("query-after", second, "contractQuery", ref(second))


@scenario()
def test_contract_strangers(world: World) -> None:
    """A signed partner reaches for the contracts of two others (8.1.1-c, 8.1.2-c, -d, -e)."""
    owner, stranger = world.signed_partner("owner"), world.signed_partner("stranger")
    applicant = contracts.applied(world, "applicant")
    theirs = "the caller is a party to the contract"
    world.call("owner-query", owner, "contractQuery", ref(owner))
    world.call("stranger-query", stranger, "contractQuery", ref(owner), breaks=theirs)
    world.call("stranger-health", stranger, "nodeHealth", ref(owner), breaks=theirs)
    world.call("owner-health", owner, "nodeHealth", ref(owner))
    world.call("stranger-terminate", stranger, "contractTerminate", ref(owner), breaks=theirs)
    world.call("owner-after", owner, "contractQuery", ref(owner))
    world.call("owner-terminate", owner, "contractTerminate", ref(owner))
    owner.open_contract = False
    world.call("applicant-query", applicant, "contractQuery", ref(applicant))
    world.call("stranger-cancel", stranger, "contractCancel", ref(applicant), breaks=theirs)
    world.call("applicant-after", applicant, "contractQuery", ref(applicant))
    world.call("applicant-cancel", applicant, "contractCancel", ref(applicant))


@scenario()
def test_contract_terminated_by_partner(world: World) -> None:
    """A partner ends its contract, and then goes on as if it were in force (8.1.2-e, 8.1.3-b)."""
    partner = world.signed_partner()
    world.call("sync", partner, "nodeSync", contracts.sync(partner))
    world.call("terminate", partner, "contractTerminate", ref(partner))
    partner.open_contract = False
    world.own("own", "ownContractQuery", ref(partner))
    world.call("query", partner, "contractQuery", ref(partner))
    ended = "there is a contract in force"
    world.call("sync-late", partner, "nodeSync", contracts.sync(partner, name=world.id("late")), breaks=ended)
    world.own("known", "ownNodeQuery", {"node_id": partner.node_id})
    world.fact("name", partner.particulars["name"])


@scenario()
def test_contract_terminated_by_target(world: World) -> None:
    """The operator ends a contract; a pending application cannot be ended that way (8.1.2-e)."""
    pending = contracts.applied(world, "pending")
    partner = world.signed_partner()
    world.call("sync", partner, "nodeSync", contracts.sync(partner))
    world.own("terminate-pending", "ownContractTerminate", ref(pending), breaks="the contract is in force")
    world.call("pending-after", pending, "contractQuery", ref(pending))
    contracts.required(world.own("terminate", "ownContractTerminate", ref(partner)))
    partner.open_contract = False
    world.awaited("told", partner, "contractTerminate", ref(partner))
    world.call("query", partner, "contractQuery", ref(partner))
    world.call("sync-late", partner, "nodeSync", contracts.sync(partner), breaks="there is a contract in force")


@scenario()
def test_contract_expired(world: World) -> None:
    """A contract and an application run out while the scenario looks on (8.1.1-c, 8.1.2-b, 8.1.3-b)."""
    world.signed_partner("early")  # which shows how long that takes
    period = world.brief(contracts.BRIEF_SECONDS)
    soon = world.now_ms() + int(period * 1000)
    partner = world.signed_partner("partner", expired_time=soon)
    pending = contracts.applied(world, "pending", soon)
    world.call("sync", partner, "nodeSync", contracts.sync(partner))
    world.elapse(period + 0.1)
    partner.open_contract = False
    world.call("sync-late", partner, "nodeSync", contracts.sync(partner), breaks="the contract has not expired")
    late = {**ref(pending), "status": "APPROVED"}
    world.own("approve-late", "ownContractConfirm", late, breaks="the application has not expired")
    world.own("own", "ownContractQuery", ref(partner))
    world.call("query", partner, "contractQuery", ref(partner))


@scenario()
def test_contract_period(world: World) -> None:
    """Periods in the past, longer than asked, and shorter than asked (8.1.2-a, 8.1.2-b)."""
    partner = world.partner()
    past = partner.application(world.now_ms() - DAY_MS)
    world.call("apply-past", partner, "contractApply", past, breaks="the period ends in the future")
    asked = contracts.until(world)
    partner.contract_id = str(
        world.call("apply", partner, "contractApply", partner.application(asked)).at("/contract_id")
    )
    world.call("before", partner, "contractQuery", ref(partner))
    longer = {**ref(partner), "status": "APPROVED", "expired_time": asked + DAY_MS}
    world.own("lengthen", "ownContractConfirm", longer, breaks="the period is not longer than was asked")
    world.call("after", partner, "contractQuery", ref(partner))
    shorter = world.fact("shorter", asked - DAY_MS)
    contracts.decided(world, partner, "shorten", expired_time=shorter)
    world.call("query", partner, "contractQuery", ref(partner))


@scenario()
def test_contract_incomplete(world: World) -> None:
    """Applications that leave out a particular, one after the other, and a whole one (8.1.2-a, 9.2-a-3)."""
    partner = world.partner()
    body = partner.application(contracts.until(world))
    for name in ("node_id", "name", "auth_type", "auth_credential", "address"):
        less = {key: value for key, value in body.items() if key != name}
        world.call(f"without-{name}", partner, "contractApply", less, breaks=f"{name} is stated")
    nowhere = {**body, "address": "nowhere"}
    world.call("address-unusable", partner, "contractApply", nowhere, breaks="the address is an http or https one")
    another = {**body, "node_id": world.id("somebody-else")}
    world.call("source-differs", partner, "contractApply", another, breaks="the sender is the node that applies")
    world.call("apply", partner, "contractApply", body)
