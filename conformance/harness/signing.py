"""Request signing as the harness makes and judges it (9.1-a, 9.2-a, 9.2-f).

What is signed is a text of lines in the manner of RFC 9421, among them a digest of the body in the form of RFC 9530.
The second version of that text covers the headers of the data plane, the content type and the trace id too.
Guarantees: `signed_headers` signs what `problems` finds nothing wrong with; whatever is changed afterwards in method,
path, query, body, digest or a covered header is found; `problems` names every fault it can tell apart and never
raises for what a target sends.

>>> from conformance.harness.keys import Key
>>> key = Key.generate("SM3_SM2")
>>> headers = signed_headers(key, "GET", "/p", (), b"", source="a", target="b", nonce="n" * 16, timestamp_ms=0,
...                          trace_id="t")
>>> problems(key.public, "GET", "/p", (), headers, b"")
[]
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from urllib.parse import parse_qsl, quote

from cryptography.hazmat.primitives import hashes

from conformance.harness.keys import (
    ALGS,
    AuthType,
    CredentialError,
    CredentialWrong,
    Key,
    KeyRing,
    PublicKey,
    SignatureWrong,
    WeakKind,
    key_ring,
    weak_credential,
)
from conformance.harness.sm2 import sm3

__all__ = [
    "ALGS",
    "AuthType",
    "CredentialError",
    "CredentialWrong",
    "Fault",
    "Key",
    "KeyRing",
    "PublicKey",
    "SignatureWrong",
    "WeakKind",
    "bend",
    "content_digest",
    "decode_query",
    "encode_query",
    "key_ring",
    "problems",
    "sign",
    "signature_base",
    "signed_headers",
    "version_of",
    "weak_credential",
]

Query = Sequence[tuple[str, str]]

SIGNATURE, DIGEST, CSRF = "x-auth-sign", "content-digest", "x-csrf-protection"
SOURCE, TARGET, NONCE, TIMESTAMP = "x-source-node-id", "x-target-node-id", "x-nonce", "x-timestamp"
TRACE, TOKENS = "x-trace-id", "x-mprac-token-set"
CONTENT_TYPE, TRANSPORT = "content-type", "x-ptp-"
OLDEST, NEWEST = 1, 2  # versions of the text that is signed
ANNOUNCED = "signature_base"  # the field in which a node says which is the newest that it has

COVERED_HEADERS = (DIGEST, TOKENS, NONCE, SOURCE, TARGET, TIMESTAMP)
REQUIRED_HEADERS = (SOURCE, TARGET, NONCE, TIMESTAMP, TRACE)

_ITEM = re.compile(r':(?P<value>[A-Za-z0-9+/]*={0,2}):;[ ]*alg="(?P<alg>[a-z0-9_-]+)"(?:;[ ]*v=(?P<version>2))?')


class Fault(StrEnum):
    """What can be wrong with the signing of a request; `HEADER_MISSING` is followed by a colon and the name."""

    UNSIGNED = "UNSIGNED"
    DIGEST_MISSING = "DIGEST_MISSING"
    DIGEST_WRONG = "DIGEST_WRONG"
    SIGNATURE_MALFORMED = "SIGNATURE_MALFORMED"
    ALG_WRONG = "ALG_WRONG"
    SIGNATURE_WRONG = "SIGNATURE_WRONG"
    HEADER_MISSING = "HEADER_MISSING"


def decode_query(raw: str) -> tuple[tuple[str, str], ...]:
    """Return the decoded pairs of a raw query (without the question mark); a name without "=" has an empty value."""
    return tuple(parse_qsl(raw, keep_blank_values=True, errors="surrogateescape", max_num_fields=None))


def encode_query(query: Query) -> str:
    """Return the query as it goes over the wire and into the signature: sorted, RFC 3986, space as %20."""
    pairs = sorted((name, value) for name, value in query)
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)


def content_digest(alg: str, body: bytes) -> str:
    """Return the content-digest header that belongs to a signature algorithm."""
    if alg == "sm2-sm3":
        return f"sm3=:{base64.b64encode(sm3(body)).decode()}:"
    state = hashes.Hash(hashes.SHA256())
    state.update(body)
    return f"sha-256=:{base64.b64encode(state.finalize()).decode()}:"


def covered_headers(headers: Mapping[str, str], version: int) -> tuple[str, ...]:
    """Return which headers a signature covers, in the order of its lines."""
    if version == OLDEST:
        return COVERED_HEADERS
    transport = sorted(name for name in _lowered(headers) if name.startswith(TRANSPORT))
    return (*COVERED_HEADERS, CONTENT_TYPE, TRACE, *transport)


def version_of(header: str) -> int:
    """Return the version of the text that an x-auth-sign says it signs."""
    item = _ITEM.fullmatch(header)
    return OLDEST if item is None or item["version"] is None else int(item["version"])


def signature_base(
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    alg: str,
    without: str = "",
    version: int = OLDEST,
) -> bytes:
    """Return the text that is signed; a header that is absent counts as empty, `without` is a component left out."""
    present = _lowered(headers)
    under = covered_headers(headers, version)
    names = ("@method", "@path", "@query", *under)
    values = (method.upper(), path, f"?{encode_query(query)}", *(present.get(name, "") for name in under))
    covered = [(name, value) for name, value in zip(names, values, strict=True) if name != without]
    lines = [f'"{name}": {value}' for name, value in covered]
    params = " ".join(f'"{name}"' for name, _value in covered)
    lines.append(f'"@signature-params": ({params}){_parameters(alg, version)}')
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def signed_headers(
    key: Key,
    method: str,
    path: str,
    query: Query,
    body: bytes,
    *,
    source: str,
    target: str,
    nonce: str,
    timestamp_ms: int,
    trace_id: str,
    token_set: str = "",
    csrf: str = "1",
    extra: Mapping[str, str] | None = None,
    without: str = "",
    beside: Mapping[str, str] | None = None,
    version: int = OLDEST,
) -> dict[str, str]:
    """Return the headers of a signed request, names in lower case; empty ones are left out.

    `beside` are headers that the request has besides, returned with the others; the second version covers those of the
    data plane and the content type. `extra` headers take the place of those that were due and are signed as they stand;
    the signature does not cover the component `without`. Both are for negative cases.
    """
    headers = {
        SOURCE: source,
        TARGET: target,
        NONCE: nonce,
        TIMESTAMP: str(timestamp_ms),
        TRACE: trace_id,
        TOKENS: token_set,
        CSRF: csrf if method.upper() == "POST" else "",
        DIGEST: content_digest(key.alg, body),
        **(extra or {}),
    }
    headers = {**(beside or {}), **{name: value for name, value in headers.items() if value}}
    return {**headers, SIGNATURE: sign(key, method, path, query, headers, without, version)}


def bend(header: str, bent: Callable[[bytes], bytes]) -> str:
    """Return an x-auth-sign value whose signature was made into another, the rest as it was."""
    _, value, rest = header.split(":", 2)
    return f":{base64.b64encode(bent(base64.b64decode(value))).decode()}:{rest}"


def sign(
    key: Key,
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    without: str = "",
    version: int = OLDEST,
) -> str:
    """Return the x-auth-sign value for headers that stand already, as negative cases need it."""
    signature = key.sign(signature_base(method, path, query, headers, key.alg, without, version))
    return f":{base64.b64encode(signature).decode()}:{_parameters(key.alg, version)}"


def problems(
    public_key: PublicKey,
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    body: bytes,
) -> list[str]:
    """Return everything that is wrong with the signing of a received request, as values of `Fault`."""
    present = _lowered(headers)
    required = REQUIRED_HEADERS + ((CSRF,) if method.upper() == "POST" else ())
    found = [f"{Fault.HEADER_MISSING}:{name}" for name in required if not present.get(name)]
    digest = present.get(DIGEST, "")
    if not digest:
        found.append(Fault.DIGEST_MISSING.value)
    elif digest != content_digest(public_key.alg, body):
        found.append(Fault.DIGEST_WRONG.value)
    version = version_of(present.get(SIGNATURE, ""))
    base = signature_base(method, path, query, present, public_key.alg, version=version)
    fault = _signature_fault(public_key, base, present.get(SIGNATURE, ""))
    return found if fault is None else [*found, fault.value]


def _signature_fault(public_key: PublicKey, base: bytes, header: str) -> Fault | None:
    if not header:
        return Fault.UNSIGNED
    item = _ITEM.fullmatch(header)
    if item is None:
        return Fault.SIGNATURE_MALFORMED
    if item["alg"] != public_key.alg:
        return Fault.ALG_WRONG
    try:
        public_key.verify(base, base64.b64decode(item["value"], validate=True))
    except binascii.Error:
        return Fault.SIGNATURE_MALFORMED
    except SignatureWrong:
        return Fault.SIGNATURE_WRONG
    return None


def _parameters(alg: str, version: int) -> str:
    return f';alg="{alg}"' + ("" if version == OLDEST else f";v={version}")


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value.strip(" \t") for name, value in headers.items()}


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")
