"""Proofs of resources as the harness makes and reads them, by specs/protocols/resource-proof.md (9.2-c).

>>> from conformance.harness.keys import Key
>>> key = Key.generate("SM3_SM2")
>>> made = proof(key, "model", "node-a", "model-1", "sm3:" + 64 * "0")
>>> flaw(made, key.public, "model", "node-a", "model-1", "sm3:" + 64 * "0"), flaw({}, key.public, "model", "", "", "")
('', 'no digest')
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from conformance.harness import sm2
from conformance.harness.keys import CredentialError, Key, PublicKey

_APART = ("proof", "status")


def proof(key: Key, kind: str, owner: str, resource_id: str, digest: str) -> dict[str, Any]:
    """Return what a partner shows with a resource that it offers."""
    signature = base64.b64encode(key.sign(_text(kind, owner, resource_id, digest, None))).decode()
    return {"owner": owner, "digest": digest, "alg": key.alg, "signature": signature}


def digest_of(description: Mapping[str, Any]) -> str:
    """Return the digest of a component's description."""
    content = {name: value for name, value in description.items() if name not in _APART}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sm3:{sm2.sm3(text.encode()).hex()}"


def flaw(shown: object, key: PublicKey, kind: str, owner: str, resource_id: str, digest: str) -> str:
    """Say what is wrong with a proof that the target shows; empty where nothing is."""
    found = shown if isinstance(shown, Mapping) else {}
    told = str(found.get("digest", ""))
    if not told:
        return "no digest"
    if told.lower() != digest.lower():
        return f"the digest is {told}"
    if found.get("owner") != owner or found.get("alg") != key.alg:
        return f"owner {found.get('owner')}, alg {found.get('alg')}"
    try:
        signature = base64.b64decode(str(found.get("signature", "")), validate=True)
        key.verify(_text(kind, owner, resource_id, told, found.get("size")), signature)
    except (binascii.Error, CredentialError) as wrong:
        return f"the signature: {wrong}"
    return ""


def _text(kind: str, owner: str, resource_id: str, digest: str, size: object) -> bytes:
    lines = ("hutong resource proof 1", kind, owner, resource_id, digest, "-" if size is None else str(size))
    return "\n".join(lines).encode()
