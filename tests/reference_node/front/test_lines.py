"""Requests out of bytes: however they are cut, the same requests come out, and none out of another's body."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from reference_node.front.head import Malformed, strict
from reference_node.front.lines import Limits, Line

LIMITS = Limits(whole=200, begun=50, body=1000)
PIECES = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
    b"POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /f HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\n\r\n",
    b"\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"\x16\x03\x01",
    b"x",
]
Understood = list[tuple[bytes, bytes | None]]


def _understood(sent: bytes, cuts: list[int]) -> tuple[Understood, str]:
    """Return the requests that a line makes of bytes which come in these pieces, and why it ended."""
    line = Line(socket.socket(), "192.0.2.1", 1, "192.0.2.1", 0.0)
    found: Understood = []
    with line.sock:
        for cut in (*cuts, len(sent)):
            line.buffer += sent[:cut]
            sent = sent[cut:]
            try:
                while line.advance(LIMITS, strict, lambda _path: False):
                    assert line.head is not None
                    found.append((line.head.path, line.body))
                    if line.body is None:
                        return found, "a worker reads on"
                    line.begin_next()
                    if not line.buffer:
                        break
            except Malformed as wrong:
                return found, wrong.name
    return found, "more is needed"


@given(st.lists(st.sampled_from(PIECES), max_size=5).map(b"".join), st.lists(st.integers(1, 40), max_size=30))
def test_cuts_change_nothing(sent: bytes, cuts: list[int]) -> None:
    """One byte or all at once: a front that sees the bytes otherwise cut sees the same requests."""
    assert _understood(sent, cuts)[0] == _understood(sent, [])[0]


@given(st.lists(st.sampled_from(PIECES[:4]), max_size=5), st.integers(1, 7))
def test_every_request_is_one(sent: list[bytes], step: int) -> None:
    """As many come out as went in, with their bodies, and nothing is left."""
    whole = b"".join(sent)
    found, why = _understood(whole, [step] * (len(whole) // step))
    assert len(found) == len(sent)
    assert why == "more is needed"
    bodies = {b"/": b"", b"/b": b"hello", b"/c": b"GET /", b"/d": PIECES[0]}
    assert all(bodies[path] == body for path, body in found)


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_whatever_comes_ends_well(sent: bytes, cuts: list[int]) -> None:
    """Requests, or Malformed; never another exception."""
    found, why = _understood(sent, cuts)
    assert why
    assert len(found) <= sent.count(b"\r\n\r\n")


def test_a_long_body_is_left_to_a_worker() -> None:
    """More than is held at the gate is read while it arrives; more than is allowed is refused."""
    assert _understood(PIECES[5], []) == ([(b"/f", None)], "a worker reads on")
    longer = PIECES[5].replace(b"400", b"1001")
    assert _understood(longer, []) == ([], "BODY_TOO_LARGE")
