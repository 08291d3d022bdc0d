"""Checks of the data plane at its limits: messages and frames that are too long, repetitions under a ticket (6.2-c)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import calls, channels
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

PROTOCOLS = ("http", "grpc")
TICKETS = ("push-cut", "push-short", "push-odd")


# --- length ---------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_oversize", "OVERSIZE_MESSAGE_TAKEN")
def message_that_is_too_long_is_refused(story: Story) -> Iterator[Finding]:
    """A message of more than 64 MiB outside a stream is refused, over either protocol."""
    for over in PROTOCOLS:
        code = "OVERSIZE_MESSAGE_TAKEN"
        yield from expect.refused(story, f"{over}:message", code, "BODY_TOO_LARGE", twin=f"{over}:short")


@check("6.2-c", "channel_oversize", "OVERSIZE_FRAME_TAKEN")
def frame_that_is_too_long_is_refused(story: Story) -> Iterator[Finding]:
    """A frame of more than 16 MiB is refused, over either protocol: a receiver holds no more than one in memory."""
    for over in PROTOCOLS:
        code, errors = "OVERSIZE_FRAME_TAKEN", ("FRAME_INVALID", "BODY_TOO_LARGE")
        yield from expect.refused(story, f"{over}:frame", code, *errors, twin=f"{over}:narrow")


@check("6.2-c", "channel_oversize", "OVERSIZE_MESSAGE_KEPT")
def nothing_is_left_of_what_was_too_long(story: Story) -> Iterator[Finding]:
    """Of a message or a frame that was refused for its length nothing is delivered."""
    for name in (f"{over}:{what}" for over in PROTOCOLS for what in ("message", "frame")):
        if story.step(name).reading.accepted:
            raise NoTwin(name)
        yield from channels.nothing(story, f"{name}-nothing", "OVERSIZE_MESSAGE_KEPT")


# --- tickets --------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_tickets", "REPEATED_PUSH_DELIVERED")
def push_that_is_repeated_is_delivered_once(story: Story) -> Iterator[Finding]:
    """A push under a ticket that was used is answered as done and delivers nothing again; the next one delivers."""
    code = "REPEATED_PUSH_DELIVERED"
    if (yield from calls.done(story, "push", "push-again", "push-next", code=code)):
        found, last = channels.popped(story, "pushed", 3)
        if sorted(map(str, found)) != ["push", "push-next"]:
            yield expect.finding(code, last, expected=["push", "push-next"], actual=found)


@check("6.2-c", "channel_tickets", "REPEATED_POP_LOSES_MESSAGE")
def pop_that_is_repeated_gives_the_message_again(story: Story) -> Iterator[Finding]:
    """A pop under the ticket of the last one gives the same message, which may have been lost on its way."""
    first = story.step("pop").get("/payload")
    if first in ("one", "two"):
        other = "two" if first == "one" else "one"
        for name, payload in (("pop-again", first), ("pop-next", other)):
            yield from channels.delivers(story, name, payload, "REPEATED_POP_LOSES_MESSAGE")


@check("6.2-c", "channel_tickets", "BAD_TICKET_TAKEN")
def ticket_that_is_none_is_refused(story: Story) -> Iterator[Finding]:
    """A ticket without its number, with a holder that is too short, or with no number is refused."""
    for name in TICKETS:
        yield from expect.refused(story, name, "BAD_TICKET_TAKEN", "REQUEST_INVALID", twin="push")
