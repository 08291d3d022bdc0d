"""Connections go to the very addresses that were judged: names that lead elsewhere by then gain nothing (9.2-g)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from reference_node.domain.places import Policy, Unfit
from reference_node.errors import Refusal
from reference_node.transport.outbound import HttpOutbound, Unreachable
from reference_node.transport.places import Places
from tests.reference_node.transport.conftest import SESSION, TOKEN, Served, open_session, served

ONE = Policy(("127.0.0.1/32",))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Listener:
    """A port of one loopback address that answers every request and keeps its head."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.heads: list[bytes] = []
        self._server = socket.create_server((host, port))
        self.port = int(self._server.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                with near:
                    while piece := near.recv(65536):
                        self.heads.append(piece)
                        near.sendall(OK)

    def close(self) -> None:
        """Take nobody in any more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def two() -> Iterator[tuple[Listener, Listener]]:
    """The same port of two loopback addresses, of which the policy allows the first."""
    first = Listener("127.0.0.1")
    second = Listener("127.0.0.2", first.port)
    yield first, second
    first.close()
    second.close()


def places(*answers: Sequence[str], policy: Policy = ONE) -> Places:
    """Return a judge for whom every name leads to these addresses, one after the other."""
    left = list(answers)
    return Places(policy, resolver=lambda _name: left.pop(0) if len(left) > 1 else left[0])


def ask(outbound: HttpOutbound, port: int) -> int:
    """Call the partner of the tests by its name."""
    return outbound.send("GET", f"http://partner.example:{port}/x", {}, b"", 5).status


def test_the_judged_address_is_called_under_its_name(two: tuple[Listener, Listener]) -> None:
    """What is connected to is the address, what is said is the name."""
    first, second = two
    assert ask(HttpOutbound(places=places(("127.0.0.1",))), first.port) == 200
    assert f"host: partner.example:{first.port}".encode() in first.heads[0].lower()
    assert second.heads == []


def test_a_name_that_leads_elsewhere_by_then_is_not_followed(two: tuple[Listener, Listener]) -> None:
    """Judged at 127.0.0.1, resolved to 127.0.0.2 when the connection is made: nothing is sent to either."""
    first, second = two
    judge = places(("127.0.0.1",), ("127.0.0.2",))
    outbound = HttpOutbound(places=judge)
    assert [str(item) for item in judge.judged(f"http://partner.example:{first.port}", "node-b")] == ["127.0.0.1"]
    with pytest.raises(Unfit, match="loopback"):
        ask(outbound, first.port)
    with pytest.raises(Unfit, match="loopback"):
        outbound.stream(f"http://partner.example:{first.port}/x", {}, [b"message"], 5)
    assert first.heads == second.heads == []


def test_one_forbidden_address_of_several_is_enough(two: tuple[Listener, Listener]) -> None:
    """Otherwise the order in which a name answers would decide."""
    first, second = two
    with pytest.raises(Unfit, match="loopback"):
        ask(HttpOutbound(places=places(("127.0.0.1", "127.0.0.2"))), first.port)
    assert first.heads == second.heads == []


def test_of_several_allowed_addresses_the_first_that_answers_is_called(two: tuple[Listener, Listener]) -> None:
    """127.0.0.3 takes no connection at this port."""
    first, second = two
    judge = places(("127.0.0.3", "127.0.0.2", "127.0.0.1"), policy=Policy(("loopback",)))
    assert ask(HttpOutbound(places=judge), first.port) == 200
    assert (len(first.heads), len(second.heads)) == (0, 1)


def test_a_name_without_an_address_is_not_reached(two: tuple[Listener, Listener]) -> None:
    """It may have one later, so it is tried again like any partner that is away."""
    with pytest.raises(Unreachable, match="ConnectionError"):
        ask(HttpOutbound(places=places(())), two[0].port)


def test_https_without_an_own_channel_is_pinned_alike(two: tuple[Listener, Listener]) -> None:
    """No scheme goes by the judge."""
    first, second = two
    with pytest.raises(Unfit, match="loopback"):
        HttpOutbound(places=places(("127.0.0.2",))).send("GET", f"https://partner.example:{first.port}", {}, b"", 5)
    assert first.heads == second.heads == []


def named(nodes: tuple[Served, Served], *answers: Sequence[str]) -> str:
    """Have node a know node b's gRPC by a name that leads there; return the address."""
    a, b = nodes
    judge = places(*answers)
    a.server.node.places._resolver = judge._resolver
    a.server.node.places._verdict = ONE.judge
    return b.grpc.replace("127.0.0.1", "node-b.example")


def test_grpc_goes_to_the_judged_address_and_not_elsewhere(nodes: tuple[Served, Served]) -> None:
    """A message arrives under the name; when the name leads elsewhere the session's messages end, at once."""
    a, b = nodes
    open_session(b)
    address = named(nodes, ("127.0.0.1",))
    session = a.sessions.open(SESSION, TOKEN, {"guest.0": "node-a", "host.0": "node-b"}, {"node-b": address})
    spool = a.sessions.spool
    a.sessions.push(session, "node-b", "one", spool.keep(b"first"), 5)
    assert a.sessions.flush(SESSION, 10)
    there = b.sessions.of_partner(SESSION, TOKEN, "node-a")
    arrived = b.sessions.pop(there, "one", 5)
    assert arrived is not None
    named(nodes, ("127.0.0.2",))
    a.sessions.push(session, "node-b", "one", spool.keep(b"second"), 5)
    assert not a.sessions.flush(SESSION, 10)
    with pytest.raises(Refusal) as refused:
        a.sessions.push(session, "node-b", "one", spool.keep(b"third"), 5)
    assert "not allowed: loopback" in str(refused.value.extra["reason"])
    assert b.sessions.pop(there, "one", 0.1) is None


@pytest.mark.parametrize("answer", [("::1", "127.0.0.1"), ("127.0.0.1", "::1"), ("127.0.0.3", "127.0.0.1")])
def test_grpc_takes_whichever_judged_address_answers(nodes: tuple[Served, Served], answer: Sequence[str]) -> None:
    """Of both versions of IP; the node listens at one of the addresses only."""
    a, b = nodes
    open_session(b)
    address = named(nodes, answer)
    a.server.node.places._verdict = Policy(("loopback",)).judge
    session = a.sessions.open(SESSION, TOKEN, {"guest.0": "node-a", "host.0": "node-b"}, {"node-b": address})
    a.sessions.push(session, "node-b", "one", a.sessions.spool.keep(b"first"), 5)
    assert a.sessions.flush(SESSION, 10)


def test_messages_over_http_are_judged_alike(nodes: tuple[Served, Served]) -> None:
    """The policy of the node is turned: nothing of a session leaves, its token neither."""
    a, b = nodes
    session, _ = open_session(a, b)
    a.server.node.places._verdict = Policy(("public",)).judge
    a.sessions.push(session, "node-b", "one", a.sessions.spool.keep(b"first"), 5)
    assert not a.sessions.flush(SESSION, 10)
    there = b.sessions.of_partner(SESSION, TOKEN, "node-a")
    assert b.sessions.pop(there, "one", 0.1) is None


def test_a_node_that_listens_knows_itself(nodes: tuple[Served, Served]) -> None:
    """Its HTTP port and that for gRPC are nobody else's address, whatever they are called."""
    a, b = nodes
    hands = a.hands()
    for place in (a.address, a.address.replace("127.0.0.1", "localhost"), a.grpc.replace("grpc", "http")):
        told = hands.own("ownPartnerQuery", address=place, node_id="node-b")
        assert (told.error, told.data["reason"]) == ("ADDRESS_NOT_ALLOWED", "own"), place
    assert hands.own("ownPartnerQuery", address=b.address, node_id="node-b").code == 0


def test_a_name_of_this_machine_is_found_without_anybody_else(nodes: tuple[Served, Served]) -> None:
    """The real resolver, for the one name that needs no server."""
    a, b = nodes
    place = b.address.replace("127.0.0.1", "localhost")
    assert a.hands().own("ownPartnerQuery", address=place, node_id="node-b").code == 0


def test_components_reach_their_node_whatever_the_policy(tmp_path: Path) -> None:
    """The policy is of partners: a service of the operator's own is asked for at loopback all the same."""
    with served(tmp_path) as (a, b):
        a.server.node.places._verdict = Policy(("public",)).judge
        assert a.server.node.partner.reaches(b.address + "/v1/interconn/node/query?node_id=node-b")
