"""Requests as no library sends them: every header as it is spelled, in order or backwards."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.harness.raw_http import RawTransport
from conformance.harness.records import Request
from conformance.harness.target import Unanswered


@contextmanager
def heard(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one connection with these bytes; tell the address and what came."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                came.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", came
        thread.join(timeout=5)


REQUEST = Request("POST", "/p", (("a", "1 2"),), {"x-nonce": "one", "X-Nonce": "two", "x_nonce": "three"}, b"body")
ANSWER = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\nX-Own: y\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize("backwards", [False, True])
def test_every_header_goes_out_as_it_is_spelled(backwards: bool) -> None:
    """Twice where two names differ in case, with underscores, and in the order that was asked for."""
    with heard(ANSWER) as (url, came):
        answer = RawTransport(url, backwards=backwards).send(REQUEST, 5)
    lines = came[0].decode().split("\r\n")
    own = [line for line in lines if "nonce" in line.lower()]
    wanted = ["x-nonce: one", "X-Nonce: two", "x_nonce: three"]
    assert lines[0] == "POST /p?a=1%202 HTTP/1.1"
    assert own == (wanted[::-1] if backwards else wanted)
    assert lines[-1] == "body"
    assert (answer.status, answer.headers["x-own"], answer.body) == (400, "y", b"ok")


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"])
def test_what_is_no_whole_answer_is_none(answer: bytes) -> None:
    """A target that hangs up, or talks nonsense, has not answered."""
    with heard(answer) as (url, _), pytest.raises(Unanswered):
        RawTransport(url).send(REQUEST, 5)
