"""Openings that the scenarios of nodes share: contracts in both directions, and what a partner sends about them.

Nothing here judges. The functions that act name their steps after a prefix, so that checks can refer to them.
"""

from __future__ import annotations

from typing import Any

from conformance.harness import signing
from conformance.harness.errors import NotOffered, Undrivable
from conformance.harness.partner import Partner
from conformance.harness.places import LONGEST_LOCKOUT
from conformance.harness.signing import Key
from conformance.harness.steps import Awaited, Tamper, Told
from conformance.harness.world import CONTRACT_DAYS, DAY_MS, World

HTML = b"<html><body>502 Bad Gateway</body></html>"
BRIEF_SECONDS = 3.0  # the period of a contract that is to run out while the scenario goes on
QUIET_SECONDS = 0.3  # how long a scenario looks out for a call that must not come


def required(told: Told | Awaited) -> None:
    """End the scenario here unless the step was accepted, or the call has come."""
    _ = told.data if isinstance(told, Told) else told.sent


def until(world: World) -> int:
    """Return the end of an ordinary contract."""
    return world.now_ms() + CONTRACT_DAYS * DAY_MS


def ref(partner: Partner) -> dict[str, str]:
    """Return the body that names a partner's contract."""
    return {"contract_id": partner.contract_id}


def applied(world: World, name: str, expired_time: int | None = None) -> Partner:
    """Play a node that has applied to the target and waits for the decision."""
    partner = world.partner(name)
    told = world.call(f"{name}:apply", partner, "contractApply", partner.application(expired_time or until(world)))
    partner.contract_id = str(told.at("/contract_id"))
    partner.claims.add(partner.contract_id)
    return partner


def own_apply(
    world: World,
    step: str,
    partner: Partner,
    *,
    expired_time: int | None = None,
    breaks: str = "",
) -> Told:
    """Have the target's operator apply to a partner."""
    if "initiator" not in world.profile.capabilities.roles:
        raise NotOffered("profile: capabilities.roles does not list initiator")
    asked = {"address": partner.particulars["address"], "node_id": partner.node_id}
    return world.own(step, "ownContractApply", {**asked, "expired_time": expired_time or until(world)}, breaks=breaks)


def taken(world: World, name: str, expired_time: int | None = None) -> Partner:
    """Play a node that the target has applied to and that has not decided yet."""
    partner = world.partner(name)
    partner.contract_id = str(
        own_apply(world, f"{name}:own-apply", partner, expired_time=expired_time).at("/contract_id")
    )
    arrived = world.awaited(f"{name}:applied", partner, "contractApply", {"node_id": world.profile.target.node_id})
    partner.claims.add(partner.contract_id)
    world.fact(f"{name}:asked-until", arrived.sent.get("expired_time"))
    return partner


def decision(partner: Partner, status: str, expired_time: int | None = None) -> dict[str, Any]:
    """Return what a partner that was applied to tells the target."""
    said: dict[str, Any] = {
        **ref(partner),
        "status": status,
        "auth_type": partner.key.auth_type,
        "auth_credential": partner.key.credential,
    }
    if partner.signature_base > signing.OLDEST:
        said[signing.ANNOUNCED] = partner.signature_base
    said |= {name: partner.particulars[name] for name in ("grpc_address",) if name in partner.particulars}
    return said if expired_time is None else {**said, "expired_time": expired_time}


def approve(world: World, partner: Partner, step: str) -> Told:
    """Have a partner accept the target's application for as long as was asked."""
    asked = world.facts.get(f"{step.split(':', maxsplit=1)[0]}:asked-until")
    told = world.call(step, partner, "contractConfirm", decision(partner, "APPROVED", asked or until(world)))
    partner.open_contract = told.accepted
    return told


def decided(world: World, partner: Partner, step: str, status: str = "APPROVED", **more: Any) -> Awaited:
    """Have the target's operator decide a partner's application, and wait until the partner has been told."""
    told = world.own(step, "ownContractConfirm", {**ref(partner), "status": status, **more})
    partner.open_contract = told.accepted and status == "APPROVED"
    return world.awaited(f"{step}:told", partner, "contractConfirm", ref(partner))


def sync(partner: Partner, **changes: Any) -> dict[str, Any]:
    """Return a message of a partner's new particulars."""
    own = {name: value for name, value in partner.particulars.items() if name != "node_id"}
    key = {"auth_type": partner.key.auth_type, "auth_credential": partner.key.credential}
    return {**own, **key, **ref(partner), **changes}


def other_key(world: World, owner: str, auth_type: str = "") -> Key:
    """Return a sound key that belongs to nobody else."""
    return world.stage.keyring.key(auth_type or world.profile.capabilities.auth_types[0], owner)


def presented(world: World, step: str, partner: Partner, key: Key, *, auth_type: str = "", breaks: str = "") -> Told:
    """Have a partner apply with another key than its own, which also signs."""
    body = {**partner.application(until(world)), "auth_credential": key.credential}
    body["auth_type"] = auth_type or key.auth_type
    return world.call(step, partner, "contractApply", body, breaks=breaks, tamper=Tamper(key=key))


def needs_signed(world: World, operation: str) -> None:
    """End the scenario where the binding has no signature on an operation."""
    if not world.stage.binding.signed(operation):
        raise NotOffered(f"binding {world.stage.binding.name}: {operation} carries no signature")


def lockout(world: World) -> float:
    """Return how long the target locks a node out. Raises Undrivable where that is too long to wait for."""
    seconds = world.profile.timings.lockout_seconds
    if seconds > LONGEST_LOCKOUT:
        hint = f"profile: timings.lockout_seconds is {seconds}"
        raise Undrivable(f"{hint}; set the node under test to {LONGEST_LOCKOUT} or less to see the lock-out end")
    return seconds + 0.2
