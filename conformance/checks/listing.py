"""Lists as checks read them: what is there, what is not, how many, on which pages.

Whatever shape a target gives its lists, nothing here raises; what cannot be read counts as not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.story import MISSING, Step, Story

FULL_PAGE = 500


def rows(step: Step) -> list[dict[str, Any]]:
    """Return the records of a list."""
    found = step.get("/records")
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def row_of(step: Step, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the first record that has these values."""
    return next((row for row in rows(step) if all(row.get(name) == value for name, value in wanted.items())), None)


def holds(story: Story, name: str, wanted: Iterable[Mapping[str, Any]], code: str) -> Iterator[Finding]:
    """The list of the step has a record for each of these."""
    step = story.step(name)
    for one in wanted:
        if row_of(step, one) is None:
            yield expect.finding(code, step, pointer="/records", expected=dict(one), actual="not in the list")


def lacks(story: Story, name: str, unwanted: Iterable[Mapping[str, Any]], code: str) -> Iterator[Finding]:
    """The list of the step was answered and has no record of any of these."""
    step = story.step(name)
    if not step.reading.accepted:
        return
    for one in unwanted:
        found = row_of(step, one)
        if found is not None:
            yield expect.finding(code, step, pointer="/records", expected="not in the list", actual=found)


def shows(story: Story, name: str, which: Mapping[str, Any], field: str, expected: Any, code: str) -> Iterator[Finding]:
    """The record that has the values `which` shows this value in a field; a record that is not there shows nothing."""
    step = story.step(name)
    row = row_of(step, which)
    if row is not None and row.get(field, MISSING) != expected:
        yield expect.finding(
            code, step, pointer=f"/records/*/{field}", expected=expected, actual=row.get(field, MISSING)
        )


def named(story: Story, key: str, *slugs: str) -> list[dict[str, Any]]:
    """Return how a list would name what these facts hold; a fact is a registration or an id."""
    facts = [story.fact(slug) for slug in slugs]
    return [{key: fact[key] if isinstance(fact, dict) else fact} for fact in facts]


def counts(story: Story, name: str, code: str) -> Iterator[Finding]:
    """The total of a list that fits on one page is the number of its records."""
    step = story.step(name)
    number = len(rows(step))
    if number < FULL_PAGE and step.reading.accepted and step.get("/total") != number:
        yield expect.finding(code, step, pointer="/total", expected=number, actual=step.get("/total"))


def totals(story: Story, pages: Iterable[str], whole: str, code: str) -> Iterator[Finding]:
    """The total of a list is the number of its records, and every page of it tells the same."""
    yield from counts(story, whole, code)
    for page in pages:
        yield from expect.shows(story, page, "/total", story.step(whole).get("/total"), code)


def pages(story: Story, names: Iterable[str], keys: tuple[str, ...], size: int, code: str) -> Iterator[Finding]:
    """Each page is no larger than asked for, and no record stands on two of them; the last may be short."""
    seen: set[tuple[Any, ...]] = set()
    steps = [story.step(name) for name in names]
    for step in steps:
        found = [tuple(str(row.get(key)) for key in keys) for row in rows(step)]
        short = len(found) < size and step is not steps[-1]
        if step.reading.accepted and (short or len(found) > size or seen & set(found)):
            yield expect.finding(
                code, step, pointer="/records", expected=f"{size} records of no other page", actual=[*map(list, found)]
            )
        seen |= set(found)
