"""Requests that go wrong half-way: the node answers with a definite error and keeps its data consistent (9.2-e-5)."""

from __future__ import annotations

import json

from conformance.harness.registry import scenario
from conformance.harness.world import DAY_MS, World
from conformance.suites import contracts
from conformance.suites.contracts import ref


@scenario()
def test_broken_bodies(world: World) -> None:
    """Bodies that are no JSON, no object, too deep, ambiguous, and one that is right (9.2-e-5)."""
    partner = world.signed_partner()
    right = json.dumps(contracts.sync(partner)).encode()
    bodies = {
        "cut": right[:-1],
        "list": b"[1, 2]",
        "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "twice": right[:-1] + b', "name": "somebody else"}',
        "bytes": b"\xff\xfe\x00",
    }
    for name, body in bodies.items():
        world.call(name, partner, "nodeSync", raw=body, breaks="the body is one JSON object")
    world.call("right", partner, "nodeSync", raw=right)


@scenario()
def test_refused_changes(world: World) -> None:
    """A decision and new particulars are refused for their last field; nothing of them is kept (9.2-e-5)."""
    partner = contracts.taken(world, "partner")
    asked = int(world.facts["partner:asked-until"] or contracts.until(world))
    longer = contracts.decision(partner, "APPROVED", asked + DAY_MS)
    world.own("own-before", "ownContractQuery", ref(partner))
    world.call("confirm-longer", partner, "contractConfirm", longer, breaks="the period is not longer than was asked")
    world.own("own-after", "ownContractQuery", ref(partner))
    contracts.approve(world, partner, "partner:confirm")
    world.own("known-before", "ownNodeQuery", {"node_id": partner.node_id})
    garbage = "-----BEGIN PUBLIC KEY-----\nnot a key\n-----END PUBLIC KEY-----\n"
    moved = contracts.sync(partner, address="http://elsewhere.invalid", auth_credential=garbage)
    world.call("sync-garbage", partner, "nodeSync", moved, breaks="the credential is a key")
    world.own("known-after", "ownNodeQuery", {"node_id": partner.node_id})
    world.call("sync", partner, "nodeSync", contracts.sync(partner))
