"""Keys: generation, files, credentials that are taken and those that are refused, signatures of each suite."""

from __future__ import annotations

import pickle
import subprocess
from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.security import der, sm2
from reference_node.security.errors import (
    CredentialMalformed,
    CredentialRefused,
    CredentialTypeUnsupported,
    InvalidSignature,
    KeyTooWeak,
    PrivateKeyRefused,
    SecurityFailure,
)
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.suites import AuthType

from .conftest import vector

PUBLISHED = vector("request-signing/keys.json")
KEYS = {entry["auth_type"]: PrivateKey.from_pem(entry["private_key"]) for entry in PUBLISHED.values()}
SM2_KEY = KEYS["SM3_SM2"]
every_suite = pytest.mark.parametrize("auth_type", list(AuthType))


def public_pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    """Write a library's key as a credential."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, form).decode()


def ec_spki(curve: bytes, point: bytes) -> str:
    """Write an elliptic curve credential on any curve, valid or not."""
    algorithm = der.wrap(0x30, der.wrap(6, der.EC_KEY) + der.wrap(6, curve))
    return der.to_pem("PUBLIC KEY", der.wrap(0x30, algorithm + der.wrap(3, b"\0" + point)))


# --- use


@every_suite
def test_a_fresh_key_signs_and_its_credential_verifies(auth_type: AuthType) -> None:
    """What a generated key signs, the peer verifies from the credential; any other message or key is refused."""
    key, other = PrivateKey.generate(auth_type), PrivateKey.generate(auth_type)
    peer = PublicKey.from_credential(auth_type, key.public.pem)
    signature = key.sign(b"message")
    peer.verify(b"message", signature)
    assert peer == key.public
    assert peer.fingerprint == key.public.fingerprint != other.public.fingerprint
    for verifier, message in ((peer, b"other"), (other.public, b"message")):
        with pytest.raises(InvalidSignature):
            verifier.verify(message, signature)


@settings(max_examples=60, deadline=None)
@given(auth_type=st.sampled_from(list(AuthType)), signature=st.binary(max_size=300))
def test_any_bytes_for_a_signature_are_refused_in_one_way(auth_type: AuthType, signature: bytes) -> None:
    """Arbitrary bytes end in InvalidSignature with every suite."""
    with pytest.raises(InvalidSignature):
        KEYS[auth_type].public.verify(b"message", signature)


@pytest.mark.parametrize("length", [0, 63, 65, 72])
@pytest.mark.parametrize("auth_type", ["SM3_SM2", "SHA256_ECDSA"])
def test_curve_signatures_of_another_length_are_refused(auth_type: str, length: int) -> None:
    """A curve's signature has 64 bytes; one cut, padded or in DER is not taken."""
    key = KEYS[auth_type]
    signature = (key.sign(b"message") + bytes(8))[:length]
    with pytest.raises(InvalidSignature, match="64 bytes"):
        key.public.verify(b"message", signature)


@pytest.mark.parametrize("entry", PUBLISHED.values(), ids=PUBLISHED.keys())
def test_published_keys_have_their_fingerprints(entry: dict[str, str]) -> None:
    """A published credential gives its published fingerprint and is the public half of its private key."""
    public = PublicKey.from_credential(entry["auth_type"], entry["public_key"])
    assert public.fingerprint == entry["fingerprint"]
    assert public.suite.alg == entry["alg"]
    assert public == PrivateKey.from_pem(entry["private_key"]).public
    assert public.pem == entry["public_key"]


# --- secrecy and files


@every_suite
def test_a_private_key_does_not_show_itself(auth_type: AuthType) -> None:
    """Neither repr, str nor formatting hold the secret, and a private key is not pickled."""
    key = PrivateKey.generate(auth_type)
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr(key.public)):
        assert "_secret" not in shown
        assert not isinstance(key._secret, int) or (str(key._secret) not in shown and f"{key._secret:x}" not in shown)
    assert "***" in repr(key)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


@every_suite
def test_a_key_comes_back_from_its_file(auth_type: AuthType, tmp_path: Path) -> None:
    """A saved key is private to its owner, comes back as the same key, and is not written over."""
    key, path = PrivateKey.generate(auth_type), tmp_path / "node.key"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = PrivateKey.load(path)
    assert loaded.public == key.public
    key.public.verify(b"message", loaded.sign(b"message"))
    with pytest.raises(FileExistsError):
        PrivateKey.generate(auth_type).save(path)
    assert PrivateKey.load(path).public == key.public


def test_an_exposed_key_file_is_refused(tmp_path: Path) -> None:
    """A key file that others can read is not used, and the hint says what to do."""
    path = tmp_path / "node.key"
    SM2_KEY.save(path)
    path.chmod(0o640)
    with pytest.raises(PrivateKeyRefused) as refusal:
        PrivateKey.load(path)
    assert "chmod 600" in refusal.value.hint


@settings(max_examples=40, deadline=None)
@given(private=st.integers(1, sm2.N - 2))
def test_sm2_keys_round_trip_through_pem(private: int) -> None:
    """Any SM2 key survives PEM, with and without its public half in the file."""
    point = sm2.best_backend().public_of(private)
    for half in (None, point):
        key = PrivateKey.from_pem(der.to_pem("PRIVATE KEY", der.sm2_private(private, half)))
        assert key._secret == private
        assert PublicKey.from_credential("SM3_SM2", key.public.pem) == key.public
        assert PrivateKey.from_pem(key.to_pem()).public == key.public


def test_openssl_reads_and_writes_the_same_sm2_files(tmp_path: Path) -> None:
    """The openssl command takes our key file and writes both halves as we do, byte for byte."""
    path = tmp_path / "node.key"
    SM2_KEY.save(path)

    def openssl(*arguments: str) -> str:
        done = subprocess.run(["openssl", "pkey", "-in", str(path), *arguments], capture_output=True, check=True)
        return done.stdout.decode()

    assert openssl() == SM2_KEY.to_pem()
    assert openssl("-pubout") == SM2_KEY.public.pem


def private_cases() -> dict[str, str]:
    """List texts that are no private key of ours."""
    pkcs8 = serialization.PrivateFormat.PKCS8
    pem, clear = serialization.Encoding.PEM, serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(b"secret")
    p256 = ec.generate_private_key(ec.SECP256R1())
    point = sm2.best_backend().public_of(5)
    return {
        "empty": "",
        "public": SM2_KEY.public.pem,
        "noise": der.to_pem("PRIVATE KEY", b"noise"),
        "encrypted": p256.private_bytes(pem, pkcs8, locked).decode(),
        "sec1": p256.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, clear).decode(),
        "ed25519": ed25519.Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, clear).decode(),
        "sm2-zero": der.to_pem("PRIVATE KEY", der.sm2_private(0)),
        "sm2-order": der.to_pem("PRIVATE KEY", der.sm2_private(sm2.N - 1)),
        "sm2-halves": der.to_pem("PRIVATE KEY", der.sm2_private(4, point)),
        "sm2-surplus": der.to_pem("PRIVATE KEY", der.sm2_private(5, point) + b"\0"),
    }


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in private_cases().items()])
def test_what_is_no_private_key_is_refused(text: str, tmp_path: Path) -> None:
    """Unreadable, locked, foreign and inconsistent private keys are refused by one error, from text and from file."""
    path = tmp_path / "node.key"
    path.touch(mode=0o600)
    path.write_text(text, encoding="ascii")
    with pytest.raises(PrivateKeyRefused):
        PrivateKey.from_pem(text)
    with pytest.raises(PrivateKeyRefused):
        PrivateKey.load(path)


def test_weak_private_keys_are_refused(tmp_path: Path) -> None:
    """A key on another curve or of a short modulus is too weak; a binary file is no key."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    weak = [ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 1024)]
    for key in weak:
        with pytest.raises(KeyTooWeak):
            PrivateKey.from_pem(key.private_bytes(*form).decode())
    path = tmp_path / "node.key"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PrivateKeyRefused):
        PrivateKey.load(path)


# --- credentials


@pytest.mark.parametrize("auth_type", ["CERT", "", "sm3_sm2", "SHA1_RSA"])
def test_other_types_of_credential_are_not_supported(auth_type: str) -> None:
    """CERT and whatever nobody knows are refused by name, with the types that are taken as the hint."""
    with pytest.raises(CredentialTypeUnsupported) as refusal:
        PublicKey.from_credential(auth_type, SM2_KEY.public.pem)
    assert refusal.value.name == "CREDENTIAL_TYPE_UNSUPPORTED"
    assert "SM3_SM2" in refusal.value.hint
    with pytest.raises(CredentialTypeUnsupported):
        PrivateKey.generate(auth_type)


@pytest.mark.parametrize(("claimed", "held"), list(permutations(AuthType, 2)))
def test_a_credential_of_another_kind_is_refused(claimed: AuthType, held: AuthType) -> None:
    """A key is only taken under the type that it is of."""
    with pytest.raises((CredentialMalformed, KeyTooWeak)):
        PublicKey.from_credential(claimed, KEYS[held].public.pem)


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP384R1(), ec.BrainpoolP256R1()], ids=lambda curve: curve.name)
@pytest.mark.parametrize("auth_type", ["SM3_SM2", "SHA256_ECDSA"])
def test_keys_on_another_curve_are_refused(auth_type: str, curve: ec.EllipticCurve) -> None:
    """A suite takes its own curve only, and says so with KEY_TOO_WEAK."""
    with pytest.raises(KeyTooWeak) as refusal:
        PublicKey.from_credential(auth_type, public_pem(ec.generate_private_key(curve).public_key()))
    assert refusal.value.name == "KEY_TOO_WEAK"


@pytest.mark.parametrize("bits", [1024, 2040])
def test_short_rsa_keys_are_refused(bits: int) -> None:
    """A modulus under 2048 bits is too weak; P-192 is too, whether or not a library still knows it."""
    with pytest.raises(KeyTooWeak, match=str(bits)):
        PublicKey.from_credential("SHA256_RSA", public_pem(rsa.generate_private_key(65537, bits).public_key()))
    p192 = bytes.fromhex("2a8648ce3d030101")
    with pytest.raises(KeyTooWeak):
        PublicKey.from_credential("SHA256_ECDSA", ec_spki(p192, b"\x04" + bytes(48)))


def test_an_endless_rsa_key_is_refused() -> None:
    """A modulus of more than 8192 bits is refused before anybody computes with it."""
    numbers = rsa.RSAPublicNumbers(65537, (1 << 9000) + 1)
    with pytest.raises(CredentialMalformed, match="9001"):
        PublicKey.from_credential("SHA256_RSA", public_pem(numbers.public_key()))


def test_points_off_the_curve_are_refused() -> None:
    """A credential whose point is not on its curve is malformed, with SM2 and with P-256."""
    for auth_type, curve in (("SM3_SM2", der.SM2_CURVE), ("SHA256_ECDSA", der.P256_CURVE)):
        for point in (b"\x04" + b"\x01" * 64, b"\x04" + bytes(64), b"\0", b"", b"\x04" + b"\xff" * 64):
            with pytest.raises(CredentialMalformed):
                PublicKey.from_credential(auth_type, ec_spki(curve, point))


def bad_credentials() -> dict[str, str]:
    """List texts that are no SM2 credential."""
    good, spki = SM2_KEY.public.pem, SM2_KEY.public.spki
    return {
        "empty": "",
        "words": "credential",
        "not-ascii": good.replace("PUBLIC", "公开"),
        "private": SM2_KEY.to_pem(),
        "certificate": good.replace("PUBLIC KEY", "CERTIFICATE"),
        "twice": good + good,
        "preface": "key:\n" + good,
        "labels-differ": good.replace("END PUBLIC", "END PRIVATE"),
        "not-base64": good.replace("MFkw", "MFk=w"),
        "long": good + " " * 20_000,
        "cut": der.to_pem("PUBLIC KEY", spki[:-1]),
        "surplus": der.to_pem("PUBLIC KEY", spki + b"\0"),
        "surplus-inside": der.to_pem("PUBLIC KEY", b"\x30" + bytes([spki[1] + 2]) + spki[2:] + b"\x05\0"),
        "unused-bits": der.to_pem("PUBLIC KEY", spki.replace(b"\x03\x42\x00", b"\x03\x42\x01")),
        "long-length": der.to_pem("PUBLIC KEY", b"\x30\x81" + spki[1:]),
        "endless-length": der.to_pem("PUBLIC KEY", b"\x30\x80" + spki[2:]),
        "huge-length": der.to_pem("PUBLIC KEY", b"\x30\x84\xff\xff\xff\xff" + spki[2:]),
        "no-curve": der.to_pem("PUBLIC KEY", spki.replace(b"\x06\x08" + der.SM2_CURVE, b"\x05\x08" + der.SM2_CURVE)),
        "compressed": ec_spki(der.SM2_CURVE, b"\x02" + spki[-64:-32]),
    }


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in bad_credentials().items()])
def test_malformed_credentials_are_refused(text: str) -> None:
    """Whatever is not exactly one strict PEM block of an SM2 key is CREDENTIAL_MALFORMED."""
    with pytest.raises(CredentialMalformed) as refusal:
        PublicKey.from_credential("SM3_SM2", text)
    assert refusal.value.name == "CREDENTIAL_MALFORMED"
    assert refusal.value.hint


def test_line_ends_and_space_around_a_credential_do_not_matter() -> None:
    """CRLF and blank lines around the block leave the key and its fingerprint as they are."""
    pem = SM2_KEY.public.pem
    for variant in (pem.replace("\n", "\r\n"), "\n\n" + pem + "\n ", pem.strip()):
        assert PublicKey.from_credential("SM3_SM2", variant).fingerprint == SM2_KEY.public.fingerprint


@settings(max_examples=200, deadline=None)
@given(
    auth_type=st.sampled_from(list(AuthType)),
    text=st.text(st.characters(), max_size=200)
    | st.binary(max_size=200).map(lambda data: der.to_pem("PUBLIC KEY", data)),
)
def test_no_text_brings_a_credential_to_another_error(auth_type: AuthType, text: str) -> None:
    """Arbitrary text, and arbitrary bytes in a PEM block, end in a typed refusal."""
    with pytest.raises(CredentialRefused):
        PublicKey.from_credential(auth_type, text)


@settings(max_examples=300, deadline=None)
@given(
    auth_type=st.sampled_from(list(AuthType)),
    place=st.integers(min_value=0),
    value=st.integers(0, 255),
    private=st.booleans(),
)
def test_a_damaged_key_is_another_key_or_refused(auth_type: AuthType, place: int, value: int, private: bool) -> None:
    """One byte changed in a key's DER gives a typed refusal or a key, never another exception."""
    key = KEYS[auth_type]
    label, text = ("PRIVATE KEY", key.to_pem()) if private else ("PUBLIC KEY", key.public.pem)
    data = bytearray(der.from_pem(label, text))
    data[place % len(data)] = value
    damaged = der.to_pem(label, bytes(data))
    try:
        read = PrivateKey.from_pem(damaged).public if private else PublicKey.from_credential(auth_type, damaged)
    except SecurityFailure as refusal:
        outcome = refusal.name
    else:
        outcome = read.auth_type
    assert outcome in {auth_type, "CREDENTIAL_MALFORMED", "KEY_TOO_WEAK", "INTERNAL"}
