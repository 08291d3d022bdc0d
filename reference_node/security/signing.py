"""Request signing between nodes (9.2-a, 9.2-b): the signature base, the headers of a request, and their verification.

Guarantees: pure functions of what they are given; the clock, the nonce and the trace id are handed in. The base is
built as RFC 9421 builds its own and content-digest as RFC 9530 does; `specs/protocols/request-signing.md` is the
description that others re-implement. Verification refuses in this order: missing, malformed, suite, digest, signature.
Freshness of nonce and timestamp, and whether the source is known, are questions for the guards and not for this module.
The base has two versions: the second, which the signature's parameter `v` names, covers the content type, the trace id
and every header of the data plane too.

Example:
    >>> key = PrivateKey.generate("SM3_SM2")
    >>> request = Request("GET", "/v1/interconn/node/health")
    >>> headers = sign_headers(key, request, Stamp("A", "B", "nonce-0123456789", 1735689600000, "trace-1"))
    >>> verify(key.public, request.with_headers(headers))

"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from reference_node.security.errors import (
    DigestMismatch,
    InvalidSignature,
    SignatureMalformed,
    SignatureMissing,
    SuiteRefused,
)
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.suites import digest, suite_of_alg

SIGNATURE: Final = "x-auth-sign"
CONTENT_DIGEST: Final = "content-digest"
TOKEN_SET: Final = "x-mprac-token-set"  # noqa: S105 - the header's name
CSRF: Final = "x-csrf-protection"
NONCE: Final = "x-nonce"
SOURCE: Final = "x-source-node-id"
TARGET: Final = "x-target-node-id"
TIMESTAMP: Final = "x-timestamp"
TRACE: Final = "x-trace-id"

# what a signature covers, in the order in which the base lists it
COMPONENTS: Final = (
    "@method",
    "@path",
    "@query",
    CONTENT_DIGEST,
    TOKEN_SET,
    NONCE,
    SOURCE,
    TARGET,
    TIMESTAMP,
)

OLDEST: Final = 1  # versions of the base
NEWEST: Final = 2
ANNOUNCED: Final = "signature_base"  # under which name a node says which it has; it has the older ones too
CONTENT_TYPE: Final = "content-type"
TRANSPORT: Final = "x-ptp-"  # how the headers of the data plane begin

_ITEM_LIMIT: Final = 4096
# RFC 8941: a byte sequence with the parameter alg, a string, and from the second version of the base on v, an integer
_ITEM: Final = re.compile(
    r':(?P<bytes>[A-Za-z0-9+/]*={0,2}):; *alg="(?P<alg>(?:[ !#-\[\]-~]|\\["\\])*)"(?:; *v=(?P<version>2))?'
)
_TRANSPORT: Final = re.compile(r"x-ptp-[a-z0-9-]{1,64}")
_VISIBLE: Final = re.compile(r"[ -~]*")
_PATH: Final = re.compile(r"/[!\"$->@-~]*")  # visible ASCII without # and ?
_RAW_QUERY: Final = re.compile(r"[!-~]*")
_METHOD: Final = re.compile(r"[A-Za-z]+")
_MAY_BE_ABSENT: Final = (TOKEN_SET, CONTENT_TYPE, TRACE)  # of the covered headers; they then count as empty

Query = str | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands on the wire; `path` and `query` raw, header names in any case."""

    method: str
    path: str
    query: Query = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """Return the same request with some headers set."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the signer adds to a request: both ids, freshness (`timestamp` in unix ms), trace and permit tokens."""

    source: str
    target: str
    nonce: str
    timestamp: int
    trace_id: str
    token_set: str | None = None


def canonical_query(query: Query) -> str:
    """Return "?" and the pairs, decoded, sorted by (name, value) and percent-encoded anew; an empty query gives "?"."""
    if isinstance(query, str):
        fields = (part.partition("=") for part in _fit("@query", query, _RAW_QUERY).split("&") if part)
        pairs = [(_decoded(name), _decoded(value)) for name, _, value in fields]
    else:
        pairs = [(_utf8(name), _utf8(value)) for name, value in query]
    return "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(pairs))


def content_digest(alg: str, body: bytes) -> str:
    """Return the content-digest header for a body under a signature algorithm."""
    name = suite_of_alg(alg).digest
    return f"{name}=:{base64.b64encode(digest(name, body)).decode()}:"


def covered(headers: Mapping[str, str], version: int) -> tuple[str, ...]:
    """Return what a signature covers in a version of the base: in the second also every header of the data plane."""
    if version == OLDEST:
        return COMPONENTS
    names = sorted(name for name in map(str.lower, headers) if name.startswith(TRANSPORT))
    for name in names:
        if not _TRANSPORT.fullmatch(name):
            raise SignatureMalformed("the name of a header of the data plane cannot be covered")
    return (*COMPONENTS, CONTENT_TYPE, TRACE, *names)


def signature_base(request: Request, alg: str, components: Sequence[str] | None = None, version: int = OLDEST) -> bytes:
    """Return the bytes that are signed; raise SignatureMalformed where a covered component is absent or unfit.

    `components` are those of the version, unless others are given.
    """
    suite_of_alg(alg)  # nothing but a registered name reaches the last line
    headers = _lowered(request.headers)
    components = covered(headers, version) if components is None else components
    lines = [f'"{component}": {_component(component, request, headers)}' for component in components]
    names = " ".join(f'"{component}"' for component in components)
    lines.append(f'"@signature-params": ({names}){_parameters(alg, version)}')
    return "\n".join(lines).encode("ascii")


def sign_headers(
    key: PrivateKey,
    request: Request,
    stamp: Stamp,
    components: Sequence[str] | None = None,
    version: int = OLDEST,
) -> dict[str, str]:
    """Return the headers that make a request a signed one: add them to those it has.

    In the second version of the base it has to have all headers of the data plane and its content type before.
    """
    alg = key.public.suite.alg
    added = {
        SOURCE: stamp.source,
        TARGET: stamp.target,
        NONCE: stamp.nonce,
        TIMESTAMP: str(stamp.timestamp),
        TRACE: stamp.trace_id,
        CONTENT_DIGEST: content_digest(alg, request.body),
    }
    if stamp.token_set is not None:
        added[TOKEN_SET] = stamp.token_set
    if request.method.upper() == "POST":
        added[CSRF] = "1"
    signature = key.sign(signature_base(request.with_headers(added), alg, components, version))
    return {**added, SIGNATURE: f":{base64.b64encode(signature).decode()}:{_parameters(alg, version)}"}


def _parameters(alg: str, version: int) -> str:
    return f';alg="{alg}"' + ("" if version == OLDEST else f";v={version}")


def version_of(value: str) -> int:
    """Return over which version of the base an x-auth-sign says that it is."""
    match = _ITEM.fullmatch(value.strip(" ")) if len(value) <= _ITEM_LIMIT else None
    return OLDEST if match is None or match["version"] is None else int(match["version"])


def carries_transport(headers: Mapping[str, str]) -> bool:
    """Tell whether a request is one of the data plane, by its headers."""
    return any(name.startswith(TRANSPORT) for name in map(str.lower, headers))


def parse_signature(value: str) -> tuple[bytes, str]:
    """Read x-auth-sign: the signature's bytes and its alg; raise SignatureMalformed."""
    match = _ITEM.fullmatch(value.strip(" ")) if len(value) <= _ITEM_LIMIT else None
    if match is None:
        raise SignatureMalformed("x-auth-sign is not a byte sequence with the parameter alg, and v where it has one")
    try:
        signature = base64.b64decode(match["bytes"], validate=True)
    except binascii.Error as wrong:
        raise SignatureMalformed("x-auth-sign is not base64") from wrong
    if not signature or base64.b64encode(signature).decode() != match["bytes"]:
        raise SignatureMalformed("x-auth-sign is empty or not in the canonical form of base64")
    return signature, re.sub(r"\\(.)", r"\1", match["alg"])


def check_digest(request: Request, alg: str) -> None:
    """Return when content-digest is that of the body, in the digest of the suite, else raise DigestMismatch."""
    stated = _lowered(request.headers).get(CONTENT_DIGEST, "").strip(" \t")
    if stated != content_digest(alg, request.body):
        raise DigestMismatch("content-digest is not the digest of the body received")


def verify(key: PublicKey, request: Request, components: Sequence[str] | None = None) -> None:
    """Return when the request was signed by this key as it stands, else raise a SignatureRefused.

    `components` are those of the version that the signature names, unless others are given.
    """
    headers = _lowered(request.headers)
    if not headers.get(SIGNATURE, "").strip():
        raise SignatureMissing("the request has no x-auth-sign")
    signature, alg = parse_signature(headers[SIGNATURE])
    suite = suite_of_alg(alg)
    if suite != key.suite:
        raise SuiteRefused(f"the signature uses {alg} and the signer's key is for {key.suite.alg}")
    check_digest(request, alg)
    try:
        key.verify(signature_base(request, alg, components, version_of(headers[SIGNATURE])), signature)
    except InvalidSignature as wrong:
        raise InvalidSignature("x-auth-sign does not belong to this request and the signer's key") from wrong


def _component(component: str, request: Request, headers: Mapping[str, str]) -> str:
    match component:
        case "@method":
            return _fit(component, request.method, _METHOD).upper()
        case "@path":
            return _fit(component, request.path, _PATH)
        case "@query":
            return canonical_query(request.query)
        case _ if component in _MAY_BE_ABSENT:
            return _fit(component, headers.get(component, "").strip(" \t"), _VISIBLE)
        case _ if component not in headers:
            raise SignatureMalformed(f"the signature covers {component} and the request does not carry it")
        case _:
            return _fit(component, headers[component].strip(" \t"), _VISIBLE)


def _fit(component: str, value: str, form: re.Pattern[str]) -> str:
    """Refuse a value that could end its line or be spelled in two ways."""
    if not form.fullmatch(value):
        raise SignatureMalformed(f"{component} holds characters that a signature cannot cover")
    return value


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, value in headers.items():
        if lowered.setdefault(name.lower(), value) != value:
            raise SignatureMalformed(f"the request carries {name.lower()} twice")
    return lowered


def _decoded(text: str) -> bytes:
    """Decode one name or value of a raw query: "+" is a space, %XX is a byte, anything else stands for itself."""
    return unquote_to_bytes(text.replace("+", " "))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as lone:
        raise SignatureMalformed("@query holds text that has no UTF-8 form") from lone
