"""Waivers excuse one finding of one check, for a time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from conformance.harness import waivers
from conformance.harness.errors import UsageError

TODAY = dt.date(2026, 6, 15)
ROW = {"check": "c", "finding": "F", "reason": "r", "issue": "https://x/1", "expires": dt.date(2026, 6, 30)}


def rows(**change: Any) -> tuple[waivers.Waiver, ...]:
    """Read one waiver with a change."""
    return waivers.parse({"waiver": [ROW | change]}, "w.toml")


def test_the_named_finding_is_waived() -> None:
    """The exact finding of the exact check is excused, other findings of it are not."""
    outcome = waivers.match("c", {"F", "G"}, rows(), TODAY)
    assert outcome == waivers.WaiverOutcome(frozenset({"F"}), ())
    assert waivers.match("d", {"F"}, rows(), TODAY) == waivers.WaiverOutcome()
    assert waivers.unused(rows(), {("c", "F")}) == []


def test_another_finding_turns_the_run_red() -> None:
    """A waiver whose check finds something else is a problem and excuses nothing."""
    outcome = waivers.match("c", {"G"}, rows(), TODAY)
    assert outcome.waived == frozenset()
    assert outcome.problems == ("c / F (https://x/1): the check now finds G instead",)


@pytest.mark.parametrize(("expires", "waived"), [(TODAY, {"F"}), (TODAY - dt.timedelta(days=1), set())])
def test_a_waiver_ends_after_its_last_day(expires: dt.date, waived: set[str]) -> None:
    """The day of expiry is the last on which the waiver holds."""
    outcome = waivers.match("c", {"F"}, rows(expires=expires), TODAY)
    assert outcome.waived == waived
    assert bool(outcome.problems) == (not waived)


def test_a_waiver_that_matches_nothing_is_told_once() -> None:
    """When the check finds nothing, `unused` tells and `match` is silent."""
    assert waivers.match("c", set(), rows(), TODAY) == waivers.WaiverOutcome()
    assert waivers.unused(rows(), {("d", "F")}) == [
        "c / F (https://x/1): the check passes or was not run; remove the waiver"
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"waivers": []}, ['"waivers"', 'did you mean "waiver"?']),
        ({"waiver": {}}, ["[[waiver]]"]),
        ({"waiver": [{**ROW, "expire": 1}]}, ["[waiver 1]", 'did you mean "expires"?']),
        ({"waiver": [ROW, ROW]}, ["c / F is waived twice"]),
        ({"waiver": [{**ROW, "expires": "2026-06-30"}]}, ["expires", "without quotes"]),
        ({"waiver": [{**ROW, "expires": dt.datetime(2026, 6, 30, tzinfo=dt.UTC)}]}, ["expires", "not datetime"]),
        ({"waiver": [{**ROW, "reason": " "}]}, ["reason", "must not be empty"]),
        ({"waiver": [{k: v for k, v in ROW.items() if k != "issue"}]}, ["issue is missing"]),
    ],
)
def test_a_wrong_file_is_told(data: dict[str, Any], words: list[str]) -> None:
    """Every key is due, typed and known."""
    with pytest.raises(UsageError) as caught:
        waivers.parse(data, "w.toml")
    told = f"{caught.value} {caught.value.hint}"
    assert all(word in told for word in ["w.toml", *words]), told


def test_a_file_is_read(tmp_path: Path) -> None:
    """The TOML of the module's docstring loads."""
    text = (waivers.__doc__ or "").split("\n\n")[1]
    path = tmp_path / "w.toml"
    path.write_text("\n".join(line.strip() for line in text.splitlines()), encoding="utf-8")
    (row,) = waivers.load(path)
    assert (row.finding, row.expires) == ("CONTRACT_CANCELLED_AFTER_CONFIRM", dt.date(2027, 3, 31))
