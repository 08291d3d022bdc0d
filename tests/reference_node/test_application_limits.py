"""Strangers cannot fill a node with applications, and none of them takes the room of all others (9.2-a)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference_node.security.keys import PrivateKey
from reference_node.security.suites import AuthType
from tests.reference_node.pair import DAY_MS, Reply, Stranger, TestNode, nodes, sign_contract


@pytest.fixture
def two() -> Iterator[tuple[TestNode, ...]]:
    with nodes("node-a", "node-b", pending_applications=5, pending_applications_of_address=3) as found:
        yield found


def knock(node: TestNode, number: int, remote: str) -> Reply:
    """A node that nobody knows applies for a contract."""
    stranger = Stranger(f"stranger-{number}", PrivateKey.generate(AuthType.SHA256_ECDSA))
    return node.signed("contractApply", stranger, remote=remote, **stranger.particulars())


def test_one_address_has_a_share_and_all_have_a_bound(two: tuple[TestNode, ...]) -> None:
    """An address that has used up its share leaves room for others; when all is used nothing is kept any more."""
    a, _ = two
    assert [knock(a, number, "10.0.0.7").error for number in range(4)] == [None, None, None, "TOO_MANY_APPLICATIONS"]
    assert [knock(a, number, "10.0.0.8").error for number in range(10, 13)] == [None, None, "TOO_MANY_APPLICATIONS"]
    refused = knock(a, 20, "10.0.0.9")
    assert (refused.status, refused.error) == (429, "TOO_MANY_APPLICATIONS")
    assert a.own("ownContractList").data["total"] == 5


def test_the_same_application_again_is_answered_as_before(two: tuple[TestNode, ...]) -> None:
    """A repetition takes no further room, also when there is none."""
    a, _ = two
    stranger = Stranger("stranger-0", PrivateKey.generate(AuthType.SHA256_ECDSA))
    first = a.signed("contractApply", stranger, **stranger.particulars())
    for number in range(1, 3):
        knock(a, number, "10.0.0.9")
    again = a.signed("contractApply", stranger, **stranger.particulars())
    assert again.data == first.data


def test_a_decision_or_the_end_of_the_term_makes_room(two: tuple[TestNode, ...]) -> None:
    """Only what nobody has decided yet counts."""
    a, _ = two
    pending = [knock(a, number, "10.0.0.7").data["contract_id"] for number in range(3)]
    a.own("ownContractConfirm", contract_id=pending[0], status="REJECTED")
    assert [knock(a, number, "10.0.0.7").error for number in (3, 4)] == [None, "TOO_MANY_APPLICATIONS"]
    a.clock.advance(8 * DAY_MS / 1000)
    a.node.pump()
    assert knock(a, 5, "10.0.0.7").error is None


def test_a_partner_is_no_stranger(two: tuple[TestNode, ...]) -> None:
    """Who has a contract in force applies for a further one however many strangers wait."""
    a, b = two
    sign_contract(b, a)
    for number in range(3):
        assert knock(a, number, "10.0.0.1").error is None
    further = b.own("ownContractApply", address=a.address, node_id=a.id, expired_time=b.clock.now + DAY_MS)
    assert further.code == 0
    assert knock(a, 9, "10.0.0.1").error == "TOO_MANY_APPLICATIONS"
