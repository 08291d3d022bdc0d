"""Whether the two sides reach each other whatever version of IP each of them uses (9.1-e)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.ip_versions import VERSIONS, other
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story


@check("9.1-e", "ip_versions", "IP_VERSION_NOT_SERVED")
def target_is_reached_over_both_versions(story: Story) -> Iterator[Finding]:
    """At its address of either version the target says who it is."""
    for name, why in story.fact("reached").items():
        if why:
            yield Finding("IP_VERSION_NOT_SERVED", f"/{name}", "the target listens", why)
            continue
        yield from expect.shows(
            story, f"{name}:who", "/node_id", story.profile.target.node_id, code="IP_VERSION_NOT_SERVED"
        )


@check("9.1-e", "ip_versions", "ADDRESS_OF_IP_VERSION_REFUSED")
def address_of_the_other_version_is_taken(story: Story) -> Iterator[Finding]:
    """Whoever calls over one version may register an address of the other, and is served like anybody."""
    for name in _reached(story):
        yield from expect.accepted(story, f"{name}:apply", "ADDRESS_OF_IP_VERSION_REFUSED")
        if story.step(f"{name}:apply").reading.accepted:
            yield from expect.accepted(story, f"{name}:read", "ADDRESS_OF_IP_VERSION_REFUSED")


@check("9.1-e", "ip_versions", "PARTNER_OF_IP_VERSION_NOT_CALLED")
def caller_is_called_back_at_its_address_of_the_other_version(story: Story) -> Iterator[Finding]:
    """The decision reaches the applicant at the address that it registered, not over the version that it called by."""
    for name in _reached(story):
        if story.step(f"{name}:apply").reading.accepted:
            yield from _called(story, f"{name}:approve:told", other(int(name.removeprefix("ipv"))))


@check("9.1-e", "ip_versions_called", "PARTNER_OF_IP_VERSION_NOT_CALLED")
def node_at_an_address_of_either_version_is_called(story: Story) -> Iterator[Finding]:
    """The target's application reaches a node at an address of IPv4, and one at an address of IPv6."""
    for version in VERSIONS:
        yield from _called(story, f"ipv{version}:came", version)


def _reached(story: Story) -> Iterator[str]:
    return (name for name, why in story.fact("reached").items() if not why)


def _called(story: Story, step: str, version: int) -> Iterator[Finding]:
    if not story.happened(step):
        code = "PARTNER_OF_IP_VERSION_NOT_CALLED"
        yield Finding(code, f"/ipv{version}", "the target calls its partner", f"no call in the time allowed: {step}")
