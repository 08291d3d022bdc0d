"""Waivers: findings that the user knows of and has written down, each with a reason, an issue and an end.

    [[waiver]]
    check = "contract_cancel_is_refused_once_confirmed"
    finding = "CONTRACT_CANCELLED_AFTER_CONFIRM"
    reason = "The product cancels late on purpose until release 2.3."
    issue = "https://tracker.example.org/417"
    expires = 2027-03-31

Guarantees: a waiver excuses exactly one finding code of exactly one check, up to and including its last day. An
expired waiver, a waiver whose check finds something else, and a waiver whose check finds nothing are problems, and
each is told once: the first two by `match`, the last by `unused`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.harness.errors import UsageError
from conformance.harness.strict import Table, read_toml

_KEYS = ("check", "finding", "reason", "issue", "expires")


@dataclass(frozen=True, slots=True)
class Waiver:
    """One excused finding; `expires` is the last day on which it holds."""

    check: str
    finding: str
    reason: str
    issue: str
    expires: dt.date

    def __str__(self) -> str:
        return f"{self.check} / {self.finding} ({self.issue})"


@dataclass(frozen=True, slots=True)
class WaiverOutcome:
    """What the waivers do for one check: which of its finding codes they excuse, and what is wrong with them."""

    waived: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


def load(path: Path) -> tuple[Waiver, ...]:
    """Read a file of waivers."""
    return parse(read_toml(path), str(path))


def parse(data: Mapping[str, Any], where: str) -> tuple[Waiver, ...]:
    """Read the content of a file of waivers; a check and finding may be waived once."""
    rows: dict[tuple[str, str], Waiver] = {}
    for table in Table(where, "", data, ("waiver",)).tables("waiver", _KEYS):
        check, finding, reason, issue = (table.text(key) for key in _KEYS[:-1])
        row = Waiver(check, finding, reason, issue, table.date("expires"))
        if (row.check, row.finding) in rows:
            raise UsageError(f"{where}: {row.check} / {row.finding} is waived twice", hint="Keep one of them.")
        rows[row.check, row.finding] = row
    return tuple(rows.values())


def match(check: str, codes: Collection[str], waivers: Iterable[Waiver], today: dt.date) -> WaiverOutcome:
    """Hold the finding codes of one check against the waivers."""
    waived: set[str] = set()
    problems: list[str] = []
    for row in waivers:
        if row.check != check or not codes:
            continue
        if row.finding not in codes:
            problems.append(f"{row}: the check now finds {', '.join(sorted(codes))} instead")
        elif row.expires < today:
            problems.append(f"{row}: expired on {row.expires.isoformat()}")
        else:
            waived.add(row.finding)
    return WaiverOutcome(frozenset(waived), tuple(problems))


def unused(waivers: Sequence[Waiver], found: Collection[tuple[str, str]]) -> list[str]:
    """Return what is wrong with waivers whose check found nothing at all; `found` are the pairs (check, code)."""
    noisy = {check for check, _ in found}
    return [f"{row}: the check passes or was not run; remove the waiver" for row in waivers if row.check not in noisy]
