"""Grants of datasets (8.7.1.3, 8.7.1.4): applied for, decided, given unasked, withdrawn; from both ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks import calls, listing
from conformance.checks.readings import takes_permit
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, Story, at

SHUT = ("PERMIT_REVOKED", "PERMIT_MISSING", "RESOURCE_NOT_FOUND")
NOT_SEEN = ("AUDIT_NOT_FOUND", "NOT_YOURS")


def _audits(story: Story, step: str) -> list[Any]:
    return [row.get("audit_id") for row in listing.rows(story.step(step))]


# --- 8.7.1.3-a application ------------------------------------------------------------------------------------------


@check("8.7.1.3-a", "dataset_application", "DATASET_APPLICATION_REFUSED")
def an_application_for_a_dataset_is_taken(story: Story) -> Iterator[Finding]:
    """An application of a partner for a dataset that may be applied for is accepted."""
    yield from expect.accepted(story, "apply", "DATASET_APPLICATION_REFUSED")


@check("8.7.1.3-a", "dataset_application", "DATASET_APPLICATION_ALTERED")
def an_application_is_kept_with_its_terms(story: Story) -> Iterator[Finding]:
    """The operator sees the application under its id, with dataset, scope, period and number."""
    applied = story.fact("applied")
    code = "DATASET_APPLICATION_ALTERED"
    yield from expect.shows(story, "pending-own", "/audit_id", applied["audit_id"], code)
    yield from expect.shows(story, "pending-own", "/partner_node_id", story.fact("partner"), code)
    yield from expect.shows(story, "pending-own", "/resource_id", applied["dataset_id"], code)
    for field in ("auth_scope", "time_limit", "times_limit"):
        yield from expect.shows(story, "pending-own", f"/content/{field}", applied[field], code)


@check("8.7.1.3-a", "dataset_application", "DATASET_DECIDED_UNASKED")
def an_application_is_pending_until_it_is_decided(story: Story) -> Iterator[Finding]:
    """Until the operator decides, the application is pending and no permit is told."""
    yield from expect.shows(story, "pending", "/status", "APPLIED", "DATASET_DECIDED_UNASKED")
    yield from expect.shows(story, "pending", "/resource_permit", MISSING, "DATASET_DECIDED_UNASKED")


@check("8.7.1.3-a", "dataset_application", "DATASET_USABLE_BEFORE_DECISION")
def a_pending_application_opens_nothing(story: Story) -> Iterator[Finding]:
    """A dataset that was only applied for cannot be used."""
    yield from expect.refused(story, "use-pending", "DATASET_USABLE_BEFORE_DECISION", *SHUT, twin="use")


@check("8.7.1.3-a", "dataset_application", "DATASET_HIDDEN_APPLIED_FOR")
def what_is_not_shared_cannot_be_applied_for(story: Story) -> Iterator[Finding]:
    """An application for a dataset that is private, or that does not exist, is refused."""
    for step in ("apply-hidden", "apply-unknown"):
        yield from expect.refused(story, step, "DATASET_HIDDEN_APPLIED_FOR", "RESOURCE_NOT_FOUND", twin="apply")


@check("8.7.1.3-a", "dataset_application", "DATASET_APPLICATION_ID_REUSED")
def an_application_id_names_one_application(story: Story) -> Iterator[Finding]:
    """Another application under the same id is refused and changes nothing."""
    code = "DATASET_APPLICATION_ID_REUSED"
    yield from expect.refused(story, "apply-taken", code, "ID_TAKEN", twin="apply-other")
    yield from expect.unchanged(story, "pending-own", "pending-after", code)


@check("8.7.1.3-a", "dataset_asks", "DATASET_APPLICATION_NOT_SENT")
def the_target_applies_to_its_partner(story: Story) -> Iterator[Finding]:
    """At its operator's wish the target sends the partner an application under the id it has told the operator."""
    yield from expect.called(story, "asked", "DATASET_APPLICATION_NOT_SENT")


@check("8.7.1.3-a", "dataset_asks", "DATASET_APPLICATION_TERMS_LOST")
def the_target_s_application_carries_its_terms(story: Story) -> Iterator[Finding]:
    """The application that the target sends names dataset, contract, scope, period and number."""
    for field, value in story.fact("terms").items():
        yield from expect.carried(story, "asked", f"/{field}", value, "DATASET_APPLICATION_TERMS_LOST")


@check("8.7.1.3-a", "dataset_asks", "DATASET_SELF_APPROVED")
def the_target_waits_for_the_partner_s_decision(story: Story) -> Iterator[Finding]:
    """An application that the partner has only taken is pending."""
    yield from expect.shows(story, "pending", "/status", "APPLIED", "DATASET_SELF_APPROVED")


# --- 8.7.1.3-b cancellation -----------------------------------------------------------------------------------------


@check("8.7.1.3-b", "dataset_cancel", "DATASET_CANCEL_REFUSED")
def a_pending_application_is_withdrawn(story: Story) -> Iterator[Finding]:
    """The applicant withdraws its pending application, which then has ended."""
    yield from expect.accepted(story, "cancel", "DATASET_CANCEL_REFUSED")


@check("8.7.1.3-b", "dataset_cancel", "DATASET_CANCEL_WITHOUT_EFFECT")
def a_withdrawn_application_has_ended(story: Story) -> Iterator[Finding]:
    """What was withdrawn has ended and can no longer be approved."""
    code = "DATASET_CANCEL_WITHOUT_EFFECT"
    yield from expect.shows(story, "cancelled", "/status", "TERMINATED", code)
    yield from expect.refused(story, "approve-cancelled", code, "AUDIT_NOT_PENDING", twin="approve")


@check("8.7.1.3-b", "dataset_cancel", "DATASET_CANCELLED_AFTER_DECISION")
def a_decided_application_cannot_be_withdrawn(story: Story) -> Iterator[Finding]:
    """Withdrawing what is decided is refused and changes nothing."""
    code = "DATASET_CANCELLED_AFTER_DECISION"
    yield from expect.refused(story, "cancel-late", code, "AUDIT_NOT_PENDING", twin="cancel")
    yield from expect.unchanged(story, "approved", "approved-after", code)


@check("8.7.1.3-b", "dataset_cancel", "DATASET_CANCELLED_BY_STRANGER")
def only_the_applicant_withdraws_its_application(story: Story) -> Iterator[Finding]:
    """Another node cannot withdraw an application."""
    code = "DATASET_CANCELLED_BY_STRANGER"
    yield from expect.refused(story, "cancel-stranger", code, *NOT_SEEN, twin="cancel")
    yield from expect.unchanged(story, "before-stranger", "after-stranger", code)


@check("8.7.1.3-b", "dataset_asks_otherwise", "DATASET_CANCEL_NOT_SENT")
def the_target_tells_its_partner_of_a_withdrawal(story: Story) -> Iterator[Finding]:
    """When its operator withdraws an application the target tells the partner."""
    yield from expect.called(story, "cancel-told", "DATASET_CANCEL_NOT_SENT")


@check("8.7.1.3-b", "dataset_asks_otherwise", "DATASET_OWN_CANCEL_WITHOUT_EFFECT")
def the_target_s_withdrawn_application_has_ended(story: Story) -> Iterator[Finding]:
    """What its operator has withdrawn has ended at the target."""
    yield from expect.shows(story, "cancelled", "/status", "TERMINATED", "DATASET_OWN_CANCEL_WITHOUT_EFFECT")


@check("8.7.1.3-b", "dataset_asks_otherwise", "DATASET_OWN_CANCELLED_AFTER_DECISION")
def the_target_cannot_withdraw_what_is_decided(story: Story) -> Iterator[Finding]:
    """Its operator cannot withdraw an application that the partner has decided."""
    code = "DATASET_OWN_CANCELLED_AFTER_DECISION"
    yield from expect.refused(story, "cancel-late", code, "AUDIT_NOT_PENDING", twin="cancel")
    yield from expect.unchanged(story, "decided", "decided-after", code, "/status")


# --- 8.7.1.3-c active grant -----------------------------------------------------------------------------------------


@check("8.7.1.3-c", "dataset_grant", "DATASET_GRANT_NOT_SENT")
def the_target_tells_its_partner_of_a_grant(story: Story) -> Iterator[Finding]:
    """A dataset granted by the operator is granted to the partner by a call."""
    if (yield from calls.done(story, "grant:given", code="DATASET_GRANT_NOT_SENT")):
        yield from expect.called(story, "granted:given", "DATASET_GRANT_NOT_SENT")


@check("8.7.1.3-c", "dataset_grant", "DATASET_GRANT_TERMS_LOST")
def a_grant_names_dataset_scope_period_and_number(story: Story) -> Iterator[Finding]:
    """The call names the dataset, and its permit the scope, the period and the number that were granted."""
    code, given = "DATASET_GRANT_TERMS_LOST", story.fact("given")
    wanted = {"/dataset/dataset_id": given, "/resource_permit/resource_id": given}
    wanted |= {"/resource_permit/time_limit": story.fact("until"), "/resource_permit/times_limit": 40}
    wanted |= {"/resource_permit/auth_scope/type": "NODE", "/resource_permit/request_node_id": story.fact("partner")}
    for pointer, value in wanted.items():
        yield from expect.carried(story, "granted:given", pointer, value, code)


@check("8.7.1.3-c", "dataset_grant", "DATASET_GRANT_OPENS_NOTHING")
def a_granted_dataset_can_be_used_at_once(story: Story) -> Iterator[Finding]:
    """The permit of a grant opens the dataset."""
    yield from expect.accepted(story, "use", "DATASET_GRANT_OPENS_NOTHING")


@check("8.7.1.3-c", "dataset_grant", "DATASET_GRANT_NOT_KEPT")
def the_target_keeps_a_grant_that_it_is_given(story: Story) -> Iterator[Finding]:
    """A grant of a partner is in force at the target, which keeps its permit."""
    token = story.fact("permit-in")["token"]
    yield from takes_permit(story, "grant-in", "held", token, "DATASET_GRANT_NOT_KEPT")


# --- 8.7.1.3-d decision ---------------------------------------------------------------------------------------------


@check("8.7.1.3-d", "dataset_decision", "DATASET_APPROVAL_NOT_TOLD")
def an_approval_is_told_to_the_applicant(story: Story) -> Iterator[Finding]:
    """The applicant is called with the id of its application and the approval."""
    yield from calls.told(story, "confirmed", {"/status": "APPROVED"}, "DATASET_APPROVAL_NOT_TOLD")


@check("8.7.1.3-d", "dataset_decision", "DATASET_REJECTION_NOT_TOLD")
def a_rejection_is_told_to_the_applicant(story: Story) -> Iterator[Finding]:
    """The applicant is called with the id of its application and the rejection, without a permit."""
    wanted = {"/status": "REJECTED", "/resource_permit": MISSING}
    yield from calls.told(story, "refused", wanted, "DATASET_REJECTION_NOT_TOLD")


@check("8.7.1.3-d", "dataset_decision", "DATASET_PERMIT_TERMS_WRONG")
def the_permit_names_resource_parties_and_terms(story: Story) -> Iterator[Finding]:
    """The permit names the dataset, both nodes, the scope, the period and the number applied for."""
    wanted = {"resource_type": "DATASET", "resource_level": 3, "resource_id": story.fact("wanted")}
    wanted |= {"resource_node_id": story.profile.target.node_id, "request_node_id": story.fact("partner")}
    wanted |= {"time_limit": story.fact("until"), "times_limit": 40}
    for field, value in wanted.items():
        yield from expect.carried(story, "confirmed", f"/resource_permit/{field}", value, "DATASET_PERMIT_TERMS_WRONG")


@check("8.7.1.3-d", "dataset_decision", "DATASET_APPROVAL_OPENS_NOTHING")
def an_approved_application_takes_effect(story: Story) -> Iterator[Finding]:
    """With the permit of the approval the dataset can be used, and it is listed as granted on both sides."""
    code = "DATASET_APPROVAL_OPENS_NOTHING"
    yield from expect.accepted(story, "use", code)
    yield from listing.holds(story, "granted-out", [{"audit_id": story.fact("yes")}], code)


@check("8.7.1.3-d", "dataset_decision", "DATASET_REJECTED_USABLE")
def a_rejected_application_opens_nothing(story: Story) -> Iterator[Finding]:
    """A dataset whose application was rejected is neither usable nor listed as granted."""
    code = "DATASET_REJECTED_USABLE"
    yield from expect.refused(story, "use-rejected", code, *SHUT, twin="use")
    for step in ("granted", "granted-out"):
        yield from listing.lacks(story, step, [{"audit_id": story.fact("no")}], code)


@check("8.7.1.3-d", "dataset_decision", "DATASET_DECISION_REVERSED")
def a_decision_stands(story: Story) -> Iterator[Finding]:
    """The contrary decision later is refused, and the first one stands."""
    code = "DATASET_DECISION_REVERSED"
    yield from expect.refused(story, "reject-late", code, "AUDIT_NOT_PENDING", twin="reject")
    yield from expect.refused(story, "approve-late", code, "AUDIT_NOT_PENDING", twin="approve")
    yield from expect.unchanged(story, "approved", "approved-after", code, "/status")
    yield from expect.unchanged(story, "rejected", "rejected-after", code, "/status")


@check("8.7.1.3-d", "dataset_asks", "DATASET_APPROVAL_NOT_ADOPTED")
def the_target_takes_the_partner_s_approval(story: Story) -> Iterator[Finding]:
    """Once the partner has approved, the application is approved at the target and its permit is kept."""
    token = story.fact("permit")["token"]
    yield from takes_permit(story, "confirm", "approved", token, "DATASET_APPROVAL_NOT_ADOPTED")


@check("8.7.1.3-d", "dataset_asks_otherwise", "DATASET_REJECTION_NOT_ADOPTED")
def the_target_takes_the_partner_s_rejection(story: Story) -> Iterator[Finding]:
    """Once the partner has rejected, the application is rejected at the target."""
    yield from expect.accepted(story, "confirm-no", "DATASET_REJECTION_NOT_ADOPTED")
    yield from expect.shows(story, "rejected", "/status", "REJECTED", "DATASET_REJECTION_NOT_ADOPTED")


@check("8.7.1.3-d", "dataset_asks", "DATASET_DECIDED_BY_STRANGER")
def only_the_node_applied_to_decides(story: Story) -> Iterator[Finding]:
    """A decision of another node is refused and changes nothing."""
    code = "DATASET_DECIDED_BY_STRANGER"
    yield from expect.refused(story, "confirm-stranger", code, *NOT_SEEN, twin="confirm")
    yield from expect.unchanged(story, "pending", "pending-after", code)


@check("8.7.1.3-d", "dataset_asks", "DATASET_REPEATED_DECISION_HARMFUL")
def a_repeated_decision_changes_nothing(story: Story) -> Iterator[Finding]:
    """A confirmation that comes twice leaves the grant as it was."""
    for place in ("/status", "/resource_permit"):
        code = "DATASET_REPEATED_DECISION_HARMFUL"
        yield from expect.unchanged(story, "approved", "approved-again", code, place)


@check("8.7.1.3-d", "dataset_asks", "DATASET_TAKES_CONTRARY_DECISION")
def the_target_refuses_a_contrary_decision(story: Story) -> Iterator[Finding]:
    """A later contrary decision of the partner is refused, and the first one stands."""
    code = "DATASET_TAKES_CONTRARY_DECISION"
    yield from expect.refused(story, "confirm-contrary", code, "AUDIT_NOT_PENDING", twin="confirm")
    yield from expect.unchanged(story, "approved-again", "approved-after", code, "/status")


# --- 8.7.1.3-e query of an application ------------------------------------------------------------------------------


@check("8.7.1.3-e", "dataset_decision", "DATASET_STATE_WRONG")
def the_applicant_learns_the_decision_by_asking(story: Story) -> Iterator[Finding]:
    """A query for an application tells the decision that was taken."""
    yield from expect.shows(story, "approved", "/status", "APPROVED", "DATASET_STATE_WRONG")
    yield from expect.shows(story, "rejected", "/status", "REJECTED", "DATASET_STATE_WRONG")


@check("8.7.1.3-e", "dataset_decision", "DATASET_STATE_WITHOUT_PERMIT")
def the_applicant_gets_the_permit_by_asking(story: Story) -> Iterator[Finding]:
    """The query for an approved application carries the permit that was told, so that a lost call is made good."""
    told = at(story.step("confirmed").sent, "/resource_permit/token")
    if story.step("approved").get("/status") == "APPROVED":
        yield from expect.shows(story, "approved", "/resource_permit/token", told, "DATASET_STATE_WITHOUT_PERMIT")


@check("8.7.1.3-e", "dataset_application", "DATASET_STATE_TOLD_TO_STRANGER")
def only_the_applicant_learns_the_state(story: Story) -> Iterator[Finding]:
    """Another node that asks for an application is refused."""
    code = "DATASET_STATE_TOLD_TO_STRANGER"
    yield from expect.refused(story, "query-stranger", code, *NOT_SEEN, twin="pending")


@check("8.7.1.3-e", "dataset_application", "DATASET_APPLICATION_NOT_LISTED")
def the_operator_finds_pending_applications(story: Story) -> Iterator[Finding]:
    """A pending application is in the operator's list of pending ones."""
    if story.fact("audit") not in _audits(story, "pending-list"):
        yield expect.finding(
            "DATASET_APPLICATION_NOT_LISTED",
            story.step("pending-list"),
            pointer="/records",
            expected=story.fact("audit"),
            actual=_audits(story, "pending-list"),
        )


@check("8.7.1.3-e", "dataset_asks_otherwise", "DATASET_PARTNER_NOT_ASKED_FOR_STATE")
def the_target_asks_when_it_has_heard_nothing(story: Story) -> Iterator[Finding]:
    """While its application is pending, the operator's query makes the target ask the partner."""
    yield from expect.called(story, "asked-state", "DATASET_PARTNER_NOT_ASKED_FOR_STATE")


@check("8.7.1.3-e", "dataset_asks_otherwise", "DATASET_LOST_DECISION_NOT_RECOVERED")
def a_lost_decision_is_recovered_by_asking(story: Story) -> Iterator[Finding]:
    """The target adopts the decision, and the permit, that the partner tells when asked."""
    code = "DATASET_LOST_DECISION_NOT_RECOVERED"
    yield from expect.shows(story, "recovered", "/status", "APPROVED", code)
    yield from expect.shows(story, "recovered", "/resource_permit/token", story.fact("permit")["token"], code)
    yield from expect.shows(story, "recovered-no", "/status", "REJECTED", code)
    yield from listing.holds(story, "granted-in", [{"audit_id": story.fact("lost")}], code)


# --- 8.7.1.4 revocation ---------------------------------------------------------------------------------------------


@check("8.7.1.4", "dataset_revoke", "DATASET_REVOCATION_REFUSED")
def a_grant_in_force_can_be_withdrawn(story: Story) -> Iterator[Finding]:
    """The operator withdraws a grant in force."""
    yield from expect.accepted(story, "revoke", "DATASET_REVOCATION_REFUSED")


@check("8.7.1.4", "dataset_revoke", "DATASET_REVOCATION_NOT_TOLD")
def the_grantee_is_told_of_the_withdrawal(story: Story) -> Iterator[Finding]:
    """The partner is called with the id of the grant that ends."""
    yield from expect.called(story, "told", "DATASET_REVOCATION_NOT_TOLD")


@check("8.7.1.4", "dataset_revoke", "DATASET_USABLE_AFTER_REVOCATION")
def a_withdrawn_grant_opens_nothing(story: Story) -> Iterator[Finding]:
    """The permit that has just opened the dataset is refused from the withdrawal on."""
    yield from expect.refused(story, "use-gone", "DATASET_USABLE_AFTER_REVOCATION", *SHUT, twin="use")


@check("8.7.1.4", "dataset_revoke", "DATASET_REVOCATION_WAITS_FOR_PARTNER")
def a_withdrawal_does_not_wait_for_the_partner(story: Story) -> Iterator[Finding]:
    """The withdrawal holds at once, though the partner cannot be told."""
    code = "DATASET_REVOCATION_WAITS_FOR_PARTNER"
    yield from expect.accepted(story, "revoke-silent", code)
    yield from expect.refused(story, "use-silent-gone", code, *SHUT, twin="use-silent")


@check("8.7.1.4", "dataset_revoke", "DATASET_OTHER_GRANT_REVOKED")
def a_withdrawal_leaves_other_grants(story: Story) -> Iterator[Finding]:
    """Other grants to the same partner stay in force."""
    if (yield from calls.done(story, "use-kept", code="DATASET_OTHER_GRANT_REVOKED")):
        kept = [{"dataset_id": story.fact("kept")}]
        yield from listing.holds(story, "list", kept, "DATASET_OTHER_GRANT_REVOKED")


@check("8.7.1.4", "dataset_revoke", "DATASET_REVOKED_TWICE")
def a_grant_that_has_ended_cannot_be_withdrawn(story: Story) -> Iterator[Finding]:
    """Withdrawing what is not in force is refused."""
    yield from expect.refused(story, "revoke-again", "DATASET_REVOKED_TWICE", "AUDIT_NOT_APPROVED", twin="revoke")


@check("8.7.1.4", "dataset_revoked", "DATASET_REVOCATION_NOT_ADOPTED")
def the_target_takes_the_partner_s_withdrawal(story: Story) -> Iterator[Finding]:
    """A grant that the partner withdraws has ended at the target, and is no longer listed as held."""
    code = "DATASET_REVOCATION_NOT_ADOPTED"
    yield from expect.accepted(story, "terminate", code)
    yield from expect.shows(story, "ended", "/status", "TERMINATED", code)
    yield from listing.lacks(story, "granted-in", [{"audit_id": story.fact("audit")}], code)


@check("8.7.1.4", "dataset_revoked", "DATASET_REVOKED_BY_STRANGER")
def only_the_parties_end_a_grant(story: Story) -> Iterator[Finding]:
    """Another node cannot end a grant."""
    code = "DATASET_REVOKED_BY_STRANGER"
    yield from expect.refused(story, "terminate-stranger", code, *NOT_SEEN, twin="terminate")
    yield from expect.unchanged(story, "foreign-held", "foreign-after", code)
