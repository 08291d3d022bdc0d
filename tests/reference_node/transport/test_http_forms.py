"""The forms of push, pop, peek and release over HTTP, and whom the data plane refuses."""

from __future__ import annotations

import base64
import json

import pytest
import requests

from reference_node.proto.transport_pb2 import (
    BlackboxOutbound,
    Inbound,
    Outbound,
    PopInbound,
    PushInbound,
    TransportOutbound,
)
from reference_node.security import signing
from reference_node.transport.partner import Peer
from reference_node.transport.relay import Route
from reference_node.transport.stamps import Stamps
from tests.reference_node import pair
from tests.reference_node.transport.conftest import SESSION, TOKEN, Served, open_session

Nodes = tuple[Served, Served]
OK = "E0000000000"
NOTHING = "E0000000404"
INVOKE = "/v1/interconn/chan/invoke"


def post(node: Served, what: str, headers: dict[str, str], body: bytes = b"") -> requests.Response:
    """Post to a node."""
    return requests.post(f"{node.address}/v1/interconn/chan/{what}", body, headers=headers, timeout=20)


def error(answer: requests.Response) -> tuple[int, str, str]:
    """Return status, name and code of a refusal in the common envelope."""
    data = answer.json()["data"]
    return answer.status_code, data["error"], data["ptp_code"]


def test_the_black_box_form_of_secretflow(nodes: Nodes) -> None:
    """Raw bytes without a content type, the misspelt header, pop?timeout=: answered as SecretFlow's components read."""
    a, b = nodes
    open_session(a, b)
    headers = a.headers("node-b", "guest.0-host.0")
    headers["x-ptp-tecn-provider-code"] = headers.pop("x-ptp-tech-provider-code")
    pushed = BlackboxOutbound.FromString(post(a, "push", headers, b"\x08\x01raw").content)
    popped = BlackboxOutbound.FromString(post(b, "pop?timeout=10", b.headers("node-a", "guest.0-host.0")).content)
    nothing = post(b, "pop?timeout=0.01", b.headers("node-a", "guest.0-host.0"))
    assert (pushed.code, popped.code, popped.payload) == (OK, OK, b"\x08\x01raw")
    assert (nothing.status_code, BlackboxOutbound.FromString(nothing.content).code) == (200, NOTHING)


def test_a_full_queue_is_told_by_code_in_the_black_box_form(nodes: Nodes) -> None:
    """SecretFlow's components try again on the code, which they only see in an answer with status 200."""
    a, _ = nodes
    open_session(a)[0].mailbox._quota = 4
    headers = a.headers("node-a", "t")
    post(a, "push", headers, b"1234")
    full = post(a, "push?timeout=0.01", headers, b"5678")
    named = post(a, "push?timeout=0.01", {**headers, "content-type": "application/octet-stream"}, b"5678")
    assert (full.status_code, BlackboxOutbound.FromString(full.content).code) == (200, "E0000000700")
    assert error(named) == (503, "QUEUE_FULL", "E0000000700")


def test_the_protobuf_form(nodes: Nodes) -> None:
    """Topic and payload of the message itself, and the published answer."""
    a, _ = nodes
    open_session(a)
    headers = {**a.headers("node-a"), "content-type": "application/x-protobuf"}
    body = PushInbound(topic="t", payload=b"x" * 300).SerializeToString()
    assert TransportOutbound.FromString(post(a, "push", headers, body).content).code == OK
    ask = PopInbound(topic="t", timeout=1).SerializeToString()
    for what in ("peek", "pop"):
        answer = TransportOutbound.FromString(post(a, what, headers, ask).content)
        assert (answer.code, answer.payload) == (OK, b"x" * 300)
    assert TransportOutbound.FromString(post(a, "peek", headers, ask).content).code == NOTHING


@pytest.mark.parametrize("timeout", [1, "1", "MQ=="])
def test_the_json_form(nodes: Nodes, timeout: object) -> None:
    """Base64 in and out, the time-out as a number, as digits, and as the base64 of digits."""
    a, _ = nodes
    open_session(a)
    headers = {**a.headers("node-a"), "content-type": "application/json"}
    payload = base64.b64encode(bytes(range(256))).decode()
    done = post(a, "push", headers, json.dumps({"topic": "t", "payload": payload}).encode())
    found = post(a, "pop", headers, json.dumps({"topic": "t", "timeout": timeout}).encode())
    assert done.json() == {"code": OK, "message": "成功"}
    assert found.json() == {"code": OK, "message": "成功", "content": payload}


def test_an_empty_message_is_a_message(nodes: Nodes) -> None:
    """Bare: an empty body with the code of success, and 204 where there is nothing."""
    a, _ = nodes
    open_session(a)
    headers = {**a.headers("node-a", "t"), "content-type": "application/octet-stream"}
    post(a, "push", headers)
    answers = [post(a, "pop?timeout=0.01", headers) for _ in range(2)]
    assert [(row.status_code, row.headers["x-ptp-code"]) for row in answers] == [(200, OK), (204, NOTHING)]


def test_a_release_drops_the_topic(nodes: Nodes) -> None:
    """After a release the topic is empty and the other one is not."""
    a, _ = nodes
    open_session(a)
    for topic in ("s", "t"):
        post(a, "push", a.headers("node-a", topic), topic.encode())
    post(a, "release", a.headers("node-a", "s"))
    found = [BlackboxOutbound.FromString(post(a, "peek", a.headers("node-a", topic)).content) for topic in ("s", "t")]
    assert [row.payload for row in found] == [b"", b"t"]


def test_a_push_and_a_pop_may_be_repeated(nodes: Nodes) -> None:
    """Under the same ticket a push is done once, and a pop gives the same message again until the next ticket."""
    a, _ = nodes
    open_session(a)

    def bare(what: str, number: int, body: bytes = b"") -> bytes:
        headers = a.headers("node-a", "t", x_ptp_ticket=f"holder-0123-{number}")
        return post(a, what, {**headers, "content-type": "application/octet-stream"}, body).content

    for number, body in ((0, b"first"), (0, b"first"), (1, b"second")):
        bare("push", number, body)
    assert [bare("pop?timeout=1", number) for number in (0, 0, 1, 1)] == [b"first", b"first", b"second", b"second"]


@pytest.mark.parametrize("what", ["push", "pop?timeout=0.01", "peek", "release"])
def test_components_are_admitted_by_session_and_token(nodes: Nodes, what: str) -> None:
    """An unknown session, a wrong token, and a missing header are refused, each by its name."""
    a, _ = nodes
    open_session(a)
    json_headers = {**a.headers("node-a", "t"), "content-type": "application/json"}
    body = b'{"payload": ""}'
    unknown = post(a, what, {**json_headers, "x-ptp-session-id": "session_other"}, body)
    wrong = post(a, what, {**json_headers, "x-ptp-token": TOKEN + "x"}, body)
    missing = post(a, what, {key: value for key, value in json_headers.items() if "trace" not in key}, body)
    assert error(unknown) == (404, "SESSION_NOT_FOUND", NOTHING)
    assert error(wrong) == (403, "SESSION_TOKEN_INVALID", "E0000000403")
    assert error(missing) == (401, "HEADER_MISSING", "E0000000400")


def test_a_push_to_a_node_outside_the_session_is_refused(nodes: Nodes) -> None:
    """Messages go to parties of the session only."""
    a, _ = nodes
    open_session(a)
    headers = {**a.headers("node-elsewhere", "t"), "content-type": "application/octet-stream"}
    assert error(post(a, "push", headers, b"x"))[:2] == (400, "REQUEST_INVALID")


def signed(source: Served, target: Served, body: bytes, token: str = TOKEN) -> dict[str, str]:
    """Return the headers of an invoke."""
    node = source.server.node
    route = Route(SESSION, token, "trace", Peer(target.id, target.address, "SM3_SM2", signing.NEWEST))
    return Stamps(node.node_id, node.clock, node.identity).headers(route, INVOKE, body)


def test_an_invoke_is_taken_in_once(nodes: Nodes) -> None:
    """The same message in a second request, signed afresh, is answered as done and not queued again."""
    a, b = nodes
    session = open_session(a, b)[1]
    body = Inbound(metadata={"x-ptp-topic": "t", "x-ptp-sequence": "0"}, payload=b"x").SerializeToString()
    answers = [Outbound.FromString(post(b, "invoke", signed(a, b, body), body).content) for _ in range(2)]
    assert [(row.code, dict(row.metadata)) for row in answers] == [(OK, {}), (OK, {"duplicate": "1"})]
    assert (session.mailbox.pop("t", 0) is None, session.mailbox.pop("t", 0)) == (False, None)


def test_an_invoke_needs_signature_contract_and_token(nodes: Nodes) -> None:
    """Unsigned, replayed, with another body, another token or by a stranger: each is refused, and nothing is queued."""
    a, b = nodes
    session = open_session(a, b)[1]
    body = Inbound(payload=b"x").SerializeToString()
    headers = signed(a, b, body)
    unsigned = {name: value for name, value in headers.items() if name != signing.SIGNATURE}
    refused = [
        post(b, "invoke", unsigned, body),
        post(b, "invoke", headers, body + b"\x00"),
        post(b, "invoke", signed(a, b, body, token="another-token-0123456789"), body),
        post(b, "invoke", {**headers, signing.SOURCE: "node-s"}, body),
    ]
    names = [Outbound.FromString(row.content).metadata["error"] for row in refused]
    assert names == ["SIGNATURE_MISSING", "DIGEST_MISMATCH", "SESSION_TOKEN_INVALID", "NODE_UNKNOWN"]
    assert all(row.status_code >= 400 for row in refused)
    assert session.mailbox.size == 0


def test_a_node_that_is_no_party_is_refused(nodes: Nodes) -> None:
    """A contract and the token do not suffice for a session among others."""
    a, b = nodes
    b.sessions.open(SESSION, TOKEN, {"host.0": "node-b", "guest.0": "node-c"})
    body = Inbound(payload=b"x").SerializeToString()
    answer = post(b, "invoke", signed(a, b, body), body)
    assert (answer.status_code, Outbound.FromString(answer.content).metadata["error"]) == (403, "NOT_YOURS")


def test_in_process_without_threads_messages_go_at_once() -> None:
    """Nodes joined without sockets and threads deliver within the push, and what failed by the next pump."""
    with pair.nodes("node-a", "node-b") as (a, b):
        pair.sign_contract(a, b)
        parties = {"guest.0": "node-a", "host.0": "node-b"}
        here, there = (item.node.sessions.open(SESSION, TOKEN, parties) for item in (a, b))
        data = a.node.sessions
        data.push(here, "node-b", "t", data.spool.keep(b"1"), 0)
        a.network.down.add("node-b.test")
        data.push(here, "node-b", "t", data.spool.keep(b"2" * 3_000_000), 0)
        a.network.down.clear()
        a.clock.advance(5)
        a.node.pump()
        got = [there.mailbox.pop("t", 0) for _ in range(2)]
    assert [payload and payload.size for payload in got] == [1, 3_000_000]
