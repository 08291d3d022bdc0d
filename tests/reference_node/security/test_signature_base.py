"""What a signature covers: different requests have different bases, one query has one spelling."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from hypothesis import assume, given
from hypothesis import strategies as st

from reference_node.security import signing, sm2
from reference_node.security.signing import Request, Stamp

values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
pairs = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5)
requests = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.from_regex(r"/[a-z0-9/%._-]{0,20}", fullmatch=True),
    query=pairs,
    body=st.binary(max_size=40),
)
stamps = st.builds(
    Stamp, values, values, values, st.integers(0, 2**53), st.just("trace"), st.none() | values | st.just("")
)


def base_of(request: Request, stamp: Stamp) -> bytes:
    """Return the base of a request as its signer makes it, without signing."""
    headers = {
        "x-source-node-id": stamp.source,
        "x-target-node-id": stamp.target,
        "x-nonce": stamp.nonce,
        "x-timestamp": str(stamp.timestamp),
        "x-mprac-token-set": stamp.token_set or "",
        "content-digest": signing.content_digest("sm2-sm3", request.body),
    }
    return signing.signature_base(request.with_headers(headers), "sm2-sm3")


def covered(request: Request, stamp: Stamp) -> tuple[object, ...]:
    """Return everything that a signature shall bind."""
    query = tuple(sorted((name.encode(), value.encode()) for name, value in request.query))
    bound = (stamp.source, stamp.target, stamp.nonce, stamp.timestamp, stamp.token_set or "")
    return (request.method, request.path, query, request.body, *bound)


@given(requests, stamps, requests, stamps)
def test_different_requests_have_different_bases(
    request_a: Request, stamp_a: Stamp, request_b: Request, stamp_b: Stamp
) -> None:
    """Two requests share a base exactly when everything covered is equal."""
    same = covered(request_a, stamp_a) == covered(request_b, stamp_b)
    assert (base_of(request_a, stamp_a) == base_of(request_b, stamp_b)) == same


@given(requests, stamps, st.data())
def test_changing_any_covered_field_changes_the_base(request: Request, stamp: Stamp, data: st.DataObject) -> None:
    """One field changed, all others kept: the base is another."""
    names = ["method", "path", "query", "body", "source", "target", "nonce", "timestamp", "token_set"]
    name = data.draw(st.sampled_from(names))
    other_request, other_stamp = data.draw(requests), data.draw(stamps)
    if name in ("method", "path", "query", "body"):
        changed = (replace(request, **{name: getattr(other_request, name)}), stamp)
    else:
        changed = (request, replace(stamp, **{name: getattr(other_stamp, name)}))
    assume(covered(*changed) != covered(request, stamp))
    assert base_of(*changed) != base_of(request, stamp)


@given(requests, stamps)
def test_the_base_has_ten_lines(request: Request, stamp: Stamp) -> None:
    """No value can add a line, and none ends the base."""
    base = base_of(request, stamp)
    assert base.count(b"\n") == 9
    assert not base.endswith(b"\n")
    assert re.fullmatch(rb"[ -~\n]+", base)


@given(pairs, st.randoms(use_true_random=False))
def test_a_query_has_one_spelling(query: list[tuple[str, str]], shuffler: Any) -> None:
    """Order, form encoding and needless escapes do not matter: pairs and every raw form of them give one text."""
    expected = signing.canonical_query(query)
    shuffled = list(query)
    shuffler.shuffle(shuffled)
    assert signing.canonical_query(shuffled) == expected
    assert signing.canonical_query(urlencode(shuffled)) == expected
    escaped = "&".join("=".join("".join(f"%{b:02x}" for b in text.encode()) for text in pair) for pair in shuffled)
    assert signing.canonical_query(escaped) == expected


@given(pairs)
def test_a_canonical_query_is_its_own_canonical_form(query: list[tuple[str, str]]) -> None:
    """Canonicalising twice changes nothing, and no pair is lost."""
    once = signing.canonical_query(query)
    assert signing.canonical_query(once[1:]) == once
    assert sorted(parse_qsl(once[1:], keep_blank_values=True)) == sorted(query)


@given(st.binary(max_size=50))
def test_escaped_bytes_that_are_no_text_are_kept(data: bytes) -> None:
    """Bytes of a query that are not UTF-8 are signed as they are."""
    raw = "".join(f"%{byte:02X}" for byte in data)
    unreserved = signing.canonical_query(f"a={raw}")
    assert signing.unquote_to_bytes(unreserved[3:]) == data


def test_digests_of_the_two_kinds() -> None:
    """The national suite digests with SM3, the others with SHA-256."""
    assert signing.content_digest("sm2-sm3", b"abc").startswith("sm3=:Zsfw9GLu7dnR8tRr3BDk4kFnxIdc8veiKX2gK49LqOA=")
    assert signing.content_digest("rsa-v1_5-sha256", b"abc") == (
        "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
    )
    assert sm2.sm3(b"abc").hex().startswith("66c7f0f4")


transports = st.dictionaries(st.from_regex(r"x-ptp-[a-z0-9-]{1,8}", fullmatch=True), values, max_size=5)
COVERED = {"content-digest": "d", "x-nonce": "n", "x-source-node-id": "s", "x-target-node-id": "t", "x-timestamp": "1"}


@given(transports, transports, st.text("ab/", max_size=3), st.text("ab/", max_size=3))
def test_the_second_version_binds_every_header_of_the_data_plane(
    one: dict[str, str], two: dict[str, str], type_one: str, type_two: str
) -> None:
    """Two requests share a base exactly when their x-ptp- headers and content types are the same, in any order."""

    def base(transport: dict[str, str], content_type: str, *, backwards: bool = False) -> bytes:
        pairs = sorted({**COVERED, **transport, "content-type": content_type}.items(), reverse=backwards)
        return signing.signature_base(Request("POST", "/p", headers=dict(pairs)), "sm2-sm3", version=2)

    assert (base(one, type_one) == base(two, type_two)) == ((one, type_one) == (two, type_two))
    assert base(one, type_one) == base(one, type_one, backwards=True)
    old = signing.signature_base(Request("POST", "/p", headers={**COVERED, **one}), "sm2-sm3")
    assert old != base(one, type_one)
