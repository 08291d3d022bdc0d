"""What was taken out of the storage, or put back to an older state as a whole, is noticed and not acted on (9.2-e-1).

A target may notice in its own way: it refuses for another reason than that there is no such thing, shows what was there
from a copy that nobody has touched, says so in the state or the verification of its evidence, or does not serve at all
until its store is the right one again. It is put right afterwards, and has to serve then as before.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

_TAKEN = ("project", "dataset", "contract")
_NEVER_THERE = ("RESOURCE_NOT_FOUND", "CONTRACT_NOT_FOUND", "AUDIT_NOT_FOUND")
_OLDER = "older_store"


def _silent(story: Story, step: str) -> bool:
    return story.exchange(step).answer is None


def _told_by_evidence(story: Story, health: str, verified: str) -> bool:
    """Whether the target says in its evidence that something is not as it was written."""
    if not story.fact("audited"):
        return False
    told = not _silent(story, health) and story.step(health).get("/status") == "TAMPERED"
    return told or (not _silent(story, verified) and story.step(verified).get("/intact") is False)


def _as_if_never(story: Story, step: str) -> bool:
    """Whether a refusal says that there is no such thing; one that the binding cannot name does not say so."""
    reading = story.step(step).reading
    return not reading.accepted and story.binding.means(reading, _NEVER_THERE)


@check("9.2-e-1", "deleted_records", "DELETED_RECORD_NOT_NOTICED")
def deleted_record_is_not_answered_as_if_it_had_never_been(story: Story) -> Iterator[Finding]:
    """A record that was taken out of the storage alone is told to be missing; put back, it is there again."""
    code = "DELETED_RECORD_NOT_NOTICED"
    for kind in _TAKEN:
        if not story.step(f"{kind}-before").reading.accepted:
            raise NoTwin(f"{kind}-before")
        gone = f"{kind}-deleted"
        if not _silent(story, gone):
            step = story.step(gone)
            noticed = _told_by_evidence(story, f"{kind}-health", f"{kind}-verified")
            if _as_if_never(story, gone) and not noticed:
                actual = f"{expect.refusal(step)}, and nothing of it in the evidence"
                yield expect.finding(code, step, expected="it is told that a record is missing", actual=actual)
            elif step.reading.accepted:  # from a copy
                yield from expect.unchanged(story, f"{kind}-before", gone, code)
        yield from expect.accepted(story, f"{kind}-mended", code)
    yield from expect.accepted(story, "alive", code)


@check("9.2-e-1", _OLDER, "OLDER_STORE_NOT_NOTICED")
def older_copy_of_the_store_is_noticed(story: Story) -> Iterator[Finding]:
    """An older copy in the place of the store is told or not served; with the right one the target serves as before."""
    code, older = "OLDER_STORE_NOT_NOTICED", "project-older"
    if not story.fact("back"):
        yield Finding(code, expected="the target serves its own store again", actual="no answer in time")
        return
    if not story.step("project-after").reading.accepted:
        yield from expect.accepted(story, "project-after", code)
        return
    if _silent(story, older):
        return
    step = story.step(older)
    if step.reading.accepted:  # from a store of which that was one copy
        yield from expect.shows(story, older, "/name", story.fact("name"), code)
    elif _as_if_never(story, older) and not _told_by_evidence(story, "health-older", "verified-older"):
        actual = f"{expect.refusal(step)}, and nothing of it in the evidence"
        yield expect.finding(code, step, expected="it is told that the store is older than it was", actual=actual)


@check("9.2-e-1", _OLDER, "OLDER_STORE_ACTED_ON")
def contract_revived_by_an_older_store_opens_nothing(story: Story) -> Iterator[Finding]:
    """A contract that has ended is not in force again because an older copy of the store says so."""
    if not story.step("former-before").reading.accepted:
        raise NoTwin("former-before")
    if not story.fact("back") or not story.step("open-after").reading.accepted:
        raise NoTwin("open-after")
    for name in ("former-older", "former-after"):
        if not _silent(story, name) and story.step(name).reading.accepted:
            yield expect.finding("OLDER_STORE_ACTED_ON", story.step(name), expected="refused", actual="accepted")
