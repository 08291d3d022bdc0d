"""What the checks of projects, flows and datasets read out of a story, beyond the vocabulary of `expect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.story import MISSING, NoTwin, Step, Story

FIELDS = ("name", "description", "type")
GONE = ("RESOURCE_NOT_FOUND", "PERMIT_MISSING", "PERMIT_REVOKED", "RESOURCE_NOT_APPROVED", "NOT_YOURS")
NOT_A_PARTY = ("AUDIT_NOT_FOUND", "NOT_YOURS")


def given(story: Story, name: str, pointer: str, value: Any) -> None:
    """End a check as not testable unless a step shows what the check stands on: another check speaks of that."""
    if story.step(name).get(pointer) != value:
        raise NoTwin(name)


def came(story: Story, name: str) -> Step:
    """Return a call that the target made; a check that reads it is not testable without it."""
    if not story.happened(name):
        raise NoTwin(name)
    return story.step(name)


def listed(step: Step, name: str = "project_id") -> list[Any]:
    """Return the ids that a list answer shows, in its order."""
    records = step.get("/records")
    if not isinstance(records, list):
        return []
    return [row.get(name) if isinstance(row, dict) else None for row in records]


def same_fields(
    story: Story, name: str, wanted: Step, fields: tuple[str, ...], code: str, prefix: str = ""
) -> Iterator[Finding]:
    """The answer of a step shows what another step sent."""
    for field in fields:
        value = wanted.got(f"/{field}")
        yield from expect.shows(story, name, f"{prefix}/{field}", value, code)


def exactly(story: Story, name: str, ids: list[Any], code: str, field: str = "project_id") -> Iterator[Finding]:
    """A list answer shows these ids and no others, in any order."""
    step = story.step(name)
    found = listed(step, field)
    if sorted(map(str, found)) != sorted(map(str, ids)):
        yield expect.finding(code, step, pointer="/records", expected=ids, actual=found)


def nodes(step: Step) -> dict[Any, Any]:
    """Return the nodes that a project's record names, with their contracts."""
    rows = step.get("/nodes")
    if not isinstance(rows, list):
        return {}
    return {row.get("node_id"): row.get("contract_id") for row in rows if isinstance(row, dict)}


def carries_fields(story: Story, name: str, wanted: Step, fields: tuple[str, ...], code: str) -> Iterator[Finding]:
    """A call of the target's carries what another step sent."""
    yield from expect.called(story, name, code)
    if story.happened(name):
        for field in fields:
            yield from expect.carried(story, name, f"/{field}", wanted.got(f"/{field}"), code)


def takes_permit(story: Story, told: str, shown: str, token: object, code: str) -> Iterator[Finding]:
    """What a partner told of its approval is taken, and the approval stands here with the partner's permit."""
    yield from expect.accepted(story, told, code)
    yield from expect.shows(story, shown, "/status", "APPROVED", code)
    yield from expect.shows(story, shown, "/resource_permit/token", token, code)


def permit_names(story: Story, step: Step, place: str, kind: str, resource: object, code: str) -> Iterator[Finding]:
    """A permit that the target issued or shows opens this resource for the two parties."""
    permit = step.got(place) if step.got(place) is not MISSING else step.get(place)
    if not isinstance(permit, dict):
        yield expect.finding(code, step, pointer=place, expected="a permit", actual=permit)
        return
    wanted = {"resource_type": kind, "resource_id": resource, "resource_level": 2 if kind == "PROJECT" else 3}
    for field, value in wanted.items():
        if permit.get(field) != value:
            yield expect.finding(
                code, step, pointer=f"{place}/{field}", expected=value, actual=permit.get(field, MISSING)
            )
    parties = {str(permit.get("resource_node_id")), str(permit.get("request_node_id"))}
    if len(parties) != 2 or story.profile.target.node_id not in parties:
        yield expect.finding(code, step, pointer=place, expected="both nodes", actual=sorted(parties))
