"""Headers that leave open what is meant are refused (9.1-b, 9.2-b-4)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

# a target may see two headers, a header that is malformed, or what folding has left of them
_REFUSED = (
    "HEADER_REPEATED",
    "REQUEST_INVALID",
    "HEADER_MISSING",
    "SIGNATURE_INVALID",
    "SIGNATURE_MALFORMED",
    "DIGEST_MISMATCH",
    "NODE_UNKNOWN",
    "TARGET_MISMATCH",
    "TIMESTAMP_SKEWED",
    "CERTIFICATE_MISMATCH",
)


@check("9.1-b", "headers_doubled", "DOUBLED_HEADER_ACCEPTED")
def headers_that_stand_twice_are_refused(story: Story) -> Iterator[Finding]:
    """A covered header with two values is refused, whichever of them comes first."""
    for name in story.fact("tried"):
        yield from expect.refused(story, name, "DOUBLED_HEADER_ACCEPTED", *_REFUSED, twin=f"{name}:right")


@check("9.1-b", "headers_underscored", "UNDERSCORE_HEADER_ACCEPTED")
def underscores_spell_no_covered_header(story: Story) -> Iterator[Finding]:
    """A covered header that is right only in the spelling with underscores counts as absent, or as wrong."""
    for name in story.fact("tried"):
        yield from expect.refused(story, name, "UNDERSCORE_HEADER_ACCEPTED", *_REFUSED, twin=f"{name}:right")


@check("9.2-b-4", "authorization_doubled", "DOUBLED_AUTHORIZATION_ACCEPTED")
def operators_token_stands_alone(story: Story) -> Iterator[Finding]:
    """An own-side operation does not open to the right token where another one stands beside it."""
    errors = ("HEADER_REPEATED", "REQUEST_INVALID", "OPERATOR_TOKEN_INVALID")
    for name in ("other-last", "other-first"):
        yield from expect.refused(story, name, "DOUBLED_AUTHORIZATION_ACCEPTED", *errors, twin="right")
