"""Keys and digests that are too weak, broken, or of no use (9.2-f)."""

from __future__ import annotations

import base64
import hashlib
import json

from conformance.harness import signing
from conformance.harness.registry import scenario
from conformance.harness.signing import AuthType, WeakKind, weak_credential
from conformance.harness.steps import Tamper
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref

WEAK = "the key is as strong as the suites demand"
BROKEN = "the credential is a key of the suite"


@scenario()
def test_weak_keys(world: World) -> None:
    """Nodes apply with keys that are too short, on other curves, on no curve, and with no key at all (9.2-f-2)."""
    partner = world.partner()
    for kind in (WeakKind.RSA_1024, WeakKind.P_192, WeakKind.SECP256K1):
        contracts.presented(world, kind, world.partner(kind), weak_credential(kind), breaks=WEAK)
    for kind in (WeakKind.SM2_OFF_CURVE, WeakKind.GARBAGE):
        contracts.presented(world, kind, world.partner(kind), weak_credential(kind), breaks=BROKEN)
    key = contracts.other_key(world, partner.node_id)
    contracts.presented(world, "cert", world.partner("cert"), key, auth_type="CERT", breaks=BROKEN)
    contracts.presented(world, "sound", partner, key)


@scenario()
def test_weak_key_in_sync(world: World) -> None:
    """A signed partner changes to a key that is too weak (9.2-f-2)."""
    partner = world.signed_partner()
    weak = weak_credential(WeakKind.RSA_1024)
    change = contracts.sync(partner, auth_type=AuthType.SHA256_RSA, auth_credential=weak.credential)
    world.call("sync-weak", partner, "nodeSync", change, breaks=WEAK)
    world.call("sync", partner, "nodeSync", contracts.sync(partner))


@scenario()
def test_weak_digests(world: World) -> None:
    """Requests whose digest is made with MD5 and with SHA-1; the signature over it is right (9.2-f-3)."""
    partner = world.signed_partner()
    contracts.needs_signed(world, "nodeSync")
    for name, digest in (("md5", hashlib.md5), ("sha", hashlib.sha1)):
        body = json.dumps(contracts.sync(partner), ensure_ascii=False, separators=(",", ":")).encode()
        value = f"{name}=:{base64.b64encode(digest(body).digest()).decode()}:"
        bent = Tamper(before={signing.DIGEST: value})
        world.call(name, partner, "nodeSync", raw=body, breaks="the digest is of the suite", tamper=bent)
        world.call(f"{name}:twin", partner, "contractQuery", ref(partner))
