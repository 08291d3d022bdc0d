"""Requests on a socket, and over gRPC, whose headers leave open what is meant: refused, and nothing is done."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import grpc
import pytest

import specs
from reference_node.config import load_config
from reference_node.proto.transport_pb2 import Outbound
from reference_node.security import signing
from reference_node.security.keys import PrivateKey
from reference_node.server import NodeServer
from reference_node.transport.relay_grpc import INVOKE
from tests.reference_node.pair import Stranger, fresh_nonce

pytestmark = pytest.mark.slow
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[NodeServer]:
    """A node on a socket."""
    with NodeServer(load_config(None, port=0, grpc_port=0, node_id="node-a")) as served:
        yield served


def _sent(server: NodeServer, method: str, path: str, headers: Pairs, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Send a request as it is spelled; return status and envelope."""
    parts = urlsplit(server.address)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", "Accept-Language: en"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as sock:
        sock.sendall("\r\n".join(lines).encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


def _application(server: NodeServer) -> tuple[Pairs, bytes]:
    """Return a signed application of a node that nobody knows yet."""
    stranger = Stranger(fresh_nonce(), PrivateKey.generate("SM3_SM2"))
    body = json.dumps(stranger.particulars()).encode()
    path = specs.operations()["contractApply"].path
    stamp = signing.Stamp(stranger.node_id, "node-a", fresh_nonce(), server.node.now(), "trace")
    headers = signing.sign_headers(stranger.key, signing.Request("POST", path, "", body), stamp)
    return [("content-type", "application/json"), *headers.items()], body


@pytest.mark.parametrize("name", ["x-nonce", "x-timestamp", "x-source-node-id", "x-auth-sign", "content-type"])
@pytest.mark.parametrize("last", [True, False])
def test_a_header_that_stands_twice_is_refused(server: NodeServer, name: str, last: bool) -> None:
    """9.2-g: in either order, with the same value too; the application is not kept. Sent once it is taken."""
    headers, body = _application(server)
    path, total = specs.operations()["contractApply"].path, _contracts(server)
    for value in ("other", dict(headers)[name]):
        more = [(name.title(), value)]
        status, envelope = _sent(server, "POST", path, headers + more if last else more + headers, body)
        assert (status, envelope["data"]["error"], envelope["data"]["pointer"]) == (400, "HEADER_REPEATED", name)
    assert _contracts(server) == total
    status, envelope = _sent(server, "POST", path, headers, body)
    assert (status, envelope["code"]) == (200, 0)


@pytest.mark.parametrize("name", ["x-nonce", "x-source-node-id", "content-digest"])
def test_an_underscore_overrides_nothing(server: NodeServer, name: str) -> None:
    """9.2-g: in the place of a covered header, and beside it."""
    headers, body = _application(server)
    path, spelled = specs.operations()["contractApply"].path, name.replace("-", "_")
    right = dict(headers)[name]
    without = [pair for pair in headers if pair[0] != name]
    for pairs in (
        [*without, (spelled, right)],
        [*without, (name, "other"), (spelled, right)],
        [*headers, (spelled, "x")],
    ):
        status, envelope = _sent(server, "POST", path, pairs, body)
        assert (status, envelope["data"]["error"], envelope["data"]["pointer"]) == (400, "HEADER_REPEATED", spelled)
    assert _sent(server, "POST", path, headers, body)[0] == 200


def test_the_operators_token_stands_once(server: NodeServer) -> None:
    """9.2-b-4: beside another one it opens nothing, in neither order."""
    right = ("Authorization", f"Bearer {server.node.identity.operator_token}")
    path = f"{specs.operations()['ownNodeQuery'].path}?{urlencode({'node_id': 'node-a'})}"
    for pairs in ([right, ("authorization", "Bearer x")], [("authorization", "Bearer x"), right], [right, right]):
        status, envelope = _sent(server, "GET", path, pairs)
        assert (status, envelope["data"]["error"]) == (400, "HEADER_REPEATED")
    assert _sent(server, "GET", path, [right, ("accept", "a/b"), ("accept", "c/d")])[0] == 200


def test_metadata_of_grpc_stand_once_too(server: NodeServer) -> None:
    """9.1-c: the same rule over gRPC."""
    address = (server.grpc_address or "").removeprefix("grpc://")
    with grpc.insecure_channel(address) as opened:
        call: Any = opened.unary_unary(INVOKE, bytes, Outbound.FromString)
        for metadata in ((("x-nonce", "a"), ("x-nonce", "a")), (("x_nonce", "a"),)):
            assert call(b"", metadata=metadata, timeout=10).metadata["error"] == "HEADER_REPEATED"
        assert call(b"", metadata=(("x-nonce", "a"),), timeout=10).metadata["error"] == "HEADER_MISSING"


def _contracts(server: NodeServer) -> int:
    path = specs.operations()["ownContractList"].path
    headers = [("Authorization", f"Bearer {server.node.identity.operator_token}")]
    total: int = _sent(server, "GET", path, headers)[1]["data"]["total"]
    return total
