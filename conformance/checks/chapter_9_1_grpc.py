"""Checks of what the target sends over gRPC, and of the choice between gRPC and HTTP (9.1-a, 9.1-c)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import calls, channels, chapter_6_2
from conformance.harness import channel, expect
from conformance.harness.records import Direction, Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

SCENARIO = "channel_outbound_grpc"


# --- messages over gRPC ---------------------------------------------------------------------------------------------


@check("9.1-c", SCENARIO, "OUTBOUND_MESSAGE_LOST")
def message_over_grpc_is_sent_until_it_is_taken(story: Story) -> Iterator[Finding]:
    """No broken call, silence, full queue or answer that is none makes the node believe that a message was taken."""
    yield from chapter_6_2.message_is_sent_until_it_is_taken(story)


@check("9.1-c", SCENARIO, "OUTBOUND_TOPIC_WRONG")
def message_over_grpc_is_sent_under_its_topic(story: Story) -> Iterator[Finding]:
    """Every message arrives under the topic that the component pushed it to."""
    yield from chapter_6_2.message_is_sent_under_its_topic(story)


@check("9.1-c", SCENARIO, "OUTBOUND_NUMBERS_WRONG")
def message_over_grpc_keeps_its_number(story: Story) -> Iterator[Finding]:
    """Messages are numbered from 0 in their topic, and one that is sent again has the number that it had."""
    yield from chapter_6_2.message_keeps_its_number(story)


@check("9.1-c", SCENARIO, "OUTBOUND_MESSAGE_REPEATED")
def message_over_grpc_is_not_sent_again_once_taken(story: Story) -> Iterator[Finding]:
    """Once the partner has taken a message it is not bothered with it again."""
    yield from chapter_6_2.message_that_was_taken_is_not_sent_again(story)


@check("9.1-c", SCENARIO, "OUTBOUND_SESSION_WRONG")
def message_over_grpc_names_its_session_and_shows_its_token(story: Story) -> Iterator[Finding]:
    """The metadata of every call name the session of the job and show the token that its nodes share."""
    yield from chapter_6_2.message_names_its_session_and_shows_its_token(story)


# --- the choice -----------------------------------------------------------------------------------------------------


@check("9.1-a", "channel_agreed", "GRPC_NOT_ANNOUNCED")
def second_protocol_is_announced(story: Story) -> Iterator[Finding]:
    """A node that speaks gRPC says to whoever asks where: partners cannot agree on what they are not told."""
    address = str(story.step("asked").get("/grpc_address"))
    if not address.startswith("grpc://"):
        step = story.step("asked")
        yield expect.finding("GRPC_NOT_ANNOUNCED", step, pointer="/grpc_address", expected="grpc://", actual=address)


@check("9.1-a", "channel_agreed", "GRPC_OFFER_IGNORED")
def protocol_that_both_sides_offer_is_used(story: Story) -> Iterator[Finding]:
    """Where a job asks for gRPC and both ends announce it, no message falls back to HTTP."""
    yield from calls.done(story, "push-grpc", code="GRPC_OFFER_IGNORED")
    for step in story.calls(Direction.TO_PARTNER):
        mine = step.exchange.operation in channel.BETWEEN_NODES and step.exchange.partner == story.fact("grpc:party")
        if mine and not channel.over_grpc(step.exchange.request):
            yield expect.finding("GRPC_OFFER_IGNORED", step, expected="over gRPC", actual="over HTTP")


@check("9.1-a", "channel_agreed", "PARTNER_WITHOUT_GRPC_CUT_OFF")
def partner_that_offers_http_only_is_reached_over_it(story: Story) -> Iterator[Finding]:
    """To a partner that announces no gRPC messages go over HTTP, in the same job."""
    code = "PARTNER_WITHOUT_GRPC_CUT_OFF"
    if (yield from calls.done(story, "push-http", code=code)):
        found = [
            message["payload"]
            for step in story.calls(Direction.TO_PARTNER)
            if step.exchange.partner == story.fact("http:party") and channels.took(step)
            for message in step.sent.get("messages", ())
        ]
        if "for http" not in found:
            yield Finding(code, expected=["for http"], actual=found)
