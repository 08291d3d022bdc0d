"""Signatures that are almost right, and how wide the window for timestamps is (9.1-b, 9.2-f-3, 9.2-g)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

_BAD = ("SIGNATURE_INVALID", "SIGNATURE_MALFORMED")
_ZERO = ("zeros", "r-zero", "s-zero")


def _all(story: Story, code: str, *names: str) -> Iterator[Finding]:
    """Everything that was tried, or what of it has one of these names, was refused for its signature."""
    for step in story.fact("tried"):
        if not names or step.rpartition(":")[2] in names:
            yield from expect.refused(story, step, code, *_BAD, twin=f"{step}:twin")


@check("9.1-b", "signature_scalars", "ZERO_SIGNATURE_ACCEPTED")
def signature_of_zeros_is_refused(story: Story) -> Iterator[Finding]:
    """A signature with a zero in it, which anybody can write, is nobody's."""
    yield from _all(story, "ZERO_SIGNATURE_ACCEPTED", *_ZERO)


@check("9.1-b", "signature_scalars", "SIGNATURE_OUT_OF_RANGE_ACCEPTED")
def signature_out_of_range_is_refused(story: Story) -> Iterator[Finding]:
    """A signature with the order of the group in it, or more, is nobody's."""
    yield from _all(story, "SIGNATURE_OUT_OF_RANGE_ACCEPTED", "r-n", "s-n", "both-n", "ones")


@check("9.1-b", "signature_encodings", "DER_SIGNATURE_ACCEPTED")
def signature_in_der_is_refused(story: Story) -> Iterator[Finding]:
    """A signature has one form: in DER it is refused where r and s are agreed."""
    yield from _all(story, "DER_SIGNATURE_ACCEPTED", "der")


@check("9.1-b", "signature_encodings", "SIGNATURE_LENGTH_IGNORED")
def signature_of_another_length_is_refused(story: Story) -> Iterator[Finding]:
    """A signature with bytes after it, with zeros before its parts or cut short is refused."""
    yield from _all(story, "SIGNATURE_LENGTH_IGNORED", "trailing", "short", "leading")


@check("9.1-b", "signature_negated", "NEGATED_SIGNATURE_ACCEPTED")
def sm2_signature_has_no_second_form(story: Story) -> Iterator[Finding]:
    """An SM2 signature whose s was negated is refused."""
    yield from expect.refused(story, "negated", "NEGATED_SIGNATURE_ACCEPTED", *_BAD, twin="negated:twin")


@check("9.2-g", "signature_malleated", "MALLEATED_REPLAY_ACCEPTED")
def replay_under_another_signature_is_a_replay(story: Story) -> Iterator[Finding]:
    """A request that comes again is refused, also where its signature was made into another valid one."""
    yield from expect.accepted(story, "first", "MALLEATED_REPLAY_ACCEPTED")
    yield from expect.refused(story, "again", "MALLEATED_REPLAY_ACCEPTED", "NONCE_REPLAYED", *_BAD, twin="fresh")


@check("9.1-b", "signature_user_id", "SM2_USER_ID_NOT_BOUND")
def sm2_signature_binds_the_agreed_user_id(story: Story) -> Iterator[Finding]:
    """An SM2 signature over another user id, over none, or over the bare message is refused."""
    yield from _all(story, "SM2_USER_ID_NOT_BOUND")


@check("9.2-f-3", "signature_weak_hash", "WEAK_SIGNATURE_HASH_ACCEPTED")
def signature_over_sha1_is_refused(story: Story) -> Iterator[Finding]:
    """A signature over SHA-1 does not pass for one over SHA-256."""
    yield from _all(story, "WEAK_SIGNATURE_HASH_ACCEPTED")


@check("9.1-b", "replay_window", "WINDOW_WIDER_THAN_DECLARED")
def window_is_no_wider_than_declared(story: Story) -> Iterator[Finding]:
    """The longest offset that was taken does not exceed the declared one."""
    for side in ("past", "future"):
        taken, _ = story.fact(side)
        if taken > _window(story) + story.fact("finest"):
            yield _measured(story, "WINDOW_WIDER_THAN_DECLARED", side)


@check("9.1-b", "replay_window", "WINDOW_NARROWER_THAN_DECLARED")
def window_is_no_narrower_than_declared(story: Story) -> Iterator[Finding]:
    """The shortest offset that was refused does not fall short of the declared one."""
    for side in ("past", "future"):
        _, refused = story.fact(side)
        if refused < _window(story) - story.fact("finest"):
            yield _measured(story, "WINDOW_NARROWER_THAN_DECLARED", side)


def _window(story: Story) -> int:
    return story.profile.timings.clock_skew_seconds * 1000


def _measured(story: Story, code: str, side: str) -> Finding:
    taken, refused = story.fact(side)
    words = f"taken up to {taken} ms, refused from {refused} ms in the {side}"
    return expect.finding(code, story.step(f"{side}:twin"), expected=f"{_window(story)} ms", actual=words)
