"""Request signing: the published cases, what is refused and why, strict headers; test_signature_base has the base."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.security import signing
from reference_node.security.errors import (
    DigestMismatch,
    InvalidSignature,
    SignatureMalformed,
    SignatureMissing,
    SignatureRefused,
    SuiteRefused,
)
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.signing import Request, Stamp
from reference_node.security.sm2_gmssl import GmsslBackend

from .conftest import VECTORS, vector

KEYS = vector("request-signing/keys.json")
CASES = vector("request-signing/cases.json")
ACCEPTED = {case["name"]: case for case in CASES["accepted"]}
PRIVATE = {name: PrivateKey.from_pem(key["private_key"]) for name, key in KEYS.items()}
PUBLIC = {name: PublicKey.from_credential(key["auth_type"], key["public_key"]) for name, key in KEYS.items()}
KEY = PRIVATE["sm2"]
STAMP = Stamp("grid-east-01", "grid-west-02", "nonce-0123456789abcdef", 1767225600000, "trace-01")
POST = Request("POST", "/v1/interconn/node/contract/apply", "b=2&a=1", b'{"a":1}')

anything = st.text(st.characters(), max_size=120)  # lone surrogates too
published = pytest.mark.parametrize("case", CASES["accepted"], ids=lambda case: case["name"])


def wire(case: dict[str, Any]) -> Request:
    """Return a published case as a request."""
    given_ = case["request"]
    return Request(given_["method"], given_["path"], given_["query"], given_["body"].encode(), given_["headers"])


# --- the published cases


@published
def test_published_bases_are_reproduced(case: dict[str, Any]) -> None:
    """Query, base and digest come out as published."""
    request, alg = wire(case), KEYS[case["key"]]["alg"]
    assert signing.canonical_query(request.query) == case["canonical_query"]
    assert signing.signature_base(request, alg, version=case.get("version", 1)) == "\n".join(case["base"]).encode()
    assert signing.content_digest(alg, request.body) == request.headers["content-digest"]


@published
def test_published_signatures_are_accepted(case: dict[str, Any]) -> None:
    """The published request verifies under the published key, and under no other of its kind."""
    request = wire(case)
    signing.verify(PUBLIC[case["key"]], request)
    stranger = PrivateKey.generate(KEYS[case["key"]]["auth_type"]).public
    with pytest.raises(InvalidSignature):
        signing.verify(stranger, request)


@published
def test_published_signatures_can_be_made_again(case: dict[str, Any]) -> None:
    """From the private key, and with SM2 the nonce k, the published signature comes out: the files cannot drift."""
    base, key = "\n".join(case["base"]).encode(), PRIVATE[case["key"]]
    match key._secret:
        case int():
            fixed = GmsslBackend(nonces=lambda: int(case["k"], 16))
            made = fixed.sign(key._secret, base)
        case ec.EllipticCurvePrivateKey():
            encoded = key._secret.sign(base, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
            made = b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(encoded))
        case _:
            made = key.sign(base)
    assert made.hex() == case["signature_hex"]
    assert signing.parse_signature(case["request"]["headers"]["x-auth-sign"]) == (made, KEYS[case["key"]]["alg"])


@pytest.mark.parametrize("refused", CASES["refused"], ids=lambda refused: refused["name"])
def test_published_refusals_are_refused(refused: dict[str, Any]) -> None:
    """One published change to an accepted request ends in the published error."""
    case, change = ACCEPTED[refused["of"]], dict(refused["change"])
    request = wire(case)
    headers = {**request.headers, **change.pop("headers", {})}
    if "body" in change:
        change["body"] = change["body"].encode()
    changed = replace(request, headers={name: value for name, value in headers.items() if value is not None}, **change)
    with pytest.raises(SignatureRefused) as refusal:
        signing.verify(PUBLIC[case["key"]], changed)
    assert refusal.value.name == refused["error"]
    assert refusal.value.hint


def test_every_covered_component_has_a_published_refusal() -> None:
    """The published changes touch each covered component with every suite, of the second version those it adds."""
    for of in ("v2-bare", "v2-ecdsa", "v2-rsa"):
        touched = {name for row in CASES["refused"] if row["of"] == of for name in row["change"].get("headers", {})}
        added = signing.covered(ACCEPTED[of]["request"]["headers"], signing.NEWEST)[len(signing.COMPONENTS) :]
        assert set(added) <= touched
    for of in ("post-body", "ecdsa-p256", "rsa-2048"):
        changes = [refused["change"] for refused in CASES["refused"] if refused["of"] == of]
        touched = {f"@{name}" for change in changes for name in change if name not in ("headers", "body")}
        touched |= {name for change in changes for name in change.get("headers", {})}
        assert set(signing.COMPONENTS) <= touched


def test_the_worked_example_of_the_description_is_a_published_case() -> None:
    """Every line of the example in the description is that of the case it names."""
    text = (VECTORS.parent / "protocols" / "request-signing.md").read_text(encoding="utf-8")
    case = ACCEPTED["post-body"]
    assert "\n".join(case["base"]) in text
    shown = dict(re.findall(r"^([a-z-]+): (.+)$", text.partition("## Example")[2], re.MULTILINE))
    assert shown == case["request"]["headers"]
    assert case["request"]["body"] in text


def test_published_cases_leave_no_suite_and_form_out() -> None:
    """All suites, both methods, UTF-8, a token set and an empty query are among the cases; each folder says why."""
    assert {case["key"] for case in ACCEPTED.values()} == set(KEYS)
    assert {case["request"]["method"] for case in ACCEPTED.values()} == {"GET", "POST"}
    assert any(not case["request"]["body"].isascii() for case in ACCEPTED.values())
    folders: list[Path] = [VECTORS / name for name in ("sm2", "sm3", "sm4", "request-signing")]
    assert all((folder / "WHY.md").read_text(encoding="utf-8").startswith("# ") for folder in folders)


# --- signing and verifying


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("request_", [POST, Request("GET", "/v1/x")], ids=["post", "get"])
@pytest.mark.parametrize("token_set", [None, "", "a.b.c"])
def test_a_signed_request_verifies(name: str, request_: Request, token_set: str | None) -> None:
    """With every suite, method and token set the headers made are those that the other side accepts."""
    headers = signing.sign_headers(PRIVATE[name], request_, replace(STAMP, token_set=token_set))
    signing.verify(PUBLIC[name], request_.with_headers(headers))
    assert ("x-mprac-token-set" in headers) == (token_set is not None)
    assert ("x-csrf-protection" in headers) == (request_.method == "POST")
    assert headers["x-trace-id"] == "trace-01"


def test_header_names_in_any_case_are_the_same_headers() -> None:
    """A server that capitalises header names verifies all the same, and outer spaces are not part of a value."""
    headers = signing.sign_headers(KEY, POST, STAMP)
    shouted = {name.title(): f" {value}\t" if name != "x-auth-sign" else value for name, value in headers.items()}
    signing.verify(KEY.public, POST.with_headers(shouted))


def test_a_header_given_twice_with_two_values_is_refused() -> None:
    """Two values for one name leave open which is signed, so they are malformed."""
    headers = signing.sign_headers(KEY, POST, STAMP)
    with pytest.raises(SignatureMalformed, match="twice"):
        signing.verify(KEY.public, POST.with_headers({**headers, "X-Nonce": "another-nonce-0123"}))


def test_trace_and_csrf_headers_are_not_covered() -> None:
    """What is not covered may change on the way."""
    headers = signing.sign_headers(KEY, POST, STAMP)
    signing.verify(KEY.public, POST.with_headers({**headers, "x-trace-id": "other", "x-csrf-protection": "yes"}))


@pytest.mark.parametrize("left_out", signing.COMPONENTS)
def test_leaving_a_component_out_breaks_the_signature(left_out: str) -> None:
    """A signer that covers one component less is refused by a verifier that demands all of them."""
    fewer = [component for component in signing.COMPONENTS if component != left_out]
    signed = POST.with_headers(signing.sign_headers(KEY, POST, STAMP, fewer))
    signing.verify(KEY.public, signed, fewer)
    with pytest.raises(InvalidSignature):
        signing.verify(KEY.public, signed)


@pytest.mark.parametrize("missing", ["x-nonce", "x-source-node-id", "x-target-node-id", "x-timestamp"])
def test_a_covered_header_that_is_missing_is_named(missing: str) -> None:
    """The refusal says which covered header the request lacks."""
    headers = signing.sign_headers(KEY, POST, STAMP)
    del headers[missing]
    with pytest.raises(SignatureMalformed, match=missing):
        signing.verify(KEY.public, POST.with_headers(headers))


@pytest.mark.parametrize(
    "request_",
    [
        replace(POST, path="v1/x"),
        replace(POST, path="/v1/x?a=1"),
        replace(POST, path="/v1/x#a"),
        replace(POST, path="/v1/x y"),
        replace(POST, path='/v1\n"@query": ?'),
        replace(POST, path="/电网"),
        replace(POST, method="PO ST"),
        replace(POST, method=""),
        replace(POST, query="a=é"),
        replace(POST, query="a=1 2"),
        replace(POST, query=[("a", "\ud800")]),
    ],
    ids=repr,
)
def test_targets_that_cannot_stand_on_a_request_line_are_refused(request_: Request) -> None:
    """A method, path or raw query that HTTP would not carry is not signed either."""
    with pytest.raises(SignatureMalformed):
        signing.sign_headers(KEY, request_, STAMP)


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx-nonce: b", "é", "\x00", "a\x7f"])
def test_a_header_cannot_forge_a_line_of_the_base(value: str) -> None:
    """Line ends, controls and other than ASCII in covered headers are refused."""
    with pytest.raises(SignatureMalformed):
        signing.sign_headers(KEY, POST, replace(STAMP, token_set=value))


def test_an_alg_that_nobody_registered_has_no_base() -> None:
    """Neither base nor digest is made for an unknown algorithm."""
    with pytest.raises(SuiteRefused):
        signing.signature_base(POST.with_headers(signing.sign_headers(KEY, POST, STAMP)), 'x"\n')
    with pytest.raises(SuiteRefused):
        signing.content_digest("sha-256", b"")


# --- the header's form


@pytest.mark.parametrize(
    "value",
    [
        "AAAA",
        ":AAAA:",
        ':AAAA;alg="sm2-sm3"',
        ":AAAA:;alg=sm2-sm3",
        ':AAAA:;alg="sm2-sm3',
        ':AAAA:;alg="sm2-sm3";x',
        ':AAAA:;keyid="k";alg="sm2-sm3"',
        ':AAAA:;Alg="sm2-sm3"',
        ':AAAA: ;alg="sm2-sm3"',
        ':AAA:;alg="sm2-sm3"',
        ':AAB=:;alg="sm2-sm3"',
        ':A===:;alg="sm2-sm3"',
        ':AA-_:;alg="sm2-sm3"',
        '::;alg="sm2-sm3"',
        ':AAAA:;alg="é"',
        ':AAAA:;alg="a\\b"',
        ':AAAA:;alg="sm2-sm3", :AAAA:;alg="sm2-sm3"',
        ':AAAA:;alg="sm2-sm3"\n',
        ":" + "A" * 8000 + ':;alg="sm2-sm3"',
        '"AAAA";alg="sm2-sm3"',
    ],
)
def test_forms_that_are_not_the_documented_item_are_malformed(value: str) -> None:
    """Only a canonical byte sequence with the one string parameter alg is read."""
    with pytest.raises(SignatureMalformed):
        signing.parse_signature(value)


def test_the_documented_item_is_read() -> None:
    """Spaces after the semicolon and escapes in the string are those of RFC 8941."""
    assert signing.parse_signature(':AAEC:;alg="sm2-sm3"') == (b"\x00\x01\x02", "sm2-sm3")
    assert signing.parse_signature(':AA==:;  alg="a\\"\\\\b"') == (b"\x00", 'a"\\b')


@given(signature=st.binary(min_size=1, max_size=600), name=st.sampled_from(sorted(KEYS)))
def test_any_signature_survives_its_header(signature: bytes, name: str) -> None:
    """What is written as an item is read back as it was."""
    encoded = signing.base64.b64encode(signature).decode()
    alg = KEYS[name]["alg"]
    assert signing.parse_signature(f':{encoded}:;alg="{alg}"') == (signature, alg)


@settings(max_examples=200, deadline=None)
@given(
    value=anything
    | st.binary(max_size=100).map(lambda data: f':{signing.base64.b64encode(data).decode()}:;alg="sm2-sm3"'),
)
def test_no_header_brings_verification_to_another_error(value: str) -> None:
    """Arbitrary text and arbitrary signatures in x-auth-sign end in a typed refusal."""
    headers = {**signing.sign_headers(KEY, POST, STAMP), "x-auth-sign": value}
    with pytest.raises(SignatureRefused):
        signing.verify(KEY.public, POST.with_headers(headers))


@settings(max_examples=200, deadline=None)
@given(headers=st.dictionaries(st.sampled_from([*signing.COMPONENTS[3:], "x-auth-sign"]), anything))
def test_no_set_of_headers_brings_verification_to_another_error(headers: dict[str, str]) -> None:
    """Arbitrary values of all headers end in a typed refusal."""
    with pytest.raises(SignatureRefused):
        signing.verify(KEY.public, Request("POST", "/v1/x", headers=headers))


def test_the_first_thing_wrong_is_reported() -> None:
    """Where several things are wrong the refusals come in the documented order."""
    headers = signing.sign_headers(KEY, POST, STAMP)
    wrong = replace(POST, body=b"other", path="/other")
    bare = {name: value for name, value in headers.items() if name != "x-auth-sign"}
    with pytest.raises(SignatureMissing):
        signing.verify(KEY.public, wrong.with_headers(bare))
    with pytest.raises(SignatureMissing):
        signing.verify(KEY.public, wrong.with_headers({**bare, "x-auth-sign": " "}))
    with pytest.raises(SuiteRefused):
        signing.verify(PUBLIC["p256"], wrong.with_headers(headers))
    with pytest.raises(DigestMismatch):
        signing.verify(KEY.public, wrong.with_headers(headers))
    with pytest.raises(InvalidSignature):
        signing.verify(KEY.public, replace(wrong, body=POST.body).with_headers(headers))
