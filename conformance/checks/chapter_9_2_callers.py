"""Who is taken for whom: lock-outs that a stranger causes (9.2-a-5)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story


@check("9.2-a-5", "lockout_by_stranger", "PARTNER_LOCKED_OUT_BY_STRANGER")
def partner_is_served_while_others_fail_in_its_name(story: Story) -> Iterator[Finding]:
    """Failures under another's key, all refused, do not lock out the node that the requests claim to be from."""
    if not story.step("before").reading.accepted:
        raise NoTwin("before")
    for name in story.fact("tried"):
        if story.step(name).reading.accepted:  # then nothing has failed that could be counted
            raise NoTwin(name)
    yield from expect.accepted(story, "during", "PARTNER_LOCKED_OUT_BY_STRANGER")
