"""Contracts for which the target applies to partners (8.1.1-c, 8.1.2, target as initiator)."""

from __future__ import annotations

from conformance.harness.partner import raw, refusing, saying
from conformance.harness.registry import scenario
from conformance.harness.steps import Tamper
from conformance.harness.world import DAY_MS, World
from conformance.suites import contracts
from conformance.suites.contracts import ref


@scenario()
def test_own_contract_approved(world: World) -> None:
    """The target applies, the partner accepts, says so again, then the contrary (8.1.2-a, 8.1.2-b)."""
    partner = world.partner()
    world.own("self", "ownNodeQuery", {"node_id": world.profile.target.node_id})
    asked_until = world.fact("until", contracts.until(world))
    told = contracts.own_apply(world, "own-apply", partner, expired_time=asked_until)
    partner.contract_id = str(told.at("/contract_id"))
    world.awaited("applied", partner, "contractApply", {"node_id": world.profile.target.node_id})
    world.own("own-pending", "ownContractQuery", ref(partner))
    yes = contracts.decision(partner, "APPROVED", asked_until)
    partner.open_contract = world.call("confirm", partner, "contractConfirm", yes).accepted
    world.own("own-approved", "ownContractQuery", ref(partner))
    world.call("query", partner, "contractQuery", ref(partner))
    world.call("confirm-again", partner, "contractConfirm", yes)
    no = contracts.decision(partner, "REJECTED")
    world.call("contradict", partner, "contractConfirm", no, breaks="the application is pending")
    world.own("own-after", "ownContractQuery", ref(partner))


@scenario()
def test_own_contract_rejected(world: World) -> None:
    """The target applies and the partner rejects (8.1.2-b)."""
    partner = contracts.taken(world, "partner")
    world.call("reject", partner, "contractConfirm", contracts.decision(partner, "REJECTED"))
    world.own("own", "ownContractQuery", ref(partner))


@scenario()
def test_own_contract_confirmed_wrongly(world: World) -> None:
    """Another node decides, a key is shown without proof, the period grows; then all is right (8.1.2-b)."""
    partner, stranger = contracts.taken(world, "partner"), world.partner("stranger")
    asked = int(world.facts["partner:asked-until"] or contracts.until(world))
    yes = contracts.decision(partner, "APPROVED", asked)
    stranger.contract_id = partner.contract_id
    world.own("before", "ownContractQuery", ref(partner))
    foreign = contracts.decision(stranger, "APPROVED", asked)
    world.call("confirm-by-stranger", stranger, "contractConfirm", foreign, breaks="the sender is who was applied to")
    world.own("after-stranger", "ownContractQuery", ref(partner))
    longer = {**yes, "expired_time": asked + DAY_MS}
    world.call("confirm-longer", partner, "contractConfirm", longer, breaks="the period is not longer than was asked")
    world.own("after-longer", "ownContractQuery", ref(partner))
    contracts.needs_signed(world, "contractConfirm")
    thief = Tamper(key=contracts.other_key(world, world.id("thief")))
    world.call("confirm-unproven", partner, "contractConfirm", yes, breaks="the key shown has signed", tamper=thief)
    world.own("after-unproven", "ownContractQuery", ref(partner))
    contracts.approve(world, partner, "partner:confirm")


@scenario()
def test_own_contract_confirmed_late(world: World) -> None:
    """One partner accepts in time, another when the period is over (8.1.2-b)."""
    timely = contracts.taken(world, "timely")
    contracts.approve(world, timely, "timely:confirm")
    period = world.brief(contracts.BRIEF_SECONDS)
    late = contracts.taken(world, "late", world.now_ms() + int(period * 1000))
    world.elapse(period + 0.1)
    yes = contracts.decision(late, "APPROVED", world.facts["late:asked-until"] or world.now_ms())
    world.call("late:confirm", late, "contractConfirm", yes, breaks="the application has not expired")
    world.own("own", "ownContractQuery", ref(late))


@scenario()
def test_own_contract_callback_lost(world: World) -> None:
    """The partner's decision never arrives; the operator's query makes it good, useless answers do not (8.1.1-c)."""
    partner = contracts.taken(world, "partner")
    world.answers(partner, "contractQuery", raw(200, contracts.HTML))
    world.own("own-nonsense", "ownContractQuery", ref(partner))
    asked = world.facts["partner:asked-until"] or contracts.until(world)
    state = contracts.decision(partner, "APPROVED", int(asked))
    world.answers(partner, "contractQuery", saying({**state, "contract_id": world.id("contract-of-others")}))
    world.own("own-foreign", "ownContractQuery", ref(partner))
    world.answers(partner, "contractQuery", saying(state))
    world.own("own-made-good", "ownContractQuery", ref(partner))
    partner.open_contract = world.call("sync", partner, "nodeSync", contracts.sync(partner)).accepted


@scenario()
def test_own_contract_cancelled(world: World) -> None:
    """The operator withdraws: a pending application, one that the partner holds on to, an accepted one (8.1.2-c)."""
    first, second, third = (contracts.taken(world, name) for name in ("first", "second", "third"))
    world.own("cancel", "ownContractCancel", ref(first))
    world.awaited("told", first, "contractCancel", ref(first))
    world.own("own-cancelled", "ownContractQuery", ref(first))
    world.answers(second, "contractCancel", refusing(409, "CONTRACT_NOT_PENDING", 40901))
    world.own("cancel-held", "ownContractCancel", ref(second), breaks="the partner agrees")
    world.own("own-held", "ownContractQuery", ref(second))
    contracts.approve(world, third, "third:confirm")
    world.own("own-before", "ownContractQuery", ref(third))
    world.own("cancel-late", "ownContractCancel", ref(third), breaks="the application is pending")
    world.awaited("told-late", third, "contractCancel", ref(third), within=contracts.QUIET_SECONDS)
    world.own("own-after", "ownContractQuery", ref(third))


@scenario()
def test_own_contract_cancelled_by_partner(world: World) -> None:
    """A signed partner withdraws what the target has applied for, instead of deciding it (8.1.2-c)."""
    partner = world.signed_partner()
    second = {"contract_id": contracts.own_apply(world, "own-apply", partner).at("/contract_id")}
    world.own("before", "ownContractQuery", second)
    world.call("cancel-by-approver", partner, "contractCancel", second, breaks="the sender has applied")
    world.own("after", "ownContractQuery", second)
    applicant = contracts.applied(world, "applicant")
    world.call("cancel-by-applicant", applicant, "contractCancel", ref(applicant))
    world.own("withdraw", "ownContractCancel", second)


@scenario()
def test_own_contract_failed(world: World) -> None:
    """The target applies to a partner that fails in one way after the other, and at last takes it (8.1.2-a)."""
    partner = world.partner()
    listed = {"partner_node_id": partner.node_id}
    failures = {
        "html": raw(200, contracts.HTML),
        "error": raw(500, contracts.HTML),
        "refusal": refusing(403, "NOT_YOURS", 40305),
        "no-id": saying({}),
        "odd-id": saying({"contract_id": "../../etc"}),
    }
    for name, behaviour in failures.items():
        world.answers(partner, "contractApply", behaviour)
        contracts.own_apply(world, f"apply-{name}", partner, breaks="the partner takes the application")
    world.own("list-failed", "ownContractList", listed)
    impostor = world.partner("impostor")
    world.answers(impostor, "nodeQuery", saying({**impostor.particulars, "node_id": world.id("another")}))
    contracts.own_apply(world, "apply-impostor", impostor, breaks="the node at the address is the one asked for")
    world.awaited("impostor-applied", impostor, "contractApply", {}, within=contracts.QUIET_SECONDS)
    last = world.partner("last")
    last.contract_id = str(contracts.own_apply(world, "apply", last).at("/contract_id"))
    world.own("cancel", "ownContractCancel", ref(last))


@scenario()
def test_own_contract_terminated(world: World) -> None:
    """The target applied, the partner accepts and later ends the contract (8.1.2-e)."""
    partner = contracts.taken(world, "partner")
    contracts.required(contracts.approve(world, partner, "partner:confirm"))
    world.call("terminate", partner, "contractTerminate", ref(partner))
    partner.open_contract = False
    world.own("own", "ownContractQuery", ref(partner))
