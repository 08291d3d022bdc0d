"""gRPC over the secure channel: who gets in, whom a node calls, what a listener hears, and bytes in a tunnel."""

from __future__ import annotations

import secrets
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
import requests
from OpenSSL import SSL

import specs
from conformance.harness.tls_tunnel import Tunnels
from reference_node.proto.transport_pb2 import Inbound, Outbound
from reference_node.security.pki import Pki
from reference_node.server import NodeServer
from reference_node.transport import tls_grpc
from reference_node.transport.client import ChannelClient
from reference_node.transport.partner import Peer
from reference_node.transport.relay import Outgoing, RelayFailed, Route
from reference_node.transport.relay_grpc import COMPONENTS, INVOKE, GrpcRelay
from reference_node.transport.tls import Called
from reference_node.transport.tls_grpc import Door, Folder, Way
from reference_node.transport.tunnel import Ends, Sockets, Tunnel
from tests.reference_node.test_job_real import DAG, made
from tests.reference_node.transport.tlsing import Line, Realm, bare, realm
from tests.waiting import eventually
from tests.wires import Tap

pytestmark = pytest.mark.slow
SESSION = "session_job-0123456789abcdef0123456789abcdef"
TOKEN = "token-of-the-session-0123456789"
PARTIES = {"guest.0": "node-a", "host.0": "node-b"}
HEADERS = {"x-source-node-id": "node-b", "x-target-node-id": "node-a"}
SUITE = {"gm": b"TLS_SM4_GCM_SM3", "intl": b""}


@pytest.fixture(params=["gm", "intl"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Realm]:
    """A CA of either mode and room for nodes."""
    with realm(request.param, tmp_path) as made_:
        yield made_


@contextmanager
def caller(server: NodeServer, context: SSL.Context) -> Iterator[Callable[..., Any]]:
    """Call a node's gRPC in a certificate, by the suite's tunnel, over one connection."""
    tunnels = Tunnels()
    host, port = (server.grpc_address or "").removeprefix("grpc://").split(":")
    with grpc.insecure_channel(f"unix:{tunnels.outward(context, host, int(port))}") as opened:

        def call(method: str = INVOKE, **headers: str) -> str:
            single: Any = opened.unary_unary(method, bytes, Outbound.FromString)
            given = tuple({**HEADERS, **headers}.items())
            error: str = single(Inbound().SerializeToString(), timeout=20, metadata=given).metadata["error"]
            return error

        yield call
    tunnels.close()


def context_of(here: Realm, node_id: str, ca: Pki | None = None, **more: Any) -> SSL.Context:
    """Return a context that shows a certificate of a node."""
    realm_ = here if ca is None else Realm(here.mode, here.folder, ca)
    return bare(realm_.files(node_id, **more), suites=SUITE[here.mode])


def test_a_caller_is_known_by_its_certificate(here: Realm) -> None:
    """The node goes on to headers for the right one, and refuses a message in another's name, of either service."""
    a = here.serve("node-a", grpc_port=0)
    with caller(a, context_of(here, "node-b")) as call:
        assert call() == "HEADER_MISSING"
        assert call(f"/{COMPONENTS}/pop") == "HEADER_MISSING"
        for method in (INVOKE, f"/{COMPONENTS}/pop"):
            assert call(method, **{"x-source-node-id": "node-c"}) == "CERTIFICATE_MISMATCH"


def test_a_revocation_holds_on_an_open_connection(here: Realm) -> None:
    """The next call of a caller whose certificate was revoked is refused, over the connection that it has."""
    a = here.serve("node-a", grpc_port=0)
    with caller(a, context_of(here, "node-b")) as call:
        assert call() == "HEADER_MISSING"
        here.ca.revoke("node-b")
        for method in (INVOKE, f"/{COMPONENTS}/push"):
            assert call(method) == "CERTIFICATE_REFUSED"


def test_who_shows_nothing_that_counts_is_not_heard(here: Realm, tmp_path: Path) -> None:
    """No certificate, one of another CA, out of date or revoked: the connection ends, and so does one in clear."""
    a = here.serve("node-a", grpc_port=0)
    revoked = context_of(here, "node-r")
    here.ca.revoke("node-r")
    other = Pki.init(tmp_path / "other", {"gm": "sm2", "intl": "p256"}[here.mode])
    contexts = [
        bare(None, suites=SUITE[here.mode]),
        context_of(here, "node-s", other),
        context_of(here, "node-e", days=-0.001),
        revoked,
    ]
    for context in contexts:
        with caller(a, context) as call, pytest.raises(grpc.RpcError):
            call()
    place = (a.grpc_address or "").removeprefix("grpc://")
    with grpc.insecure_channel(place) as plain, pytest.raises(grpc.RpcError):
        plain.unary_unary(INVOKE, bytes, bytes)(b"", timeout=20)


def listened(url: str, context: SSL.Context) -> bytes:
    """Connect and wait for the first byte."""
    with Line(url, context) as line:
        line.tls.setblocking(True)
        return line.tls.recv(1)


def test_the_door_speaks_http_2_by_the_channels_suites(here: Realm) -> None:
    """A caller has to agree on HTTP/2; the suite and the group are those of HTTP."""
    a = here.serve("node-a", grpc_port=0)
    url = (a.grpc_address or "").replace("grpc:", "https:")
    speaking = context_of(here, "node-b")
    speaking.set_alpn_protos([b"h2"])
    with Line(url, speaking) as line:
        found = (line.tls.get_cipher_name(), line.tls.get_group_name(), line.tls.get_alpn_proto_negotiated())
    wanted = {
        "gm": ("TLS_SM4_GCM_SM3", "curveSM2", b"h2"),
        "intl": ("TLS_AES_256_GCM_SHA384", "X25519MLKEM768", b"h2"),
    }
    assert found == wanted[here.mode]
    for offered in ([], [b"http/1.1"]):
        context = context_of(here, f"node-{len(offered)}")
        if offered:
            context.set_alpn_protos(offered)
        with pytest.raises(SSL.Error):
            listened(url, context)


def test_a_caller_that_dawdles_is_left(tmp_path: Path) -> None:
    """A connection that shakes no hands is ended in time (9.2-a-5)."""
    with realm("gm", tmp_path) as here:
        a = here.serve("node-a", grpc_port=0, tls_handshake_seconds=0.2)
        host, port = (a.grpc_address or "").removeprefix("grpc://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as idle:
            assert idle.recv(1) == b""


def test_connections_beyond_the_limit_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that holds as many connections as it may hangs up on the next one, and takes another when one is over."""
    monkeypatch.setattr(tls_grpc, "MOST", 1)
    with realm("gm", tmp_path) as here:
        a = here.serve("node-a", grpc_port=0)
        host, port = (a.grpc_address or "").removeprefix("grpc://").split(":")
        with ExitStack() as stack:
            _first, second = (
                stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(2)
            )
            assert second.recv(1) == b""
        with caller(a, context_of(here, "node-b")) as call:
            eventually(lambda: answered(call))


def answered(call: Callable[..., Any]) -> bool:
    """Tell whether a call is answered."""
    try:
        return bool(call() == "HEADER_MISSING")
    except grpc.RpcError:
        return False


def test_a_node_makes_sure_of_whom_it_calls(here: Realm) -> None:
    """Nothing is sent to a server of another node, for another address, revoked, or without TLS."""
    a, b = here.serve("node-a"), here.serve("node-b", grpc_port=0)
    relay = a.node.sessions._relays["grpc"]
    message = Outgoing("topic", 0, a.node.sessions.spool.keep(b"secret"))

    def failure(address: str, node_id: str) -> str:
        route = Route(SESSION, TOKEN, "trace", Peer(node_id, address, "SM3_SM2"))
        with pytest.raises(RelayFailed) as caught:
            relay.deliver(route, [message])
        return caught.value.reason

    address = b.grpc_address or ""
    assert "unreachable" not in failure(address, "node-b")  # it was reached, and refuses the session
    assert "another node" in failure(address, "node-c")
    assert "not for localhost" in failure(address.replace("127.0.0.1", "localhost"), "node-b")
    plain = here.serve("node-p", grpc_port=0, tls="off", tls_certificate=None, tls_key=None, tls_ca=None, tls_crl=None)
    assert "unreachable" in failure(plain.grpc_address or "", "node-p")
    here.ca.revoke("node-b")
    relay.close()
    assert "certificate verify failed" in failure(address, "node-b")


@pytest.mark.parametrize("mode", ["gm", "off"])
def test_a_listener_hears_no_plaintext(mode: str, tmp_path: Path) -> None:
    """What a component sends over gRPC is on a plain wire between the nodes and nowhere on a secured one."""
    with realm("gm", tmp_path) as here:
        plain: dict[str, Any] = {"tls": "off", "tls_certificate": None, "tls_key": None, "tls_ca": None}
        settings = plain if mode == "off" else {}
        a, b = (here.serve(name, grpc_port=0, **settings) for name in PARTIES.values())
        sign(a, b)
        with Tap(b.grpc_address or "") as tap:
            addresses = {"node-a": a.grpc_address or "", "node-b": tap.address}
            for server in (a, b):
                server.node.sessions.open(SESSION, TOKEN, PARTIES, addresses)
            with talking(a, "guest.0") as guest, talking(b, "host.0") as host:
                guest.send("host.0", "canary-step", b"canary 4711" * 100)
                assert host.recv("guest.0", "canary-step") == b"canary 4711" * 100
            heard = bytes(tap.heard)
    assert len(heard) > 1000
    for word in (b"canary", b"canary-step", b"PrivateTransferProtocol", TOKEN.encode()):
        assert (word in heard) == (mode == "off"), word


def sign(a: NodeServer, b: NodeServer) -> None:
    """Bring two nodes to a contract in force."""
    hand_a, hand_b = Hand(a), Hand(b)
    contract = hand_a.own("ownContractApply", address=b.address, node_id=b.node.node_id)["contract_id"]
    hand_b.own("ownContractConfirm", contract_id=contract, status="APPROVED")


def talking(server: NodeServer, me: str) -> ChannelClient:
    """Return a component's channel."""
    return ChannelClient(server.node.component_address, SESSION, TOKEN, me, PARTIES, timeout=20.0)


def ways(server: NodeServer) -> list[Way]:
    """Return the ways by which a node calls others over gRPC."""
    relay = server.node.sessions._relays["grpc"]
    assert isinstance(relay, GrpcRelay)
    return list(relay._ways.values())


class Hand:
    """The operator of a node that is served over TLS or without."""

    def __init__(self, server: NodeServer) -> None:
        self.server, self.name = server, server.node.node_id

    def own(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Call an operation of the own side; return the envelope's data."""
        found = specs.operations()[operation]
        token = {"authorization": "Bearer " + self.server.node.identity.operator_token}
        query = f"?{urlencode(fields)}" if found.method == "GET" and fields else ""
        body = None if found.method == "GET" else fields
        if self.server.node.tls is None:
            url = self.server.address + found.path + query
            told = requests.request(found.method, url, json=body, headers=token, timeout=20).json()
        else:
            mode = self.server.node.config.tls
            with Line(self.server.address, bare(None, suites=SUITE[mode])) as line:
                told = line.ask(found.method, found.path + query, token, body).json
        assert told["code"] == 0, told
        data: dict[str, Any] = told["data"]
        return data

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        return self.own("ownJobQuery", job_id=job_id)


def test_a_job_runs_over_grpc_with_national_suites(tmp_path: Path) -> None:
    """An intersection and a sum over it, each message between the nodes over gRPC through the door."""
    with realm("gm", tmp_path) as here:
        nodes = [here.serve(name, grpc_port=0) for name in PARTIES.values()]
        a, b = (Hand(node) for node in nodes)
        sign(*nodes)
        for node, ids in ((nodes[0], range(30)), (nodes[1], range(20, 60))):
            table = here.folder / f"data-{node.node.node_id}" / "datasets" / "table.csv"
            table.parent.mkdir()
            table.write_text("id,kwh\n" + "".join(f"u{number:04d},{number}.5\n" for number in ids))
            source = {"type": "FILE", "location": "table.csv"}
            Hand(node).own("ownDatasetCreate", dataset_id="ds-table", name="table", source=source, visibility="PUBLIC")
        params = {"psi_0": {"id": "id", "input": {"table": "ds-table"}}, "sum_0": {"columns": ["kwh"]}}
        job_id = made(a, b, DAG, params, transport="grpc")  # type: ignore[arg-type]
        a.own("ownJobStart", job_id=job_id)
        eventually(lambda: all(hand.job(job_id)["job_status"] == "FINISHED" for hand in (a, b)))
        assert [hand.job(job_id)["status"] for hand in (a, b)] == [{"psi_0": "SUCCESS", "sum_0": "SUCCESS"}] * 2
        assert all(ways(node) for node in nodes)


@contextmanager
def pipe(here: Realm) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A way of one node to the door of another: what goes in on the left comes out on the right."""
    a, b = here.serve("node-a"), here.serve("node-b")
    assert a.node.tls is not None
    assert b.node.tls is not None
    door, folder = Door(b.node.tls, "127.0.0.1", 0, 10), Folder()
    with socket.socket(socket.AF_UNIX) as inner, socket.socket(socket.AF_UNIX) as left:
        inner.bind(door.inner.removeprefix("unix:"))
        inner.listen()
        door.open()
        way = Way(a.node.tls, folder, Called("127.0.0.1", door.port, "node-b", ("127.0.0.1",)), 10)
        left.connect(way.target.removeprefix("unix:"))
        inner.settimeout(20)
        right, peer = inner.accept()
        with right:
            caller_ = door.caller(f"unix:{peer}")
            assert caller_ is not None
            assert caller_.presented is not None
            assert caller_.presented.holder is not None
            assert (caller_.presented.holder.node_id, caller_.remote) == ("node-a", "127.0.0.1")
            yield left, right
    way.close()
    folder.close()
    door.close()


def test_a_tunnel_reads_no_more_than_is_taken(here: Realm) -> None:
    """Where nobody reads, a sender comes to a halt once the buffers of the sockets are full."""
    sent, stuffed, halts = bytes(1024 * 1024), 0, 0
    pause = threading.Event()
    with pipe(here) as (left, _right):
        left.setblocking(False)
        while halts < 20 and stuffed < 256 * len(sent):
            try:
                stuffed += left.send(sent)
                halts = 0
            except BlockingIOError:
                halts += 1
                pause.wait(0.01)
    assert stuffed < 64 * len(sent)


def test_a_tunnel_carries_both_ways_at_once_and_the_last_words(here: Realm) -> None:
    """Everything arrives as it was, and what one side has sent before it ends as well."""
    sent = secrets.token_bytes(1024 * 1024) * 8
    got: dict[str, bytes] = {}

    def pull(name: str, end: socket.socket) -> None:
        content = bytearray()
        while len(content) < len(sent) and (piece := end.recv(65536)):
            content += piece
        got[name] = bytes(content)

    with pipe(here) as (left, right):
        for end in (left, right):
            end.settimeout(60)
        threads = [threading.Thread(target=end.sendall, args=(sent,)) for end in (left, right)]
        threads += [threading.Thread(target=pull, args=(name, end)) for name, end in (("l", left), ("r", right))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == {"l": sent, "r": sent}
        left.sendall(b"last words")
        left.close()
        assert right.recv(100) == b"last words"
        assert right.recv(100) == b""


def test_nothing_is_left_of_a_node_that_has_stopped(here: Realm) -> None:
    """Sockets lie in folders for the user alone; threads, connections and folders end with the node."""
    with here.stack:
        a, b = (here.serve(name, grpc_port=0) for name in PARTIES.values())
        sign(a, b)
        for server in (a, b):
            addresses = {"node-a": a.grpc_address or "", "node-b": b.grpc_address or ""}
            server.node.sessions.open(SESSION, TOKEN, PARTIES, addresses)
        with talking(a, "guest.0") as guest, talking(b, "host.0") as host:
            guest.send("host.0", "step", b"x")
            assert host.recv("guest.0", "step") == b"x"
        assert b._grpc is not None
        assert b._grpc._door is not None
        folders = [Path(b._grpc._door.inner.removeprefix("unix:")).parent]
        folders += [Path(way.target.removeprefix("unix:")).parent for way in ways(a)]
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
        with socket.socket(socket.AF_UNIX) as straight:  # past the door, as a process of this user could
            straight.connect(b._grpc._door.inner.removeprefix("unix:"))
        with grpc.insecure_channel(b._grpc._door.inner) as past:
            single: Any = past.unary_unary(INVOKE, bytes, Outbound.FromString)
            assert single(b"", timeout=20).metadata["error"] == "CHANNEL_NOT_SECURE"
    assert not any(folder.exists() for folder in folders)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("grpc-door", "grpc-way"))]


def test_connections_that_do_not_join_make_room() -> None:
    """Where a tunnel is full, the oldest goes of those that are still shaking hands, at the address that has most."""
    listener = socket.create_server(("127.0.0.1", 0))
    place = listener.getsockname()

    @contextmanager
    def join(sock: socket.socket, sockets: Sockets) -> Iterator[Ends]:
        if sock.recv(1) != b"j":  # hangs until it is ended
            raise ConnectionAbortedError("ended")
        plain, other = socket.socketpair()
        with other:
            sockets.hold(plain)
            sock.sendall(b"joined")
            sock.recv(1)
            raise ConnectionAbortedError("served")
            yield  # a context manager yields

    tunnel = Tunnel(listener, join, name="test", most=8)
    with ExitStack() as stack:

        def connect(source: str) -> socket.socket:
            return stack.enter_context(socket.create_connection(place, timeout=10, source_address=(source, 0)))

        patient = connect("127.0.0.9")
        flood = [connect("127.0.0.1") for _ in range(20)]
        assert all(sock.recv(1) == b"" for sock in flood[:12])
        partner = connect("127.0.0.8")
        for sock in (patient, partner):
            sock.sendall(b"j")
            assert sock.recv(6) == b"joined"
        tunnel.close()
