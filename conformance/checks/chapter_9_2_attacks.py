"""Odd keys, hostile ids and bodies, ids that collide, permits used at once (9.2-a-1, 9.2-b-2, 9.2-e-5, 9.2-f)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.bent import OddKind
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

_ODD = ("CREDENTIAL_MALFORMED", "KEY_TOO_WEAK", "CREDENTIAL_TYPE_UNSUPPORTED", "SUITE_REFUSED", "SIGNATURE_INVALID")
_FOREIGN_ID = ("REQUEST_INVALID", "CONTRACT_NOT_FOUND", "RESOURCE_NOT_FOUND", "NOT_YOURS")
_NO_BODY = ("BODY_NOT_JSON", "REQUEST_INVALID", "BODY_TOO_LARGE", "MEDIA_TYPE_UNSUPPORTED")


# --- 9.2-f ----------------------------------------------------------------------------------------------------------


def _odd(story: Story, code: str, *kinds: OddKind) -> Iterator[Finding]:
    for kind in kinds:
        yield from expect.refused(story, kind, code, *_ODD, twin="sound")


@check("9.2-f-2", "odd_keys", "POINT_AT_INFINITY_ACCEPTED")
def point_that_is_no_key_is_refused(story: Story) -> Iterator[Finding]:
    """The point at infinity and the point of two zeros are no keys."""
    yield from _odd(story, "POINT_AT_INFINITY_ACCEPTED", OddKind.INFINITY, OddKind.ZERO_POINT)


@check("9.2-f-2", "odd_keys", "KEY_UNDER_WRONG_CURVE_ACCEPTED")
def key_under_the_name_of_another_curve_is_refused(story: Story) -> Iterator[Finding]:
    """An SM2 key under the name of P-256 is refused, and one the other way round."""
    yield from _odd(story, "KEY_UNDER_WRONG_CURVE_ACCEPTED", OddKind.SM2_AS_P256, OddKind.P256_AS_SM2)


@check("9.2-f-2", "odd_keys", "COMPRESSED_KEY_ACCEPTED")
def key_has_one_form(story: Story) -> Iterator[Finding]:
    """An SM2 key is shown by its uncompressed point and not otherwise, so that a key has one fingerprint."""
    yield from _odd(story, "COMPRESSED_KEY_ACCEPTED", OddKind.COMPRESSED)


@check("9.2-f-2", "odd_keys", "RSA_EXPONENT_ONE_ACCEPTED")
def rsa_key_that_everybody_can_sign_for_is_refused(story: Story) -> Iterator[Finding]:
    """An RSA key with the exponent one is refused."""
    yield from _odd(story, "RSA_EXPONENT_ONE_ACCEPTED", OddKind.RSA_EXPONENT_ONE)


@check("9.2-f-2", "odd_keys", "PRIVATE_KEY_ACCEPTED")
def private_key_is_no_credential(story: Story) -> Iterator[Finding]:
    """A private key that is shown in the place of a public one is refused."""
    yield from _odd(story, "PRIVATE_KEY_ACCEPTED", OddKind.PRIVATE)


@check("9.2-f-2", "odd_keys", "SECOND_KEY_IGNORED")
def credential_holds_one_key(story: Story) -> Iterator[Finding]:
    """A credential of two keys is refused, whichever of them signs."""
    yield from _odd(story, "SECOND_KEY_IGNORED", OddKind.TWO_KEYS)


@check("9.2-f", "weak_suites", "WEAK_SUITE_ACCEPTED")
def suite_of_a_weak_algorithm_is_refused(story: Story) -> Iterator[Finding]:
    """Suites of SHA-1, MD5 and DES are refused by name, however strong the key."""
    for name in ("sha1-rsa", "md5-rsa", "sha1-ecdsa", "des"):
        yield from expect.refused(story, name, "WEAK_SUITE_ACCEPTED", "REQUEST_INVALID", *_ODD, twin="sound")


# --- 9.2-e-5 --------------------------------------------------------------------------------------------------------


def _foreign(story: Story, code: str, *names: str) -> Iterator[Finding]:
    for name in names:
        yield from expect.refused(story, name, code, *_FOREIGN_ID, twin="sound")


@check("9.2-e-5", "hostile_ids", "ID_READ_AS_PATH")
def id_is_no_path(story: Story) -> Iterator[Finding]:
    """An id that walks through folders names nothing."""
    yield from _foreign(story, "ID_READ_AS_PATH", "parent", "inside", "encoded", "backslash")


@check("9.2-e-5", "hostile_ids", "ID_CUT_SHORT")
def id_is_read_whole(story: Story) -> Iterator[Finding]:
    """An id with a NUL or thousands of blanks in it is not cut down to one that exists."""
    yield from _foreign(story, "ID_CUT_SHORT", "nul", "blanks")


@check("9.2-e-5", "hostile_ids", "ID_FOLDED")
def id_is_compared_by_its_characters(story: Story) -> Iterator[Finding]:
    """An id in wide letters or in the other case is another id."""
    yield from _foreign(story, "ID_FOLDED", "wide", "capitals")


def _bounded(story: Story, name: str, code: str) -> Iterator[Finding]:
    """The body was refused, and the same content in a sound body is taken."""
    yield from expect.refused(story, name, code, *_NO_BODY, twin="right")


@check("9.2-e-5", "hostile_bodies", "DEEP_BODY_ACCEPTED")
def body_of_ten_thousand_levels_is_refused(story: Story) -> Iterator[Finding]:
    """A body that is nested without end is refused, not followed to its ground."""
    yield from _bounded(story, "deep", "DEEP_BODY_ACCEPTED")


@check("9.2-e-5", "hostile_bodies", "BIG_BODY_ACCEPTED")
def body_of_megabytes_is_refused(story: Story) -> Iterator[Finding]:
    """A control message of four megabytes is refused."""
    yield from _bounded(story, "big", "BIG_BODY_ACCEPTED")


@check("9.2-e-5", "hostile_bodies", "PACKED_BODY_UNPACKED")
def packed_body_does_not_swell(story: Story) -> Iterator[Finding]:
    """A small body that unpacks to sixteen megabytes is refused."""
    yield from _bounded(story, "bomb", "PACKED_BODY_UNPACKED")


@check("9.2-e-5", "hostile_bodies", "FOREIGN_MEDIA_TYPE_ACCEPTED")
def body_that_does_not_say_json_is_refused(story: Story) -> Iterator[Finding]:
    """A form, plain text and a body of no kind are refused, so that no web page can send them."""
    for name in ("form", "plain", "none"):
        yield from _bounded(story, name, "FOREIGN_MEDIA_TYPE_ACCEPTED")


@check("9.2-e-5", "hostile_bodies", "FOREIGN_CHARSET_ACCEPTED")
def body_in_another_charset_is_refused(story: Story) -> Iterator[Finding]:
    """A body in UTF-16 is refused, though it says so."""
    yield from _bounded(story, "utf-16", "FOREIGN_CHARSET_ACCEPTED")


@check("9.2-e-5", "hostile_bodies", "HUGE_NUMBER_ACCEPTED")
def number_beyond_all_bounds_is_refused(story: Story) -> Iterator[Finding]:
    """A number that overflows is refused and not taken for another."""
    for name in ("infinite", "long"):
        errors = (*_NO_BODY, "EXPIRY_INVALID")
        yield from expect.refused(story, name, "HUGE_NUMBER_ACCEPTED", *errors, twin="exact")


# --- 9.2-a-1 --------------------------------------------------------------------------------------------------------


@check("9.2-a-1", "ids_collide", "NODE_ID_HELD_TWICE")
def node_id_is_held_once_while_applications_wait(story: Story) -> Iterator[Finding]:
    """Of two keys that apply for one node id at the same time, at most one is taken."""
    first, second = story.step("first"), story.step("second")
    if first.reading.accepted and second.reading.accepted:
        yield expect.finding("NODE_ID_HELD_TWICE", first, second, expected="one application taken", actual="both")
    if not (first.reading.accepted or second.reading.accepted):
        raise NoTwin("first")


@check("9.2-a-1", "ids_collide", "NODE_ID_FOLDED")
def node_id_in_another_case_is_another(story: Story) -> Iterator[Finding]:
    """A node whose id differs in case only gets nothing of the first one's, whose record stays as it was."""
    code = "NODE_ID_FOLDED"
    errors = (*_FOREIGN_ID, "CONTRACT_NOT_ACTIVE", "NODE_UNKNOWN", "SIGNATURE_INVALID", "NODE_ID_TAKEN")
    yield from expect.refused(story, "double-query", code, *errors, twin="owner-query")
    yield from expect.unchanged(story, "before", "after", code)


# --- 9.2-b-2 --------------------------------------------------------------------------------------------------------


def _admitted(story: Story) -> int:
    return sum(story.step(name).reading.accepted for name in story.fact("uses"))


@check("9.2-b-2", "permit_race", "PERMIT_RACE_LOST")
def permit_admits_no_more_uses_at_once(story: Story) -> Iterator[Finding]:
    """However many use a permit at the same time, no more are admitted than it is for."""
    if _admitted(story) > story.fact("limit"):
        steps = (story.step(name) for name in story.fact("uses"))
        yield expect.finding("PERMIT_RACE_LOST", *steps, expected=story.fact("limit"), actual=_admitted(story))


@check("9.2-b-2", "permit_race", "PERMIT_RACE_SHORT")
def permit_admits_no_fewer_uses_at_once(story: Story) -> Iterator[Finding]:
    """However many use a permit at the same time, it is used up before anybody is refused."""
    if _admitted(story) < story.fact("limit"):
        steps = (story.step(name) for name in story.fact("uses"))
        yield expect.finding("PERMIT_RACE_SHORT", *steps, expected=story.fact("limit"), actual=_admitted(story))
