"""Known answers of NIST, the IETF and GB/T for every registered primitive, on the sides of node and harness (9.2-f).

Where code of ours stands before a library the answers go through it, on both sides; a primitive that only the channel
uses is put to the library that the channel has it from.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.modes import ECB

from conformance.harness import keys, ptp, signing, tls
from conformance.harness import sm2 as harness_sm2
from reference_node.algorithms.psi.curves import X25519, Sm2
from reference_node.security import certificates, errors, sm2, suites, vault
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.primitives import PRIMITIVES
from reference_node.transport import frames

from .known_answers import FOLDER, Answer, answers, sample

MOST = 40  # answers of one file
AES, ASYMMETRIC = "ciphers/AES/GCM/gcmDecrypt{}.rsp", "asymmetric"
HASHES = {
    "SM3": (hashes.SM3, ["hashes/SM3/oscca.txt"]),
    "SHA-256": (hashes.SHA256, ["hashes/SHA2/SHA256ShortMsg.rsp", "hashes/SHA2/SHA256LongMsg.rsp"]),
    "SHA-384": (hashes.SHA384, ["hashes/SHA2/SHA384ShortMsg.rsp"]),
    "SHA3-256": (hashes.SHA3_256, ["hashes/SHA3/SHA3_256ShortMsg.rsp"]),
    "SHA3-512": (hashes.SHA3_512, ["hashes/SHA3/SHA3_512ShortMsg.rsp"]),
}
CURVES = {"P-256": (ec.SECP256R1(), "EC"), "P-384": (ec.SECP384R1(), "ED")}  # how the file of ECDH calls them
RSA_SIZES = (2048, 3072, 4096)
SM4_FILE = "ciphers/SM4/draft-ribose-cfrg-sm4-10-ecb.txt"
IN_SPECS = {"SM2"}  # its answers, of GB/T 32918.5, are ours: both sides run specs/vectors/sm2


def unhex(answer: Answer, name: str) -> bytes:
    """Return a field; of hash functions the message of length 0 is written as one zero byte."""
    return b"" if answer.get("len") == "0" else bytes.fromhex(answer[name])


def judged(auth_type: str, pem: str) -> Iterator[Callable[[bytes, bytes], bool]]:
    """Yield how each side verifies under a key."""
    ours, theirs = PublicKey.from_credential(auth_type, pem), keys.PublicKey.from_credential(auth_type, pem)
    for verify, wrong in ((ours.verify, errors.InvalidSignature), (theirs.verify, keys.SignatureWrong)):

        def holds(message: bytes, signature: bytes, verify=verify, wrong=wrong) -> bool:
            try:
                verify(message, signature)
            except wrong:
                return False
            return True

        yield holds


def pem_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    """Return a public key as nodes show theirs."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def test_no_registered_primitive_is_without_known_answers() -> None:
    """What is added to the registry has to be added here."""
    ciphers = {"SM4", "ChaCha20", *(f"AES-{bits}" for bits in (128, 192, 256))}
    proven = ciphers | HASHES.keys() | CURVES.keys() | IN_SPECS | {"X25519"} | {f"RSA-{bits}" for bits in RSA_SIZES}
    assert proven == {item.name for item in PRIMITIVES}


# --- hash functions and codes


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, (_, files) in HASHES.items() for file in files])
def test_hash_functions_give_the_published_digests(name: str, file: str) -> None:
    """Short and long messages, through every function of either side that takes the digest."""
    made = {"SM3": [sm2.sm3, harness_sm2.sm3, Sm2.digest, lambda data: suites.digest("sm3", data)]}
    made["SHA-256"] = [X25519.digest, lambda data: suites.digest("sha-256", data), _told]
    for answer in sample(answers(file), MOST):
        message, due = unhex(answer, "msg"), bytes.fromhex(answer["md"])
        state = hashes.Hash(HASHES[name][0]())
        state.update(message)
        assert state.finalize() == due
        assert [take(message) for take in made.get(name, ())] == [due] * len(made.get(name, ()))


def _told(data: bytes) -> bytes:
    return base64.b64decode(signing.content_digest("rsa-v1_5-sha256", data).removeprefix("sha-256=").strip(":"))


def test_authentication_codes_of_frames_are_hmac() -> None:
    """RFC 4231, keys longer than a block too, by node and harness."""
    for answer in answers("HMAC/rfc-4231-sha256.txt"):
        key, message, due = (bytes.fromhex(answer[name]) for name in ("key", "msg", "md"))
        assert frames.ALGORITHMS["hmac-sha256"][1](key)(0, message[:3], message[3:]) == due
        assert ptp._hmac(hashes.SHA256, key, message) == due


def test_authentication_codes_of_frames_are_gmac() -> None:
    """NIST's answers without a text, AES-128 under 96 bits of IV, by node and harness; what must fail does."""
    found = answers(AES.format(128), ivlen="96", ptlen="0", taglen="128")
    for answer in sample(found, MOST):
        key, iv, head, due = (bytes.fromhex(answer[name]) for name in ("key", "iv", "aad", "tag"))
        number = int.from_bytes(iv)
        assert (frames.ALGORITHMS["aes-gmac"][1](key)(number, head, b"") == due) is ("fail" not in answer)
        assert (ptp._gmac(algorithms.AES, key, number, head) == due) is ("fail" not in answer)


# --- ciphers


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_gcm_opens_what_nist_sealed_and_nothing_that_was_changed(bits: int) -> None:
    """All lengths of text and of what is bound; the vault where it has the size, the channel's library for all."""
    aes = vault.CipherName.AES_256_GCM
    found = [item for item in answers(AES.format(bits), ivlen="96", taglen="128") if item["ptlen"] != "0"]
    assert {"fail" in item for item in sample(tuple(found), 4 * MOST)} == {True, False}
    for answer in sample(tuple(found), 4 * MOST):
        key, iv, sealed, bound, tag = (bytes.fromhex(answer[name]) for name in ("key", "iv", "ct", "aad", "tag"))
        ways = [lambda key=key, iv=iv, all_=sealed + tag, bound=bound: AESGCM(key).decrypt(iv, all_, bound)]
        if bits == 256:
            ways.append(lambda key=key, iv=iv, all_=sealed + tag, bound=bound: vault.decrypt(aes, key, iv, all_, bound))
        for way in ways:
            if "fail" in answer:
                with pytest.raises(InvalidTag):
                    way()
                continue
            assert way().hex() == answer["pt"]
        if bits == 256 and "fail" not in answer:
            assert vault.encrypt(aes, key, iv, bytes.fromhex(answer["pt"]), bound) == sealed + tag


def test_sm4_gives_the_published_answers() -> None:
    """GB/T 32907 by the cipher of the harness's frames, RFC 8998 A.2 by the vault, which takes no other tag."""
    for answer in answers(SM4_FILE):
        encryptor = Cipher(ptp._CIPHERS["sm4-gmac"](bytes.fromhex(answer["key"])), ECB()).encryptor()
        assert encryptor.update(bytes.fromhex(answer["plaintext"])).hex() == answer["ciphertext"].lower()
    (answer,) = answers("ciphers/SM4/rfc8998.txt")
    key, iv, bound, plain = (bytes.fromhex(answer[name]) for name in ("key", "iv", "aad", "plaintext"))
    sealed = bytes.fromhex(answer["ciphertext"] + answer["tag"])
    assert vault.encrypt(vault.CipherName.SM4_GCM, key, iv, plain, bound) == sealed
    assert vault.decrypt(vault.CipherName.SM4_GCM, key, iv, sealed, bound) == plain
    with pytest.raises(InvalidTag):
        vault.decrypt(vault.CipherName.SM4_GCM, key, iv, sealed[:-1] + bytes([sealed[-1] ^ 1]), bound)


def test_chacha20_gives_the_published_answers() -> None:
    """RFC 7539, by the library of the channel."""
    for answer in answers("ciphers/ChaCha20/rfc7539.txt"):
        counter = int(answer["initial_block_counter"]).to_bytes(4, "little") + bytes.fromhex(answer["nonce"])
        encryptor = Cipher(algorithms.ChaCha20(bytes.fromhex(answer["key"]), counter), mode=None).encryptor()
        assert encryptor.update(bytes.fromhex(answer["plaintext"])).hex() == answer["ciphertext"]


# --- signatures and key exchange


def test_ecdsa_accepts_and_refuses_as_nist_says() -> None:
    """FIPS 186-3 SigVer on P-256 with SHA-256: message, R, S or key changed, on both sides alike."""
    results = set()
    for answer in answers("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", section="P-256,SHA-256"):
        point = ec.EllipticCurvePublicNumbers(int(answer["qx"], 16), int(answer["qy"], 16), ec.SECP256R1())
        signature = b"".join(int(answer[name], 16).to_bytes(32) for name in ("r", "s"))
        due = answer["result"].startswith("P")
        results.add(answer["result"][:3])
        for holds in judged("SHA256_ECDSA", pem_of(point.public_key())):
            assert holds(bytes.fromhex(answer["msg"]), signature) is due
    assert {"P (", "F ("} == results


def test_keys_that_are_no_points_are_refused() -> None:
    """FIPS 186-3 PKV on P-256: coordinates out of range or off the curve are no credential, on either side."""
    head = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = head.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)[:-64]
    taken = set()
    for answer in answers("asymmetric/ECDSA/FIPS_186-3/PKV.rsp", section="P-256"):
        pair = [int(answer[name], 16) for name in ("qx", "qy")]
        if max(pair) >= 1 << 256:  # such a coordinate cannot be written
            continue
        body = base64.encodebytes(spki + b"".join(value.to_bytes(32) for value in pair)).decode()
        pem = f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"
        found = [False, False]
        with suppress(errors.CredentialMalformed, errors.KeyTooWeak):
            found[0] = bool(PublicKey.from_credential("SHA256_ECDSA", pem))
        with suppress(keys.CredentialWrong):
            found[1] = bool(keys.PublicKey.from_credential("SHA256_ECDSA", pem))
        assert found == [answer["result"].startswith("P")] * 2
        taken.add(found[0])
    assert taken == {True, False}


@pytest.mark.parametrize("bits", RSA_SIZES)
def test_rsa_accepts_and_refuses_as_nist_says(bits: int) -> None:
    """FIPS 186-3 SigVer15 with SHA-256: key, message, signature and padding changed; the node signs as published."""
    found = answers(f"{ASYMMETRIC}/RSA/FIPS_186-2/SigVer15_186-3.rsp", mod=str(bits), shaalg="SHA256")
    assert {item["result"][:3] for item in found} >= {"P", "F ("}
    for answer in found:
        n, e, d, p, q = (int(answer[name], 16) for name in "nedpq")
        message, signature = bytes.fromhex(answer["msg"]), bytes.fromhex(answer["s"])
        public = rsa.RSAPublicNumbers(e, n)
        due = answer["result"].startswith("P")
        for holds in judged("SHA256_RSA", pem_of(public.public_key())):
            assert holds(message, signature) is due
        if due:
            factors = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
            private = rsa.RSAPrivateNumbers(p, q, d, *factors, public).private_key()
            form = serialization.PrivateFormat.PKCS8
            pem = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
            assert PrivateKey.from_pem(pem).sign(message) == signature


def test_rsa_under_2048_bits_is_no_credential() -> None:
    """NIST's keys of 1024 and 1536 bits are refused for their size, on both sides."""
    for bits in ("1024", "1536"):
        answer = answers(f"{ASYMMETRIC}/RSA/FIPS_186-2/SigVer15_186-3.rsp", mod=bits, shaalg="SHA256")[0]
        pem = pem_of(rsa.RSAPublicNumbers(int(answer["e"], 16), int(answer["n"], 16)).public_key())
        with pytest.raises(errors.KeyTooWeak, match=bits):
            PublicKey.from_credential("SHA256_RSA", pem)
        with pytest.raises(keys.CredentialWrong, match=bits):
            keys.PublicKey.from_credential("SHA256_RSA", pem)


@pytest.mark.parametrize("name", CURVES)
def test_elliptic_curves_agree_on_the_published_secrets(name: str) -> None:
    """NIST's SP 800-56A answers for ECDH, by the library of the channel."""
    curve, group = CURVES[name]
    file = f"{ASYMMETRIC}/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax"
    found = [item for item in answers(file) if item.get("section", "").startswith(f"{group} -")]
    sound = [item for item in found if item.get("result", "").startswith("P")]
    assert sound
    for answer in sound:
        own, x, y = (int(answer[field], 16) for field in ("dsiut", "qscavsx", "qscavsy"))
        peer = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
        assert ec.derive_private_key(own, curve).exchange(ec.ECDH(), peer).hex() == answer["z"]


def test_x25519_masks_as_rfc_7748_says() -> None:
    """The intersection's products are those of section 5.2."""
    for answer in answers("asymmetric/X25519/rfc7748.txt"):
        masked = X25519(bytes.fromhex(answer["input_scalar"])).mask(bytes.fromhex(answer["input_u"]))
        assert masked.hex() == answer["output_u"]


# --- certificates


def _certificates() -> list[Path]:
    files = sorted(path for path in (FOLDER / "x509").rglob("*") if path.suffix in {".pem", ".der", ".crt"})
    return [path for path in files if path.suffix == ".crt" or b"BEGIN CERTIFICATE" in path.read_bytes()]


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # later releases will refuse
def test_odd_certificates_are_read_or_refused_and_never_break_the_reader() -> None:
    """Every certificate of the collection: NIST's path validation suite, malformed names, versions and extensions."""
    told = {"read": 0, "refused": 0}
    for path in _certificates():
        data = path.read_bytes()
        try:
            found = [certificates.read_der(data)] if data[:1] == b"0" else certificates.read_all(data.decode("latin-1"))
            told["read"] += len(found)
            assert all(item.holder is None for item in found), f"{path.name} names a node"
        except (errors.CredentialMalformed, errors.KeyTooWeak, errors.CredentialTypeUnsupported):
            told["refused"] += 1
        with suppress(ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
            parsed = x509.load_der_x509_certificate(data) if data[:1] == b"0" else x509.load_pem_x509_certificate(data)
            assert tls.identities(parsed) == []
    assert min(told.values()) > 50
