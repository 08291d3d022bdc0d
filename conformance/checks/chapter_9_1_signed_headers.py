"""What a signature covers on the data plane, and over which base it may be (6.2-c, 9.2-g)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import channels
from conformance.harness import expect
from conformance.harness.records import Direction, Finding
from conformance.harness.registry import EVERY, check
from conformance.harness.story import NoTwin, Story

TEXT = "度数 4102"
_BAD_SIGNATURE = ("SIGNATURE_INVALID", "SIGNATURE_MALFORMED")


def _refused(story: Story, name: str, code: str, *errors: str) -> Iterator[Finding]:
    """The bent message was refused and is in no topic; the right one after it was taken and is what comes out."""
    yield from expect.refused(story, name, code, *errors, twin=f"{name}:right")
    if not story.step(name).reading.accepted:
        yield from channels.nothing(story, f"{name}:nothing", code)


@check("9.2-g", "channel_headers", "TRANSPORT_HEADER_CHANGED_ACCEPTED")
def changed_transport_headers_are_refused(story: Story) -> Iterator[Finding]:
    """A message with a header of the data plane that was changed, or added, after it was signed is refused."""
    code = "TRANSPORT_HEADER_CHANGED_ACCEPTED"
    for name in story.fact("changed"):
        yield from _refused(story, name, code, *_BAD_SIGNATURE)


@check("9.2-g", "channel_headers", "MESSAGE_REDIRECTED")
def changed_headers_redirect_no_message(story: Story) -> Iterator[Finding]:
    """No message is delivered to the topic or the session that took the place of the signed one."""
    for name in ("topic", "session"):
        if not story.step(f"{name}:right").reading.accepted:
            raise NoTwin(f"{name}:right")
    yield from channels.nothing(story, "redirected", "MESSAGE_REDIRECTED")
    yield from channels.nothing(story, "carried-over", "MESSAGE_REDIRECTED")


@check("9.2-g", "channel_headers_uncovered", "TRANSPORT_HEADERS_NOT_SIGNED")
def signature_covers_every_transport_header(story: Story) -> Iterator[Finding]:
    """A signature that leaves out a header of the data plane is refused, and nothing is delivered."""
    for name in story.fact("uncovered"):
        yield from _refused(story, name, "TRANSPORT_HEADERS_NOT_SIGNED", *_BAD_SIGNATURE)


@check("9.2-g", "channel_old_base", "OLD_SIGNATURE_BASE_ACCEPTED")
def older_signature_base_is_refused_where_both_have_the_newer(story: Story) -> Iterator[Finding]:
    """From a node that has said to have the newer base, a message over the older one is refused, by either protocol."""
    code = "OLD_SIGNATURE_BASE_ACCEPTED"
    yield from _refused(story, "old", code, "SIGNATURE_OUTDATED", *_BAD_SIGNATURE)
    if story.profile.target.grpc or "over-grpc" in {row.step for row in story.transcript.exchanges}:
        errors = ("SIGNATURE_OUTDATED", *_BAD_SIGNATURE)
        yield from expect.refused(story, "over-grpc", code, *errors, twin="over-grpc:right")


@check("6.2-c", "channel_old_node", "OLD_NODE_NOT_HEARD")
def messages_of_a_node_with_the_older_base_are_taken(story: Story) -> Iterator[Finding]:
    """A node that does not say to have the newer base is heard over the older one."""
    yield from expect.accepted(story, "sent", "OLD_NODE_NOT_HEARD")
    yield from channels.delivers(story, "popped", TEXT, "OLD_NODE_NOT_HEARD")


@check("9.2-g", EVERY, "OLD_SIGNATURE_BASE_SENT")
def own_messages_are_signed_over_the_newer_base(story: Story) -> Iterator[Finding]:
    """What the node sends on the data plane to a partner that has the newer base is signed over it."""
    for row in story.transcript.exchanges:
        if row.direction is Direction.TO_PARTNER and "SIGNATURE_BASE_OLD" in row.problems:
            expected = f"{row.operation} signed over the version that the partner has announced"
            yield Finding("OLD_SIGNATURE_BASE_SENT", "", expected, "an older one", (row.id,))
