"""The headers of the data plane are signed between nodes that know the second signature base (9.1-b, 9.2-g)."""

from __future__ import annotations

import pytest
import requests
from sqlalchemy import select

from reference_node.security import signing
from reference_node.store.contracts import ContractRow
from reference_node.transport.partner import Peer
from reference_node.transport.relay import Route
from reference_node.transport.sessions import Session
from reference_node.transport.stamps import BARE, Stamps
from tests.reference_node.transport.conftest import SESSION, TOKEN, Served, open_session
from tests.reference_node.transport.test_http_forms import INVOKE

Nodes = tuple[Served, Served]
OTHER = "session_job-fedcba9876543210fedcba9876543210"
NUMBERS = {"x-ptp-topic": "right", "x-ptp-sequence": "0", "content-type": "application/octet-stream"}


def bare(a: Served, b: Served, base: int = signing.NEWEST) -> dict[str, str]:
    """Return the headers of a bare message of a's, signed over a version of the base."""
    route = Route(SESSION, TOKEN, "trace", Peer(b.id, b.address, "SM3_SM2", base))
    node = a.server.node
    return Stamps(node.node_id, node.clock, node.identity).headers(route, INVOKE, b"x", version=BARE, more=NUMBERS)


def sent(b: Served, headers: dict[str, str]) -> str:
    """Send a message and return the name of the refusal, "" where it was taken."""
    answer = requests.post(b.address + INVOKE, b"x", headers=headers, timeout=20)
    if answer.status_code == 200:
        return ""
    if answer.headers["content-type"].startswith("application/json"):
        return str(answer.json()["data"]["error"])
    return answer.headers["x-ptp-code"]


@pytest.fixture
def session(nodes: Nodes) -> Session:
    """B's end of the session, and another one between the same nodes under the same token."""
    a, b = nodes
    b.sessions.open(OTHER, TOKEN, {"guest.0": "node-a", "host.0": "node-b"})
    return open_session(a, b)[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-ptp-topic", "wrong"),
        ("x-ptp-sequence", "1"),
        ("x-ptp-session-id", OTHER),
        ("x-ptp-token", "another-token-0123456789"),
        ("x-ptp-trace-id", "another"),
        ("x-ptp-uri", "/v1/interconn/chan/pop"),
        ("x-ptp-tech-provider-code", "another"),
        ("x-ptp-source-inst-id", "added"),
        ("x-ptp-frame-mac", "sm4-gmac"),
        ("x-trace-id", "another"),
        ("content-type", "text/plain"),
    ],
)
def test_a_header_that_was_changed_on_the_way_is_refused(nodes: Nodes, session: Session, name: str, value: str) -> None:
    """Nothing is delivered, neither where it was to go nor where it was sent instead; unchanged it is."""
    a, b = nodes
    assert sent(b, {**bare(a, b), name: value}) == "SIGNATURE_INVALID"
    other = b.sessions.of_any(OTHER)
    assert other is not None
    assert (session.mailbox.size, other.mailbox.size) == (0, 0)
    assert sent(b, bare(a, b)) == ""
    assert session.mailbox.size == 1


@pytest.mark.parametrize("name", ["x-ptp-sequence", "x-ptp-uri", "content-type"])
def test_a_header_that_was_taken_out_is_refused(nodes: Nodes, session: Session, name: str) -> None:
    """What is missing is as good as changed."""
    a, b = nodes
    assert sent(b, {key: value for key, value in bare(a, b).items() if key != name}) != ""
    assert session.mailbox.size == 0


def test_the_old_base_is_refused_from_who_has_the_new_one(nodes: Nodes, session: Session) -> None:
    """A signature over the old base, and the new one relabelled; from a node that has not the new one it is taken."""
    a, b = nodes
    stripped = bare(a, b)
    stripped[signing.SIGNATURE] = stripped[signing.SIGNATURE].removesuffix(";v=2")
    assert sent(b, bare(a, b, signing.OLDEST)) == "SIGNATURE_OUTDATED"
    assert sent(b, stripped) == "SIGNATURE_INVALID"
    assert session.mailbox.size == 0
    with b.server.node.store.session() as store:
        row = store.scalars(select(ContractRow)).one()
        row.partner = {name: value for name, value in row.partner.items() if name != signing.ANNOUNCED}
        store.commit()
    assert sent(b, bare(a, b, signing.OLDEST)) == ""
    assert session.mailbox.size == 1


def test_both_ends_of_a_contract_know_what_the_other_has(nodes: Nodes) -> None:
    """By the application and by its confirmation, both of them signed."""
    for node in nodes:
        with node.server.node.store.read() as store:
            assert store.scalars(select(ContractRow)).one().partner[signing.ANNOUNCED] == signing.NEWEST
