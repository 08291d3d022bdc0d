"""The registry of primitives (9.2-f-1 to 9.2-f-4): what may be used, how strong it is, what has no place in it."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

import specs
from reference_node.algorithms.psi.curves import Suite
from reference_node.config import Config
from reference_node.security import primitives
from reference_node.security.errors import WeakSuite
from reference_node.security.primitives import PRIMITIVES, Primitive, Use
from reference_node.security.suites import SUITES, TLS_SUITES
from reference_node.security.vault import CipherName

# the suites of the intersection; its module knows nothing of the node
OF_INTERSECTION = {Suite.SM2: ("SM2", "SM3"), Suite.X25519: ("X25519", "SHA-256")}


def test_the_standards_primitives_are_registered_and_national_ones_come_first() -> None:
    """SM2, SM3, SM4 lead; what 9.2-f names is there, with the strength that it names."""
    assert {item.name for item in PRIMITIVES[:3]} == {"SM4", "SM3", "SM2"}
    wanted = {"SM4": 128, "AES-128": 128, "RSA-2048": 112, "SM2": 128, "P-256": 128}
    wanted |= {"SM3": 128, "SHA-256": 128, "SHA3-256": 128, "SHA3-512": 256}
    assert {name: primitives.find(name).strength_bits for name in wanted} == wanted


@pytest.mark.parametrize(
    "weak",
    [
        Primitive("DES", Use.CIPHER, 56),
        Primitive("3DES", Use.CIPHER, 112),
        Primitive("MD5", Use.HASH, primitives.hash_strength("md5")),
        Primitive("SHA-1", Use.HASH, primitives.hash_strength("sha")),
        Primitive("P-192", Use.KEY, primitives.curve_strength(192)),
        Primitive("RSA-1024", Use.KEY, primitives.rsa_strength(1024)),
    ],
    ids=lambda item: item.name,
)
def test_what_is_weaker_cannot_be_registered_nor_found(weak: Primitive) -> None:
    """Neither as a new primitive nor by its name."""
    with pytest.raises(WeakSuite, match=weak.name):
        primitives.registered(weak)
    with pytest.raises(WeakSuite, match=weak.name):
        primitives.find(weak.name)
    with pytest.raises(ValueError, match="one name"):
        primitives.registered(PRIMITIVES[0], PRIMITIVES[0])


def test_everything_that_the_node_uses_is_made_of_registered_primitives() -> None:
    """Signatures, channel, vault and intersection reach their floors, the national choice being the default."""
    assert all(suite.strength_bits >= primitives.MINIMUM_STRENGTH_BITS for suite in (*SUITES, *TLS_SUITES))
    assert [primitives.weakest(*OF_INTERSECTION[suite]) for suite in Suite] == [128, 128]
    assert Config().cipher == CipherName.SM4_GCM
    assert Config().auth_type == SUITES[0].auth_type


@pytest.mark.parametrize("name", ["intersection", "statistics"])
def test_a_component_claims_no_more_than_its_primitives_give(name: str) -> None:
    """The statement of the built-in components stays within the strength of the suites (9.2-c-2)."""
    path = specs.folder() / "components" / f"{name}.json"
    described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert (
        112
        <= described["security"]["computational_bits"]
        <= min(primitives.weakest(*names) for names in OF_INTERSECTION.values())
    )


def test_the_examples_run() -> None:
    """The module's example does what it shows."""
    assert doctest.testmod(primitives).failed == 0
