"""Checks of 8.2.1-b: a project that one node has and another is asked to join, from application to end."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import agreed
from conformance.checks.readings import (
    FIELDS,
    GONE,
    came,
    given,
    permit_names,
    same_fields,
)
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

# --- 8.2.1-b: the target applies ------------------------------------------------------------------------------------


@check("8.2.1-b", "project_offered", "PROJECT_OFFER_NOT_SENT")
def project_offer_reaches_the_partner_under_the_audit_id_told(story: Story) -> Iterator[Finding]:
    """The operator learns an audit id, and the partner receives the application under that very id."""
    yield from expect.accepted(story, "offer", "PROJECT_OFFER_NOT_SENT")
    yield from expect.called(story, "arrives", "PROJECT_OFFER_NOT_SENT")
    if story.happened("arrives"):
        audit_id = story.step("offer").get("/audit_id")
        yield from expect.carried(story, "arrives", "/audit_id", audit_id, "PROJECT_OFFER_NOT_SENT")
        contract_id = story.step("offer").got("/contract_id")
        yield from expect.carried(story, "arrives", "/contract_id", contract_id, "PROJECT_OFFER_NOT_SENT")


@check("8.2.1-b", "project_offered", "PROJECT_OFFER_CONTENT_WRONG")
def project_offer_carries_the_project_as_it_is(story: Story) -> Iterator[Finding]:
    """Id, name, description and type arrive as this node holds them."""
    came(story, "arrives")
    held = story.step("query")
    for field in ("project_id", *FIELDS):
        yield from expect.carried(story, "arrives", f"/{field}", held.get(f"/{field}"), "PROJECT_OFFER_CONTENT_WRONG")


@check("8.2.1-b", "project_offered", "PROJECT_OFFER_PERIOD_LOST")
def project_offer_carries_the_period_asked_for(story: Story) -> Iterator[Finding]:
    """The end of the period that the operator asks for arrives with the application."""
    came(story, "arrives")
    limit = story.step("offer").got("/time_limit")
    yield from expect.carried(story, "arrives", "/time_limit", limit, "PROJECT_OFFER_PERIOD_LOST")


@check("8.2.1-b", "project_offered", "PROJECT_OFFER_DECIDED_EARLY")
def project_offer_is_pending_until_the_partner_decides(story: Story) -> Iterator[Finding]:
    """Before the partner has decided, the application stands as APPLIED with this node as the applicant."""
    yield from expect.shows(story, "offer", "/status", "APPLIED", "PROJECT_OFFER_DECIDED_EARLY")
    for field, value in (("status", "APPLIED"), ("role", "APPLICANT"), ("kind", "PROJECT")):
        yield from expect.shows(story, "pending", f"/{field}", value, "PROJECT_OFFER_DECIDED_EARLY")


@check("8.2.1-b", "project_offered", "PROJECT_APPROVAL_NOT_TAKEN")
def project_offer_is_approved_once_the_partner_says_so(story: Story) -> Iterator[Finding]:
    """The partner's confirmation alone makes the application APPROVED."""
    yield from expect.accepted(story, "confirm", "PROJECT_APPROVAL_NOT_TAKEN")
    yield from expect.shows(story, "approved", "/status", "APPROVED", "PROJECT_APPROVAL_NOT_TAKEN")


@check("8.2.1-b", "project_offered", "PROJECT_PERMIT_NOT_KEPT")
def project_permit_of_the_partner_is_kept(story: Story) -> Iterator[Finding]:
    """The permit that came with the approval is the one that the node holds."""
    given(story, "approved", "/status", "APPROVED")
    token = story.step("confirm").got("/resource_permit/token")
    yield from expect.shows(story, "approved", "/resource_permit/token", token, "PROJECT_PERMIT_NOT_KEPT")


@check("8.2.1-b", "project_offered", "PROJECT_CONFIRMATION_NOT_REPEATABLE")
def project_confirmation_may_arrive_twice(story: Story) -> Iterator[Finding]:
    """A repeated confirmation is accepted and changes nothing: partners retry."""
    yield from expect.accepted(story, "confirm-again", "PROJECT_CONFIRMATION_NOT_REPEATABLE")
    for place in ("/status", "/resource_permit/token"):
        yield from expect.unchanged(story, "approved", "after-again", "PROJECT_CONFIRMATION_NOT_REPEATABLE", place)


@check("8.2.1-b", "project_offered", "PROJECT_CONFIRMATION_CONTRADICTED")
def project_confirmation_cannot_be_contradicted(story: Story) -> Iterator[Finding]:
    """A second confirmation that says the opposite is refused and changes nothing."""
    code = "PROJECT_CONFIRMATION_CONTRADICTED"
    shown = ("after-again", "after-contradict")
    yield from agreed.too_late(story, "contradict", code, status="APPROVED", shown=shown, twin="confirm")


@check("8.2.1-b", "project_offered", "PROJECT_OFFER_WITHDRAWN_LATE")
def project_offer_cannot_be_withdrawn_once_decided(story: Story) -> Iterator[Finding]:
    """The operator's withdrawal of a decided application is refused and changes nothing."""
    code = "PROJECT_OFFER_WITHDRAWN_LATE"
    shown = ("after-contradict", "after-cancel-late")
    yield from agreed.too_late(story, "cancel-late", code, status="APPROVED", shown=shown, twin="confirm")


@check("8.2.1-b", "project_offer_declined", "PROJECT_REJECTION_NOT_TAKEN")
def project_offer_is_rejected_once_the_partner_says_so(story: Story) -> Iterator[Finding]:
    """The partner's rejection ends the application, and its reason is kept."""
    yield from expect.accepted(story, "reject", "PROJECT_REJECTION_NOT_TAKEN")
    yield from expect.shows(story, "rejected", "/status", "REJECTED", "PROJECT_REJECTION_NOT_TAKEN")
    comment = story.step("reject").got("/comment")
    yield from expect.shows(story, "rejected", "/comment", comment, "PROJECT_REJECTION_NOT_TAKEN")


@check("8.2.1-b", "project_offer_declined", "PROJECT_SHARED_AFTER_REJECTION")
def project_that_the_partner_rejected_is_not_shared_with_it(story: Story) -> Iterator[Finding]:
    """A partner that declined has no part in the project and cannot read it."""
    yield from expect.refused(story, "read-rejected", "PROJECT_SHARED_AFTER_REJECTION", *GONE, twin="read-approved")


@check("8.2.1-b", "project_offer_declined", "PROJECT_APPROVED_AFTER_WITHDRAWAL")
def project_offer_cannot_be_approved_once_withdrawn(story: Story) -> Iterator[Finding]:
    """An approval that comes after the withdrawal is refused and the application stays ended."""
    code = "PROJECT_APPROVED_AFTER_WITHDRAWAL"
    shown = ("cancelled", "after-confirm-late")
    yield from agreed.too_late(story, "confirm-late", code, status="TERMINATED", shown=shown, twin="prj-yes:confirm")


@check("8.2.1-b", "project_offer_refused", "PROJECT_OFFER_REFUSAL_HIDDEN")
def project_offer_turned_away_is_not_held_as_applied(story: Story) -> Iterator[Finding]:
    """When the partner does not take the application, the operator is told and nothing stays pending."""
    code = "PROJECT_OFFER_REFUSAL_HIDDEN"
    yield from expect.refused(story, "offer-refused", code, "PARTNER_REFUSED", twin="offer")
    yield from expect.shows(story, "applied-after", "/total", 0, code)


@check("8.2.1-b", "project_offer_callback_lost", "PROJECT_LOST_DECISION_NOT_FOUND")
def project_decision_is_found_by_asking_when_the_callback_is_lost(story: Story) -> Iterator[Finding]:
    """A query of a pending application asks the partner and adopts approval, permit and rejection."""
    code = "PROJECT_LOST_DECISION_NOT_FOUND"
    yield from expect.called(story, "asked", code)
    yield from expect.shows(story, "ask-approved", "/status", "APPROVED", code)
    yield from expect.shows(story, "ask-approved", "/resource_permit/token", story.fact("token"), code)
    yield from expect.shows(story, "ask-rejected", "/status", "REJECTED", code)


@check("8.2.1-b", "project_offer_ended", "PROJECT_TERMINATION_NOT_SENT")
def project_termination_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """When the node ends a common project, it ends here at once and the partner is told."""
    yield from agreed.partner_is_told_of_the_end(story, "PROJECT_TERMINATION_NOT_SENT")
    yield from expect.shows(story, "terminated", "/status", "TERMINATED", "PROJECT_TERMINATION_NOT_SENT")


@check("8.2.1-b", "project_offer_ended", "PROJECT_SHARED_AFTER_END")
def project_is_closed_to_the_partner_once_its_part_has_ended(story: Story) -> Iterator[Finding]:
    """Whoever ended it, the partner no longer reads the project."""
    given(story, "terminated-by-partner", "/status", "TERMINATED")
    for slug in ("ours", "theirs"):
        yield from expect.refused(story, f"read-{slug}-after", "PROJECT_SHARED_AFTER_END", *GONE, twin=f"read-{slug}")


# --- 8.2.1-b: the target is applied to ------------------------------------------------------------------------------


@check("8.2.1-b", "project_received", "PROJECT_APPLICATION_NOT_TAKEN")
def project_application_is_taken_and_stands_as_applied(story: Story) -> Iterator[Finding]:
    """A partner's application is accepted, and both sides see it pending, here with this node as the approver."""
    yield from agreed.stands_as_applied(story, "PROJECT_APPLICATION_NOT_TAKEN", "PROJECT", "contract_id")


@check("8.2.1-b", "project_received_declined", "PROJECT_APPLICATION_STATE_WRONG")
def project_applicant_learns_of_a_rejection_by_asking(story: Story) -> Iterator[Finding]:
    """The applicant's query answers REJECTED once the operator has declined."""
    yield from expect.shows(story, "state", "/status", "REJECTED", "PROJECT_APPLICATION_STATE_WRONG")


@check("8.2.1-b", "project_received_ended", "PROJECT_APPLICATION_STATE_WRONG")
def project_applicant_learns_of_the_end_by_asking(story: Story) -> Iterator[Finding]:
    """The applicant's query answers TERMINATED once the node has left."""
    yield from expect.shows(story, "state-ours", "/status", "TERMINATED", "PROJECT_APPLICATION_STATE_WRONG")


@check("8.2.1-b", "project_received", "PROJECT_APPLICATION_CONTENT_LOST")
def project_application_is_shown_to_the_operator_as_it_came(story: Story) -> Iterator[Finding]:
    """The operator decides on what the partner wrote: name, description and type."""
    asked = story.step("apply")
    yield from same_fields(story, "received", asked, FIELDS, "PROJECT_APPLICATION_CONTENT_LOST", "/content")


@check("8.2.1-b", "project_received", "PROJECT_AUDIT_ID_SHARED")
def project_audit_id_belongs_to_one_application(story: Story) -> Iterator[Finding]:
    """Another node cannot apply under an audit id that is in use."""
    yield from expect.refused(story, "audit-id-taken", "PROJECT_AUDIT_ID_SHARED", "ID_TAKEN", twin="own-audit-id")


@check("8.2.1-b", "project_received", "PROJECT_PERMIT_WRONG")
def project_approval_carries_a_permit_for_the_project(story: Story) -> Iterator[Finding]:
    """The confirmation carries a permit that names the project and the two nodes."""
    project_id = story.step("apply").got("/project_id")
    yield from permit_names(
        story, came(story, "told"), "/resource_permit", "PROJECT", project_id, "PROJECT_PERMIT_WRONG"
    )


@check("8.2.1-b", "project_received", "PROJECT_NOT_HELD_AFTER_APPROVAL")
def project_is_held_alike_on_both_sides_once_approved(story: Story) -> Iterator[Finding]:
    """After the approval this node holds the project with the applicant's content and as the applicant's."""
    asked, code = story.step("apply"), "PROJECT_NOT_HELD_AFTER_APPROVAL"
    yield from same_fields(story, "held", asked, ("project_id", *FIELDS), code)
    yield from expect.shows(story, "held", "/owner_node_id", asked.exchange.partner, code)


@check("8.2.1-b", "project_received_declined", "PROJECT_HELD_AFTER_REJECTION")
def project_that_the_node_rejected_is_not_held(story: Story) -> Iterator[Finding]:
    """After a rejection this node has no such project, for its operator and for the applicant alike."""
    code = "PROJECT_HELD_AFTER_REJECTION"
    yield from expect.refused(story, "held-rejected", code, "RESOURCE_NOT_FOUND", twin="held-approved")
    yield from expect.refused(story, "read-rejected", code, *GONE, twin="read-approved")


@check("8.2.1-b", "project_received_declined", "PROJECT_CANCELLATION_NOT_TAKEN")
def project_application_is_cancelled_by_its_applicant_while_pending(story: Story) -> Iterator[Finding]:
    """A pending application that is withdrawn stands as TERMINATED, for the reason CANCELLED."""
    yield from expect.accepted(story, "cancel", "PROJECT_CANCELLATION_NOT_TAKEN")
    yield from expect.shows(story, "cancelled", "/status", "TERMINATED", "PROJECT_CANCELLATION_NOT_TAKEN")


@check("8.2.1-b", "project_received_declined", "PROJECT_APPROVED_AFTER_CANCELLATION")
def project_application_cannot_be_approved_once_cancelled(story: Story) -> Iterator[Finding]:
    """The operator cannot approve what its applicant has withdrawn."""
    code = "PROJECT_APPROVED_AFTER_CANCELLATION"
    shown = ("cancelled", "cancelled-still")
    yield from agreed.too_late(story, "approve-late", code, status="TERMINATED", shown=shown, twin="prj-yes:approve")


@check("8.2.1-b", "project_received_ended", "PROJECT_TERMINATION_NOT_TAKEN")
def project_ends_here_when_its_owner_ends_it(story: Story) -> Iterator[Finding]:
    """The owner's termination is accepted, and the approval is TERMINATED here."""
    yield from agreed.termination_by_the_partner_is_taken(story, "PROJECT_TERMINATION_NOT_TAKEN")


@check("8.2.1-b", "project_received_ended", "PROJECT_TERMINATION_NOT_SENT")
def project_owner_is_told_when_the_node_leaves(story: Story) -> Iterator[Finding]:
    """When this node ends its part, the owner is told."""
    yield from agreed.partner_is_told_of_the_end(story, "PROJECT_TERMINATION_NOT_SENT")


@check("8.2.1-b", "project_received_ended", "PROJECT_SHARED_AFTER_END")
def project_is_closed_to_its_owner_once_it_has_ended(story: Story) -> Iterator[Finding]:
    """Whichever of the two ended it, this node no longer answers for the project."""
    given(story, "terminated-by-partner", "/status", "TERMINATED")
    for slug in ("theirs", "ours"):
        twin = f"read-{slug}"
        yield from expect.refused(story, f"{twin}-after", "PROJECT_SHARED_AFTER_END", *GONE, twin=twin)


@check("8.2.1-b", "project_received_callback_lost", "PROJECT_DELIVERY_MISREPORTED")
def project_confirmation_that_was_not_delivered_is_reported_as_pending(story: Story) -> Iterator[Finding]:
    """The operator is not told that the partner knows when the partner has not taken the confirmation."""
    yield from expect.shows(story, "approve", "/delivery", "PENDING", "PROJECT_DELIVERY_MISREPORTED")


# --- what is asked of all that is agreed -----------------------------------------------------------------------------

agreed.register(
    __name__,
    "8.2.1-b",
    ("project_offered", "PROJECT_DECIDED_BY_STRANGER", agreed.offer_cannot_be_decided_by_a_stranger),
    ("project_offer_declined", "PROJECT_WITHDRAWAL_NOT_SENT", agreed.offer_is_withdrawn_at_the_partner_too),
    ("project_offer_ended", "PROJECT_TERMINATION_NOT_TAKEN", agreed.termination_by_the_partner_is_taken),
    ("project_received", "PROJECT_APPLICATION_DOUBLED", agreed.application_may_arrive_twice),
    ("project_received", "PROJECT_APPLICATION_OPEN_TO_STRANGERS", agreed.application_is_hidden_from_strangers),
    ("project_received", "PROJECT_CANCELLED_BY_STRANGER", agreed.application_cannot_be_cancelled_by_a_stranger),
    ("project_received", "PROJECT_CANCELLED_AFTER_DECISION", agreed.application_cannot_be_cancelled_once_decided),
    ("project_received", "PROJECT_APPLICATION_STATE_WRONG", agreed.applicant_can_ask_how_its_application_stands),
    ("project_received", "PROJECT_DECISION_NOT_SENT", agreed.approval_is_told_to_the_applicant),
    ("project_received_declined", "PROJECT_REJECTION_NOT_SENT", agreed.rejection_is_told_to_the_applicant),
    ("project_received", "PROJECT_DECISION_REVERSED", agreed.decision_cannot_be_reversed),
    ("project_received_ended", "PROJECT_TERMINATED_TWICE", agreed.approval_cannot_be_terminated_twice),
    (
        "project_received_callback_lost",
        "PROJECT_DECISION_NOT_ANSWERED",
        agreed.decision_can_be_asked_for_when_the_callback_is_lost,
    ),
)
