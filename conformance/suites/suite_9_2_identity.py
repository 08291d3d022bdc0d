"""Who is who: possession of keys, unique node ids, keys that change (9.2-a)."""

from __future__ import annotations

from conformance.harness import signing
from conformance.harness.errors import NotOffered
from conformance.harness.registry import scenario
from conformance.harness.signing import AuthType
from conformance.harness.steps import Tamper
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

FEWEST_IN_A_ROW = 3  # two failures after a success are then no reason to lock out


@scenario()
def test_identity_proven(world: World) -> None:
    """A node applies with a key that it does not have, unsigned, and then with its own (9.2-a)."""
    contracts.needs_signed(world, "contractApply")
    partner = world.partner()
    body = partner.application(contracts.until(world))
    thief = Tamper(key=contracts.other_key(world, world.id("thief")))
    world.call("apply-unproven", partner, "contractApply", body, breaks="the key shown has signed", tamper=thief)
    unsigned = Tamper(leave_out=(signing.SIGNATURE,))
    world.call("apply-unsigned", partner, "contractApply", body, breaks="the request is signed", tamper=unsigned)
    world.own("list", "ownContractList", {"partner_node_id": partner.node_id})
    world.call("apply", partner, "contractApply", body)


@scenario()
def test_identity_taken(world: World) -> None:
    """Somebody applies under the id of a signed partner with a key of his own, then under his own id (9.2-a-1)."""
    owner = world.signed_partner("owner")
    world.own("before", "ownNodeQuery", {"node_id": owner.node_id})
    thief = world.partner("thief")
    key = contracts.other_key(world, thief.node_id)
    own = {**thief.application(contracts.until(world)), "auth_credential": key.credential}
    claim = {**own, "node_id": owner.node_id}
    stolen = Tamper(source=owner.node_id, key=key)
    world.call("apply-as-owner", thief, "contractApply", claim, breaks="the node id is free", tamper=stolen)
    world.own("after", "ownNodeQuery", {"node_id": owner.node_id})
    world.call("owner-query", owner, "contractQuery", ref(owner))
    world.call("apply", thief, "contractApply", own, tamper=Tamper(key=key))


@scenario()
def test_key_rotated(world: World) -> None:
    """A partner changes its key: the old one signs the change, afterwards only the new one counts (8.1.3-b, 9.2-a)."""
    partner = world.signed_partner()
    old, new = partner.key, contracts.other_key(world, world.id("rotated"))
    change = contracts.sync(partner, auth_credential=new.credential)
    world.call("sync-by-new", partner, "nodeSync", change, breaks="the registered key signs", tamper=Tamper(key=new))
    world.call("query-by-old", partner, "contractQuery", ref(partner))
    world.call("sync-by-old", partner, "nodeSync", change)
    partner.key = new
    world.call("query-by-new", partner, "contractQuery", ref(partner))
    back = contracts.sync(partner, auth_credential=old.credential)
    world.call("sync-back", partner, "nodeSync", back, breaks="the registered key signs", tamper=Tamper(key=old))
    world.call("sync-after", partner, "nodeSync", contracts.sync(partner))


@scenario()
def test_lockout(world: World) -> None:
    """A node fails again and again until it is locked out; others are not, and the lock-out ends (9.2-a-5)."""
    partner, other = world.signed_partner(), world.signed_partner("other")
    contracts.needs_signed(world, "contractQuery")
    world.waits_out_lockouts = False
    thief = Tamper(key=contracts.other_key(world, world.id("thief")))
    wrong = "the registered key signs"
    world.call("before", partner, "contractQuery", ref(partner))
    for count in range(world.profile.timings.lockout_threshold):
        world.call(f"fail-{count + 1}", partner, "contractQuery", ref(partner), breaks=wrong, tamper=thief)
    world.call("locked", partner, "contractQuery", ref(partner), breaks=wrong, tamper=thief)
    world.call("other", other, "contractQuery", ref(other))
    world.elapse(contracts.lockout(world))
    world.call("fail-later", partner, "contractQuery", ref(partner), breaks=wrong, tamper=thief)
    world.call("after", partner, "contractQuery", ref(partner))


@scenario()
def test_lockout_reset(world: World) -> None:
    """A node fails almost as often as is allowed, succeeds, and fails twice more (9.2-a-5)."""
    partner = world.signed_partner()
    contracts.needs_signed(world, "contractQuery")
    if world.profile.timings.lockout_threshold < FEWEST_IN_A_ROW:
        raise NotOffered(f"profile: timings.lockout_threshold is under {FEWEST_IN_A_ROW}")
    world.waits_out_lockouts = False
    thief = Tamper(key=contracts.other_key(world, world.id("thief")))
    wrong = "the registered key signs"
    for count in range(world.profile.timings.lockout_threshold - 1):
        world.call(f"fail-{count + 1}", partner, "contractQuery", ref(partner), breaks=wrong, tamper=thief)
    world.call("success", partner, "contractQuery", ref(partner))
    world.call("fail-after", partner, "contractQuery", ref(partner), breaks=wrong, tamper=thief)
    world.call("fail-again", partner, "contractQuery", ref(partner), breaks=wrong, tamper=thief)
    world.call("not-locked", partner, "contractQuery", ref(partner))


@scenario()
def test_suite_sm2(world: World) -> None:
    """A node signs a contract and works with SM2 and SM3 (9.2-a-2)."""
    _worked(world, "sm2", AuthType.SM3_SM2)


@scenario()
def test_suite_ecdsa(world: World) -> None:
    """A node signs a contract and works with ECDSA on P-256 and SHA-256 (9.2-f-2)."""
    _worked(world, "ecdsa", AuthType.SHA256_ECDSA)


@scenario()
def test_suite_rsa(world: World) -> None:
    """A node signs a contract and works with RSA of 2048 bits and SHA-256 (9.2-f-2)."""
    _worked(world, "rsa", AuthType.SHA256_RSA)


def _worked(world: World, name: str, auth_type: AuthType) -> None:
    partner = world.signed_partner(name, auth_type=auth_type)
    world.call("query", partner, "contractQuery", ref(partner))
    world.call("sync", partner, "nodeSync", contracts.sync(partner))
    world.own("health", "ownPartnerHealth", ref(partner))
