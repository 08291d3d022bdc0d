"""After a new contract nothing is allowed that was not granted under it (9.2-b, 9.2-b-2)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

_FRESH, _AGAIN = "fresh_contract", "signed_again"
_UNGRANTED = ("PERMIT_MISSING", "RESOURCE_NOT_FOUND", "RESOURCE_NOT_APPROVED", "AUDIT_NOT_FOUND", "NOT_YOURS")


@check("9.2-b", _FRESH, "FRESH_CONTRACT_OPENS_DATA")
def fresh_contract_opens_no_data(story: Story) -> Iterator[Finding]:
    """A node that has just signed gets no dataset but public ones, and is told of no permit."""
    for name in ("use:fresh", "use:fresh-closed"):
        yield from expect.refused(story, name, "FRESH_CONTRACT_OPENS_DATA", *_UNGRANTED, twin="use:granted")
    yield from expect.shows(story, "granted-list", "/total", 0, "FRESH_CONTRACT_OPENS_DATA")


@check("9.2-b", _FRESH, "FRESH_CONTRACT_OPENS_WORK")
def fresh_contract_opens_no_work(story: Story) -> Iterator[Finding]:
    """A node that has just signed runs no job on what another was granted, and writes no flow in another's project."""
    twins = {"job:fresh": "job:granted", "job:fresh-of-none": "job:granted", "start:fresh": "start:granted"}
    for name, twin in {**twins, "flow:fresh": "job:granted"}.items():
        yield from expect.refused(story, name, "FRESH_CONTRACT_OPENS_WORK", *_UNGRANTED, twin=twin)


@check("9.2-b", _FRESH, "FRESH_CONTRACT_OPENS_GRANTS")
def fresh_contract_opens_no_grant_of_others(story: Story) -> Iterator[Finding]:
    """A node that has just signed neither sees nor ends what was granted to another, which stays in force."""
    for kind in ("project", "dataset"):
        for name in (f"audit:{kind}:fresh", f"end:{kind}:fresh"):
            yield from expect.refused(story, name, "FRESH_CONTRACT_OPENS_GRANTS", *_UNGRANTED, twin=f"audit:{kind}")
    if story.step("use:granted").reading.accepted:
        yield from expect.accepted(story, "use:still", "FRESH_CONTRACT_OPENS_GRANTS")


@check("9.2-b-2", _AGAIN, "FORMER_APPROVAL_SURVIVES")
def what_a_former_contract_allowed_is_over(story: Story) -> Iterator[Finding]:
    """Once a contract has ended its approvals are over, also for the same node under its next contract."""
    for name in ("job:again", "flow:again"):
        yield from expect.refused(story, name, "FORMER_APPROVAL_SURVIVES", *_UNGRANTED, twin="job:granted")
