"""Proofs of resources (9.2-c): what they bind, and when a file is read again."""

from __future__ import annotations

import doctest
import os
from pathlib import Path
from typing import Any

import pytest

from conformance.harness import proofs as harness
from conformance.harness.keys import PublicKey as HarnessKey
from reference_node.domain import statement
from reference_node.security import proofs
from reference_node.security.errors import InvalidSignature
from reference_node.security.keys import PrivateKey
from reference_node.security.suites import AuthType

DIGEST = f"sm3:{'ab' * 32}"
RIGHT = ("model", "node-a", "model-1", DIGEST)


@pytest.mark.parametrize("auth_type", list(AuthType))
def test_a_proof_holds_and_the_harness_agrees(auth_type: AuthType) -> None:
    """In every suite; the harness makes and reads proofs with code of its own."""
    key = PrivateKey.generate(auth_type)
    proof = proofs.issue(key, *RIGHT, size=7)
    proofs.check(proof, key.public, *RIGHT)
    theirs = HarnessKey.from_credential(str(auth_type), key.public.pem)
    assert harness.flaw(proof, theirs, *RIGHT) == ""


@pytest.mark.parametrize("place", range(4), ids=["kind", "owner", "id", "digest"])
def test_a_proof_of_one_thing_is_none_of_another(place: int) -> None:
    """Kind, owner, id and content are all bound."""
    key = PrivateKey.generate(AuthType.SM3_SM2)
    proof = proofs.issue(key, *RIGHT, size=None)
    other = [*RIGHT]
    other[place] = ("dataset", "node-b", "model-2", f"sm3:{'cd' * 32}")[place]
    with pytest.raises(InvalidSignature):
        proofs.check(proof, key.public, *other)


@pytest.mark.parametrize(
    "change",
    [{"size": 8}, {"alg": "rsa-v1_5-sha256"}, {"signature": "%%"}, {"signature": None}, {"owner": None}],
    ids=["size", "alg", "no-base64", "no-signature", "no-owner"],
)
def test_an_altered_proof_is_refused(change: dict[str, Any]) -> None:
    """Whatever part of it is altered."""
    key = PrivateKey.generate(AuthType.SM3_SM2)
    proof = {**proofs.issue(key, *RIGHT, size=7), **change}
    with pytest.raises(InvalidSignature):
        proofs.check(proof, key.public, *RIGHT)


def test_a_file_is_read_again_only_when_its_stamp_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same inode, time of change and size spare the reading; another time costs one."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"abc")
    digest, _ = proofs.of_file(path)
    assert digest == "sm3:66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    opened: list[Path] = []
    real = Path.open

    def seen(self: Path, mode: str) -> Any:
        opened.append(self)
        return real(self, mode)

    monkeypatch.setattr(Path, "open", seen)
    assert proofs.of_file(path)[0] == digest
    assert opened == []
    os.utime(path, ns=(1, 1))
    assert proofs.of_file(path)[0] == digest
    assert opened == [path]


def test_the_harness_reads_a_description_as_the_node_does() -> None:
    """The digest is over the canonical JSON without proof and status."""
    described = {"name": "求交", "b": [1, {"z": None, "a": "\u2028"}], "status": "AVAILABLE", "proof": {}}
    assert proofs.of_description(described) == harness.digest_of({**described, "status": "UNAVAILABLE"})
    assert proofs.of_description(described) != harness.digest_of({**described, "b": []})


@pytest.mark.parametrize(
    ("demand", "pointer"),
    [
        ({"computational_bits": 129}, "/security/computational_bits"),
        ({"statistical_bits": 41}, "/security/statistical_bits"),
        ({"model": "malicious"}, "/security/model"),
        ({"model": "semi-honest", "computational_bits": 112}, None),
    ],
)
def test_a_demand_is_held_against_the_statement(demand: dict[str, Any], pointer: str | None) -> None:
    """A stronger demand than the statement is a problem with its place, a weaker one is met."""
    stated = {"model": "semi-honest", "computational_bits": 128, "statistical_bits": 40, "leakage": "sizes"}
    found = statement.problem(stated, demand)
    assert (None if found is None else found.pointer) == pointer
    assert doctest.testmod(statement).failed == 0
