"""Level sets: what counts in an edition."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import levels
from conformance.harness.errors import UsageError
from specs import load_requirements

DAY = dt.date(2026, 12, 1)
REQUIREMENTS = list(load_requirements())
names = st.text("abc_xyz019", min_size=1, max_size=12)


@given(st.dictionaries(st.sampled_from(REQUIREMENTS), st.sets(names, min_size=1, max_size=4), max_size=6))
def test_a_rendered_set_reads_back(checks: dict[str, set[str]]) -> None:
    """What is rendered loads as the same set, and renders to the same text again."""
    text = levels.render("2025-1", DAY, checks)
    read = levels.parse(tomllib.loads(text), "l.toml")
    assert {name: set(row) for name, row in read.checks.items()} == checks
    assert list(read.requirements) == sorted(checks, key=REQUIREMENTS.index)
    assert levels.render(read.edition, read.frozen, read.checks) == text


def test_a_later_check_is_told_apart() -> None:
    """A check of the set scores, any other was added after the release."""
    row = levels.parse({"edition": "e", "frozen": DAY, "checks": {"8.1.1-a": ["old"]}}, "l.toml")
    assert (row.status("old"), row.status("new")) == ("scored", "added_after_release")
    assert (row.scored("old"), row.scored("new")) == (True, False)


def test_the_newest_set_is_current(tmp_path: Path) -> None:
    """The set that was frozen last counts; without any there is none."""
    assert levels.current(tmp_path) is None
    for edition, day in (("z-old", DAY), ("a-new", DAY + dt.timedelta(days=1))):
        (tmp_path / f"{edition}.toml").write_text(levels.render(edition, day, {"8.1.1-a": ["c"]}), encoding="utf-8")
    newest = levels.current(tmp_path)
    assert newest is not None
    assert newest.edition == "a-new"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checks": {"8.1.1-aa": ["c"]}}, ['"8.1.1-aa"', '"8.1.1-a"']),
        ({"checks": {"8.1.1-a": []}}, ["names no check"]),
        ({"checks": {"8.1.1-a": ["c", "c"]}}, ['"c" stands twice']),
        ({"check": {}}, ['did you mean "checks"?']),
        ({"frozen": "2026-12-01"}, ["frozen", "without quotes"]),
    ],
)
def test_a_wrong_set_is_told(change: dict[str, Any], words: list[str]) -> None:
    """Unknown requirements, empty rows and wrong types never load."""
    with pytest.raises(UsageError) as caught:
        levels.parse({"edition": "e", "frozen": DAY, "checks": {}} | change, "l.toml")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_shipped_sets_load() -> None:
    """Whatever stands in specs/levels is a level set of known requirements."""
    newest = levels.current()
    assert newest is None or set(newest.requirements) <= set(REQUIREMENTS)
