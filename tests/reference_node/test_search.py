"""What fuzzy, exact and a page mean."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reference_node.domain.search import Match, Window, matches, page


def test_fuzzy_is_contained_in_any_case() -> None:
    """A part of id or name in any case is found."""
    assert matches("METER", Match.FUZZY, "ds-meter-1", "用电量")
    assert matches("电", Match.FUZZY, "ds-meter-1", "用电量")
    assert not matches("gas", Match.FUZZY, "ds-meter-1", "用电量")


def test_exact_is_equal() -> None:
    """Only the whole id or the whole name is found, in its own case."""
    assert matches("用电量", Match.EXACT, "ds-meter-1", "用电量")
    assert not matches("用电", Match.EXACT, "ds-meter-1", "用电量")
    assert not matches("DS-METER-1", Match.EXACT, "ds-meter-1", "用电量")


@given(st.text(), st.text(min_size=1))
def test_exact_implies_fuzzy(keyword: str, name: str) -> None:
    """What is found exactly is found fuzzily; no keyword finds everything."""
    assert not matches(keyword, Match.EXACT, name) or matches(keyword, Match.FUZZY, name)
    assert matches("", Match.EXACT, name)


@given(st.lists(st.integers(), max_size=60), st.integers(1, 10))
def test_pages_cover_everything_once(found: list[int], size: int) -> None:
    """Pages put together are the whole list: no overlap, no gap, nothing after the end."""
    pages = [page(found, Window(number, size)) for number in range(1, len(found) // size + 3)]
    assert [record for cut in pages for record in cut] == found
    assert all(len(cut) <= size for cut in pages)
    assert pages[-1] == []
