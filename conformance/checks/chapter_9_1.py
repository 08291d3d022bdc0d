"""Signed requests and what is settled when a contract is signed (9.1-a, 9.1-b, 9.2-g)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.harness import expect
from conformance.harness.records import Direction, Finding
from conformance.harness.registry import EVERY, check
from conformance.harness.story import MISSING, Story

UNCOVERED = {
    "method": "METHOD_NOT_SIGNED",
    "path": "PATH_NOT_SIGNED",
    "query": "QUERY_NOT_SIGNED",
    "digest": "DIGEST_NOT_SIGNED",
    "token-set": "PERMITS_NOT_SIGNED",
    "nonce": "NONCE_NOT_SIGNED",
    "source": "SOURCE_NOT_SIGNED",
    "target": "TARGET_NOT_SIGNED",
    "timestamp": "TIMESTAMP_NOT_SIGNED",
}
_BAD_SIGNATURE = ("SIGNATURE_INVALID", "DIGEST_MISMATCH")


# --- 9.1-a ----------------------------------------------------------------------------------------------------------


@check("9.1-a", "suite_announced", "SUITES_ANNOUNCED_WRONGLY")
def announced_suites_are_the_declared_ones(story: Story) -> Iterator[Finding]:
    """The suites that a node announces, if it announces any, are those that its profile declares."""
    step = story.step("asked")
    announced = step.get("/auth_types")
    declared = sorted(str(name) for name in story.profile.capabilities.auth_types)
    if announced is not MISSING and _texts(announced) != declared:
        code = "SUITES_ANNOUNCED_WRONGLY"
        yield expect.finding(code, step, pointer="/auth_types", expected=declared, actual=announced)


@check("9.1-a", "suite_chosen", "CHOSEN_SUITE_NOT_IN_COMMON")
def node_applies_with_a_suite_that_the_partner_takes(story: Story) -> Iterator[Finding]:
    """Where a partner announces one suite, the application is made with it."""
    for name in sorted(story.profile.capabilities.auth_types):
        code = "CHOSEN_SUITE_NOT_IN_COMMON"
        yield from expect.carried(story, f"applied-{name}", "/auth_type", str(name), code)


@check("9.1-a", "suite_not_in_common", "APPLIED_WITHOUT_COMMON_SUITE")
def node_does_not_apply_without_a_common_suite(story: Story) -> Iterator[Finding]:
    """Where the two sides have no suite in common, signing ends in an error and nothing is sent."""
    code, errors = "APPLIED_WITHOUT_COMMON_SUITE", ("CREDENTIAL_TYPE_UNSUPPORTED", "SUITE_REFUSED")
    yield from expect.refused(story, "apply", code, *errors, twin="apply-common")
    yield from expect.not_called(story, "applied", code)


@check("9.1-a", "weak_keys", "UNKNOWN_SUITE_DOWNGRADED")
def unsupported_kind_of_credential_is_refused(story: Story) -> Iterator[Finding]:
    """A kind of credential that the node does not take is refused, not silently read as another."""
    code, errors = "UNKNOWN_SUITE_DOWNGRADED", ("CREDENTIAL_TYPE_UNSUPPORTED", "CREDENTIAL_MALFORMED", "SUITE_REFUSED")
    yield from expect.refused(story, "cert", code, *errors, twin="sound")


@check("9.2-f-should", "suite_chosen", "SM2_NOT_PREFERRED")
def node_prefers_sm2_with_sm3(story: Story) -> Iterator[Finding]:
    """Where both sides take several suites, the application is made with SM2 and SM3."""
    if "SM3_SM2" in story.profile.capabilities.auth_types:
        yield from expect.carried(story, "applied-several", "/auth_type", "SM3_SM2", "SM2_NOT_PREFERRED")


@check("9.2-f-should", "suite_announced", "SM2_NOT_ANNOUNCED_FIRST")
def node_announces_sm2_with_sm3_first(story: Story) -> Iterator[Finding]:
    """A node that takes SM2 with SM3 announces it as its first choice."""
    if "SM3_SM2" in story.profile.capabilities.auth_types and story.step("asked").get("/auth_types") is not MISSING:
        yield from expect.shows(story, "asked", "/auth_types/0", "SM3_SM2", "SM2_NOT_ANNOUNCED_FIRST")


# --- requests to the target -----------------------------------------------------------------------------------------


@check("9.2-g", "request_uncovered", *UNCOVERED.values())
def signature_covers_every_component(story: Story) -> Iterator[Finding]:
    """A signature that leaves out any of the nine components is refused."""
    for name, code in UNCOVERED.items():
        yield from expect.refused(story, name, code, *_BAD_SIGNATURE, twin=f"{name}:twin")


@check("9.1-b", "request_altered", "ALTERED_REQUEST_ACCEPTED")
def altered_request_is_refused(story: Story) -> Iterator[Finding]:
    """A request that was changed on the way, in whatever component, is refused."""
    for name in ("method", "path", "query", "nonce", "timestamp", "token-set", "source", "digest"):
        yield from expect.refused(story, name, "ALTERED_REQUEST_ACCEPTED", *_BAD_SIGNATURE, twin=f"{name}:twin")


@check("9.1-b", "request_altered", "ALTERED_BODY_ACCEPTED")
def altered_body_is_refused(story: Story) -> Iterator[Finding]:
    """A body that does not match its signed digest is refused, and nothing of it is kept."""
    code = "ALTERED_BODY_ACCEPTED"
    yield from expect.refused(story, "body", code, "DIGEST_MISMATCH", "SIGNATURE_INVALID", twin="body:twin")
    if story.step("known").get("/name") == story.fact("name"):
        yield expect.finding(code, story.step("known"), pointer="/name", actual=story.fact("name"))


@check("9.1-b", "request_unsigned", "UNSIGNED_REQUEST_ACCEPTED")
def unsigned_request_is_refused(story: Story) -> Iterator[Finding]:
    """A request without a signature, or without one of the headers that a signature covers, is refused."""
    code, errors = "UNSIGNED_REQUEST_ACCEPTED", ("SIGNATURE_MISSING", "HEADER_MISSING")
    headers = ("x-source-node-id", "x-target-node-id", "x-nonce", "x-timestamp", "content-digest")
    for step in ("unsigned", *(f"without-{name}" for name in headers)):
        yield from expect.refused(story, step, code, *errors, twin=f"{step}:twin")


@check("9.1-b", "request_unsigned", "FORGED_SIGNATURE_ACCEPTED")
def signature_of_another_key_is_refused(story: Story) -> Iterator[Finding]:
    """A signature by a key that is not the sender's, or that is no signature, is refused."""
    code, errors = "FORGED_SIGNATURE_ACCEPTED", (*_BAD_SIGNATURE, "SIGNATURE_MALFORMED")
    for name in ("wrong-key", "malformed"):
        yield from expect.refused(story, name, code, *errors, twin=f"{name}:twin")


@check("9.2-f", "request_unsigned", "RELABELLED_SIGNATURE_ACCEPTED")
def signature_under_another_algorithm_is_refused(story: Story) -> Iterator[Finding]:
    """A signature that claims another algorithm than that of the sender's key is refused."""
    code, errors = "RELABELLED_SIGNATURE_ACCEPTED", ("SUITE_REFUSED", *_BAD_SIGNATURE)
    yield from expect.refused(story, "relabelled", code, *errors, twin="relabelled:twin")


@check("9.1-b", "request_csrf", "CSRF_HEADER_NOT_DEMANDED")
def changing_request_without_csrf_header_is_refused(story: Story) -> Iterator[Finding]:
    """A changing request carries the header that a foreign web page cannot set, or it changes nothing."""
    code = "CSRF_HEADER_NOT_DEMANDED"
    yield from expect.refused(story, "sync-forged", code, "CSRF_HEADER_MISSING", twin="sync")
    if story.step("known").get("/name") == story.fact("name"):
        yield expect.finding(code, story.step("known"), pointer="/name", actual=story.fact("name"))


@check("9.1-b", "request_query_order", "QUERY_ORDER_MATTERS")
def query_is_signed_in_its_canonical_order(story: Story) -> Iterator[Finding]:
    """The order of a query does not matter, since its canonical form is signed."""
    if story.step("ordered").reading.accepted:
        yield from expect.accepted(story, "unordered", "QUERY_ORDER_MATTERS")


@check("9.2-g", "request_replayed", "REPLAY_ACCEPTED")
def replayed_request_is_refused(story: Story) -> Iterator[Finding]:
    """A nonce that its sender has used is refused."""
    yield from expect.refused(story, "again", "REPLAY_ACCEPTED", "NONCE_REPLAYED", twin="fresh")


@check("9.2-g", "request_replayed", "NONCE_FREE_AFTER_REFUSAL")
def nonce_of_a_refused_request_is_spent(story: Story) -> Iterator[Finding]:
    """A nonce is used up even where its request was refused for its content."""
    yield from expect.refused(story, "refused-again", "NONCE_FREE_AFTER_REFUSAL", "NONCE_REPLAYED", twin="fresh")


@check("9.2-g", "request_replayed", "NONCE_OF_ANOTHER_REFUSED")
def nonce_of_another_sender_is_no_replay(story: Story) -> Iterator[Finding]:
    """Two senders may draw the same nonce; nobody can use up another's."""
    yield from expect.accepted(story, "other", "NONCE_OF_ANOTHER_REFUSED")


@check("9.2-g", "request_time", "STALE_REQUEST_ACCEPTED")
def request_outside_the_window_is_refused(story: Story) -> Iterator[Finding]:
    """A request from long ago or from the future is refused."""
    for name in ("behind", "ahead"):
        code = "STALE_REQUEST_ACCEPTED"
        yield from expect.refused(story, f"{name}-outside", code, "TIMESTAMP_SKEWED", twin=f"{name}-inside")


@check("9.2-g", "request_time", "REQUEST_INSIDE_WINDOW_REFUSED")
def request_inside_the_window_is_accepted(story: Story) -> Iterator[Finding]:
    """Clocks that differ by less than the declared window do not matter."""
    for name in ("behind", "ahead"):
        yield from expect.accepted(story, f"{name}-inside", "REQUEST_INSIDE_WINDOW_REFUSED")


@check("9.2-a-1", "request_target", "REQUEST_FOR_ANOTHER_ACCEPTED")
def request_for_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """A node takes only what was signed for its own id."""
    yield from expect.refused(story, "astray", "REQUEST_FOR_ANOTHER_ACCEPTED", "TARGET_MISMATCH", twin="here")


# --- requests of the target -----------------------------------------------------------------------------------------


def _problems(story: Story, codes: dict[str, str]) -> Iterator[Finding]:
    """Yield a finding for each problem that the receiving partner noted, where it is one of these."""
    for row in story.transcript.exchanges:
        if row.direction is not Direction.TO_PARTNER:
            continue
        for problem in row.problems:
            code = codes.get(problem.partition(":")[0])
            if code:
                yield Finding(code, "", f"{row.operation} signed as described", problem, (row.id,))


@check("9.1-b", EVERY, "OWN_REQUEST_UNSIGNED")
def every_own_request_is_signed(story: Story) -> Iterator[Finding]:
    """Whatever the node sends to a partner carries a signature."""
    yield from _problems(story, {"UNSIGNED": "OWN_REQUEST_UNSIGNED"})


@check("9.1-b", EVERY, "OWN_SIGNATURE_WRONG")
def every_own_signature_holds(story: Story) -> Iterator[Finding]:
    """Whatever the node sends is signed by the key and in the suite of the contract."""
    names = ("SIGNATURE_WRONG", "SIGNATURE_MALFORMED", "ALG_WRONG")
    yield from _problems(story, dict.fromkeys(names, "OWN_SIGNATURE_WRONG"))


@check("9.1-b", EVERY, "OWN_DIGEST_WRONG")
def every_own_digest_is_that_of_the_body(story: Story) -> Iterator[Finding]:
    """Whatever the node sends has the digest of its body."""
    yield from _problems(story, dict.fromkeys(("DIGEST_WRONG", "DIGEST_MISSING"), "OWN_DIGEST_WRONG"))


@check("9.1-b", EVERY, "OWN_HEADER_MISSING")
def every_own_request_has_its_headers(story: Story) -> Iterator[Finding]:
    """Whatever the node sends has all the headers that partners demand."""
    yield from _problems(story, {"HEADER_MISSING": "OWN_HEADER_MISSING"})


@check("9.2-g", EVERY, "OWN_NONCE_REUSED")
def every_own_nonce_is_fresh(story: Story) -> Iterator[Finding]:
    """The node draws a nonce for each of its requests, for repeated ones too."""
    yield from _problems(story, {"NONCE_REUSED": "OWN_NONCE_REUSED"})


@check("9.2-g", EVERY, "OWN_TIMESTAMP_WRONG")
def every_own_timestamp_is_current(story: Story) -> Iterator[Finding]:
    """The node stamps its requests with the time."""
    yield from _problems(story, {"TIMESTAMP_WRONG": "OWN_TIMESTAMP_WRONG"})


@check("9.2-a-1", EVERY, "OWN_ADDRESSING_WRONG")
def every_own_request_names_both_nodes(story: Story) -> Iterator[Finding]:
    """The node names itself as the source and the partner as the target."""
    yield from _problems(story, dict.fromkeys(("SOURCE_WRONG", "TARGET_WRONG"), "OWN_ADDRESSING_WRONG"))


@check("9.2-f-2", EVERY, "OWN_KEY_UNFIT")
def every_own_key_is_fit_for_its_suite(story: Story) -> Iterator[Finding]:
    """The key that the node presents is one that its suite allows."""
    names = ("CREDENTIAL_MALFORMED", "CREDENTIAL_MISSING")
    yield from _problems(story, dict.fromkeys(names, "OWN_KEY_UNFIT"))


def _texts(value: object) -> list[str]:
    return sorted(str(item) for item in value) if isinstance(value, Iterable) and not isinstance(value, str) else []
