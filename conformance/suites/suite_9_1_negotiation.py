"""What the two sides settle when they sign a contract (9.1-a, 9.2-f)."""

from __future__ import annotations

from typing import Any

from conformance.harness.partner import Partner, saying
from conformance.harness.registry import scenario
from conformance.harness.signing import AuthType
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref


def _announcing(world: World, name: str, auth_types: list[Any]) -> Partner:
    partner = world.partner(name)
    world.answers(partner, "nodeQuery", saying({**partner.particulars, "auth_types": auth_types}))
    return partner


@scenario()
def test_suite_announced(world: World) -> None:
    """A stranger asks which signature suites the target takes (9.1-a)."""
    world.call("asked", world.partner(), "nodeQuery", {"node_id": world.profile.target.node_id})


@scenario()
def test_suite_chosen(world: World) -> None:
    """The target applies to partners that announce one suite each, and several (9.1-a, 9.2-f-should)."""
    for name in sorted(world.profile.capabilities.auth_types):
        _applied(world, _announcing(world, name.lower(), [name]), name)
    choice = [name for name in AuthType if name in world.profile.capabilities.auth_types]
    _applied(world, _announcing(world, "several", choice[::-1]), "several")


def _applied(world: World, partner: Partner, step: str) -> None:
    partner.contract_id = str(contracts.own_apply(world, f"apply-{step}", partner).at("/contract_id"))
    contracts.required(
        world.awaited(f"applied-{step}", partner, "contractApply", {"node_id": world.profile.target.node_id})
    )
    world.own(f"cancel-{step}", "ownContractCancel", ref(partner))


@scenario()
def test_suite_not_in_common(world: World) -> None:
    """The target applies to a partner that announces nothing which the target takes (9.1-a)."""
    partner = _announcing(world, "partner", ["CERT"])
    contracts.own_apply(world, "apply", partner, breaks="the two sides have a suite in common")
    world.awaited("applied", partner, "contractApply", {}, within=contracts.QUIET_SECONDS)
    common = world.partner("common")
    common.contract_id = str(contracts.own_apply(world, "apply-common", common).at("/contract_id"))
    world.own("cancel-common", "ownContractCancel", ref(common))
