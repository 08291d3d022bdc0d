"""The parser of heads: what is well-formed is taken, what two readers could read differently is not."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reference_node.front import head as heads
from reference_node.front.bodies import Chunks
from reference_node.front.head import Head, Malformed, parse, strict
from reference_node.front.lines import Limits

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz", min_size=1, max_size=12)
VISIBLE = st.text([chr(code) for code in (*range(0x21, 0x7F), *range(0x80, 0x100))], min_size=1, max_size=12)
VALUE = st.lists(VISIBLE, max_size=3).map(" ".join)
SEGMENT = st.text("abcXYZ019-._~!$&'()*+,;=:@", max_size=8) | st.just("%2F") | st.just("%e4%Bd")
MESSAGE_NAMES = {"host", "content-length", "transfer-encoding", "connection", "expect"}
FIELDS = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in MESSAGE_NAMES), VALUE), max_size=6)
BLANK = st.sampled_from(["", " ", "\t", "  "])
BASE = b"POST /v1 HTTP/1.1\r\nHost: a"
LIMITS = Limits(whole=1000, body=10_000)


def _read(data: bytes) -> Head | None:
    try:
        return parse(data)
    except Malformed:
        return None


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                b"GET",
                b" ",
                b"/",
                b"HTTP/1.1",
                b"\r\n",
                b"\r",
                b"\n",
                b":",
                b"Host: a",
                b"content-length",
                b"5",
                b"\x00",
                b"\t",
                b"transfer-encoding: chunked",
            ]
        )
    ).map(b"".join)
)
def test_whatever_bytes_come_they_are_a_head_or_malformed(data: bytes) -> None:
    """No other exception ever."""
    found = _read(data)
    assert found is None or (found.length is None or found.length >= 0)
    with contextlib.suppress(Malformed):
        heads.begins(data)


@given(
    TOKEN, st.lists(SEGMENT, min_size=1, max_size=4), st.none() | st.lists(SEGMENT, max_size=4), FIELDS, BLANK, BLANK
)
def test_every_wellformed_head_is_taken(
    method: str, path: list[str], query: list[str] | None, fields: list[tuple[str, str]], before: str, after: str
) -> None:
    """Method, target and fields come out as they went in, optional blanks around values aside."""
    target = "/" + "/".join(path) + ("" if query is None else "?" + "?".join(query))
    lines = [f"{method} {target} HTTP/1.1", "Host: node-a.example:8801"]
    lines += [f"{name}:{before}{value}{after}" for name, value in fields]
    data = "\r\n".join(lines).encode("latin-1")
    heads.begins(data + b"\r\n\r\n")
    found = parse(data)
    assert found.method == method.encode()
    assert found.path == target.partition("?")[0].encode()
    assert found.query == target.partition("?")[2].encode()
    assert found.fields[1:] == tuple((n.lower().encode(), v.encode("latin-1")) for n, v in fields)
    assert found.length == 0


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (b"Content-Length: 5", 5),
        (b"content-length:  0005 ", 5),
        (b"Transfer-Encoding: chunked", None),
        (b"Transfer-Encoding: Chunked", None),
        (b"X: 1", 0),
    ],
)
def test_lengths(lines: bytes, length: int | None) -> None:
    """One way to say how long a body is."""
    assert parse(BASE + b"\r\n" + lines).length == length


WRONG = {
    "length and chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "transfer-encoding"),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 6", "content-length"),
    "the same length twice": (b"Content-Length: 5\r\nContent-Length: 5", "content-length"),
    "a list of lengths": (b"Content-Length: 5, 5", "content-length"),
    "a length in hexadecimal": (b"Content-Length: 0x0", "content-length"),
    "a length with underscore": (b"Content-Length: 5_0", "content-length"),
    "a length with sign": (b"Content-Length: +5", "content-length"),
    "a negative length": (b"Content-Length: -5", "content-length"),
    "an empty length": (b"Content-Length:", "content-length"),
    "a length of other digits": ("Content-Length: ５".encode(), "content-length"),
    "a huge length": (b"Content-Length: " + b"9" * 19, "content-length"),
    "another coding": (b"Transfer-Encoding: gzip", "transfer-encoding"),
    "two codings": (b"Transfer-Encoding: gzip, chunked", "transfer-encoding"),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "transfer-encoding"),
    "a coding in quotes": (b'Transfer-Encoding: "chunked"', "transfer-encoding"),
    "a coding with a vertical tab": (b"Transfer-Encoding: \x0bchunked", "headers"),
    "two hosts": (b"Host: b", "host"),
    "the same host twice": (b"Host: a", "host"),
    "a folded field": (b"X: 1\r\n 2", "headers"),
    "a field folded by a tab": (b"X: 1\r\n\t2", "headers"),
    "NUL": (b"X: 1\x002", "headers"),
    "a control character": (b"X: 1\x1b2", "headers"),
    "DEL": (b"X: 1\x7f2", "headers"),
    "a bare CR": (b"X: 1\r2", "headers"),
    "a bare LF": (b"X: 1\nY: 2", "headers"),
    "a space before the colon": (b"X : 1", "headers"),
    "a tab before the colon": (b"X\t: 1", "headers"),
    "no colon": (b"X", "headers"),
    "no name": (b": 1", "headers"),
    "a name with brackets": (b"X(a): 1", "headers"),
    "a name that is not ASCII": ("Ｘ: 1".encode(), "headers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_fields_are_malformed(name: str) -> None:
    """Each names the part that is wrong; without it the head is taken."""
    line, pointer = WRONG[name]
    assert parse(BASE)
    with pytest.raises(Malformed) as caught:
        parse(BASE + b"\r\n" + line)
    assert (caught.value.name, caught.value.pointer) == ("MESSAGE_MALFORMED", pointer)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1",
        b"G(T / HTTP/1.1", b"GET / HTTP/2.0", b"GET / HTTP/1.12", b"GET / http/1.1", b"GET / HTTP/1", b"GET / HTTP/0.9",
        b"GET /\x00 HTTP/1.1", b"GET /\x80 HTTP/1.1", b"GET /#a HTTP/1.1", b"GET /%zz HTTP/1.1", b"GET a HTTP/1.1",
        b"GET * HTTP/1.1", b"GET http://b/ HTTP/1.1", b"GET http://a@b/ HTTP/1.1", b"GET ftp://a/ HTTP/1.1",
        b"GET /\\ HTTP/1.1", b"CONNECT a:80 HTTP/1.1", b'GET /" HTTP/1.1',
    ],
)  # fmt: skip
def test_wrong_request_lines_are_malformed(line: bytes) -> None:
    """One space on either side of a target that is one, and a version that is spoken here."""
    with pytest.raises(Malformed):
        parse(line + b"\r\nHost: a")


def test_a_target_in_absolute_form_is_that_of_the_host() -> None:
    """RFC 9112, 3.2.2: it is taken, where it names the same host."""
    found = parse(b"GET HTTP://A:80/v1?x=1 HTTP/1.1\r\nHost: a:80")
    assert (found.path, found.query) == (b"/v1", b"x=1")
    assert parse(b"GET http://a HTTP/1.1\r\nHost: a").path == b"/"
    assert parse(b"OPTIONS * HTTP/1.1\r\nHost: a").path == b"*"


def test_a_host_is_needed_by_the_newer_version_only() -> None:
    """RFC 9112, 3.2; chunks are of HTTP/1.1 only."""
    assert not parse(b"GET / HTTP/1.0").keep
    for data in (b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: a/b"):
        assert _read(data) is None
    assert _read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked") is None


def test_heads_have_bounds() -> None:
    """Too many fields, too long a line, too many bytes: each is 431."""
    for data in (
        BASE + b"\r\nX: 1" * heads.MOST_FIELDS,
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a",
        BASE + b"\r\nX: " + b"a" * heads.MOST_BYTES,
    ):
        with pytest.raises(Malformed) as caught:
            parse(data)
        assert caught.value.name == "HEAD_TOO_LARGE"


def test_the_parser_takes_time_in_proportion() -> None:
    """Values of blanks, which patterns like to go back over, are read in milliseconds."""
    began = time.perf_counter()
    for tail in (b"\x00", b"x", b""):
        _read(BASE + b"\r\nX:" + b" " * 60_000 + tail)
        _read(b"GET /" + b"%41" * 5_000 + tail + b" HTTP/1.1\r\nHost: a")
    assert time.perf_counter() - began < 1


CHUNKED = [
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b'A;x=1;y="a;b"\r\n0123456789\r\n0;end\r\n\r\n', b"0123456789"),
    (b"0\r\n\r\n", b""),
]


@given(st.sampled_from(CHUNKED), st.lists(st.integers(1, 5), max_size=40))
def test_chunks_come_out_however_they_are_cut(case: tuple[bytes, bytes], cuts: list[int]) -> None:
    """The body and what follows it are told apart."""
    sent, body = case
    chunks, buffer = Chunks(100), bytearray()
    left = sent + b"NEXT"
    for cut in (*cuts, len(left)):
        buffer += left[:cut]
        left = left[cut:]
        chunks.feed(buffer)
    assert (chunks.done, bytes(chunks.data), bytes(buffer)) == (True, body, b"NEXT")


@pytest.mark.parametrize(
    "sent",
    [
        b"5\r\nhelloX\r\n", b"5\r\nhello\n", b"0x5\r\nhello\r\n", b"5_0\r\n", b"+5\r\n", b"-5\r\n", b" 5\r\n", b"\r\n",
        b"5 \r\n",
        b"5\nhello\r\n", b"5;\x00\r\n", b"5;a=\r\n", b"5;a b\r\n", b"g\r\n", b"0\r\nX: 1\r\n\r\n", b"0\r\n\n",
        b"f" * 16 + b"\r\n",
        b"5;" + b"a" * 2000,
    ],
)  # fmt: skip
def test_malformed_chunks_are_refused(sent: bytes) -> None:
    """Size, extension, end and trailer."""
    with pytest.raises(Malformed):
        Chunks(100).feed(bytearray(sent))


@given(st.binary(max_size=80))
@example(b"5\r\nhello\r\n0\r\n\r\n")
def test_whatever_comes_in_chunks_ends_well(sent: bytes) -> None:
    """Nothing but Malformed, and never more than came."""
    chunks = Chunks(100)
    try:
        chunks.feed(bytearray(sent))
    except Malformed:
        return
    assert len(chunks.data) <= len(sent)


def test_strictness_has_no_exceptions() -> None:
    """Nothing that is wrong is taken unless a defect takes it."""
    assert not strict("anything")
