"""Offers of suites that are signed with what they led to, so that none can be stripped on the way (9.2-f)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

_REFUSED = ("SUITE_REFUSED", "CREDENTIAL_TYPE_UNSUPPORTED")


@check("9.2-f", "offer_told", "OFFER_NOT_SIGNED")
def application_and_confirmation_tell_what_the_node_offers(story: Story) -> Iterator[Finding]:
    """The signed requests that settle a contract list the suites that their sender takes."""
    declared = sorted(str(name) for name in story.profile.capabilities.auth_types)
    yield from _lists(story, "/auth_types", declared, "OFFER_NOT_SIGNED")


@check("9.2-f", "offer_told", "SEEN_OFFER_NOT_SIGNED")
def application_and_confirmation_tell_what_the_partner_offered(story: Story) -> Iterator[Finding]:
    """The signed requests that settle a contract repeat the whole offer of the partner."""
    yield from _lists(story, "/seen_auth_types", sorted(story.fact("offered")), "SEEN_OFFER_NOT_SIGNED")


@check("9.2-f", "offer_downgraded", "DOWNGRADED_APPLICATION_TAKEN")
def application_under_the_best_common_suite_is_refused(story: Story) -> Iterator[Finding]:
    """An application with a lesser suite than both sides list is refused; one that lists no better is not."""
    code = "DOWNGRADED_APPLICATION_TAKEN"
    yield from expect.refused(story, "downgraded", code, *_REFUSED, twin="sound")


@check("9.2-f", "offer_downgraded", "LESSER_SUITE_REFUSED")
def application_with_the_best_that_the_partner_has_is_taken(story: Story) -> Iterator[Finding]:
    """An applicant that has the lesser suite only is taken."""
    yield from expect.accepted(story, "lesser-only", "LESSER_SUITE_REFUSED")


@check("9.2-f", "offer_downgraded", "STRIPPED_OFFER_TAKEN")
def application_on_a_stripped_offer_is_refused(story: Story) -> Iterator[Finding]:
    """An application whose sender saw fewer suites than the node offers is refused."""
    yield from expect.refused(story, "stripped", "STRIPPED_OFFER_TAKEN", *_REFUSED, twin="sound")


@check("9.2-f", "confirmation_downgraded", "STRIPPED_CONFIRMATION_TAKEN")
def confirmation_of_a_stripped_offer_is_refused(story: Story) -> Iterator[Finding]:
    """A confirmation whose sender saw fewer suites than the node offered is refused."""
    yield from expect.refused(story, "stripped", "STRIPPED_CONFIRMATION_TAKEN", *_REFUSED, twin="sound")


@check("9.2-f", "confirmation_downgraded", "DOWNGRADED_CONFIRMATION_TAKEN")
def confirmation_that_reveals_a_better_suite_is_refused(story: Story) -> Iterator[Finding]:
    """A confirmation that lists a better suite than was used, which both sides have, is refused."""
    yield from expect.refused(story, "better", "DOWNGRADED_CONFIRMATION_TAKEN", *_REFUSED, twin="sound")


def _lists(story: Story, pointer: str, expected: list[str], code: str) -> Iterator[Finding]:
    for name in ("applied", "confirm:told"):
        step = story.step(name)
        actual = step.got(pointer)
        if not isinstance(actual, list) or sorted(map(str, actual)) != expected:
            yield expect.finding(code, step, pointer=pointer, expected=expected, actual=actual)
