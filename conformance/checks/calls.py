"""Steps as checks read them when the story may have ended on the way: calls that came, requests that were accepted.

A finding must not be lost because a later step, which the first one is the ground of, was never taken.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.story import Story


def told(story: Story, name: str, wanted: Mapping[str, Any], code: str) -> Iterator[Finding]:
    """The target made the awaited call, and it has these values at these places."""
    yield from expect.called(story, name, code)
    if story.happened(name):
        for pointer, value in wanted.items():
            yield from expect.carried(story, name, pointer, value, code)


def done(story: Story, *names: str, code: str) -> Generator[Finding, None, bool]:
    """All the steps were accepted; return whether they were, so that a check can go on from there."""
    for name in names:
        yield from expect.accepted(story, name, code)
        if not story.step(name).reading.accepted:
            return False
    return True


def answer(story: Story, name: str, wanted: Mapping[str, Any], code: str) -> Iterator[Finding]:
    """The answer of the step, if it was accepted, has these values at these places."""
    if story.step(name).reading.accepted:
        for pointer, value in wanted.items():
            yield from expect.shows(story, name, pointer, value, code)
