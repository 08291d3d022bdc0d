"""The suites that two nodes offer each other, and what becomes of an offer that was changed on the way (9.2-f)."""

from __future__ import annotations

from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner, saying
from conformance.harness.registry import scenario
from conformance.harness.signing import AuthType
from conformance.harness.world import World
from conformance.suites import contracts

BEST = "the best suite that both sides have is used"
AS_MADE = "the offer is the one that the target made"


def _two(world: World) -> tuple[str, str]:
    """Return the national suite and another that the target takes."""
    taken = [str(name) for name in AuthType if name in world.profile.capabilities.auth_types]
    if str(AuthType.SM3_SM2) not in taken or len(taken) == 1:
        raise NotOffered("profile: capabilities.auth_types lists no national suite beside another")
    return taken[0], taken[1]


def _announced(world: World, partner: Partner) -> list[str]:
    """Return what the target announces that it takes."""
    asked = {"node_id": world.profile.target.node_id}
    return [str(name) for name in world.call("asked", partner, "nodeQuery", asked).at("/auth_types")]


@scenario()
def test_offer_told(world: World) -> None:
    """The target applies to a partner, and confirms the application of another: both say who offered what (9.2-f)."""
    partner = world.partner()
    offered = world.fact("offered", ["CERT", partner.key.auth_type])
    world.answers(partner, "nodeQuery", saying({**partner.particulars, "auth_types": offered}))
    told = contracts.own_apply(world, "apply", partner)
    partner.contract_id = str(told.at("/contract_id"))
    contracts.required(world.awaited("applied", partner, "contractApply", {"node_id": world.profile.target.node_id}))
    world.own("cancel", "ownContractCancel", contracts.ref(partner))
    other = world.partner("other")
    body = {**other.application(contracts.until(world)), "auth_types": offered}
    other.contract_id = str(world.call("other:apply", other, "contractApply", body).at("/contract_id"))
    other.claims.add(other.contract_id)
    contracts.required(contracts.decided(world, other, "confirm"))


@scenario()
def test_offer_downgraded(world: World) -> None:
    """Partners apply with less than both sides have, and on an offer from which a suite was stripped (9.2-f)."""
    best, lesser = _two(world)
    announced = _announced(world, world.partner())
    cases = {
        "downgraded": (lesser, {"auth_types": [best, lesser], "seen_auth_types": announced}),
        "stripped": (lesser, {"auth_types": [lesser], "seen_auth_types": [lesser]}),
        "sound": (best, {"auth_types": [lesser, best], "seen_auth_types": announced}),
        "lesser-only": (lesser, {"auth_types": [lesser], "seen_auth_types": announced}),
    }
    for step, (auth_type, offers) in cases.items():
        partner = world.partner(step, auth_type=auth_type)
        body = {**partner.application(contracts.until(world)), **offers}
        breaks = {"downgraded": BEST, "stripped": AS_MADE}.get(step, "")
        told = world.call(step, partner, "contractApply", body, breaks=breaks)
        if told.accepted:
            partner.contract_id = str(told.at("/contract_id"))
            world.call(f"{step}:cancel", partner, "contractCancel", contracts.ref(partner))


@scenario()
def test_confirmation_downgraded(world: World) -> None:
    """Partners confirm the target's application with an offer that it did not make, or with a better one (9.2-f)."""
    best, lesser = _two(world)
    partner = world.partner(auth_type=lesser)
    told = contracts.own_apply(world, "apply", partner)
    partner.contract_id = str(told.at("/contract_id"))
    arrived = world.awaited("applied", partner, "contractApply", {"node_id": world.profile.target.node_id})
    partner.claims.add(partner.contract_id)
    sent = contracts.decision(partner, "APPROVED", arrived.sent.get("expired_time"))
    offered = _announced(world, partner)
    cases = {
        "stripped": {"auth_types": [lesser], "seen_auth_types": [lesser]},
        "better": {"auth_types": [lesser, best], "seen_auth_types": offered},
        "sound": {"auth_types": [lesser], "seen_auth_types": offered},
    }
    for step, offers in cases.items():
        breaks = {"better": BEST, "stripped": AS_MADE}.get(step, "")
        said = world.call(step, partner, "contractConfirm", {**sent, **offers}, breaks=breaks)
    partner.open_contract = said.accepted
