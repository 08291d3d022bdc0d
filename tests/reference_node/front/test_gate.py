"""The gate on real sockets, plain and over TLS: who waits for nobody, who is refused, who has to go."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from OpenSSL import SSL

from conformance.harness.ip_versions import missing
from reference_node.config import load_config
from reference_node.server import NodeServer
from tests.reference_node.front.lined import Wire
from tests.reference_node.front.test_head import WRONG
from tests.reference_node.transport.tlsing import bare, realm
from tests.waiting import eventually

pytestmark = pytest.mark.slow
APPLY = "/v1/platform/node/contract/apply"
SMALL = 300  # connections; the benchmark has ten thousand


@dataclass
class Place:
    """A served node and how it is spoken to."""

    server: NodeServer
    context: SSL.Context | None

    def wire(self, **more: Any) -> Wire:
        """Connect to it."""
        return Wire(self.server.address, self.context, **more)

    def well(self) -> None:
        """Ask it something; it answers."""
        with self.wire() as wire:
            wire.ask()
            assert _status(wire) == 200


def _status(wire: Wire, seconds: float = 10) -> int | None:
    found = wire.answer(seconds)
    return None if found is None else found.status


class Serve:
    """Serves nodes with settings, plain or over TLS, until the test ends."""

    def __init__(self, mode: str, folder: Path, stack: ExitStack) -> None:
        self._mode, self._stack = mode, stack
        self._realm = None if mode == "off" else stack.enter_context(realm(mode, folder))

    def __call__(self, **settings: Any) -> Place:
        if self._realm is None:
            config = load_config(None, port=0, node_id="node-a", background=False, **settings)
            return Place(self._stack.enter_context(NodeServer(config)), None)
        suites = b"TLS_SM4_GCM_SM3" if self._mode == "gm" else b""
        context = bare(self._realm.files("node-b"), suites=suites)
        return Place(self._realm.serve("node-a", background=False, **settings), context)


@pytest.fixture(params=["off", "intl", "gm"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    """Every mode."""
    with ExitStack() as stack:
        yield Serve(request.param, tmp_path, stack)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Serve]:
    """Without TLS."""
    with ExitStack() as stack:
        yield Serve("off", tmp_path, stack)


def test_others_are_answered_while_many_wait(serve: Serve) -> None:
    """Idle, dripping and half open connections take no worker: with two workers a query is answered at once."""
    place = serve(threads=2)
    port = int(place.server.address.rpartition(":")[2])
    hello = b"\x16\x03\x01\x02\x00\x01\x00" if place.context else b"GET /v1 HTTP/1.1\r\nHost: a\r\nx: "
    with ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(SMALL)]
        for number, sock in enumerate(crowd):
            if number % 3:
                sock.sendall(hello[: 1 + number % len(hello)])
        assert eventually(lambda: len(place.server._servers[0].gate) >= SMALL)
        for _ in range(5):
            place.well()
            for sock in crowd[1::3]:
                sock.sendall(b"\x00" if place.context else b"x")
        assert len(place.server._servers[0].requests._threads) == 2


def test_a_head_must_come_in_time(serve: Serve) -> None:
    """A head that drips is answered 408 and its connection closed; one that never begins is closed."""
    place = serve(head_seconds=0.4)
    with place.wire() as idle, place.wire() as dripping:
        dripping.send(b"GET / HTTP/1.1\r\n")
        assert idle.over(5)
        found = dripping.answer(5)
        assert (found.status, found.error) == (408, "MESSAGE_TOO_SLOW") if found else False
        assert dripping.over(5)
    place.well()


def test_a_handshake_must_come_in_time(tmp_path: Path) -> None:
    """One that never begins, one that stops half way and one that stops after the first message all end."""
    with ExitStack() as stack:
        place = Serve("intl", tmp_path, stack)(tls_handshake_seconds=0.4)
        port = int(place.server.address.rpartition(":")[2])
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        with pytest.raises(SSL.WantReadError):
            client.do_handshake()
        hello = client.bio_read(65536)
        for sent in (b"", hello[:40], hello):
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.sendall(sent)
                began = time.monotonic()
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(65536):
                        pass
                assert 0.2 < time.monotonic() - began < 4
        place.well()


def test_a_rest_between_requests_costs_no_worker_and_ends(plain: Serve) -> None:
    """Twenty connections that were used rest with one worker; after their time they are closed."""
    place = plain(threads=1, idle_seconds=0.5)
    with ExitStack() as stack:
        wires = [stack.enter_context(place.wire()) for _ in range(20)]
        for wire in wires:
            wire.ask()
            assert _status(wire) == 200
        place.well()
        assert all(wire.over(5) for wire in wires)


def test_a_slow_body_takes_no_worker_and_ends(plain: Serve) -> None:
    """A body that is not streamed is read at the gate; one that stalls is answered 408."""
    place = plain(threads=1, least_kib_per_second=100_000.0)
    _hurry(place)
    with place.wire() as slow:
        slow.ask("POST", APPLY, "Content-Length: 1000")
        slow.send(b"{")
        place.well()
        found = slow.answer(5)
        assert (found.status, found.error) == (408, "MESSAGE_TOO_SLOW") if found else False
        assert slow.over(5)


def test_a_slow_streamed_body_frees_its_worker(plain: Serve) -> None:
    """A worker that reads a body for somebody unknown waits no longer than the least rate has it."""
    place = plain(threads=1, least_kib_per_second=100_000.0)
    _hurry(place)
    for framing in ("Content-Length: 2000000", "Transfer-Encoding: chunked"):
        with place.wire() as slow:
            slow.ask("POST", "/v1/interconn/chan/pop", framing, "Content-Type: application/json")
            assert (_status(slow, 5) or 0) in range(400, 500)
            assert slow.over(5)
        place.well()


def test_an_answer_that_is_not_taken_frees_its_worker(plain: Serve) -> None:
    """A caller who asks and does not read: the worker gives up, others are answered meanwhile."""
    place = plain(threads=1, least_kib_per_second=100_000.0)
    _hurry(place)
    server = place.server._servers[0]
    server.wsgi_app = _long(server.wsgi_app)
    with place.wire() as deaf:
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.ask("GET", "/long")
        place.well()
        assert eventually(lambda: server.requests.idle >= 1)


def _long(app: Any) -> Any:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/long":
            return app(environ, start_response)
        start_response("200 OK", [("content-length", str(1 << 26))])
        return [bytes(1 << 26)]

    return answer


def _hurry(place: Place) -> None:
    """Have the node wait half a second where it would wait five."""
    for server in place.server._servers:
        object.__setattr__(server.rules, "grace_seconds", 0.5)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_framing_is_refused_and_the_connection_closed(serve_once: Place, name: str) -> None:
    """Status 400 with the envelope, one answer, and what follows is no second request."""
    line, pointer = WRONG[name]
    with serve_once.wire() as wire:
        smuggled = f"GET /v1/interconn/node/query?node_id=node-a HTTP/1.1\r\nHost: {wire.host}\r\n\r\n".encode()
        wire.send(b"POST /v1 HTTP/1.1\r\nHost: " + wire.host.encode() + b"\r\n" + line + b"\r\n\r\n" + smuggled)
        found = wire.answer()
        assert found is not None
        assert (found.status, found.error) == (400, "MESSAGE_MALFORMED")
        assert found.fields["connection"] == "close"
        assert b'"pointer":"' in found.body
        assert pointer
        assert wire.over()


@pytest.fixture(scope="module", params=["off", "gm"])
def serve_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One node for many questions."""
    with ExitStack() as stack:
        yield Serve(request.param, tmp_path_factory.mktemp("node"), stack)()


@pytest.mark.parametrize(
    "chunks", [b"5\r\nhelloX\r\n", b"0x5\r\nhello\r\n", b"5;=\r\nhello\r\n", b"0\r\nX: 1\r\n\r\n", b"+5\r\n", b"g\r\n"]
)
@pytest.mark.parametrize("path", [APPLY, "/v1/interconn/chan/invoke", "/v1/interconn/chan/pop"])
def test_malformed_chunks_are_refused(serve_once: Place, path: str, chunks: bytes) -> None:
    """At the gate and in a worker: 4xx with an envelope, and the connection closed; never 500."""
    with serve_once.wire() as wire:
        wire.ask("POST", path, "Transfer-Encoding: chunked", "Content-Type: application/json")
        wire.send(chunks + b"GET /v1/interconn/node/query?node_id=node-a HTTP/1.1\r\nHost: a\r\n\r\n")
        found = wire.answer()
        assert found is not None
        assert found.status in range(400, 500)
        assert found.error
        assert wire.over()
    serve_once.well()


def test_words_are_those_the_caller_prefers(plain: Serve) -> None:
    """An envelope in English where that was asked for before the length went wrong."""
    with plain().wire() as wire:
        wire.ask("POST", APPLY, "Accept-Language: en", "Content-Length: 99999999999")
        found = wire.answer()
        assert found is not None
        assert (found.status, found.error) == (413, "BODY_TOO_LARGE")
        assert b"The request body" in found.body or found.body.isascii()


def test_requests_that_are_sent_ahead_are_answered_in_turn(serve: Serve) -> None:
    """Three in one piece, one of them with a body, over one connection."""
    with serve().wire() as wire:
        get = f"GET /v1/interconn/node/query?node_id=node-a HTTP/1.1\r\nHost: {wire.host}\r\n\r\n"
        post = f"POST {APPLY} HTTP/1.1\r\nHost: {wire.host}\r\nContent-Length: 2\r\n\r\n{{}}"
        wire.send((get + post + get).encode())
        assert [_status(wire) for _ in range(3)] == [200, 401, 200]


def test_what_is_left_of_a_refused_request_is_no_request(serve: Serve) -> None:
    """The body of a request that is refused before it is read: its connection is closed or goes on after the body."""
    place = serve()
    with place.wire() as wire:
        body = f"GET /v1/interconn/node/query?node_id=node-a HTTP/1.1\r\nHost: {wire.host}\r\n\r\n".encode()
        size = 1024 * 1024 * 3
        wire.ask("POST", "/v1/interconn/chan/push", f"Content-Length: {size}", "Content-Type: application/octet-stream")
        wire.send(body * (size // len(body)) + b" " * (size % len(body)))
        first = wire.answer()
        assert first is not None
        assert first.status in range(400, 500)
        assert wire.over()
    place.well()


def test_a_caller_who_expects_is_told_to_continue(serve: Serve) -> None:
    """100 once the head is taken and no body has come; none after a head that is refused."""
    place = serve()
    with place.wire() as wire:
        wire.ask("POST", APPLY, "Expect: 100-continue", "Content-Length: 2")
        assert _status(wire) == 100
        wire.send(b"{}")
        assert _status(wire) == 401
    with place.wire() as wire:
        wire.ask("POST", APPLY, "Expect: 100-continue", "Content-Length: +2")
        assert _status(wire) == 400


def test_an_address_has_so_many_connections(plain: Serve) -> None:
    """A flood loses its own oldest ones; a partner of another address keeps the connection it has used."""
    place = plain(connections_per_address=20)
    with ExitStack() as stack:
        partner = stack.enter_context(place.wire(source="127.0.0.9"))
        partner.ask()
        assert _status(partner) == 200
        flood = [stack.enter_context(place.wire()) for _ in range(30)]
        assert all(wire.over(5) for wire in flood[:10])
        partner.ask()
        assert _status(partner) == 200
        flood[-1].ask()
        assert _status(flood[-1]) == 200


def test_all_together_have_so_many_connections(plain: Serve) -> None:
    """Where the house is full, whoever has most loses; a newcomer of another address gets in."""
    place = plain(connections=40)
    with ExitStack() as stack:
        flood = [stack.enter_context(place.wire()) for _ in range(60)]
        newcomer = stack.enter_context(place.wire(source="127.0.0.9"))
        newcomer.ask()
        assert _status(newcomer) == 200
        assert sum(wire.over(0.2) for wire in flood[:19]) == 19


def test_addresses_that_are_listened_on_are_counted_together(plain: Serve) -> None:
    """A flood over IPv6 leaves no more room for one over IPv4 than there is in all."""
    if why := missing("::1"):
        pytest.skip(why)
    place = plain(connections=40, host=["127.0.0.1", "::1"])
    with ExitStack() as stack:
        for _ in range(30):
            for address in place.server.addresses:
                stack.enter_context(Wire(address))
        place.well()
        assert len(place.server._servers[0].gate) <= 40


def test_unfinished_requests_have_so_much_memory(plain: Serve) -> None:
    """Bodies that never end are dropped when they come to more than the bound; others go on."""
    place = plain(buffer_mib=4)
    with ExitStack() as stack:
        wires = [stack.enter_context(place.wire()) for _ in range(8)]
        for wire in wires:
            wire.ask("POST", APPLY, "Content-Length: 1000000")
            wire.send(b" " * 900_000)
        hall = place.server._servers[0].gate._hall
        assert eventually(lambda: len(hall) <= 4)
        assert hall._held <= 4 * 1024 * 1024
        place.well()


# --- balancers --------------------------------------------------------------------------------------------------------


def _preface(address: str) -> bytes:
    packed = socket.inet_aton(address)
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + packed + packed + struct.pack("!HH", 4711, 8801)


def _remotes(place: Place) -> list[tuple[str, str]]:
    """Note the address of each caller as the application sees it."""
    seen: list[tuple[str, str]] = []
    for server in place.server._servers:
        app = server.wsgi_app

        def note(environ: dict[str, Any], start_response: Any, app: Any = app) -> Any:
            seen.append((environ["REMOTE_ADDR"], environ["REMOTE_PORT"]))
            return app(environ, start_response)

        server.wsgi_app = note
    return seen


def test_a_balancer_hands_addresses_on(serve: Serve) -> None:
    """Both versions, before the handshake; the node sees the caller's address, for each request of the connection."""
    place = serve(proxy_protocol_from=["127.0.0.1/32"])
    seen = _remotes(place)
    for first in (_preface("192.0.2.7"), b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 8801\r\n"):
        with place.wire(first=first) as wire:
            for _ in range(2):
                wire.ask()
                assert _status(wire) == 200
    assert seen == [("192.0.2.7", "4711")] * 4


def test_a_balancer_must_hand_addresses_on_and_nobody_else_may(plain: Serve) -> None:
    """Without the preface its connection is closed; with it one from elsewhere is no request."""
    place = plain(proxy_protocol_from=["127.0.0.1"])
    seen = _remotes(place)
    with place.wire() as wire:
        wire.ask()
        assert wire.over()
    with place.wire(first=b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 8801\r\n", source="127.0.0.9") as wire:
        wire.ask()
        assert _status(wire) == 400
    assert seen == []
    with place.wire(source="127.0.0.9") as wire:
        wire.ask()
        assert _status(wire) == 200
    assert seen[0][0] == "127.0.0.9"


def test_bounds_hold_for_those_behind_a_balancer(plain: Serve) -> None:
    """One caller's flood through a balancer takes nothing from another caller through it."""
    place = plain(proxy_protocol_from=["127.0.0.1"], connections_per_address=10)
    with ExitStack() as stack:
        partner = stack.enter_context(place.wire(first=_preface("192.0.2.9")))
        flood = [stack.enter_context(place.wire(first=_preface("192.0.2.7"))) for _ in range(25)]
        assert all(wire.over(5) for wire in flood[:15])
        partner.ask()
        assert _status(partner) == 200


def test_through_a_forwarder_that_writes_the_preface(serve: Serve) -> None:
    """What haproxy does with send-proxy-v2, by a forwarder of the test: TLS passes through it whole."""
    place = serve(proxy_protocol_from=["127.0.0.1"])
    seen = _remotes(place)
    with _Forwarder(place.server.address) as forwarder, Wire(forwarder.url, place.context, source="127.0.0.8") as wire:
        wire.ask()
        assert _status(wire) == 200
    assert seen[0][0] == "127.0.0.8"


class _Forwarder:
    """A balancer with one server: it says whose connection it hands on, then carries bytes."""

    def __init__(self, url: str) -> None:
        scheme, _, place = url.partition("://")
        self._target = ("127.0.0.1", int(place.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._serve)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._sockets:
            sock.close()

    def _serve(self) -> None:
        try:
            caller, address = self._listener.accept()
        except OSError:
            return
        server = socket.create_connection(self._target)
        server.sendall(_preface(address[0]))
        self._sockets += [caller, server]
        for source, sink in ((caller, server), (server, caller)):
            thread = threading.Thread(target=_carry, args=(source, sink))
            self._threads.append(thread)
            thread.start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
