"""Calls of the target's as checks read them: whether they came, and what they carried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
