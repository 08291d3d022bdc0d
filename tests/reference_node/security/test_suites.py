"""The registry of suites: digests with known answers, computed strength, preference, negotiation."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from reference_node.security import errors, keys, signing, sm2, sm2_gmssl, sm2_libcrypto, suites
from reference_node.security.errors import (
    CredentialTypeUnsupported,
    NoCommonSuite,
    SecurityFailure,
    SuiteRefused,
    WeakSuite,
)
from reference_node.security.suites import SUITES, AuthType, KeyKind, Suite
from specs import load

from .conftest import vector

SM2_SUITE, ECDSA_SUITE, RSA_SUITE = SUITES


@pytest.mark.parametrize("case", vector("sm3/digest.json")["cases"], ids=["one-block", "two-blocks"])
def test_sm3_gives_the_standards_digests(case: dict[str, str]) -> None:
    """Both examples of GB/T 32905 come out, by the suite and by the helper."""
    message = bytes.fromhex(case["message_hex"])
    assert SM2_SUITE.digest_of(message).hex() == case["digest"]
    assert sm2.sm3(message).hex() == case["digest"]


@pytest.mark.parametrize("case", vector("sm4/block.json")["cases"], ids=["once", "million"])
def test_sm4_gives_the_standards_ciphertexts(case: dict[str, int]) -> None:
    """Both examples of GB/T 32907 come out of the library that the node uses; CBC over zeros feeds each block on."""
    answer = vector("sm4/block.json")
    mode = CBC(bytes.fromhex(answer["plaintext"]))
    encryptor = Cipher(SM4(bytes.fromhex(answer["key"])), mode).encryptor()
    assert encryptor.update(bytes(16 * case["rounds"]))[-16:].hex() == case["ciphertext"]


def test_the_national_suite_comes_first() -> None:
    """SM2 with SM3 is preferred, all suites reach 112 bits, and strengths are the computed ones."""
    assert [suite.alg for suite in SUITES] == ["sm2-sm3", "ecdsa-p256-sha256", "rsa-v1_5-sha256"]
    assert [suite.strength_bits for suite in SUITES] == [128, 128, 112]
    assert [suite.national for suite in SUITES] == [True, False, False]


@pytest.mark.parametrize(
    ("kind", "bits", "digest", "expected"),
    [
        (KeyKind.RSA, 1024, "sha-256", 80),
        (KeyKind.RSA, 2047, "sha-256", 80),
        (KeyKind.RSA, 512, "sha-256", 0),
        (KeyKind.RSA, 4096, "sha-256", 128),
        (KeyKind.EC, 192, "sha-256", 96),
        (KeyKind.EC, 256, "sha", 80),
        (KeyKind.EC, 256, "md5", 64),
        (KeyKind.SM2, 256, "unheard-of", 0),
        (KeyKind.SM2, 256, "sm3", 128),
    ],
)
def test_strength_is_that_of_the_weaker_part(kind: KeyKind, bits: int, digest: str, expected: int) -> None:
    """Neither a short key nor a weak digest is hidden by the other."""
    assert suites.strength(kind, bits, digest) == expected


@pytest.mark.parametrize(
    "weak",
    [replace(RSA_SUITE, key_bits=1024), replace(ECDSA_SUITE, digest="sha"), replace(ECDSA_SUITE, key_bits=192)],
    ids=["rsa-1024", "sha-1", "p-192"],
)
def test_a_weak_suite_cannot_be_registered(weak: Suite) -> None:
    """Registering less than 112 bits is refused, with a hint."""
    with pytest.raises(WeakSuite) as refusal:
        suites.registry(weak)
    assert "2048" in refusal.value.hint


def test_suites_that_cannot_be_told_apart_are_refused() -> None:
    """Two suites of one alg, auth_type or preference do not go into one registry."""
    with pytest.raises(ValueError, match="alg"):
        suites.registry(SM2_SUITE, SM2_SUITE)
    with pytest.raises(ValueError, match="preference"):
        suites.registry(SM2_SUITE, replace(RSA_SUITE, preference=1))


@given(st.permutations(["SM3_SM2", "SHA256_ECDSA", "SHA256_RSA", "CERT"]), st.permutations(["SHA256_RSA", "SM3_SM2"]))
def test_negotiation_prefers_sm2_in_any_order(ours: list[str], theirs: list[str]) -> None:
    """The order in which either side lists its suites cannot lower the choice, and it is the same from both sides."""
    assert suites.negotiate(ours, theirs) == suites.negotiate(theirs, ours) == SM2_SUITE


def test_negotiation_falls_back_and_fails() -> None:
    """Without SM2 on one side ECDSA is chosen, then RSA; without anything in common it is refused."""
    everything = [suite.auth_type for suite in SUITES]
    assert suites.negotiate(everything, ["SHA256_RSA", "SHA256_ECDSA"]) == ECDSA_SUITE
    assert suites.negotiate(everything, ["SHA256_RSA"]) == RSA_SUITE
    for theirs in ([], ["CERT"], ["SHA1_RSA", "sm3_sm2"]):
        with pytest.raises(NoCommonSuite):
            suites.negotiate(everything, theirs)
    with pytest.raises(NoCommonSuite):
        suites.negotiate(["CERT"], ["CERT"])


def test_suites_are_found_by_both_names() -> None:
    """Both alg and auth_type lead to the suite; unknown names are refused by their own errors."""
    for suite in SUITES:
        assert suites.suite_of_alg(suite.alg) is suite
        assert suites.suite_of_auth_type(suite.auth_type) is suite
    assert {suite.auth_type for suite in SUITES} == set(AuthType)
    with pytest.raises(SuiteRefused):
        suites.suite_of_alg("SM2-SM3")
    with pytest.raises(CredentialTypeUnsupported):
        suites.suite_of_auth_type("CERT")


def every_failure(base: type[SecurityFailure]) -> list[type[SecurityFailure]]:
    """List a class of failure and all below it."""
    return [base, *(found for child in base.__subclasses__() for found in every_failure(child))]


@pytest.mark.parametrize("failure", every_failure(errors.SecurityFailure), ids=lambda failure: failure.__name__)
def test_every_failure_has_a_name_of_the_catalogue_and_a_hint(failure: type[SecurityFailure]) -> None:
    """The interfaces can answer each failure from the error catalogue."""
    assert failure.name in load.errors()
    assert failure("said").hint
    assert failure("said", hint="do this").hint == "do this"


@pytest.mark.parametrize("module", [keys, signing, sm2, sm2_gmssl, sm2_libcrypto, suites], ids=lambda m: m.__name__)
def test_the_examples_in_the_documentation_run(module: object) -> None:
    """Every module's example does what it shows."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
