"""Odd keys, hostile ids and bodies, ids that collide, a permit used at once (9.2-a-1, 9.2-b-2, 9.2-e-5, 9.2-f)."""

from __future__ import annotations

import gzip
import json
from functools import partial

from conformance.harness import bent
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.signing import AuthType
from conformance.harness.steps import Tamper
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref
from conformance.suites.material import granted, needed, own_dataset, shown, use

LEVELS = 10_000
BIG = 4 * 1024 * 1024
BOMB = 16 * 1024 * 1024
USES, LIMIT = 24, 5
WIDE = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
WEAK_SUITES = {
    "sha1-rsa": ("SHA1_RSA", AuthType.SHA256_RSA),
    "md5-rsa": ("MD5_RSA", AuthType.SHA256_RSA),
    "sha1-ecdsa": ("SHA1_ECDSA", AuthType.SHA256_ECDSA),
    "des": ("DES", AuthType.SM3_SM2),
}


@scenario()
def test_odd_keys(world: World) -> None:
    """Nodes apply with points that are none and with keys under a wrong name or in a wrong form (9.2-f-2)."""
    breaks = "the credential is a public key of the suite, in its one form"
    for kind in bent.OddKind:
        contracts.presented(world, kind, world.partner(kind), bent.odd_key(kind), breaks=breaks)
    partner = world.partner()
    contracts.presented(world, "sound", partner, partner.key)


@scenario()
def test_weak_suites(world: World) -> None:
    """Nodes apply with suites of SHA-1, MD5 and DES, with keys that are strong enough (9.2-f)."""
    for name, (weak, kind) in WEAK_SUITES.items():
        key = contracts.other_key(world, world.id(name), kind)
        contracts.presented(world, name, world.partner(name), key, auth_type=weak, breaks="the suite is strong enough")
    partner = world.partner()
    contracts.presented(world, "sound", partner, partner.key)


@scenario()
def test_hostile_ids(world: World) -> None:
    """The id of a contract is written as a path, with a NUL, with blanks, in wide letters and in capitals (9.2-e-5)."""
    partner = world.signed_partner()
    known = partner.contract_id
    hostile = {
        "parent": f"../{known}",
        "inside": f"elsewhere/../{known}",
        "encoded": f"%2e%2e%2f{known}",
        "backslash": f"..\\{known}",
        "nul": f"{known}\0.json",
        "blanks": known + " " * 4000,
        "wide": known.translate(WIDE),
        "capitals": known.swapcase(),
    }
    world.fact("tried", list(hostile))
    for name, text in hostile.items():
        world.call(name, partner, "contractQuery", {"contract_id": text}, breaks="the id is the contract's")
    world.call("sound", partner, "contractQuery", ref(partner))


@scenario()
def test_hostile_bodies(world: World) -> None:
    """Bodies of ten thousand levels, of four megabytes, packed, with numbers beyond all bounds (9.2-e-5)."""
    partner = world.signed_partner()
    forged = json.dumps(contracts.sync(partner, name=world.fact("name", world.id("forged")))).encode()
    deep = b', "more": ' + b"[" * LEVELS + b"]" * LEVELS + b"}"
    bodies = {"deep": forged[:-1] + deep, "big": forged[:-1] + b" " * BIG + b"}"}
    for name, body in bodies.items():
        world.call(name, partner, "nodeSync", raw=body, breaks="the body keeps within bounds")
    packed = gzip.compress(forged[:-1] + b" " * BOMB + b"}")
    bomb = Tamper(after={"content-encoding": "gzip"})
    world.call("bomb", partner, "nodeSync", raw=packed, breaks="the body keeps within bounds", tamper=bomb)
    _foreign(world, partner, forged)
    world.call("right", partner, "nodeSync", contracts.sync(partner))
    exact = world.partner("exact")
    for name, number in (("infinite", b"1e999"), ("long", b"9" * 400)):
        applied = world.partner(name)
        body = json.dumps(applied.application(1)).encode().replace(b'"expired_time": 1', b'"expired_time": ' + number)
        world.call(name, applied, "contractApply", raw=body, breaks="the number is one that all can read")
    world.call("exact", exact, "contractApply", exact.application(contracts.until(world)))


def _foreign(world: World, partner: Partner, body: bytes) -> None:
    """Send a body as another kind of text than JSON in UTF-8."""
    kinds = {"form": "application/x-www-form-urlencoded", "plain": "text/plain", "none": ""}
    for name, kind in kinds.items():
        other = Tamper(after={"content-type": kind}) if kind else Tamper(leave_out=("content-type",))
        world.call(name, partner, "nodeSync", raw=body, breaks="the body is JSON and says so", tamper=other)
    wide = body.decode().encode("utf-16")
    said = Tamper(after={"content-type": "application/json; charset=utf-16"})
    world.call("utf-16", partner, "nodeSync", raw=wide, breaks="the body is in UTF-8", tamper=said)


@scenario()
def test_ids_collide(world: World) -> None:
    """Two keys apply for one id while both wait, and a node comes whose id differs in case only (9.2-a-1)."""
    contracts.needs_signed(world, "contractApply")
    one, two = world.partner("one"), contracts.other_key(world, world.id("two"))
    first = one.application(contracts.until(world))
    second = {**first, "auth_type": two.auth_type, "auth_credential": two.credential}
    taken = "the node id is free"
    world.together(
        [
            partial(world.call, "first", one, "contractApply", first, breaks=taken),
            partial(world.call, "second", one, "contractApply", second, breaks=taken, tamper=Tamper(key=two)),
        ]
    )
    owner = world.signed_partner("owner")
    world.own("before", "ownNodeQuery", {"node_id": owner.node_id})
    double = world.partner(node_id=owner.node_id.swapcase())
    world.call("double", double, "contractApply", double.application(contracts.until(world)), breaks="it is another id")
    world.call("double-query", double, "contractQuery", ref(owner), breaks="the contract is another's")
    world.own("after", "ownNodeQuery", {"node_id": owner.node_id})
    world.call("owner-query", owner, "contractQuery", ref(owner))


@scenario()
def test_permit_race(world: World) -> None:
    """A permit for five uses is used two dozen times at once (9.2-b-2)."""
    partner = world.signed_partner()
    lent = own_dataset(world, "lent")
    good = shown(granted(world, partner, "lent", lent, times_limit=LIMIT))
    world.fact("limit", LIMIT)
    world.fact("uses", [f"use-{number}" for number in range(USES)])
    one = {"contract_id": partner.contract_id, "dataset_id": lent}
    needed(use(world, "other", partner, own_dataset(world, "open", "PUBLIC")))
    world.together(
        [
            partial(world.call, name, partner, "datasetPubQuery", one, permits=good, breaks="there are uses left")
            for name in world.facts["uses"]
        ]
    )
