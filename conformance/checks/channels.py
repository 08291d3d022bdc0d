"""What the checks of the data plane read out of a story, beyond the vocabulary of `expect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness import channel, expect
from conformance.harness.records import Direction, Finding
from conformance.harness.story import NoTwin, Step, Story


def nothing(story: Story, name: str, code: str) -> Iterator[Finding]:
    """A look into a topic found nothing; a look that was refused shows nothing either way."""
    step = story.step(name)
    if step.reading.accepted:
        yield expect.finding(code, step, pointer="/payload", expected="nothing", actual=step.get("/payload"))
    elif step.get("/code") != channel.NOTHING:
        raise NoTwin(name)


def delivers(story: Story, name: str, payload: str, code: str) -> Iterator[Finding]:
    """A look into a topic found this message."""
    step = story.step(name)
    if not step.reading.accepted:
        actual = expect.refusal(step) if step.reading.error else "nothing"
        yield expect.finding(code, step, pointer="/payload", expected=payload, actual=actual)
    elif step.get("/payload") != payload:
        yield expect.finding(code, step, pointer="/payload", expected=payload, actual=step.get("/payload"))


def popped(story: Story, name: str, number: int) -> tuple[list[Any], Step]:
    """Return what a row of looks took out of a topic, and the last look."""
    steps = [story.step(f"{name}-{place}") for place in range(number)]
    return [step.get("/payload") for step in steps if step.reading.accepted], steps[-1]


def outbound(story: Story) -> Iterator[tuple[Step, dict[str, Any]]]:
    """Yield every message that the target sent, as often as it was sent, once its component could push any."""
    story.step("first")
    for step in story.calls(Direction.TO_PARTNER):
        if step.exchange.operation in channel.BETWEEN_NODES:
            for message in step.sent.get("messages", ()):
                yield step, message


def took(step: Step) -> bool:
    """Whether the partner has taken what a call brought."""
    return step.exchange.answer is not None and step.exchange.answer.status == 200
