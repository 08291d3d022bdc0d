"""The term of the evidence that two nodes agree upon in their contract (9.2-d-3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.checks import bundle
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Step, Story

_TERM = "/evidence_retention_days"
_REFUSED = ("EVIDENCE_TERM_INVALID", "REQUEST_INVALID")


@check("9.2-d-3", "evidence_agreed", "SHORT_EVIDENCE_TERM_AGREED")
def term_under_six_months_is_not_agreed(story: Story) -> Iterator[Finding]:
    """An application that wants the evidence destroyed before six months are over is refused."""
    code = "SHORT_EVIDENCE_TERM_AGREED"
    yield from expect.refused(story, "apply-short", code, *_REFUSED, twin="apply")


@check("9.2-d-3", "evidence_agreed", "AGREED_EVIDENCE_TERM_LOST")
def agreed_term_stands_with_the_contract(story: Story) -> Iterator[Finding]:
    """The confirmation repeats the term that was applied for, and the contract shows it to both sides."""
    code, term = "AGREED_EVIDENCE_TERM_LOST", story.fact("term")
    yield from expect.carried(story, "approve:told", _TERM, term, code)
    for name in ("query", "own"):
        yield from expect.shows(story, name, _TERM, term, code)


def _exported(story: Story) -> tuple[Step, list[dict[str, Any]]]:
    step = story.step("export")
    try:
        return step, bundle.records(str(step.get("/bundle")))
    except (ValueError, TypeError, KeyError):
        raise NoTwin("export") from None


def _term(row: Mapping[str, Any]) -> Any:
    content = row.get("content")
    return content.get("retention_days") if isinstance(content, Mapping) else None


@check("9.2-d-3", "evidence_agreed", "EVIDENCE_UNDER_ANOTHER_TERM")
def evidence_of_a_contract_is_kept_for_its_term(story: Story) -> Iterator[Finding]:
    """The records of the contract say that they are kept for as long as it agrees upon."""
    step, rows = _exported(story)
    terms = [_term(row) for row in rows if row.get("seq") in story.fact("numbers")]
    if not terms or set(terms) != {story.fact("term")}:
        yield expect.finding("EVIDENCE_UNDER_ANOTHER_TERM", step, expected=story.fact("term"), actual=terms)


@check("9.2-d-3", "evidence_agreed", "EVIDENCE_OF_TWO_TERMS_TOGETHER")
def evidence_of_different_terms_has_different_keys(story: Story) -> Iterator[Finding]:
    """No two records with different terms are under one key, so that each can be destroyed at its own time."""
    step, rows = _exported(story)
    terms: dict[str, set[Any]] = {}
    for row in rows:
        terms.setdefault(str(row.get("segment")), set()).add(_term(row))
    for segment, found in terms.items():
        if len(found) > 1:
            said = f"{segment}: {sorted(map(str, found))}"
            yield expect.finding("EVIDENCE_OF_TWO_TERMS_TOGETHER", step, expected="one term a key", actual=said)


@check("9.2-d-3", "evidence_agreed_own", "EVIDENCE_TERM_NOT_ASKED")
def own_application_carries_the_term(story: Story) -> Iterator[Finding]:
    """The application that reaches the partner asks for the term that the operator has named."""
    yield from expect.carried(story, "applied", _TERM, story.fact("term"), "EVIDENCE_TERM_NOT_ASKED")


@check("9.2-d-3", "evidence_agreed_own", "OTHER_EVIDENCE_TERM_TAKEN")
def confirmation_of_another_term_is_refused(story: Story) -> Iterator[Finding]:
    """A partner that confirms another term than was applied for is refused, and the right one stands."""
    code = "OTHER_EVIDENCE_TERM_TAKEN"
    yield from expect.refused(story, "confirm-other", code, *_REFUSED, twin="confirm")
    if story.step("confirm").reading.accepted:
        yield from expect.shows(story, "own", _TERM, story.fact("term"), code)
