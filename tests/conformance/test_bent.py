"""What the attacks send is wrong in the one respect that they name, and the harness itself takes none of it."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from conformance.harness import bent, sm2
from conformance.harness.keys import AuthType, CredentialWrong, Key, SignatureWrong

MESSAGE = b"message"
CURVES = (AuthType.SM3_SM2, AuthType.SHA256_ECDSA)


@pytest.mark.parametrize("suite", CURVES)
def test_no_scalar_out_of_range_verifies(suite: AuthType) -> None:
    """Each bent signature keeps the length, has a part outside [1, n-1], and is refused."""
    key = Key.generate(suite)
    for bend in bent.scalars(suite).values():
        wrong = bend(key.sign(MESSAGE))
        parts = [int.from_bytes(half, "big") for half in (wrong[:32], wrong[32:])]
        assert len(wrong) == 64
        assert any(not 0 < part < bent.ORDERS[suite] for part in parts)
        with pytest.raises(SignatureWrong):
            key.public.verify(MESSAGE, wrong)


@pytest.mark.parametrize("suite", AuthType)
def test_no_other_encoding_verifies(suite: AuthType) -> None:
    """A right signature in other clothes is refused."""
    key = Key.generate(suite)
    for bend in bent.encodings(suite).values():
        with pytest.raises(SignatureWrong):
            key.public.verify(MESSAGE, bend(key.sign(MESSAGE)))


def test_ecdsa_has_a_second_signature_and_sm2_has_none() -> None:
    """With n-s for s an ECDSA signature still holds, which is why replays go by nonce; an SM2 signature does not."""
    ecdsa, national = (Key.generate(suite) for suite in (AuthType.SHA256_ECDSA, AuthType.SM3_SM2))
    right = ecdsa.sign(MESSAGE)
    other = bent.negated(AuthType.SHA256_ECDSA)(right)
    assert other != right
    ecdsa.public.verify(MESSAGE, other)
    with pytest.raises(SignatureWrong):
        national.public.verify(MESSAGE, bent.negated(AuthType.SM3_SM2)(national.sign(MESSAGE)))


@pytest.mark.parametrize("suite", AuthType)
def test_rogues_share_a_credential_that_only_the_first_signs_for(suite: AuthType) -> None:
    """The sound key's signature holds under the common credential, those of the others do not."""
    keys = bent.rogues(suite)
    sound = keys.pop(bent.SOUND)
    sound.public.verify(MESSAGE, sound.sign(MESSAGE))
    assert keys
    for key in keys.values():
        assert key.credential == sound.credential
        with pytest.raises(SignatureWrong):
            sound.public.verify(MESSAGE, key.sign(MESSAGE))


def test_rogues_sign_exactly_the_wrong_digest() -> None:
    """Whoever computes the digest in the wrong way that is named takes the signature."""
    keys = bent.rogues(AuthType.SM3_SM2)
    point = sm2.point_from_pem(keys[bent.SOUND].credential)
    digest = sm2.message_digest(point, MESSAGE, b"")
    right = keys["no-user-id"].sign(MESSAGE)
    r, s = int.from_bytes(right[:32], "big"), int.from_bytes(right[32:], "big")
    found = sm2.sm2_base.combination(
        s, (r + s) % sm2.N, (int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big"))
    )
    assert found is not None
    assert (int.from_bytes(digest, "big") + found[0]) % sm2.N == r


@pytest.mark.parametrize("suite", [AuthType.SHA256_ECDSA, AuthType.SHA256_RSA])
def test_rogues_of_other_suites_sign_over_sha1(suite: AuthType) -> None:
    """A verifier that takes SHA-1 takes the signature."""
    key = bent.rogues(suite)["sha1"]
    public, signature = load_pem_public_key(key.credential.encode()), key.sign(MESSAGE)
    weak = hashes.SHA1()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, MESSAGE, padding.PKCS1v15(), weak)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            public.verify(encode_dss_signature(r, s), MESSAGE, ec.ECDSA(weak))
    except InvalidSignature:
        pytest.fail("the signature is not over SHA-1")


@pytest.mark.parametrize("kind", bent.OddKind)
def test_the_harness_takes_no_odd_key_itself(kind: bent.OddKind) -> None:
    """A target that showed such a key would be found out; what the odd key signs is a signature all the same."""
    key = bent.odd_key(kind)
    assert key.sign(MESSAGE)
    with pytest.raises(CredentialWrong):
        _ = key.public
