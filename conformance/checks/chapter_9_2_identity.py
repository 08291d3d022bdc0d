"""Identity, lock-out, suites, strength, access, errors (9.2-a, 9.2-b-4, 9.2-e-5, 9.2-f)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

LOCKED_OUT = "LOCKED_OUT"
_WEAK = ("KEY_TOO_WEAK", "CREDENTIAL_MALFORMED", "CREDENTIAL_TYPE_UNSUPPORTED", "SUITE_REFUSED")


# --- 9.2-a ----------------------------------------------------------------------------------------------------------


@check("9.2-a", "identity_proven", "KEY_POSSESSION_NOT_DEMANDED")
def applicant_proves_that_it_has_its_key(story: Story) -> Iterator[Finding]:
    """An application that the key it shows has not signed is refused and leaves nothing behind."""
    code = "KEY_POSSESSION_NOT_DEMANDED"
    yield from expect.refused(story, "apply-unproven", code, "SIGNATURE_INVALID", twin="apply")
    errors = ("SIGNATURE_MISSING", "SIGNATURE_INVALID", "HEADER_MISSING")
    yield from expect.refused(story, "apply-unsigned", code, *errors, twin="apply")
    step = story.step("list")
    if step.reading.accepted and listing.rows(step):
        yield expect.finding(code, step, pointer="/records", expected=[], actual=listing.rows(step)[0])


@check("9.2-a", "own_contract_confirmed_wrongly", "CONFIRMED_WITHOUT_POSSESSION")
def partner_that_accepts_proves_that_it_has_its_key(story: Story) -> Iterator[Finding]:
    """A decision that the key it shows has not signed is refused, and the application stays pending."""
    if story.step("after-longer").get("/status") != "APPLIED":
        return
    code = "CONFIRMED_WITHOUT_POSSESSION"
    yield from expect.refused(story, "confirm-unproven", code, "SIGNATURE_INVALID", twin="partner:confirm")
    yield from expect.shows(story, "after-unproven", "/status", "APPLIED", code)


@check("9.2-a", "request_stranger", "UNKNOWN_NODE_ACCEPTED")
def unknown_node_is_refused(story: Story) -> Iterator[Finding]:
    """A node without any contract gets no answer to a signed request."""
    for name in ("stranger", "stranger-query"):
        yield from expect.refused(story, name, "UNKNOWN_NODE_ACCEPTED", "NODE_UNKNOWN", twin="known")


@check("9.2-a", "access_strangers", "OPERATION_OPEN_TO_STRANGERS")
def every_operation_between_nodes_asks_who_calls(story: Story) -> Iterator[Finding]:
    """No operation between nodes but discovery and the contract itself opens for an unknown node."""
    for name in story.fact("operations"):
        step = story.step(f"bare:{name}")
        yield from _closed(story, step.exchange.step, "OPERATION_OPEN_TO_STRANGERS", ("NODE_UNKNOWN",), "known")


@check("9.2-a", "access_pending", "OPERATION_OPEN_WITHOUT_CONTRACT")
def every_operation_that_rests_on_a_contract_asks_for_it(story: Story) -> Iterator[Finding]:
    """A node whose application is still pending opens nothing that rests on a contract."""
    for name in story.fact("operations"):
        code = "OPERATION_OPEN_WITHOUT_CONTRACT"
        yield from _closed(story, f"bare:{name}", code, ("CONTRACT_NOT_ACTIVE",), "signed")


@check("9.2-a", "key_rotated", "KEY_CHANGED_BY_ANOTHER_KEY")
def key_is_changed_by_the_old_key_only(story: Story) -> Iterator[Finding]:
    """A new key is not taken on its own word; the registered one signs the change."""
    code = "KEY_CHANGED_BY_ANOTHER_KEY"
    yield from expect.refused(story, "sync-by-new", code, "SIGNATURE_INVALID", twin="sync-by-old")
    yield from expect.accepted(story, "query-by-old", code)


@check("9.2-a", "key_rotated", "OLD_KEY_STILL_ACCEPTED")
def old_key_counts_no_longer(story: Story) -> Iterator[Finding]:
    """Once a new key was taken, the old one opens nothing."""
    errors = ("SIGNATURE_INVALID", "CONTRACT_NOT_ACTIVE", "NODE_UNKNOWN")
    if not story.step("query-by-new").reading.accepted:
        return
    yield from expect.refused(story, "sync-back", "OLD_KEY_STILL_ACCEPTED", *errors, twin="sync-after")


@check("9.2-a-1", "identity_taken", "NODE_ID_TAKEN_OVER")
def node_id_belongs_to_one_key(story: Story) -> Iterator[Finding]:
    """Nobody registers another key under the id of a signed partner, whose record stays as it was."""
    code = "NODE_ID_TAKEN_OVER"
    yield from expect.refused(story, "apply-as-owner", code, "NODE_ID_TAKEN", "SIGNATURE_INVALID", twin="apply")
    yield from expect.unchanged(story, "before", "after", code)
    yield from expect.accepted(story, "owner-query", code)


@check("9.2-a-2", "suite_sm2", "SM2_REFUSED")
def node_works_with_sm2_and_sm3(story: Story) -> Iterator[Finding]:
    """A node with an SM2 key signs a contract and is served under it."""
    yield from _served(story, ("sm2:apply", "sm2:approve", "query", "sync"), "SM2_REFUSED")


@check("9.2-a-2", "suite_sm2", "SM2_NOT_ANSWERED_WITH_SM2")
def node_answers_sm2_with_sm2(story: Story) -> Iterator[Finding]:
    """To a partner that works with SM2, the node authenticates itself with SM2."""
    if story.happened("sm2:confirmed"):
        yield from expect.carried(story, "sm2:confirmed", "/auth_type", "SM3_SM2", "SM2_NOT_ANSWERED_WITH_SM2")


@check("9.2-a-3", "contract_incomplete", "ADDRESS_NOT_DEMANDED")
def application_without_usable_address_is_refused(story: Story) -> Iterator[Finding]:
    """An application without an address, or with one that has no host, is refused."""
    for name in ("without-address", "address-unusable"):
        yield from expect.refused(story, name, "ADDRESS_NOT_DEMANDED", "REQUEST_INVALID", twin="apply")


@check("9.2-a-3", "contract_incomplete", "APPLICATION_FOR_ANOTHER_ACCEPTED")
def application_is_made_in_the_own_name(story: Story) -> Iterator[Finding]:
    """The node that applies is the node that sends the application."""
    code, errors = "APPLICATION_FOR_ANOTHER_ACCEPTED", ("REQUEST_INVALID", "SIGNATURE_INVALID", "NOT_YOURS")
    yield from expect.refused(story, "source-differs", code, *errors, twin="apply")


# --- 9.2-a-5 --------------------------------------------------------------------------------------------------------


@check("9.2-a-5", "lockout", "LOCKOUT_NEVER_TRIGGERS")
def node_that_fails_too_often_is_locked_out(story: Story) -> Iterator[Finding]:
    """After the declared number of failures in a row, the next attempt is refused for being locked out."""
    step, first = story.step("locked"), story.step("fail-1")
    if not step.reading.accepted and not story.step("before").reading.accepted:
        raise NoTwin("before")
    named = step.reading.error == LOCKED_OUT
    if not story.binding.names_refusals:  # then it can at least be told from a failure before the lock-out
        named = expect.refusal(step) != expect.refusal(first)
    if step.reading.accepted or not named:
        yield expect.finding("LOCKOUT_NEVER_TRIGGERS", step, first, expected=LOCKED_OUT, actual=expect.refusal(step))


@check("9.2-a-5", "lockout", "LOCKOUT_HITS_OTHERS")
def lockout_of_one_node_leaves_others_alone(story: Story) -> Iterator[Finding]:
    """While one node is locked out, others are served."""
    yield from expect.accepted(story, "other", "LOCKOUT_HITS_OTHERS")


@check("9.2-a-5", "lockout", "LOCKOUT_NEVER_ENDS")
def lockout_ends_after_its_interval(story: Story) -> Iterator[Finding]:
    """Once the interval has passed, attempts are judged by themselves again, and the node is served."""
    yield from expect.refused_otherwise(story, "fail-later", "LOCKOUT_NEVER_ENDS", LOCKED_OUT)
    yield from expect.accepted(story, "after", "LOCKOUT_NEVER_ENDS")


@check("9.2-a-5", "lockout_reset", "LOCKOUT_COUNT_NOT_RESET")
def success_ends_the_count_of_failures(story: Story) -> Iterator[Finding]:
    """Only failures in a row count; a success between them starts the count anew."""
    if story.step("success").reading.accepted:
        yield from expect.refused_otherwise(story, "fail-again", "LOCKOUT_COUNT_NOT_RESET", LOCKED_OUT)
        yield from expect.accepted(story, "not-locked", "LOCKOUT_COUNT_NOT_RESET")


# --- 9.2-b-4 --------------------------------------------------------------------------------------------------------


@check("9.2-b-4", "access_own_side", "OWN_SIDE_OPEN")
def every_own_side_operation_asks_for_the_token(story: Story) -> Iterator[Finding]:
    """No own-side operation opens without the operator's token, and none with a wrong one."""
    names = ["wrong-token", *(f"bare:{name}" for name in story.fact("operations"))]
    for name in names:
        yield from _closed(story, name, "OWN_SIDE_OPEN", ("OPERATOR_TOKEN_INVALID",), "with-token")


@check("9.2-b-4", "access_own_side", "OWN_SIDE_OPEN_TO_NODES")
def signature_of_a_node_opens_no_own_side_operation(story: Story) -> Iterator[Finding]:
    """A partner's signature is not the operator's token."""
    yield from _closed(story, "node-signature", "OWN_SIDE_OPEN_TO_NODES", ("OPERATOR_TOKEN_INVALID",), "with-token")


@check("9.2-b-4", "access_strangers", "NODE_SIDE_OPEN_TO_TOKEN")
def token_of_the_operator_opens_no_operation_between_nodes(story: Story) -> Iterator[Finding]:
    """The operator's token is not a node's signature."""
    errors = ("HEADER_MISSING", "SIGNATURE_MISSING", "NODE_UNKNOWN")
    yield from _closed(story, "operator-token", "NODE_SIDE_OPEN_TO_TOKEN", errors, "known")


def _closed(story: Story, name: str, code: str, errors: tuple[str, ...], twin: str) -> Iterator[Finding]:
    """The step got no further than the question who calls: any other named refusal shows that it did."""
    step = story.step(name)
    if not step.reading.accepted and (step.reading.error is None or step.reading.error in errors):
        if not story.step(twin).reading.accepted:
            raise NoTwin(twin)
        return
    yield expect.finding(code, step, expected=" | ".join(errors), actual=expect.refusal(step))


# --- 9.2-e-5 --------------------------------------------------------------------------------------------------------


@check("9.2-e-5", "broken_bodies", "BROKEN_BODY_ACCEPTED")
def broken_body_is_refused(story: Story) -> Iterator[Finding]:
    """A body that is not one JSON object, or that can be read in two ways, is refused."""
    for name in ("cut", "list", "deep", "twice", "bytes"):
        code = "BROKEN_BODY_ACCEPTED"
        yield from expect.refused(story, name, code, "BODY_NOT_JSON", "REQUEST_INVALID", "INTERNAL", twin="right")


@check("9.2-e-5", "broken_bodies", "BROKEN_BODY_BREAKS_NODE")
def broken_body_is_no_failure_of_the_node(story: Story) -> Iterator[Finding]:
    """A broken body is the sender's fault and is answered as such."""
    for name in ("cut", "list", "deep", "twice", "bytes"):
        step = story.step(name)
        status = step.exchange.answer.status if step.exchange.answer else 0
        if status >= 500:
            code = "BROKEN_BODY_BREAKS_NODE"
            yield expect.finding(code, step, expected="a refusal below 500", actual=f"HTTP {status}")


@check("9.2-e-5", "refused_changes", "REFUSED_DECISION_HALF_KEPT")
def refused_decision_changes_nothing(story: Story) -> Iterator[Finding]:
    """A decision that is refused for its last field leaves the application pending."""
    if not story.step("confirm-longer").reading.accepted:
        yield from expect.unchanged(story, "own-before", "own-after", "REFUSED_DECISION_HALF_KEPT", "/status")


@check("9.2-e-5", "refused_changes", "REFUSED_SYNC_HALF_KEPT")
def refused_particulars_change_nothing(story: Story) -> Iterator[Finding]:
    """Particulars that are refused for their key leave what is known of the partner as it was."""
    if not story.step("sync-garbage").reading.accepted:
        yield from expect.unchanged(story, "known-before", "known-after", "REFUSED_SYNC_HALF_KEPT", "/address")


# --- 9.2-f ----------------------------------------------------------------------------------------------------------


@check("9.2-f-2", "suite_ecdsa", "ECDSA_REFUSED")
def node_works_with_ecdsa_where_it_says_so(story: Story) -> Iterator[Finding]:
    """A node that declares ECDSA on P-256 signs a contract with it and serves under it."""
    yield from _served(story, ("ecdsa:apply", "query", "sync"), "ECDSA_REFUSED")


@check("9.2-f-2", "suite_rsa", "RSA_REFUSED")
def node_works_with_rsa_where_it_says_so(story: Story) -> Iterator[Finding]:
    """A node that declares RSA of 2048 bits signs a contract with it and serves under it."""
    yield from _served(story, ("rsa:apply", "query", "sync"), "RSA_REFUSED")


def _served(story: Story, names: tuple[str, ...], code: str) -> Iterator[Finding]:
    """Yield what speaks against the first step that was refused; the scenario may have ended there."""
    refused = next((name for name in names if not story.step(name).reading.accepted), names[-1])
    yield from expect.accepted(story, refused, code)


@check("9.2-f-2", "weak_keys", "WEAK_RSA_KEY_ACCEPTED")
def short_rsa_key_is_refused(story: Story) -> Iterator[Finding]:
    """An RSA key of 1024 bits is refused."""
    yield from expect.refused(story, "rsa-1024", "WEAK_RSA_KEY_ACCEPTED", *_WEAK, twin="sound")


@check("9.2-f-2", "weak_key_in_sync", "WEAK_KEY_IN_SYNC_ACCEPTED")
def short_key_is_refused_in_updates_too(story: Story) -> Iterator[Finding]:
    """A signed partner cannot change to a key that is too short."""
    yield from expect.refused(story, "sync-weak", "WEAK_KEY_IN_SYNC_ACCEPTED", *_WEAK, twin="sync")


@check("9.2-f-2", "weak_keys", "WEAK_CURVE_ACCEPTED")
def key_on_another_curve_is_refused(story: Story) -> Iterator[Finding]:
    """Keys on a short curve, or on one that no suite names, are refused."""
    for name in ("p-192", "secp256k1"):
        yield from expect.refused(story, name, "WEAK_CURVE_ACCEPTED", *_WEAK, twin="sound")


@check("9.2-f-2", "weak_keys", "BROKEN_KEY_ACCEPTED")
def key_that_is_none_is_refused(story: Story) -> Iterator[Finding]:
    """A point that lies on no curve and a text that is no key are refused."""
    for name in ("sm2-off-curve", "garbage"):
        yield from expect.refused(story, name, "BROKEN_KEY_ACCEPTED", *_WEAK, "SIGNATURE_INVALID", twin="sound")


@check("9.2-f-3", "weak_digests", "WEAK_DIGEST_ACCEPTED")
def weak_digest_is_refused(story: Story) -> Iterator[Finding]:
    """A digest made with MD5 or SHA-1 is refused even where the signature over it holds."""
    for name in ("md5", "sha"):
        errors = ("DIGEST_MISMATCH", "SIGNATURE_MALFORMED", "SUITE_REFUSED", "SIGNATURE_INVALID")
        yield from expect.refused(story, name, "WEAK_DIGEST_ACCEPTED", *errors, twin=f"{name}:twin")
