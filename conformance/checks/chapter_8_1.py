"""Chapter 8.1 as a node that is asked: discovery, contracts that partners apply for, health, particulars."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.signing import CredentialError, PublicKey
from conformance.harness.story import MISSING, Story

_SECRETS = (b"PRIVATE KEY", b'"password"', b'"token"', b'"secret"', b'"private_key"')


# --- 8.1.1 ----------------------------------------------------------------------------------------------------------


@check("8.1.1-b", "node_discovery", "NODE_QUERY_REFUSED")
def node_query_is_answered_without_authentication(story: Story) -> Iterator[Finding]:
    """A stranger learns who the node is without showing any credential."""
    yield from expect.accepted(story, "asked", "NODE_QUERY_REFUSED")


@check("8.1.1-b", "node_discovery", "NODE_QUERY_IGNORES_ID")
def node_query_for_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """A node answers for its own id only."""
    if story.step("asked").reading.accepted:
        code = "NODE_QUERY_IGNORES_ID"
        yield from expect.refused(story, "asked-for-another", code, "RESOURCE_NOT_FOUND", twin="asked")


@check("8.1.1-b", "node_discovery", "NODE_QUERY_SHOWS_SECRET")
def node_query_shows_no_secret(story: Story) -> Iterator[Finding]:
    """What anybody may ask for holds no key and no token."""
    step = story.step("asked")
    body = step.exchange.answer.body if step.exchange.answer else b""
    for word in _SECRETS:
        if word in body:
            yield expect.finding("NODE_QUERY_SHOWS_SECRET", step, expected="no secret", actual=word.decode())


@check("8.1.1-b", "node_discovery", "NODE_QUERY_WRONG")
def node_query_tells_who_and_where_the_node_is(story: Story) -> Iterator[Finding]:
    """The node tells the world its own id, and the same service address as its own operator."""
    if story.step("asked").reading.accepted and story.step("own").reading.accepted:
        yield from expect.shows(story, "asked", "/node_id", story.profile.target.node_id, "NODE_QUERY_WRONG")
        yield from expect.shows(story, "asked", "/address", story.step("own").get("/address"), "NODE_QUERY_WRONG")


@check("8.1.1-a", "node_discovery", "OWN_NODE_QUERY_WRONG")
def own_node_query_shows_the_node_itself(story: Story) -> Iterator[Finding]:
    """Asked for its own id, the node shows its own particulars, the ones that partners get too."""
    yield from expect.shows(story, "own", "/node_id", story.profile.target.node_id, "OWN_NODE_QUERY_WRONG")
    if story.step("asked").reading.accepted:
        for pointer in ("/name", "/institution"):
            yield from expect.shows(story, "own", pointer, story.step("asked").get(pointer), "OWN_NODE_QUERY_WRONG")


@check("8.1.1-a", "node_discovery", "UNKNOWN_NODE_SHOWN")
def unknown_node_id_is_an_error(story: Story) -> Iterator[Finding]:
    """An id that no known node has yields an error and no record."""
    yield from expect.refused(story, "unknown", "UNKNOWN_NODE_SHOWN", "RESOURCE_NOT_FOUND", twin="own")


@check("8.1.1-a", "node_discovery", "PARTNER_PARTICULARS_LOST")
def partner_is_found_by_its_id(story: Story) -> Iterator[Finding]:
    """A node that signed a contract is found by its id with the particulars it gave."""
    for name in ("node_id", "name", "address", "institution"):
        yield from expect.shows(story, "known", f"/{name}", story.fact("partner")[name], "PARTNER_PARTICULARS_LOST")


@check("8.1.1-c", "contract_approved", "CONTRACT_STATE_WRONG")
def contract_query_tells_the_state(story: Story) -> Iterator[Finding]:
    """The applicant reads the state that the node holds."""
    if story.step("own-approved").get("/status") == "APPROVED":
        yield from expect.shows(story, "query-approved", "/status", "APPROVED", "CONTRACT_STATE_WRONG")


@check("8.1.1-c", "contract_decision_undelivered", "CONTRACT_QUERY_WITHOUT_KEY")
def contract_query_makes_up_for_a_lost_confirmation(story: Story) -> Iterator[Finding]:
    """An applicant that was never told gets the approving node's key with the state."""
    step = story.step("query")
    if step.get("/status") != "APPROVED":
        return
    kind, pem = step.get("/auth_type"), step.get("/auth_credential")
    if not _usable(kind, pem):
        found = f"{kind!r}: {'no usable key' if isinstance(pem, str) else pem!r}"
        yield expect.finding("CONTRACT_QUERY_WITHOUT_KEY", step, pointer="/auth_credential", actual=found)


@check("8.1.1-c", "contract_approved", "CONTRACT_LIST_WRONG")
def contract_is_in_the_list(story: Story) -> Iterator[Finding]:
    """The operator's list, narrowed to the partner, holds the contract and nobody else's."""
    wanted = {"contract_id": story.fact("contract")}
    yield from listing.holds(story, "own-list", [wanted], "CONTRACT_LIST_WRONG")
    step = story.step("own-list")
    partner = story.fact("partner")["node_id"]
    others = [row.get("partner_node_id") for row in listing.rows(step) if row.get("partner_node_id") != partner]
    if others:
        yield expect.finding("CONTRACT_LIST_WRONG", step, pointer="/records", expected=partner, actual=others[0])


@check("8.1.1-c", "contract_strangers", "CONTRACT_SHOWN_TO_STRANGER")
def contract_is_shown_to_its_parties_only(story: Story) -> Iterator[Finding]:
    """A third node learns nothing about a contract of others."""
    code, errors = "CONTRACT_SHOWN_TO_STRANGER", ("CONTRACT_NOT_FOUND", "NOT_YOURS")
    yield from expect.refused(story, "stranger-query", code, *errors, twin="owner-query")


@check("8.1.1-c", "contract_expired", "EXPIRY_NOT_RECORDED")
def expired_contract_is_recorded_as_ended(story: Story) -> Iterator[Finding]:
    """Once its period is over, both the operator and the partner read that the contract has ended."""
    for name in ("own", "query"):
        yield from expect.shows(story, name, "/status", "TERMINATED", "EXPIRY_NOT_RECORDED")


# --- 8.1.2-a --------------------------------------------------------------------------------------------------------


@check("8.1.2-a", "contract_approved", "APPLICATION_NOT_PENDING")
def application_is_pending_until_decided(story: Story) -> Iterator[Finding]:
    """An application that nobody has decided is pending on both sides."""
    for name in ("query-pending", "own-pending"):
        yield from expect.shows(story, name, "/status", "APPLIED", "APPLICATION_NOT_PENDING")


@check("8.1.2-a", "contract_approved", "APPLICATION_DOUBLED")
def same_application_has_the_same_contract_id(story: Story) -> Iterator[Finding]:
    """Applying again with the same content while the application is pending gives the same contract."""
    yield from expect.shows(story, "apply-again", "/contract_id", story.fact("contract"), "APPLICATION_DOUBLED")


@check("8.1.2-a", "contract_approved", "APPLICATION_NOT_KEPT")
def application_is_kept_as_it_was_made(story: Story) -> Iterator[Finding]:
    """The operator sees who applied, from where, and until when."""
    partner = story.fact("partner")
    wanted = {
        "/role": "APPROVER",
        "/partner_node_id": partner["node_id"],
        "/partner_address": partner["address"],
        "/expired_time": story.fact("until"),
    }
    for pointer, value in wanted.items():
        yield from expect.shows(story, "own-pending", pointer, value, "APPLICATION_NOT_KEPT")


@check("8.1.2-a", "contract_reapplied", "CHANGED_APPLICATION_LOST")
def changed_application_is_not_lost(story: Story) -> Iterator[Finding]:
    """An application with another content is kept with that content, whatever was pending before."""
    changed = story.fact("changed")
    yield from expect.shows(story, "own", "/expired_time", changed, "CHANGED_APPLICATION_LOST")


@check("8.1.2-a", "contract_approved", "CONTRACT_NOT_IN_FORCE")
def accepted_contract_is_in_force_under_one_id(story: Story) -> Iterator[Finding]:
    """After acceptance the operator reads the contract as approved, under the id that the applicant got."""
    yield from expect.shows(story, "own-approved", "/status", "APPROVED", "CONTRACT_NOT_IN_FORCE")
    yield from expect.shows(story, "own-approved", "/contract_id", story.fact("contract"), "CONTRACT_NOT_IN_FORCE")


@check("8.1.2-a", "contract_period", "PAST_PERIOD_ACCEPTED")
def period_that_is_over_is_refused(story: Story) -> Iterator[Finding]:
    """Nobody can apply for a contract that has ended already."""
    yield from expect.refused(story, "apply-past", "PAST_PERIOD_ACCEPTED", "EXPIRY_INVALID", twin="apply")


@check("8.1.2-a", "contract_incomplete", "INCOMPLETE_APPLICATION_ACCEPTED")
def application_without_a_particular_is_refused(story: Story) -> Iterator[Finding]:
    """An application says who applies, under which name, and how it authenticates, or it is refused."""
    for name in ("node_id", "name", "auth_type", "auth_credential"):
        code = "INCOMPLETE_APPLICATION_ACCEPTED"
        yield from expect.refused(story, f"without-{name}", code, "REQUEST_INVALID", twin="apply")


# --- 8.1.2-b --------------------------------------------------------------------------------------------------------


@check("8.1.2-b", "contract_approved", "DECISION_NOT_TOLD")
def acceptance_is_told_to_the_applicant(story: Story) -> Iterator[Finding]:
    """The applicant is called back with the decision."""
    if story.step("approve").reading.accepted:
        yield from expect.called(story, "approve:told", "DECISION_NOT_TOLD")


@check("8.1.2-b", "contract_rejected", "REJECTION_NOT_TOLD")
def rejection_is_told_to_the_applicant(story: Story) -> Iterator[Finding]:
    """The applicant is called back when it was rejected, too."""
    if not story.step("reject").reading.accepted:
        return
    yield from expect.called(story, "reject:told", "REJECTION_NOT_TOLD")
    if story.happened("reject:told"):
        yield from expect.carried(story, "reject:told", "/status", "REJECTED", "REJECTION_NOT_TOLD")


@check("8.1.2-b", "contract_rejected", "REJECTION_NOT_RECORDED")
def rejection_is_recorded(story: Story) -> Iterator[Finding]:
    """A rejected application is accepted as a decision and read as rejected."""
    yield from expect.accepted(story, "reject", "REJECTION_NOT_RECORDED")
    yield from expect.shows(story, "query", "/status", "REJECTED", "REJECTION_NOT_RECORDED")


@check("8.1.2-b", "contract_approved", "DECISION_TOLD_WRONGLY")
def told_acceptance_has_key_and_period(story: Story) -> Iterator[Finding]:
    """The callback says accepted, shows a key of its suite, and a period no longer than was asked."""
    if not story.happened("approve:told"):
        return
    step = story.step("approve:told")
    yield from expect.carried(story, "approve:told", "/status", "APPROVED", "DECISION_TOLD_WRONGLY")
    until, told = story.fact("until"), step.got("/expired_time")
    if not isinstance(told, int) or told > until:
        yield expect.finding("DECISION_TOLD_WRONGLY", step, pointer="/expired_time", expected=until, actual=told)
    if not _usable(step.got("/auth_type"), step.got("/auth_credential")):
        yield expect.finding("DECISION_TOLD_WRONGLY", step, pointer="/auth_credential", actual="no usable key")


@check("8.1.2-b", "contract_decision_undelivered", "DELIVERY_MISSTATED", "DECISION_NOT_RETRIED")
def decision_that_did_not_arrive_is_told_again(story: Story) -> Iterator[Finding]:
    """A decision that the applicant could not take is not said to be delivered, and is told again."""
    yield from expect.shows(story, "approve", "/delivery", "PENDING", "DELIVERY_MISSTATED")
    yield from expect.called(story, "told-again", "DECISION_NOT_RETRIED")


@check("8.1.2-b", "contract_approved", "DECISION_REVERSED")
def decision_is_final(story: Story) -> Iterator[Finding]:
    """An accepted application cannot be rejected afterwards."""
    code = "DECISION_REVERSED"
    yield from expect.refused(story, "reverse", code, "CONTRACT_NOT_PENDING", twin="approve")
    yield from expect.unchanged(story, "query-approved", "query-reversed", code, "/status")


@check("8.1.2-b", "contract_expired", "LATE_DECISION_ACCEPTED")
def late_decision_is_refused(story: Story) -> Iterator[Finding]:
    """An application whose period is over can no longer be accepted."""
    errors = ("CONTRACT_NOT_PENDING", "CONTRACT_EXPIRED", "EXPIRY_INVALID")
    yield from expect.refused(story, "approve-late", "LATE_DECISION_ACCEPTED", *errors, twin="partner:approve")


@check("8.1.2-b", "contract_period", "PERIOD_LENGTHENED")
def approver_cannot_lengthen_the_period(story: Story) -> Iterator[Finding]:
    """The operator cannot grant a longer period than was asked."""
    yield from expect.refused(story, "lengthen", "PERIOD_LENGTHENED", "EXPIRY_INVALID", twin="shorten")
    yield from expect.unchanged(story, "before", "after", "PERIOD_LENGTHENED", "/status")


@check("8.1.2-b", "contract_period", "SHORTER_PERIOD_LOST")
def shorter_period_holds_on_both_sides(story: Story) -> Iterator[Finding]:
    """A period that the operator shortened is told to the applicant and stands in the contract."""
    if story.step("lengthen").reading.accepted:
        return
    yield from expect.accepted(story, "shorten", "SHORTER_PERIOD_LOST")
    if story.step("query").get("/status") == "APPROVED":
        yield from expect.shows(story, "query", "/expired_time", story.fact("shorter"), "SHORTER_PERIOD_LOST")
    if story.happened("shorten:told"):
        yield from expect.carried(story, "shorten:told", "/expired_time", story.fact("shorter"), "SHORTER_PERIOD_LOST")


# --- 8.1.2-c --------------------------------------------------------------------------------------------------------


@check("8.1.2-c", "contract_cancelled", "CANCEL_NOT_RECORDED")
def pending_application_can_be_cancelled(story: Story) -> Iterator[Finding]:
    """The applicant withdraws a pending application, which is over from then on."""
    yield from expect.accepted(story, "cancel", "CANCEL_NOT_RECORDED")
    yield from expect.shows(story, "query-cancelled", "/status", "TERMINATED", "CANCEL_NOT_RECORDED")


@check("8.1.2-c", "contract_cancelled", "CANCELLED_APPLICATION_ACCEPTED")
def cancelled_application_cannot_be_accepted(story: Story) -> Iterator[Finding]:
    """What was withdrawn can no longer be accepted by the operator."""
    code = "CANCELLED_APPLICATION_ACCEPTED"
    yield from expect.refused(story, "approve-cancelled", code, "CONTRACT_NOT_PENDING", twin="approve-pending")


@check("8.1.2-c", "contract_cancelled", "CONTRACT_CANCELLED_AFTER_CONFIRM")
def contract_cancel_is_refused_once_confirmed(story: Story) -> Iterator[Finding]:
    """Only a pending application can be withdrawn; an accepted one stays in force."""
    code = "CONTRACT_CANCELLED_AFTER_CONFIRM"
    yield from expect.refused(story, "cancel-late", code, "CONTRACT_NOT_PENDING", twin="cancel")
    yield from expect.unchanged(story, "query-before", "query-after", code, "/status")


@check("8.1.2-c", "contract_strangers", "APPLICATION_CANCELLED_BY_STRANGER")
def application_is_cancelled_by_its_applicant_only(story: Story) -> Iterator[Finding]:
    """A third node cannot withdraw an application."""
    code, errors = "APPLICATION_CANCELLED_BY_STRANGER", ("CONTRACT_NOT_FOUND", "NOT_YOURS")
    yield from expect.refused(story, "stranger-cancel", code, *errors, twin="applicant-cancel")
    yield from expect.unchanged(story, "applicant-query", "applicant-after", code, "/status")


# --- 8.1.2-d --------------------------------------------------------------------------------------------------------


@check("8.1.2-d", "node_health", "HEALTH_NOT_UP")
def node_that_answers_is_up(story: Story) -> Iterator[Finding]:
    """A node that does its work says so."""
    yield from expect.shows(story, "health", "/status", "UP", "HEALTH_NOT_UP")


@check("8.1.2-d", "node_health", "HEALTH_WITHOUT_CONTRACT")
def health_tells_the_state_of_the_named_application(story: Story) -> Iterator[Finding]:
    """Asked about an application, the node says where it stands and that a pending one can be withdrawn."""
    for pointer, value in (("/contract_status", "APPLIED"), ("/cancellable", True)):
        yield from expect.shows(story, "health-pending", pointer, value, "HEALTH_WITHOUT_CONTRACT")


@check("8.1.2-d", "node_health", "HEALTH_SAYS_CANCELLABLE")
def health_says_that_an_accepted_contract_is_not_cancellable(story: Story) -> Iterator[Finding]:
    """An accepted application can no longer be withdrawn, and the health check says so."""
    if story.step("health-approved").get("/cancellable") is not MISSING:
        yield from expect.shows(story, "health-approved", "/cancellable", False, "HEALTH_SAYS_CANCELLABLE")


@check("8.1.2-d", "node_health", "HEALTH_CHANGES_STATE")
def health_check_changes_nothing(story: Story) -> Iterator[Finding]:
    """Asking after an application leaves it as it was."""
    yield from expect.unchanged(story, "before", "after", "HEALTH_CHANGES_STATE", "/status")


@check("8.1.2-d", "contract_strangers", "HEALTH_SHOWS_FOREIGN_CONTRACT")
def health_tells_strangers_nothing_of_a_contract(story: Story) -> Iterator[Finding]:
    """A third node learns nothing about a contract of others by way of the health check."""
    step = story.step("stranger-health")
    for pointer in ("/contract_status", "/cancellable"):
        if step.reading.accepted and step.get(pointer) is not MISSING:
            code = "HEALTH_SHOWS_FOREIGN_CONTRACT"
            yield expect.finding(code, step, pointer=pointer, expected=MISSING, actual=step.get(pointer))


# --- 8.1.2-e --------------------------------------------------------------------------------------------------------


@check("8.1.2-e", "contract_terminated_by_partner", "TERMINATION_NOT_RECORDED")
def partner_can_end_the_contract(story: Story) -> Iterator[Finding]:
    """A partner ends its contract, and both sides read that it is over."""
    yield from expect.accepted(story, "terminate", "TERMINATION_NOT_RECORDED")
    for name in ("own", "query"):
        yield from expect.shows(story, name, "/status", "TERMINATED", "TERMINATION_NOT_RECORDED")


@check("8.1.2-e", "contract_terminated_by_partner", "TERMINATED_CONTRACT_OPENS")
def terminated_contract_opens_nothing(story: Story) -> Iterator[Finding]:
    """Requests that rest on a contract are refused once it was ended, and change nothing."""
    if story.step("query").get("/status") != "TERMINATED":
        return
    code = "TERMINATED_CONTRACT_OPENS"
    yield from expect.refused(story, "sync-late", code, "CONTRACT_NOT_ACTIVE", twin="sync")
    yield from expect.shows(story, "known", "/name", story.fact("name"), code)


@check("8.1.2-e", "contract_terminated_by_target", "TERMINATION_NOT_TOLD")
def termination_is_told_to_the_partner(story: Story) -> Iterator[Finding]:
    """When the operator ends a contract, the partner is told."""
    yield from expect.called(story, "told", "TERMINATION_NOT_TOLD")


@check("8.1.2-e", "contract_terminated_by_target", "OWN_TERMINATION_INEFFECTIVE")
def termination_by_the_operator_closes_the_contract(story: Story) -> Iterator[Finding]:
    """What the operator has ended is over for the partner too."""
    code = "OWN_TERMINATION_INEFFECTIVE"
    yield from expect.shows(story, "query", "/status", "TERMINATED", code)
    yield from expect.refused(story, "sync-late", code, "CONTRACT_NOT_ACTIVE", twin="sync")


@check("8.1.2-e", "contract_terminated_by_target", "PENDING_CONTRACT_TERMINATED")
def pending_application_cannot_be_terminated(story: Story) -> Iterator[Finding]:
    """Termination is for contracts in force; a pending application is decided or withdrawn."""
    code = "PENDING_CONTRACT_TERMINATED"
    yield from expect.refused(story, "terminate-pending", code, "CONTRACT_NOT_ACTIVE", twin="terminate")
    yield from expect.shows(story, "pending-after", "/status", "APPLIED", code)


@check("8.1.2-e", "contract_strangers", "CONTRACT_TERMINATED_BY_STRANGER")
def contract_is_ended_by_its_parties_only(story: Story) -> Iterator[Finding]:
    """A third node cannot end a contract of others."""
    code, errors = "CONTRACT_TERMINATED_BY_STRANGER", ("CONTRACT_NOT_FOUND", "NOT_YOURS")
    yield from expect.refused(story, "stranger-terminate", code, *errors, twin="owner-terminate")
    yield from expect.unchanged(story, "owner-query", "owner-after", code, "/status")


def _usable(auth_type: object, credential: object) -> bool:
    """Tell whether a credential is a public key of the suite that its auth_type names."""
    if not isinstance(auth_type, str) or not isinstance(credential, str):
        return False
    try:
        PublicKey.from_credential(auth_type, credential)
    except CredentialError:
        return False
    return True
