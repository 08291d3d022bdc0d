"""Chapter 8.1 as a node that acts: applying, being decided on, withdrawing, asking, keeping partners informed."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

_PARTNER_FAILED = ("PARTNER_ANSWER_INVALID", "PARTNER_REFUSED", "PARTNER_UNREACHABLE")


# --- 8.1.1 ----------------------------------------------------------------------------------------------------------


@check("8.1.1-b", "partner_discovery", "PARTNER_NOT_ASKED")
def partner_query_asks_the_node_at_the_address(story: Story) -> Iterator[Finding]:
    """Asked about the node at an address, the target asks that node."""
    yield from expect.called(story, "arrives", "PARTNER_NOT_ASKED")


@check("8.1.1-b", "partner_discovery", "PARTNER_ANSWER_CHANGED")
def partner_query_hands_on_the_answer(story: Story) -> Iterator[Finding]:
    """The operator sees what the partner said of itself."""
    if not story.happened("arrives"):
        return
    for name in ("node_id", "name", "address", "institution"):
        yield from expect.shows(story, "ask", f"/{name}", story.fact("partner")[name], "PARTNER_ANSWER_CHANGED")


@check("8.1.1-b", "partner_discovery", "IMPOSTOR_TAKEN_FOR_PARTNER")
def another_node_is_not_taken_for_the_partner(story: Story) -> Iterator[Finding]:
    """A node that answers with another id than was asked for is not shown as the partner."""
    code = "IMPOSTOR_TAKEN_FOR_PARTNER"
    yield from expect.refused(story, "ask-impostor", code, "PARTNER_ANSWER_INVALID", twin="ask")


@check("8.1.1-b", "partner_discovery", "NONSENSE_TAKEN_FOR_PARTNER")
def nonsense_is_not_taken_for_the_partner(story: Story) -> Iterator[Finding]:
    """An answer that is none is reported as the partner's failure."""
    yield from expect.refused(story, "ask-broken", "NONSENSE_TAKEN_FOR_PARTNER", *_PARTNER_FAILED, twin="ask")


@check("8.1.1-c", "own_contract_callback_lost", "LOST_CONFIRMATION_NOT_MADE_GOOD")
def lost_confirmation_is_made_good_by_the_query(story: Story) -> Iterator[Finding]:
    """When the callback was lost, the node learns the decision by asking."""
    yield from expect.shows(story, "own-made-good", "/status", "APPROVED", "LOST_CONFIRMATION_NOT_MADE_GOOD")


@check("8.1.1-c", "own_contract_callback_lost", "RECOVERED_CONTRACT_UNUSABLE")
def contract_learned_by_query_can_be_used(story: Story) -> Iterator[Finding]:
    """A contract whose decision was learned by asking lets the partner in, with the key that the answer showed."""
    if story.step("own-made-good").get("/status") == "APPROVED":
        yield from expect.accepted(story, "sync", "RECOVERED_CONTRACT_UNUSABLE")


@check("8.1.1-c", "own_contract_callback_lost", "USELESS_ANSWER_ADOPTED")
def useless_answers_to_the_query_change_nothing(story: Story) -> Iterator[Finding]:
    """Nonsense, and the state of another contract, leave the application pending."""
    for name in ("own-nonsense", "own-foreign"):
        yield from expect.shows(story, name, "/status", "APPLIED", "USELESS_ANSWER_ADOPTED")


# --- 8.1.2-a --------------------------------------------------------------------------------------------------------


@check("8.1.2-a", "own_contract_approved", "APPLICATION_NOT_SENT")
def own_application_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """When its operator applies, the node calls the partner."""
    if story.step("own-apply").reading.accepted:
        yield from expect.called(story, "applied", "APPLICATION_NOT_SENT")


@check("8.1.2-a", "own_contract_approved", "OWN_APPLICATION_WRONG")
def own_application_states_the_particulars(story: Story) -> Iterator[Finding]:
    """The application names the node as it answers for itself, and the period that the operator wants."""
    if not story.happened("applied"):
        return
    itself = story.step("self")
    for name in ("node_id", "name", "address", "institution") if itself.reading.accepted else ():
        yield from expect.carried(story, "applied", f"/{name}", itself.get(f"/{name}"), "OWN_APPLICATION_WRONG")
    yield from expect.carried(story, "applied", "/expired_time", story.fact("until"), "OWN_APPLICATION_WRONG")


@check("8.1.2-a", "own_contract_approved", "OWN_CONTRACT_ID_DIFFERS")
def own_contract_has_the_id_that_the_partner_gave(story: Story) -> Iterator[Finding]:
    """The contract has one id on both sides, the one that the partner gave."""
    if story.happened("applied"):
        given = story.step("applied").get("/contract_id")
        yield from expect.shows(story, "own-apply", "/contract_id", given, "OWN_CONTRACT_ID_DIFFERS")


@check("8.1.2-a", "own_contract_approved", "OWN_APPLICATION_NOT_PENDING")
def own_application_is_pending_until_the_partner_decides(story: Story) -> Iterator[Finding]:
    """Before the partner has spoken, the operator reads that the application is pending."""
    if story.happened("applied"):
        yield from expect.shows(story, "own-pending", "/status", "APPLIED", "OWN_APPLICATION_NOT_PENDING")
        yield from expect.shows(story, "own-pending", "/role", "APPLICANT", "OWN_APPLICATION_NOT_PENDING")


@check("8.1.2-a", "own_contract_failed", "FAILED_APPLICATION_SHOWN_AS_DONE")
def failed_application_is_told_honestly(story: Story) -> Iterator[Finding]:
    """Whatever way a partner fails in, the operator is told that the application has failed."""
    for name in ("html", "error", "refusal", "no-id", "odd-id"):
        code = "FAILED_APPLICATION_SHOWN_AS_DONE"
        yield from expect.refused(story, f"apply-{name}", code, *_PARTNER_FAILED, twin="apply")


@check("8.1.2-a", "own_contract_failed", "FAILED_APPLICATION_RECORDED")
def failed_application_leaves_nothing_behind(story: Story) -> Iterator[Finding]:
    """No contract stands in the list when the partner has taken none."""
    step = story.step("list-failed")
    if step.reading.accepted and listing.rows(step):
        actual = listing.rows(step)[0]
        yield expect.finding("FAILED_APPLICATION_RECORDED", step, pointer="/records", expected=[], actual=actual)


@check("8.1.2-a", "own_contract_failed", "IMPOSTOR_APPLIED_TO")
def node_applies_to_nobody_but_the_one_named(story: Story) -> Iterator[Finding]:
    """A node that answers with another id than was named gets no application."""
    code = "IMPOSTOR_APPLIED_TO"
    yield from expect.refused(story, "apply-impostor", code, "PARTNER_ANSWER_INVALID", twin="apply")
    yield from expect.not_called(story, "impostor-applied", code)


# --- 8.1.2-b --------------------------------------------------------------------------------------------------------


@check("8.1.2-b", "own_contract_approved", "CONFIRMATION_NOT_TAKEN")
def acceptance_by_the_partner_puts_the_contract_in_force(story: Story) -> Iterator[Finding]:
    """The partner's acceptance is taken, and both sides read the contract as approved."""
    if not story.happened("applied"):
        return
    yield from expect.accepted(story, "confirm", "CONFIRMATION_NOT_TAKEN")
    yield from expect.shows(story, "own-approved", "/status", "APPROVED", "CONFIRMATION_NOT_TAKEN")


@check("8.1.2-b", "own_contract_rejected", "REJECTION_NOT_TAKEN")
def rejection_by_the_partner_is_recorded(story: Story) -> Iterator[Finding]:
    """The partner's rejection is taken, and the operator reads it."""
    yield from expect.accepted(story, "reject", "REJECTION_NOT_TAKEN")
    yield from expect.shows(story, "own", "/status", "REJECTED", "REJECTION_NOT_TAKEN")


@check("8.1.2-b", "own_contract_approved", "REPEATED_CONFIRMATION_REFUSED")
def repeated_confirmation_is_answered_as_before(story: Story) -> Iterator[Finding]:
    """A partner that did not hear the answer says the same again and is not refused."""
    if story.step("confirm").reading.accepted:
        yield from expect.accepted(story, "confirm-again", "REPEATED_CONFIRMATION_REFUSED")


@check("8.1.2-b", "own_contract_approved", "CONFIRMATION_OVERTURNED")
def contradicting_confirmation_is_refused(story: Story) -> Iterator[Finding]:
    """A decision once taken is not overturned by a later one."""
    code = "CONFIRMATION_OVERTURNED"
    if story.step("own-approved").get("/status") != "APPROVED":
        return
    yield from expect.refused(story, "contradict", code, "CONTRACT_NOT_PENDING", twin="confirm")
    yield from expect.unchanged(story, "own-approved", "own-after", code, "/status")


@check("8.1.2-b", "own_contract_confirmed_wrongly", "CONFIRMED_BY_STRANGER")
def decision_of_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """Only the node that was applied to decides."""
    code, errors = "CONFIRMED_BY_STRANGER", ("NOT_YOURS", "NODE_UNKNOWN", "CONTRACT_NOT_FOUND")
    yield from expect.refused(story, "confirm-by-stranger", code, *errors, twin="partner:confirm")
    yield from expect.unchanged(story, "before", "after-stranger", code, "/status")


@check("8.1.2-b", "own_contract_confirmed_wrongly", "CONFIRMED_PERIOD_LENGTHENED")
def partner_cannot_lengthen_the_period(story: Story) -> Iterator[Finding]:
    """A decision with a longer period than was asked is refused."""
    code = "CONFIRMED_PERIOD_LENGTHENED"
    if story.step("after-stranger").get("/status") != "APPLIED":
        return
    yield from expect.refused(story, "confirm-longer", code, "EXPIRY_INVALID", twin="partner:confirm")


@check("8.1.2-b", "own_contract_confirmed_late", "LATE_CONFIRMATION_TAKEN")
def late_confirmation_is_refused(story: Story) -> Iterator[Finding]:
    """A decision that comes when the period is over puts nothing in force."""
    code, errors = "LATE_CONFIRMATION_TAKEN", ("CONTRACT_NOT_PENDING", "CONTRACT_EXPIRED", "EXPIRY_INVALID")
    yield from expect.refused(story, "late:confirm", code, *errors, twin="timely:confirm")
    if story.step("own").get("/status") == "APPROVED":
        yield expect.finding(code, story.step("own"), pointer="/status", expected="TERMINATED", actual="APPROVED")


# --- 8.1.2-c, -d, -e ------------------------------------------------------------------------------------------------


@check("8.1.2-c", "own_contract_cancelled", "CANCEL_NOT_SENT")
def own_cancellation_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """When the operator withdraws an application, the partner is told."""
    if story.step("cancel").reading.accepted:
        yield from expect.called(story, "told", "CANCEL_NOT_SENT")


@check("8.1.2-c", "own_contract_cancelled", "OWN_CANCEL_NOT_RECORDED")
def own_cancellation_is_recorded(story: Story) -> Iterator[Finding]:
    """A pending application of the node's own can be withdrawn and is over then."""
    yield from expect.accepted(story, "cancel", "OWN_CANCEL_NOT_RECORDED")
    yield from expect.shows(story, "own-cancelled", "/status", "TERMINATED", "OWN_CANCEL_NOT_RECORDED")


@check("8.1.2-c", "own_contract_cancelled", "REFUSED_CANCEL_SHOWN_AS_DONE")
def cancellation_that_the_partner_refuses_does_not_count(story: Story) -> Iterator[Finding]:
    """An application that the partner holds on to is not over, and the operator is told so."""
    code = "REFUSED_CANCEL_SHOWN_AS_DONE"
    yield from expect.refused(story, "cancel-held", code, "PARTNER_REFUSED", twin="cancel")
    yield from expect.shows(story, "own-held", "/status", "APPLIED", code)


@check("8.1.2-c", "own_contract_cancelled_by_partner", "CANCELLED_BY_APPROVER")
def own_application_is_not_cancelled_by_the_partner(story: Story) -> Iterator[Finding]:
    """The node that was applied to decides; it cannot withdraw what it has not applied for."""
    code, errors = "CANCELLED_BY_APPROVER", ("NOT_YOURS", "CONTRACT_NOT_FOUND", "NODE_UNKNOWN")
    yield from expect.refused(story, "cancel-by-approver", code, *errors, twin="cancel-by-applicant")
    yield from expect.unchanged(story, "before", "after", code, "/status")


@check("8.1.2-c", "own_contract_cancelled", "OWN_CONTRACT_CANCELLED_AFTER_CONFIRM")
def own_contract_cancel_is_refused_once_confirmed(story: Story) -> Iterator[Finding]:
    """An accepted contract of the node's own cannot be withdrawn, and the partner is not bothered."""
    code = "OWN_CONTRACT_CANCELLED_AFTER_CONFIRM"
    yield from expect.refused(story, "cancel-late", code, "CONTRACT_NOT_PENDING", twin="cancel")
    yield from expect.unchanged(story, "own-before", "own-after", code, "/status")
    yield from expect.not_called(story, "told-late", code)


@check("8.1.2-d", "partner_health", "PARTNER_HEALTH_NOT_ASKED")
def partner_health_asks_the_partner(story: Story) -> Iterator[Finding]:
    """Asked after a partner's health, the target asks the partner."""
    yield from expect.called(story, "arrives", "PARTNER_HEALTH_NOT_ASKED")


@check("8.1.2-d", "partner_health", "PARTNER_HEALTH_MISSTATED")
def partner_health_is_what_the_partner_says(story: Story) -> Iterator[Finding]:
    """The operator reads up and down as the partner says it, and no health where the partner talks nonsense."""
    if not story.happened("arrives"):
        return
    code = "PARTNER_HEALTH_MISSTATED"
    yield from expect.shows(story, "up", "/status", "UP", code)
    yield from expect.shows(story, "down", "/status", "DOWN", code)
    broken = story.step("broken")
    if broken.reading.accepted and broken.get("/status") != "DOWN":
        actual = broken.get("/status")
        yield expect.finding(code, broken, pointer="/status", expected="refused or DOWN", actual=actual)


@check("8.1.2-e", "own_contract_terminated", "TERMINATION_BY_APPROVER_REFUSED")
def partner_that_accepted_can_end_the_contract(story: Story) -> Iterator[Finding]:
    """The side that accepted the contract can end it as well as the side that applied."""
    yield from expect.accepted(story, "terminate", "TERMINATION_BY_APPROVER_REFUSED")
    yield from expect.shows(story, "own", "/status", "TERMINATED", "TERMINATION_BY_APPROVER_REFUSED")


# --- 8.1.3 ----------------------------------------------------------------------------------------------------------


@check("8.1.3-a", "node_update", "UPDATE_NOT_KEPT")
def update_is_kept(story: Story) -> Iterator[Finding]:
    """After an update the operator and the partners read the new value, until it is changed back."""
    for name in ("after", "asked"):
        if story.step(name).reading.accepted:
            yield from expect.shows(story, name, "/name", story.fact("name"), "UPDATE_NOT_KEPT")
    yield from expect.unchanged(story, "before", "restored", "UPDATE_NOT_KEPT", "/name")


@check("8.1.3-a", "node_update", "UPDATE_CHANGES_THE_REST")
def update_leaves_the_rest_alone(story: Story) -> Iterator[Finding]:
    """What an update does not mention stays as it was."""
    for pointer in ("/node_id", "/address", "/institution", "/inst_id", "/description"):
        yield from expect.unchanged(story, "before", "after", "UPDATE_CHANGES_THE_REST", pointer)


@check("8.1.3-a", "node_update", "NODE_ID_CHANGED")
def node_id_cannot_be_changed(story: Story) -> Iterator[Finding]:
    """The node id is not among what an update changes."""
    yield from expect.refused(story, "update-id", "NODE_ID_CHANGED", "REQUEST_INVALID", twin="update")


@check("8.1.3-b", "node_update", "UPDATE_NOT_SENT")
def update_is_sent_to_the_signed_partner(story: Story) -> Iterator[Finding]:
    """A partner under a contract in force hears of the change, and the operator learns that it did."""
    if not story.step("update").reading.accepted:
        return
    yield from expect.called(story, "told", "UPDATE_NOT_SENT")
    if story.happened("told"):
        yield from expect.carried(story, "told", "/contract_id", story.fact("contract"), "UPDATE_NOT_SENT")
        yield from expect.carried(story, "told", "/address", story.step("after").get("/address"), "UPDATE_NOT_SENT")


@check("8.1.3-b", "node_update", "UPDATE_SENT_WITHOUT_CONTRACT")
def update_is_sent_to_signed_partners_only(story: Story) -> Iterator[Finding]:
    """A node whose application is pending and one whose contract is over hear nothing."""
    for name in ("told-pending", "told-gone"):
        yield from expect.not_called(story, name, "UPDATE_SENT_WITHOUT_CONTRACT")


@check("8.1.3-b", "node_sync", "SYNC_NOT_STORED")
def particulars_of_a_partner_are_taken_over(story: Story) -> Iterator[Finding]:
    """What a signed partner says of itself replaces what the node knew."""
    yield from expect.accepted(story, "sync", "SYNC_NOT_STORED")
    for name, value in story.fact("moved").items():
        yield from expect.shows(story, "known", f"/{name}", value, "SYNC_NOT_STORED")


@check("8.1.3-b", "node_sync", "SYNC_UNDER_FOREIGN_CONTRACT_TAKEN")
def particulars_under_a_foreign_contract_are_refused(story: Story) -> Iterator[Finding]:
    """A partner cannot speak under another's contract, and the other's record stays as it was."""
    code, errors = "SYNC_UNDER_FOREIGN_CONTRACT_TAKEN", ("NOT_YOURS", "CONTRACT_NOT_FOUND", "CONTRACT_NOT_ACTIVE")
    yield from expect.refused(story, "sync-foreign", code, *errors, twin="sync-back")
    yield from expect.unchanged(story, "other-before", "other-after", code, "/name")


@check("8.1.3-b", "node_sync_unsigned", "SYNC_WITHOUT_CONTRACT_TAKEN")
def particulars_without_a_contract_in_force_are_refused(story: Story) -> Iterator[Finding]:
    """Nodes whose application is pending, was rejected or withdrawn cannot update what is known of them."""
    for name in ("pending", "rejected", "cancelled"):
        code = "SYNC_WITHOUT_CONTRACT_TAKEN"
        yield from expect.refused(story, f"{name}:sync", code, "CONTRACT_NOT_ACTIVE", twin="signed:sync")


@check("8.1.3-b", "contract_expired", "EXPIRED_CONTRACT_OPENS")
def expired_contract_opens_nothing(story: Story) -> Iterator[Finding]:
    """Once its period is over, a contract opens nothing any more."""
    code, errors = "EXPIRED_CONTRACT_OPENS", ("CONTRACT_EXPIRED", "CONTRACT_NOT_ACTIVE")
    yield from expect.refused(story, "sync-late", code, *errors, twin="sync")


@check("8.1.3-b", "key_rotated", "NEW_KEY_NOT_TAKEN")
def new_key_of_a_partner_counts(story: Story) -> Iterator[Finding]:
    """A partner that announced a new key, signed by its old one, works with the new one from then on."""
    yield from expect.accepted(story, "sync-by-old", "NEW_KEY_NOT_TAKEN")
    yield from expect.accepted(story, "query-by-new", "NEW_KEY_NOT_TAKEN")
