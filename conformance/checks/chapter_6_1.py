"""Chapter 6.1: interconnection of nodes and of resources, between two real nodes."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story


@check("6.1-a", "two_nodes", "TWO_NODES_NOT_FOUND")
def two_nodes_find_each_other_before_any_contract(story: Story) -> Iterator[Finding]:
    """The target asks the peer at an address who it is, and shows what the peer says of itself."""
    yield from expect.shows(story, "found", "/node_id", story.fact("peer_id"), "TWO_NODES_NOT_FOUND")
    yield from expect.shows(story, "found", "/name", story.step("who").get("/name"), "TWO_NODES_NOT_FOUND")


@check("6.1-a", "two_nodes", "TWO_NODES_NOT_SIGNED")
def two_nodes_sign_a_contract(story: Story) -> Iterator[Finding]:
    """The application that the peer approved is approved at the target too, for the period that was asked."""
    yield from expect.shows(story, "signed", "/status", "APPROVED", "TWO_NODES_NOT_SIGNED")
    yield from expect.shows(story, "signed", "/expired_time", story.fact("until"), "TWO_NODES_NOT_SIGNED")


@check("6.1-a", "two_nodes", "TWO_NODES_NOT_CONNECTED")
def two_nodes_under_contract_reach_each_other(story: Story) -> Iterator[Finding]:
    """The target learns that its peer is up."""
    yield from expect.shows(story, "healthy", "/status", "UP", "TWO_NODES_NOT_CONNECTED")


@check("6.1-a", "two_nodes", "TWO_NODES_OPEN_BEFORE_CONTRACT")
def two_nodes_share_nothing_before_the_contract_stands(story: Story) -> Iterator[Finding]:
    """What a contract opens is closed while the application is pending."""
    yield from expect.refused(story, "too-early", "TWO_NODES_OPEN_BEFORE_CONTRACT", twin="read")


@check("6.1-a", "two_nodes", "TWO_NODES_CONTRACT_ENDS_ON_ONE_SIDE")
def two_nodes_end_a_contract_on_both_sides(story: Story) -> Iterator[Finding]:
    """A contract that the target ends has ended at the peer."""
    yield from expect.shows(story, "peer-knows", "/status", "TERMINATED", "TWO_NODES_CONTRACT_ENDS_ON_ONE_SIDE")


@check("6.1-b", "two_nodes", "TWO_NODES_DATASET_NOT_USED")
def two_nodes_use_what_was_granted(story: Story) -> Iterator[Finding]:
    """The target reads the dataset that its peer granted."""
    yield from expect.accepted(story, "read", "TWO_NODES_DATASET_NOT_USED")
    yield from expect.shows(story, "read", "/dataset_id", story.fact("meter_id"), "TWO_NODES_DATASET_NOT_USED")


@check("6.1-b", "two_nodes", "TWO_NODES_DATASET_OPEN")
def two_nodes_keep_from_each_other_what_was_not_granted(story: Story) -> Iterator[Finding]:
    """Neither before the grant nor after the contract is the dataset read."""
    yield from expect.refused(story, "ungranted", "TWO_NODES_DATASET_OPEN", twin="read")
    yield from expect.refused(story, "too-late", "TWO_NODES_DATASET_OPEN", twin="read")
