"""Checks of 8.3.3 and of the frozen DAG: a flow that one node writes and another agrees to, in both directions."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import agreed
from conformance.checks.readings import came, given, listed, permit_names, same_fields, takes_permit
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

# --- 8.3.1-dag: once settled, the DAG stands ------------------------------------------------------------------------


@check("8.3.1-dag", "flow_offered", "FLOW_DAG_CHANGED_IN_REVIEW")
def flow_dag_stands_still_while_a_partner_reviews_it(story: Story) -> Iterator[Finding]:
    """While an approval is pending the DAG cannot be changed under the reviewer's eyes."""
    code = "FLOW_DAG_CHANGED_IN_REVIEW"
    yield from expect.refused(story, "redraw-pending", code, "DAG_FROZEN", twin="rename")
    yield from expect.unchanged(story, "query-pending", "query-approved", code, "/dag")


@check("8.3.1-dag", "flow_offered", "FLOW_DAG_NOT_FROZEN")
def flow_dag_is_frozen_once_approved(story: Story) -> Iterator[Finding]:
    """What a partner has approved is what runs: a change of the DAG is refused and nothing changes."""
    yield from expect.refused(story, "redraw-approved", "FLOW_DAG_NOT_FROZEN", "DAG_FROZEN", twin="rename")
    yield from expect.unchanged(story, "query-approved", "query-frozen", "FLOW_DAG_NOT_FROZEN", "/dag")


@check("8.3.4", "flow_offered", "FLOW_NAME_FROZEN")
def flow_name_can_be_changed_once_approved(story: Story) -> Iterator[Finding]:
    """Only the DAG is frozen; the name may still change."""
    yield from expect.accepted(story, "rename", "FLOW_NAME_FROZEN")
    yield from same_fields(story, "query-renamed", story.step("rename"), ("name",), "FLOW_NAME_FROZEN")


# --- 8.3.3-a: the target applies ------------------------------------------------------------------------------------


@check("8.3.3-a", "flow_offered", "FLOW_OFFER_NOT_SENT")
def flow_offer_reaches_the_partner_under_the_audit_id_told(story: Story) -> Iterator[Finding]:
    """The operator learns an audit id, and the partner receives the application under that very id."""
    yield from expect.accepted(story, "offer", "FLOW_OFFER_NOT_SENT")
    yield from expect.called(story, "arrives", "FLOW_OFFER_NOT_SENT")
    if story.happened("arrives"):
        audit_id = story.step("offer").get("/audit_id")
        yield from expect.carried(story, "arrives", "/audit_id", audit_id, "FLOW_OFFER_NOT_SENT")


@check("8.3.3-a", "flow_offered", "FLOW_OFFER_CONTENT_WRONG")
def flow_offer_carries_project_name_and_description(story: Story) -> Iterator[Finding]:
    """Project id, name and description arrive as this node holds them, with the period asked for."""
    code = "FLOW_OFFER_CONTENT_WRONG"
    came(story, "arrives")
    held = story.step("query-draft")
    for field in ("project_id", "name", "description"):
        yield from expect.carried(story, "arrives", f"/{field}", held.get(f"/{field}"), code)
    yield from expect.carried(story, "arrives", "/time_limit", story.step("offer").got("/time_limit"), code)


@check("8.3.3-a", "flow_offered", "FLOW_OFFER_DAG_ALTERED")
def flow_offer_carries_the_dag_as_it_was_drawn(story: Story) -> Iterator[Finding]:
    """The partner reviews exactly the DAG that the operator wrote."""
    came(story, "arrives")
    wanted = story.step("create").got("/dag")
    yield from expect.carried(story, "arrives", "/dag", wanted, "FLOW_OFFER_DAG_ALTERED")


@check("8.3.3-a", "flow_offered", "FLOW_OFFER_CONFIG_ALTERED")
def flow_offer_carries_the_configuration_as_it_was_written(story: Story) -> Iterator[Finding]:
    """The partner reviews exactly the configuration that this node holds."""
    came(story, "arrives")
    wanted = story.step("query-draft").get("/config")
    yield from expect.carried(story, "arrives", "/config", wanted, "FLOW_OFFER_CONFIG_ALTERED")


@check("8.3.3-a", "flow_offered", "FLOW_OFFER_DECIDED_EARLY")
def flow_offer_is_pending_until_the_partner_decides(story: Story) -> Iterator[Finding]:
    """Before the partner has decided, the application stands as APPLIED."""
    yield from expect.shows(story, "offer", "/status", "APPLIED", "FLOW_OFFER_DECIDED_EARLY")
    yield from expect.shows(story, "pending", "/status", "APPLIED", "FLOW_OFFER_DECIDED_EARLY")


@check("8.3.3-a", "flow_offered", "FLOW_STATUS_WRONG")
def flow_status_follows_its_approvals(story: Story) -> Iterator[Finding]:
    """A flow is a draft, then in review, then approved."""
    given(story, "approved", "/status", "APPROVED")
    for name, status in (("query-draft", "DRAFT"), ("query-pending", "IN_REVIEW"), ("query-approved", "APPROVED")):
        yield from expect.shows(story, name, "/status", status, "FLOW_STATUS_WRONG")


@check("8.3.3-a", "flow_offer_without_project", "FLOW_OFFERED_WITHOUT_PROJECT")
def flow_of_a_project_without_approval_cannot_be_offered(story: Story) -> Iterator[Finding]:
    """A partner is asked about flows of projects it takes part in, not of others."""
    code = "FLOW_OFFERED_WITHOUT_PROJECT"
    yield from expect.refused(story, "offer-early", code, "RESOURCE_NOT_APPROVED", twin="offer")
    yield from expect.not_called(story, "arrives-early", code)


@check("8.3.3-a", "flow_offer_ended", "FLOW_OFFER_WITHDRAWN_LATE")
def flow_offer_cannot_be_withdrawn_once_decided(story: Story) -> Iterator[Finding]:
    """The operator's withdrawal of an approved flow is refused and changes nothing."""
    code = "FLOW_OFFER_WITHDRAWN_LATE"
    yield from expect.refused(story, "cancel-late", code, "AUDIT_NOT_PENDING", twin="flow-ours:confirm")
    if story.step("approved-still").get("/status") == "TERMINATED":
        yield expect.finding(code, story.step("approved-still"), pointer="/status", actual="TERMINATED")


# --- 8.3.3-a: the target is applied to ------------------------------------------------------------------------------


@check("8.3.3-a", "flow_received", "FLOW_APPLICATION_NOT_TAKEN")
def flow_application_is_taken_and_stands_as_applied(story: Story) -> Iterator[Finding]:
    """A partner's application is accepted, and this node holds it pending as the approver."""
    yield from agreed.stands_as_applied(story, "FLOW_APPLICATION_NOT_TAKEN", "FLOW")


@check("8.3.3-a", "flow_received", "FLOW_APPLICATION_CONTENT_LOST")
def flow_application_is_shown_to_the_operator_whole(story: Story) -> Iterator[Finding]:
    """The operator decides on exactly the name, the DAG and the configuration that the partner sent."""
    fields = ("project_id", "name", "description", "dag", "config")
    yield from same_fields(story, "received", story.step("apply"), fields, "FLOW_APPLICATION_CONTENT_LOST", "/content")


@check("8.3.3-a", "flow_received", "FLOW_CANCELLATION_NOT_TAKEN")
def flow_application_is_cancelled_by_its_applicant_while_pending(story: Story) -> Iterator[Finding]:
    """A pending application that is withdrawn stands as TERMINATED."""
    yield from expect.accepted(story, "cancel-early", "FLOW_CANCELLATION_NOT_TAKEN")
    yield from expect.shows(story, "cancelled-early", "/status", "TERMINATED", "FLOW_CANCELLATION_NOT_TAKEN")


@check("8.3.3-a", "flow_received_wrong", "FLOW_APPLICATION_WITHOUT_PROJECT")
def flow_application_needs_a_project_that_is_common(story: Story) -> Iterator[Finding]:
    """A flow of a project that this node has not approved is refused."""
    code = "FLOW_APPLICATION_WITHOUT_PROJECT"
    yield from expect.refused(story, "apply-early", code, "RESOURCE_NOT_APPROVED", "RESOURCE_NOT_FOUND", twin="apply")


@check("8.3.3-a", "flow_received_wrong", "FLOW_APPLICATION_DAG_UNCHECKED")
def flow_application_with_a_dag_that_cannot_run_is_refused(story: Story) -> Iterator[Finding]:
    """A partner's DAG is checked as one's own is."""
    yield from expect.refused(story, "apply-circle", "FLOW_APPLICATION_DAG_UNCHECKED", "DAG_INVALID", twin="apply")


# --- 8.3.3-b --------------------------------------------------------------------------------------------------------


@check("8.3.3-b", "flow_offered", "FLOW_APPROVAL_NOT_TAKEN")
def flow_offer_is_approved_once_the_partner_says_so(story: Story) -> Iterator[Finding]:
    """The partner's confirmation alone makes the application APPROVED, and its permit is kept."""
    token = story.step("confirm").got("/resource_permit/token")
    yield from takes_permit(story, "confirm", "approved", token, "FLOW_APPROVAL_NOT_TAKEN")


@check("8.3.3-b", "flow_offered", "FLOW_CONFIRMATION_NOT_REPEATABLE")
def flow_confirmation_may_arrive_twice(story: Story) -> Iterator[Finding]:
    """A repeated confirmation is accepted: partners retry."""
    yield from expect.accepted(story, "confirm-again", "FLOW_CONFIRMATION_NOT_REPEATABLE")


@check("8.3.3-b", "flow_offered", "FLOW_CONFIRMATION_CONTRADICTED")
def flow_confirmation_cannot_be_contradicted(story: Story) -> Iterator[Finding]:
    """A second confirmation that says the opposite is refused and changes nothing."""
    code = "FLOW_CONFIRMATION_CONTRADICTED"
    shown = ("approved", "after-contradict")
    yield from agreed.too_late(story, "contradict", code, status="APPROVED", shown=shown, twin="confirm")


@check("8.3.3-b", "flow_offer_ended", "FLOW_REJECTION_NOT_TAKEN")
def flow_offer_is_rejected_once_the_partner_says_so(story: Story) -> Iterator[Finding]:
    """The partner's rejection ends the application, and the flow is a draft again."""
    yield from expect.accepted(story, "reject", "FLOW_REJECTION_NOT_TAKEN")
    yield from expect.shows(story, "rejected", "/status", "REJECTED", "FLOW_REJECTION_NOT_TAKEN")
    yield from expect.shows(story, "query-rejected", "/status", "DRAFT", "FLOW_REJECTION_NOT_TAKEN")


@check("8.3.3-b", "flow_offer_ended", "FLOW_APPROVED_AFTER_WITHDRAWAL")
def flow_offer_cannot_be_approved_once_withdrawn(story: Story) -> Iterator[Finding]:
    """An approval that comes after the withdrawal is refused and the application stays ended."""
    code = "FLOW_APPROVED_AFTER_WITHDRAWAL"
    shown = ("cancelled", "cancelled-still")
    yield from agreed.too_late(story, "confirm-late", code, status="TERMINATED", shown=shown, twin="flow-ours:confirm")


@check("8.3.3-b", "flow_offer_ended", "FLOW_TERMINATION_NOT_SENT")
def flow_termination_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """When the node ends an approval, it ends here at once and the partner is told."""
    given(story, "approved-still", "/status", "APPROVED")
    yield from agreed.partner_is_told_of_the_end(story, "FLOW_TERMINATION_NOT_SENT")
    yield from expect.shows(story, "terminated", "/status", "TERMINATED", "FLOW_TERMINATION_NOT_SENT")


@check("8.3.3-b", "flow_received", "FLOW_PERMIT_WRONG")
def flow_approval_carries_a_permit_for_the_flow(story: Story) -> Iterator[Finding]:
    """The confirmation carries a permit that names the flow and the two nodes."""
    flow_id = story.step("apply").got("/flow_id")
    yield from permit_names(story, came(story, "told"), "/resource_permit", "FLOW", flow_id, "FLOW_PERMIT_WRONG")


@check("8.3.3-b", "flow_received_ended", "FLOW_TERMINATION_NOT_TAKEN")
def flow_approval_ends_here_when_the_applicant_ends_it(story: Story) -> Iterator[Finding]:
    """The applicant may give its approval back; it is then TERMINATED here."""
    yield from agreed.termination_by_the_partner_is_taken(story, "FLOW_TERMINATION_NOT_TAKEN")


@check("8.3.3-b", "flow_received_ended", "FLOW_TERMINATION_NOT_SENT")
def flow_applicant_is_told_when_the_node_withdraws_its_approval(story: Story) -> Iterator[Finding]:
    """A revocation reaches the applicant."""
    yield from agreed.partner_is_told_of_the_end(story, "FLOW_TERMINATION_NOT_SENT")


# --- 8.3.3-c --------------------------------------------------------------------------------------------------------


@check("8.3.3-c", "flow_offer_callback_lost", "FLOW_LOST_DECISION_NOT_FOUND")
def flow_decision_is_found_by_asking_when_the_callback_is_lost(story: Story) -> Iterator[Finding]:
    """A query of a pending application asks the partner and adopts approval, permit and rejection."""
    code = "FLOW_LOST_DECISION_NOT_FOUND"
    yield from expect.called(story, "asked", code)
    yield from expect.shows(story, "ask-approved", "/status", "APPROVED", code)
    yield from expect.shows(story, "ask-approved", "/resource_permit/token", story.fact("token"), code)
    yield from expect.shows(story, "query-approved", "/status", "APPROVED", code)
    yield from expect.shows(story, "ask-rejected", "/status", "REJECTED", code)


@check("8.3.3-c", "flow_offer_callback_lost", "FLOW_AUDIT_LIST_WRONG")
def flow_approvals_are_listed_newest_first_and_by_state(story: Story) -> Iterator[Finding]:
    """The operator's list holds the node's applications, newest first, and can be narrowed to those approved."""
    no_and_yes = story.fact("audits")
    approved = [no_and_yes[1]] if story.step("ask-approved").get("/status") == "APPROVED" else []
    for name, wanted in (("list", no_and_yes), ("list-approved", approved)):
        step = story.step(name)
        found = listed(step, "audit_id")
        if found != wanted or step.get("/total") != len(wanted):
            yield expect.finding("FLOW_AUDIT_LIST_WRONG", step, pointer="/records", expected=wanted, actual=found)


@check("8.3.3-c", "flow_received_ended", "FLOW_APPLICATION_STATE_WRONG")
def flow_applicant_learns_of_rejection_and_revocation_by_asking(story: Story) -> Iterator[Finding]:
    """The applicant's query answers REJECTED or TERMINATED once the operator has declined or revoked."""
    for name, status in (("state-rejected", "REJECTED"), ("state-terminated", "TERMINATED")):
        yield from expect.shows(story, name, "/status", status, "FLOW_APPLICATION_STATE_WRONG")


# --- what is asked of all that is agreed -----------------------------------------------------------------------------

agreed.register(
    __name__,
    "8.3.3-a",
    ("flow_offer_ended", "FLOW_WITHDRAWAL_NOT_SENT", agreed.offer_is_withdrawn_at_the_partner_too),
    ("flow_received", "FLOW_APPLICATION_DOUBLED", agreed.application_may_arrive_twice),
    ("flow_received", "FLOW_CANCELLED_BY_STRANGER", agreed.application_cannot_be_cancelled_by_a_stranger),
    ("flow_received", "FLOW_CANCELLED_AFTER_DECISION", agreed.application_cannot_be_cancelled_once_decided),
)
agreed.register(
    __name__,
    "8.3.3-b",
    ("flow_offered", "FLOW_DECIDED_BY_STRANGER", agreed.offer_cannot_be_decided_by_a_stranger),
    ("flow_offer_ended", "FLOW_TERMINATION_NOT_TAKEN", agreed.termination_by_the_partner_is_taken),
    ("flow_received", "FLOW_DECISION_NOT_SENT", agreed.approval_is_told_to_the_applicant),
    ("flow_received_ended", "FLOW_REJECTION_NOT_SENT", agreed.rejection_is_told_to_the_applicant),
    ("flow_received", "FLOW_DECISION_REVERSED", agreed.decision_cannot_be_reversed),
    ("flow_received_ended", "FLOW_TERMINATED_TWICE", agreed.approval_cannot_be_terminated_twice),
)
agreed.register(
    __name__,
    "8.3.3-c",
    ("flow_received", "FLOW_APPLICATION_OPEN_TO_STRANGERS", agreed.application_is_hidden_from_strangers),
    ("flow_received", "FLOW_APPLICATION_STATE_WRONG", agreed.applicant_can_ask_how_its_application_stands),
    (
        "flow_received_callback_lost",
        "FLOW_DECISION_NOT_ANSWERED",
        agreed.decision_can_be_asked_for_when_the_callback_is_lost,
    ),
)
