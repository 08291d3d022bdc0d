"""Proofs of resources: who vouches for which content of a dataset, a model or a component (9.2-c, 9.2-c-3).

A proof holds the owner, the digest of the content (SM3), its size where it is a file, and the owner's signature, in its
own suite, over the text of `specs/protocols/resource-proof.md`. Guarantees: a proof of one resource, kind, owner or
content is none of another; a file is read in pieces and not again while inode, time of change and size are the same.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes

from reference_node.security.errors import InvalidSignature
from reference_node.security.keys import PrivateKey, PublicKey

SM3: Final = "sm3"
_HASHES: Final = {
    SM3: hashes.SM3(),
    "sha256": hashes.SHA256(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-512": hashes.SHA3_512(),
}
DATASET, MODEL, COMPONENT = "dataset", "model", "component"
_HEADING: Final = "hutong resource proof 1"
_PIECE: Final = 1 << 20
_NOT_PROVEN: Final = frozenset({"proof", "status"})
# what was read before, by what tells that a file is still the same
_read: dict[tuple[str, int, int, int, int], str] = {}
_MOST_READ: Final = 4096

Stamp = tuple[int, int, int, int]


def issue(key: PrivateKey, kind: str, owner: str, resource_id: str, digest: str, size: int | None) -> dict[str, Any]:
    """Return the proof of a resource."""
    signature = key.sign(text(kind, owner, resource_id, digest, size))
    proof = {"owner": owner, "digest": digest, "alg": key.public.suite.alg}
    proof |= {"signature": base64.b64encode(signature).decode()}
    return proof if size is None else {**proof, "size": size}


def check(proof: Mapping[str, Any], key: PublicKey, kind: str, owner: str, resource_id: str, digest: str) -> None:
    """Return when a proof is of this very resource and content by the owner's key; raise InvalidSignature."""
    if proof.get("owner") != owner or normal(str(proof.get("digest"))) != normal(digest):
        raise InvalidSignature("the proof is of another owner or content")
    if proof.get("alg") != key.suite.alg:
        raise InvalidSignature("the proof is not of the suite of its owner's key")
    try:
        signature = base64.b64decode(str(proof.get("signature")), validate=True)
    except (binascii.Error, ValueError) as unreadable:
        raise InvalidSignature("the proof's signature is not base64") from unreadable
    key.verify(text(kind, owner, resource_id, str(proof.get("digest")), proof.get("size")), signature)


def text(kind: str, owner: str, resource_id: str, digest: str, size: int | None) -> bytes:
    """Return what is signed."""
    return "\n".join((_HEADING, kind, owner, resource_id, digest, "-" if size is None else str(size))).encode()


def normal(digest: str) -> str:
    """Return a digest with its algorithm in front, in lower case; without one it is SM3."""
    return digest.lower() if ":" in digest else f"sm3:{digest.lower()}"


def algorithm_of(digest: str) -> str:
    """Return by which hash a digest was made (9.2-f-3); raise InvalidSignature for one that is not taken."""
    found = normal(digest).partition(":")[0]
    if found not in _HASHES:
        raise InvalidSignature(f"digests by {found} are not taken, but by {', '.join(_HASHES)}")
    return found


def of_description(described: Mapping[str, Any]) -> str:
    """Return the digest of a component's description as it goes over the wire, without its proof and its status."""
    content = {name: value for name, value in described.items() if name not in _NOT_PROVEN}
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    running = hashes.Hash(hashes.SM3())
    running.update(canonical.encode())
    return f"sm3:{running.finalize().hex()}"


def stamp(path: Path) -> Stamp:
    """Return what tells that a file is still the same: device, inode, time of change, size; raise OSError.

    The time is that of the inode, which nobody can set back: the one of the content is whatever its writer says.
    """
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size


def of_file(path: Path, algorithm: str = SM3) -> tuple[str, Stamp]:
    """Return digest and stamp of a file; one that has not changed since it was read is not read again."""
    before = stamp(path)
    if (algorithm, *before) in _read:
        return _read[algorithm, *before], before
    running = hashes.Hash(_HASHES[algorithm])
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            running.update(piece)
    digest = f"{algorithm}:{running.finalize().hex()}"
    if stamp(path) == before:  # it did not change while it was read
        if len(_read) >= _MOST_READ:
            _read.clear()
        _read[algorithm, *before] = digest
    return digest, before
