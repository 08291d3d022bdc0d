"""What is asked alike of all that one node has and another agrees to: its application, its decision and its end.

The scenarios of such resources name their steps alike, so one proposition serves them all. A chapter registers it with
a finding of its own, which also names the check: PROJECT_... makes `project_` and the name of the proposition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conformance.checks.readings import NOT_A_PARTY, carries_fields, given, permit_names
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, Story

Proposition = Callable[[Story, str], Iterator[Finding]]


def register(module: str, requirement: str, *rows: tuple[str, str, Proposition]) -> None:
    """Register, for a chapter's module, checks of (scenario, finding, what is asked)."""
    for scenario, code, proposition in rows:
        check(requirement, scenario, code)(_judge(module, code, proposition))


def _judge(module: str, code: str, proposition: Proposition) -> Callable[[Story], Iterator[Finding]]:
    def judge(story: Story) -> Iterator[Finding]:
        return proposition(story, code)

    resource, _, _ = code.partition("_")
    judge.__module__, judge.__doc__ = module, proposition.__doc__
    judge.__name__ = f"{resource.lower()}_{proposition.__name__}"
    return judge


def too_late(
    story: Story, late: str, code: str, *, status: str, shown: tuple[str, str], twin: str
) -> Iterator[Finding]:
    """What comes once an application has this status is refused, and it is shown before and after alike."""
    before, after = shown
    given(story, before, "/status", status)
    yield from expect.refused(story, late, code, "AUDIT_NOT_PENDING", twin=twin)
    yield from expect.unchanged(story, before, after, code, "/status")


def partner_is_told_of_the_end(story: Story, code: str) -> Iterator[Finding]:
    """The operator ends an approval, and the partner is called."""
    yield from expect.accepted(story, "terminate", code)
    yield from expect.called(story, "terminate-arrives", code)


def stands_as_applied(story: Story, code: str, kind: str, *also: str) -> Iterator[Finding]:
    """An application is accepted, and held pending as the partner's, with the target as its approver."""
    yield from expect.accepted(story, "apply", code)
    asked = story.step("apply")
    wanted = {"kind": kind, "role": "APPROVER", "partner_node_id": asked.exchange.partner}
    wanted |= {field: asked.got(f"/{field}") for field in also}
    wanted |= {"resource_id": asked.got(f"/{kind.lower()}_id"), "status": "APPLIED"}
    for field, value in wanted.items():
        yield from expect.shows(story, "received", f"/{field}", value, code)


# --- the target applies ---------------------------------------------------------------------------------------------


def offer_cannot_be_decided_by_a_stranger(story: Story, code: str) -> Iterator[Finding]:
    """Only the node that was asked can decide; the application stays pending."""
    yield from expect.refused(story, "confirm-by-stranger", code, *NOT_A_PARTY, twin="confirm")
    yield from expect.shows(story, "still-pending", "/status", "APPLIED", code)


def offer_is_withdrawn_at_the_partner_too(story: Story, code: str) -> Iterator[Finding]:
    """A withdrawal reaches the partner and ends the application here as cancelled."""
    yield from expect.accepted(story, "cancel", code)
    yield from expect.called(story, "cancel-arrives", code)
    yield from expect.shows(story, "cancelled", "/status", "TERMINATED", code)


def termination_by_the_partner_is_taken(story: Story, code: str) -> Iterator[Finding]:
    """The partner may end its part as well; the approval is then TERMINATED here."""
    yield from expect.accepted(story, "terminate-by-partner", code)
    yield from expect.shows(story, "terminated-by-partner", "/status", "TERMINATED", code)


# --- the target is applied to ---------------------------------------------------------------------------------------


def application_may_arrive_twice(story: Story, code: str) -> Iterator[Finding]:
    """A repeated application is accepted and there is still one."""
    yield from expect.accepted(story, "apply-again", code)
    yield from expect.shows(story, "inbox", "/total", 1, code)


def application_is_hidden_from_strangers(story: Story, code: str) -> Iterator[Finding]:
    """A node that is no party to the application learns nothing of it."""
    yield from expect.refused(story, "state-by-stranger", code, *NOT_A_PARTY, twin="state")


def application_cannot_be_cancelled_by_a_stranger(story: Story, code: str) -> Iterator[Finding]:
    """Only the applicant withdraws its application."""
    yield from expect.refused(story, "cancel-by-stranger", code, *NOT_A_PARTY, twin="cancel-early")
    yield from expect.unchanged(story, "state-early", "state-after-stranger", code, "/status")


def application_cannot_be_cancelled_once_decided(story: Story, code: str) -> Iterator[Finding]:
    """The applicant cannot withdraw what has been approved."""
    yield from expect.refused(story, "cancel-late", code, "AUDIT_NOT_PENDING", twin="cancel-early")
    yield from _turned(story, "TERMINATED", code)


def applicant_can_ask_how_its_application_stands(story: Story, code: str) -> Iterator[Finding]:
    """The applicant's query answers with the state that the approver holds, before and after the decision."""
    yield from expect.shows(story, "state", "/status", "APPLIED", code)
    yield from expect.shows(story, "decided", "/status", "APPROVED", code)


def approval_is_told_to_the_applicant(story: Story, code: str) -> Iterator[Finding]:
    """The operator's approval reaches the applicant under the audit id."""
    yield from expect.accepted(story, "approve", code)
    yield from expect.called(story, "told", code)
    if story.happened("told"):
        yield from expect.carried(story, "told", "/status", "APPROVED", code)


def rejection_is_told_to_the_applicant(story: Story, code: str) -> Iterator[Finding]:
    """The operator's rejection reaches the applicant with its reason and without a permit."""
    yield from expect.accepted(story, "reject", code)
    yield from carries_fields(story, "told", story.step("reject"), ("status", "comment"), code)
    if story.happened("told"):
        yield from expect.carried(story, "told", "/resource_permit", MISSING, code)


def decision_cannot_be_reversed(story: Story, code: str) -> Iterator[Finding]:
    """The operator cannot reject what has been approved; both sides keep the approval."""
    yield from expect.refused(story, "turn-round", code, "AUDIT_NOT_PENDING", twin="approve")
    yield from _turned(story, "REJECTED", code)


def decision_can_be_asked_for_when_the_callback_is_lost(story: Story, code: str) -> Iterator[Finding]:
    """An applicant that missed the confirmation gets state and permit from its query."""
    kind, _, _ = code.partition("_")
    yield from expect.shows(story, "ask", "/status", "APPROVED", code)
    yield from permit_names(story, story.step("ask"), "/resource_permit", kind, story.fact(kind.lower()), code)


def approval_cannot_be_terminated_twice(story: Story, code: str) -> Iterator[Finding]:
    """Ending what has ended is refused."""
    yield from expect.refused(story, "terminate-again", code, "AUDIT_NOT_APPROVED", twin="terminate")


def _turned(story: Story, status: str, code: str) -> Iterator[Finding]:
    """The decision has come to stand as what it must not become."""
    step = story.step("decided-still")
    if step.get("/status") == status:
        yield expect.finding(code, step, pointer="/status", actual=status)
