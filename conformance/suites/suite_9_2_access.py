"""Which operations open for whom: every operation of chapter 8 that the target offers is tried (9.2-a, 9.2-b-4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts
from specs import Operation


def _offered(world: World) -> Iterator[Operation]:
    stage = world.stage
    for row in stage.contract.operations.values():
        if not row.planned and row.protocol in world.profile.capabilities.protocols and stage.binding.offers(row.id):
            yield row


def _sample(world: World, row: Operation) -> dict[str, Any]:
    """Return data that an operation would take, about things that do not exist."""
    if row.method == "GET":
        asked = [item.name for item in row.parameters if item.location == "query" and item.required]
        return {name: "http://partner.invalid" if name == "address" else world.id("nothing") for name in asked}
    return dict(row.body_example or {})


@scenario(exclusive=True)
def test_access_own_side(world: World) -> None:
    """Every own-side operation is called without a token; a wrong one and a partner's signature fail too (9.2-b-4)."""
    partner = world.signed_partner()
    rows = [row for row in _offered(world) if row.auth == "operator"]
    world.fact("operations", [row.id for row in rows])
    world.own("with-token", "ownContractList", {})
    world.own("wrong-token", "ownContractList", {}, token=world.id("not-it"), breaks="the token is right")
    world.call("node-signature", partner, "ownContractList", {}, breaks="the caller is the operator")
    for row in rows:
        world.own(f"bare:{row.id}", row.id, _sample(world, row), token="", breaks="the operator's token is shown")


@scenario()
def test_access_strangers(world: World) -> None:
    """Every operation between nodes is called by a node that the target does not know (9.2-a)."""
    stranger, partner = world.partner("stranger"), world.signed_partner()
    rows = [row for row in _offered(world) if row.auth in {"known", "contract"}]
    world.fact("operations", [row.id for row in rows])
    world.call("known", partner, "nodeHealth", {})
    world.own("operator-token", "nodeHealth", {}, breaks="the caller is a node")
    for row in rows:
        world.call(f"bare:{row.id}", stranger, row.id, _sample(world, row), breaks="the sender is known by a contract")


@scenario()
def test_access_pending(world: World) -> None:
    """Every operation that rests on a contract is called by a node whose application is pending (9.2-a)."""
    pending: Partner = contracts.applied(world, "pending")
    partner = world.signed_partner()
    rows = [row for row in _offered(world) if row.auth == "contract"]
    world.fact("operations", [row.id for row in rows])
    world.call("signed", partner, "nodeSync", contracts.sync(partner))
    for row in rows:
        data = {**_sample(world, row)}
        if "contract_id" in data:
            data["contract_id"] = pending.contract_id
        world.call(f"bare:{row.id}", pending, row.id, data, breaks="there is a contract in force")
