"""Whether connections on which nothing comes keep others out, and whether they end (9.2-a-5)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story


@check("9.2-a-5", "crowd_of_connections", "CROWD_KEEPS_OTHERS_OUT")
def crowd_of_silent_connections_keeps_nobody_out(story: Story) -> Iterator[Finding]:
    """While idle, dripping and half open connections stand, a partner is answered about as soon as without them."""
    if not any(story.fact("calm")):
        raise NoTwin("calm:0")
    limit = story.fact("limit_ms")
    for number, took in enumerate(story.fact("crowded")):
        if took is None or took > limit:
            actual = "no answer, twice" if took is None else f"{took:.0f} ms, twice"
            at = f"/crowded/{number}"
            yield Finding("CROWD_KEEPS_OTHERS_OUT", at, f"an answer within {limit:.0f} ms", actual)
    if not story.fact("after"):
        yield Finding("CROWD_KEEPS_OTHERS_OUT", "/after", "an answer once the crowd has gone", "none")


@check("9.2-a-5", "silent_connections", "SILENT_CONNECTION_NOT_ENDED")
def silent_connection_is_ended(story: Story) -> Iterator[Finding]:
    """A connection on which no whole request and no whole handshake comes is ended within the time declared."""
    began = story.fact("began")
    if not story.step("after").reading.accepted:
        raise NoTwin("after")
    within = f"ended within {story.profile.timings.silence_seconds:g} s"
    for kind, count in story.fact("stand").items():
        if count:
            yield Finding("SILENT_CONNECTION_NOT_ENDED", f"/{kind}", within, f"{count} of {began[kind]} stand")
