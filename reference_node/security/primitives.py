"""The one registry of cryptographic primitives with their strength in bits (9.2-f-1 to 9.2-f-4).

Signature suites, the vault, the channel and the intersection are all built of these and of nothing else. Guarantees: a
cipher under 128 bits, a hash function under 128 bits of collision resistance and a key under 112 bits (RSA-2048) cannot
be registered, so nothing that is configured by name can be weaker; of two that would do, the national one comes first;
what is not registered is refused by name.

>>> weakest("SM2", "SM3", "SM4")
128
>>> [item.name for item in registered(find("AES-128"), find("SM4"))]
['SM4', 'AES-128']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reference_node.security.errors import WeakSuite

MINIMUM_STRENGTH_BITS: Final = 112


class Use(StrEnum):
    """What a primitive is for."""

    CIPHER = "cipher"
    HASH = "hash"
    KEY = "key"  # signatures and key exchange


# 9.2-f-1, 9.2-f-3 and 9.2-f-2, whose least is RSA-2048
FLOORS: Final[Mapping[Use, int]] = {Use.CIPHER: 128, Use.HASH: 128, Use.KEY: MINIMUM_STRENGTH_BITS}
# comparable strengths of an RSA modulus and of a curve's order: NIST SP 800-57 part 1 rev. 5, table 2
_RSA_STRENGTHS: Final = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (1024, 80))
# output bits of hash functions by their names in content-digest; the last two so that a refusal can say how weak
_OUTPUTS: Final = {"sm3": 256, "sha-256": 256, "sha": 160, "md5": 128}


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive at one size; `strength_bits` is what breaking it costs."""

    name: str
    use: Use
    strength_bits: int
    national: bool = False


def rsa_strength(modulus_bits: int) -> int:
    """Return the strength of an RSA modulus."""
    return next((bits for modulus, bits in _RSA_STRENGTHS if modulus_bits >= modulus), 0)


def curve_strength(order_bits: int) -> int:
    """Return the strength of an elliptic curve whose order has so many bits."""
    return order_bits // 2


def hash_strength(name: str) -> int:
    """Return the collision resistance of a hash function as content-digest names it; of an unknown one 0."""
    return _OUTPUTS.get(name, 0) // 2


def registered(*primitives: Primitive) -> tuple[Primitive, ...]:
    """Order primitives, national ones first; refuse a weak one, and two of one name."""
    for item in primitives:
        if item.strength_bits < FLOORS[item.use]:
            raise WeakSuite(f"{item.name} has {item.strength_bits} bits, under {FLOORS[item.use]}")
    if len({item.name for item in primitives}) != len(primitives):
        raise ValueError("two primitives have one name")
    return tuple(sorted(primitives, key=lambda item: not item.national))


PRIMITIVES: Final = registered(
    Primitive("SM4", Use.CIPHER, 128, national=True),
    Primitive("AES-128", Use.CIPHER, 128),
    Primitive("AES-192", Use.CIPHER, 192),
    Primitive("AES-256", Use.CIPHER, 256),
    Primitive("ChaCha20", Use.CIPHER, 256),
    Primitive("SM3", Use.HASH, 128, national=True),
    Primitive("SHA-256", Use.HASH, 128),
    Primitive("SHA-384", Use.HASH, 192),
    Primitive("SHA3-256", Use.HASH, 128),
    Primitive("SHA3-512", Use.HASH, 256),
    Primitive("SM2", Use.KEY, curve_strength(256), national=True),
    Primitive("P-256", Use.KEY, curve_strength(256)),
    Primitive("P-384", Use.KEY, curve_strength(384)),
    # a field of 255 bits; RFC 7748 counts it as 128 bits, as this standard does with all curves of 256 bits
    Primitive("X25519", Use.KEY, 128),
    Primitive("RSA-2048", Use.KEY, rsa_strength(2048)),
    Primitive("RSA-3072", Use.KEY, rsa_strength(3072)),
    Primitive("RSA-4096", Use.KEY, rsa_strength(4096)),
)
_BY_NAME: Final = {item.name: item for item in PRIMITIVES}


def find(name: str) -> Primitive:
    """Return a registered primitive; raise WeakSuite for every other, weak or unknown."""
    if name not in _BY_NAME:
        raise WeakSuite(f"{name} is not a registered primitive", hint="use one of " + ", ".join(_BY_NAME))
    return _BY_NAME[name]


def weakest(*names: str) -> int:
    """Return the strength of what is built of these primitives: that of the weakest."""
    return min(find(name).strength_bits for name in names)
