"""Models (8.7.2): recorded with all that a partner has to agree to, and agreed with it from both ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from conformance.checks import calls, listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, Story

NOT_SEEN = ("AUDIT_NOT_FOUND", "NOT_YOURS")


# --- 8.7.2.1-a list -------------------------------------------------------------------------------------------------


@check("8.7.2.1-a", "model_own", "MODEL_LIST_INCOMPLETE")
def the_list_has_every_model_of_the_project(story: Story) -> Iterator[Finding]:
    """Every model of a project is in its list."""
    wanted = listing.named(story, "model_id", "first", "second", "removed")
    yield from listing.holds(story, "list", wanted, "MODEL_LIST_INCOMPLETE")


@check("8.7.2.1-a", "model_own", "MODEL_OF_OTHER_PROJECT_LISTED")
def the_list_has_no_model_of_another_project(story: Story) -> Iterator[Finding]:
    """A model of another project is not in the list of this one."""
    yield from listing.lacks(story, "list", listing.named(story, "model_id", "other"), "MODEL_OF_OTHER_PROJECT_LISTED")


@check("8.7.2.1-a", "model_own", "MODEL_TOTAL_WRONG")
def the_list_of_models_tells_its_total(story: Story) -> Iterator[Finding]:
    """The total of the list of models counts what matches on all pages together."""
    yield from listing.totals(story, ("page-1", "page-2"), "list", "MODEL_TOTAL_WRONG")


@check("8.7.2.1-a", "model_own", "MODEL_PAGE_WRONG")
def the_list_of_models_is_cut_into_pages(story: Story) -> Iterator[Finding]:
    """The pages of the list of models are as large as asked for, without overlap."""
    yield from listing.pages(story, ("page-1", "page-2"), ("model_id",), 2, "MODEL_PAGE_WRONG")


@check("8.7.2.1-a", "model_own", "MODEL_STATISTICS_WRONG")
def the_list_of_models_counts_by_algorithm(story: Story) -> Iterator[Finding]:
    """The statistics of the list count the models of the project by algorithm."""
    mine = [story.fact("first")["algorithm"], story.fact("second")["algorithm"], story.fact("first")["algorithm"]]
    wanted = dict(Counter(mine))
    yield from expect.shows(story, "list", "/statistics/by_algorithm", wanted, "MODEL_STATISTICS_WRONG")


@check("8.7.2.1-a", "model_own", "MODEL_REMOVED_STILL_FOUND")
def a_removed_model_is_not_listed(story: Story) -> Iterator[Finding]:
    """A model that was removed is not in the list."""
    yield from listing.lacks(
        story, "list-after", listing.named(story, "model_id", "removed"), "MODEL_REMOVED_STILL_FOUND"
    )


@check("8.7.2.1-a", "model_own", "MODEL_OTHER_REMOVED")
def removing_a_model_spares_the_others(story: Story) -> Iterator[Finding]:
    """The removal of one model leaves the others in the list."""
    yield from listing.holds(
        story, "list-after", listing.named(story, "model_id", "first", "second"), "MODEL_OTHER_REMOVED"
    )


# --- 8.7.2.1-b query ------------------------------------------------------------------------------------------------


@check("8.7.2.1-b", "model_own", "MODEL_NOT_FOUND")
def a_recorded_model_is_found(story: Story) -> Iterator[Finding]:
    """A model is recorded, and a query by its id finds it."""
    yield from calls.done(story, "create", "query", code="MODEL_NOT_FOUND")


@check("8.7.2.1-b", "model_own", "MODEL_PARTICULARS_WRONG")
def the_query_returns_name_and_algorithm(story: Story) -> Iterator[Finding]:
    """The query returns the name and the algorithm as they were recorded."""
    wanted = {f"/{field}": story.fact("first")[field] for field in ("name", "algorithm")}
    yield from calls.answer(story, "query", wanted, "MODEL_PARTICULARS_WRONG")


@check("8.7.2.1-b", "model_own", "MODEL_LOCATION_WRONG")
def the_query_returns_the_place_of_the_file(story: Story) -> Iterator[Finding]:
    """The query returns where the file lies as it was recorded."""
    yield from calls.answer(story, "query", {"/location": story.fact("first")["location"]}, "MODEL_LOCATION_WRONG")


@check("8.7.2.1-b", "model_own", "MODEL_TASK_WRONG")
def the_query_returns_the_task_of_the_model(story: Story) -> Iterator[Finding]:
    """The query returns the task, the job and the project that the model belongs to."""
    wanted = {f"/{field}": story.fact("first")[field] for field in ("task_id", "job_id", "project_id")}
    yield from calls.answer(story, "query", wanted, "MODEL_TASK_WRONG")


@check("8.7.2.1-b", "model_own", "MODEL_DIGEST_WRONG")
def the_query_returns_the_digest_unchanged(story: Story) -> Iterator[Finding]:
    """The query returns the digest letter by letter as it was recorded."""
    yield from expect.shows(story, "query", "/digest", story.fact("first")["digest"], "MODEL_DIGEST_WRONG")
    yield from expect.shows(story, "query-second", "/digest", story.fact("second")["digest"], "MODEL_DIGEST_WRONG")


@check("8.7.2.1-b", "model_own", "MODEL_TIME_WRONG")
def the_query_returns_the_time_of_creation(story: Story) -> Iterator[Finding]:
    """The time of creation lies within the moments before and after, give or take the clocks' difference."""
    slack = story.profile.timings.clock_skew_seconds * 1000
    if not story.step("query").reading.accepted:
        return
    low, high = story.fact("from") - slack, story.fact("until") + slack
    yield from expect.satisfies(
        story,
        "query",
        "/created_at",
        lambda value: isinstance(value, int) and low <= value <= high,
        f"between {low} and {high}",
        "MODEL_TIME_WRONG",
    )


@check("8.7.2.1-b", "model_own", "MODEL_OVERWRITTEN")
def a_model_id_is_recorded_once(story: Story) -> Iterator[Finding]:
    """Another model under the same id is refused and changes nothing."""
    yield from expect.refused(story, "create-taken", "MODEL_OVERWRITTEN", "ID_TAKEN", twin="create-second")
    yield from expect.unchanged(story, "query", "query-after", "MODEL_OVERWRITTEN")


@check("8.7.2.1-b", "model_own", "MODEL_UNKNOWN_ANSWERED")
def the_query_refuses_an_unknown_model(story: Story) -> Iterator[Finding]:
    """An id that names no model is refused."""
    yield from expect.refused(story, "query-unknown", "MODEL_UNKNOWN_ANSWERED", "RESOURCE_NOT_FOUND", twin="query")


# --- 8.7.2.2-a application ------------------------------------------------------------------------------------------


@check("8.7.2.2-a", "model_application", "MODEL_APPLICATION_REFUSED")
def an_application_for_a_model_is_taken(story: Story) -> Iterator[Finding]:
    """An application with digest, task, job and project is accepted."""
    yield from expect.accepted(story, "apply-yes", "MODEL_APPLICATION_REFUSED")


@check("8.7.2.2-a", "model_application", "MODEL_APPLICATION_ALTERED")
def an_application_for_a_model_is_kept_whole(story: Story) -> Iterator[Finding]:
    """The operator sees the application under its id, with task, job and project."""
    code, applied = "MODEL_APPLICATION_ALTERED", story.fact("applied-yes")
    yield from expect.shows(story, "held", "/audit_id", applied["audit_id"], code)
    yield from expect.shows(story, "held", "/resource_id", applied["model_id"], code)
    for field in ("job_id", "task_id", "apply_project_id"):
        yield from expect.shows(story, "held", f"/content/{field}", applied[field], code)


@check("8.7.2.2-a", "model_application", "MODEL_APPLICATION_DIGEST_CHANGED")
def the_operator_sees_the_digest_applied_with(story: Story) -> Iterator[Finding]:
    """The digest that the operator decides on is letter by letter the applicant's."""
    wanted = story.fact("applied-yes")["digest"]
    yield from expect.shows(story, "held", "/content/digest", wanted, "MODEL_APPLICATION_DIGEST_CHANGED")


@check("8.7.2.2-a", "model_application", "MODEL_DECIDED_UNASKED")
def a_model_is_not_approved_before_the_decision(story: Story) -> Iterator[Finding]:
    """Until the operator decides, the application is pending and no permit is told."""
    yield from expect.shows(story, "pending", "/status", "APPLIED", "MODEL_DECIDED_UNASKED")
    yield from expect.shows(story, "pending", "/resource_permit", MISSING, "MODEL_DECIDED_UNASKED")


@check("8.7.2.2-a", "model_application", "MODEL_CANCEL_WITHOUT_EFFECT")
def a_pending_application_for_a_model_is_withdrawn(story: Story) -> Iterator[Finding]:
    """The applicant withdraws its pending application, which then has ended."""
    if (yield from calls.done(story, "cancel", code="MODEL_CANCEL_WITHOUT_EFFECT")):
        yield from expect.shows(story, "cancelled", "/status", "TERMINATED", "MODEL_CANCEL_WITHOUT_EFFECT")


@check("8.7.2.2-a", "model_application", "MODEL_CANCELLED_AFTER_DECISION")
def a_decided_application_for_a_model_cannot_be_withdrawn(story: Story) -> Iterator[Finding]:
    """Withdrawing what is decided is refused."""
    code = "MODEL_CANCELLED_AFTER_DECISION"
    yield from expect.refused(story, "cancel-late", code, "AUDIT_NOT_PENDING", twin="cancel")


@check("8.7.2.2-a", "model_application", "MODEL_CANCELLED_BY_STRANGER")
def only_the_applicant_withdraws_its_model(story: Story) -> Iterator[Finding]:
    """Another node cannot withdraw an application, which stays pending."""
    code = "MODEL_CANCELLED_BY_STRANGER"
    yield from expect.refused(story, "cancel-stranger", code, *NOT_SEEN, twin="cancel")
    yield from expect.unchanged(story, "foreign-before", "foreign-after", code, "/status")


@check("8.7.2.2-a", "model_asks", "MODEL_APPLICATION_NOT_SENT")
def the_target_applies_to_its_partner_for_a_model(story: Story) -> Iterator[Finding]:
    """At its operator's wish the target sends an application under the id it has told the operator."""
    yield from expect.called(story, "asked", "MODEL_APPLICATION_NOT_SENT")


@check("8.7.2.2-a", "model_asks", "MODEL_APPLICATION_FIELDS_LOST")
def the_target_s_application_names_model_task_job_and_project(story: Story) -> Iterator[Finding]:
    """The application that the target sends names the model, its task, its job and its project."""
    code, own = "MODEL_APPLICATION_FIELDS_LOST", story.fact("model")
    for field in ("model_id", "task_id", "job_id"):
        yield from expect.carried(story, "asked", f"/{field}", own[field], code)
    yield from expect.carried(story, "asked", "/apply_project_id", own["project_id"], code)


@check("8.7.2.2-a", "model_asks", "MODEL_APPLICATION_DIGEST_LOST")
def the_target_s_application_carries_the_digest_unchanged(story: Story) -> Iterator[Finding]:
    """The digest that the target sends is letter by letter the one that was recorded."""
    wanted = story.fact("model")["digest"]
    yield from expect.carried(story, "asked", "/digest", wanted, "MODEL_APPLICATION_DIGEST_LOST")


@check("8.7.2.2-a", "model_asks", "MODEL_SELF_APPROVED")
def the_target_waits_for_the_decision_on_its_model(story: Story) -> Iterator[Finding]:
    """An application that the partner has only taken is pending."""
    yield from expect.shows(story, "pending", "/status", "APPLIED", "MODEL_SELF_APPROVED")


@check("8.7.2.2-a", "model_asks_otherwise", "MODEL_OWN_CANCEL_WITHOUT_EFFECT")
def the_target_withdraws_its_application_for_a_model(story: Story) -> Iterator[Finding]:
    """What its operator has withdrawn has ended at the target."""
    yield from expect.shows(story, "cancelled", "/status", "TERMINATED", "MODEL_OWN_CANCEL_WITHOUT_EFFECT")


@check("8.7.2.2-a", "model_asks_otherwise", "MODEL_CANCEL_NOT_SENT")
def the_target_tells_its_partner_of_a_withdrawn_model(story: Story) -> Iterator[Finding]:
    """When its operator withdraws an application the target tells the partner."""
    yield from expect.called(story, "cancel-told", "MODEL_CANCEL_NOT_SENT")


# --- 8.7.2.2-b decision ---------------------------------------------------------------------------------------------


@check("8.7.2.2-b", "model_application", "MODEL_APPROVAL_NOT_TOLD")
def an_approval_of_a_model_is_told(story: Story) -> Iterator[Finding]:
    """The applicant is called with the id of its application and the approval."""
    yield from calls.told(story, "confirmed", {"/status": "APPROVED"}, "MODEL_APPROVAL_NOT_TOLD")


@check("8.7.2.2-b", "model_application", "MODEL_REJECTION_NOT_TOLD")
def a_rejection_of_a_model_is_told(story: Story) -> Iterator[Finding]:
    """The applicant is called with the id of its application and the rejection."""
    yield from calls.told(story, "refused", {"/status": "REJECTED"}, "MODEL_REJECTION_NOT_TOLD")


@check("8.7.2.2-b", "model_application", "MODEL_DECISION_REVERSED")
def a_decision_on_a_model_stands(story: Story) -> Iterator[Finding]:
    """The contrary decision later is refused, and the first one stands."""
    code = "MODEL_DECISION_REVERSED"
    yield from expect.refused(story, "reject-late", code, "AUDIT_NOT_PENDING", twin="reject")
    yield from expect.unchanged(story, "approved", "approved-after", code, "/status")


@check("8.7.2.2-b", "model_asks", "MODEL_APPROVAL_NOT_ADOPTED")
def the_target_takes_the_approval_of_its_model(story: Story) -> Iterator[Finding]:
    """Once the partner has approved, the model is approved at the target."""
    yield from expect.accepted(story, "confirm", "MODEL_APPROVAL_NOT_ADOPTED")
    yield from expect.shows(story, "approved", "/status", "APPROVED", "MODEL_APPROVAL_NOT_ADOPTED")


@check("8.7.2.2-b", "model_asks_otherwise", "MODEL_REJECTION_NOT_ADOPTED")
def the_target_takes_the_rejection_of_its_model(story: Story) -> Iterator[Finding]:
    """Once the partner has rejected, the model is rejected at the target."""
    yield from expect.accepted(story, "confirm-no", "MODEL_REJECTION_NOT_ADOPTED")
    yield from expect.shows(story, "rejected", "/status", "REJECTED", "MODEL_REJECTION_NOT_ADOPTED")


@check("8.7.2.2-b", "model_asks", "MODEL_DECIDED_BY_STRANGER")
def only_the_node_applied_to_decides_on_a_model(story: Story) -> Iterator[Finding]:
    """A decision of another node is refused and changes nothing."""
    code = "MODEL_DECIDED_BY_STRANGER"
    yield from expect.refused(story, "confirm-stranger", code, *NOT_SEEN, twin="confirm")
    yield from expect.unchanged(story, "pending", "pending-after", code, "/status")


@check("8.7.2.2-b", "model_asks", "MODEL_TAKES_CONTRARY_DECISION")
def the_target_refuses_a_contrary_decision_on_its_model(story: Story) -> Iterator[Finding]:
    """A later contrary decision of the partner is refused, and the first one stands."""
    code = "MODEL_TAKES_CONTRARY_DECISION"
    yield from expect.refused(story, "confirm-contrary", code, "AUDIT_NOT_PENDING", twin="confirm")
    yield from expect.unchanged(story, "approved", "approved-after", code, "/status")


@check("8.7.2.2-b", "model_application", "MODEL_REVOCATION_NOT_TOLD")
def the_end_of_an_approval_is_told(story: Story) -> Iterator[Finding]:
    """The applicant is called with the id of the approval that ends."""
    yield from expect.called(story, "terminate-told", "MODEL_REVOCATION_NOT_TOLD")


@check("8.7.2.2-b", "model_asks", "MODEL_REVOCATION_NOT_ADOPTED")
def the_target_takes_the_end_of_an_approval(story: Story) -> Iterator[Finding]:
    """A model from which the partner has withdrawn is no longer approved at the target."""
    yield from expect.accepted(story, "terminate", "MODEL_REVOCATION_NOT_ADOPTED")
    yield from expect.shows(story, "terminated", "/status", "TERMINATED", "MODEL_REVOCATION_NOT_ADOPTED")


# --- 8.7.2.2-c query of an application ------------------------------------------------------------------------------


@check("8.7.2.2-c", "model_application", "MODEL_STATE_WRONG")
def the_applicant_learns_the_decision_on_its_model(story: Story) -> Iterator[Finding]:
    """A query for an application tells the decision that was taken."""
    yield from expect.shows(story, "approved", "/status", "APPROVED", "MODEL_STATE_WRONG")
    yield from expect.shows(story, "rejected", "/status", "REJECTED", "MODEL_STATE_WRONG")


@check("8.7.2.2-c", "model_application", "MODEL_STATE_TOLD_TO_STRANGER")
def only_the_applicant_learns_the_state_of_its_model(story: Story) -> Iterator[Finding]:
    """Another node that asks for an application is refused."""
    yield from expect.refused(story, "query-stranger", "MODEL_STATE_TOLD_TO_STRANGER", *NOT_SEEN, twin="pending")


@check("8.7.2.2-c", "model_asks_otherwise", "MODEL_PARTNER_NOT_ASKED_FOR_STATE")
def the_target_asks_for_the_state_of_its_model(story: Story) -> Iterator[Finding]:
    """While its application is pending, the operator's query makes the target ask the partner."""
    yield from expect.called(story, "asked-state", "MODEL_PARTNER_NOT_ASKED_FOR_STATE")


@check("8.7.2.2-c", "model_asks_otherwise", "MODEL_LOST_DECISION_NOT_RECOVERED")
def a_lost_decision_on_a_model_is_recovered(story: Story) -> Iterator[Finding]:
    """The target adopts the decision that the partner tells when asked."""
    yield from expect.shows(story, "recovered", "/status", "APPROVED", "MODEL_LOST_DECISION_NOT_RECOVERED")


# --- 9.2-b-3 for models ---------------------------------------------------------------------------------------------


@check("9.2-b-3", "model_application", "MODEL_APPROVAL_SURVIVES_WITHDRAWAL")
def an_approved_model_can_be_withdrawn(story: Story) -> Iterator[Finding]:
    """After its operator has ended the approval of a model, the applicant that asks is told so and shown no permit."""
    code = "MODEL_APPROVAL_SURVIVES_WITHDRAWAL"
    if (yield from calls.done(story, "terminate", code=code)):
        yield from expect.shows(story, "terminated", "/status", "TERMINATED", code)
        yield from expect.shows(story, "terminated", "/resource_permit", MISSING, code)
