"""Headers that leave open what is meant are found before they are folded."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.security import signing
from reference_node.security.doubled_headers import LISTS, repeated

names = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12)
headers = st.lists(st.tuples(names, st.text(max_size=3)), max_size=8)
ONCE = (
    *signing.COMPONENTS[3:],
    signing.SIGNATURE,
    signing.TRACE,
    "authorization",
    "content-type",
    "host",
    "x-ptp-topic",
)


@given(headers)
def test_it_is_found_exactly_when_a_name_that_is_no_list_stands_twice(found: list[tuple[str, str]]) -> None:
    """Case does not matter, nor do values; what is named is one of those that stand twice."""
    lowered = [name.lower() for name, _ in found]
    twice = {name for name in lowered if lowered.count(name) > 1 and name not in LISTS}
    told = repeated(found)
    assert (told is None) == (not twice)
    assert told is None or told in twice


@given(headers, names, names, st.data())
def test_an_underscore_is_never_let_through(
    found: list[tuple[str, str]], before: str, after: str, data: st.DataObject
) -> None:
    """Wherever it stands, whatever else is there."""
    found.insert(data.draw(st.integers(0, len(found))), (f"{before}_{after}", ""))
    assert repeated(found) is not None
    assert repeated([(f"{before}_{after}", "")]) == f"{before}_{after}".lower()


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("other", [str.upper, str.title, str.lower])
def test_whatever_decides_who_and_what_stands_once(name: str, other: object) -> None:
    """Every covered header, the signature, the token of the own side, and what names the place."""
    spelled = name.upper() if other is str.upper else name.title() if other is str.title else name
    assert repeated([(name, "a"), ("accept", "b"), (spelled, "a")]) == name
    assert repeated([(name, "a"), ("accept", "b"), ("accept", "c")]) is None
