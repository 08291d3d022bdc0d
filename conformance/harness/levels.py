"""Level sets: which checks score in an edition, frozen when it was released.

    edition = "2025-1"
    frozen = 2026-12-01

    [checks]
    "8.1.2-c" = ["contract_cancel_is_refused_once_confirmed"]

Guarantees: a check that was added after the release is told apart from one that scores; `render` gives the same text
for the same set, so that a level set can be committed and guarded.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conformance.harness.strict import Table, read_toml, unknown
from specs import folder, load_requirements


class Standing(StrEnum):
    """Whether a check counts in an edition."""

    SCORED = "scored"
    ADDED_AFTER_RELEASE = "added_after_release"


@dataclass(frozen=True, slots=True)
class LevelSet:
    """The checks of an edition by requirement id."""

    edition: str
    frozen: dt.date
    checks: Mapping[str, tuple[str, ...]]

    @property
    def requirements(self) -> tuple[str, ...]:
        """The requirements that the edition covers."""
        return tuple(self.checks)

    def scored(self, check: str) -> bool:
        """Whether the check counts."""
        return any(check in names for names in self.checks.values())

    def status(self, check: str) -> Standing:
        """Return the standing of a check."""
        return Standing.SCORED if self.scored(check) else Standing.ADDED_AFTER_RELEASE


def load(path: Path) -> LevelSet:
    """Read a level set."""
    return parse(read_toml(path), str(path))


def parse(data: Mapping[str, Any], where: str) -> LevelSet:
    """Read the content of a level set."""
    top = Table(where, "", data, ("edition", "frozen", "checks"))
    table = top.table("checks", None)
    known = load_requirements()
    checks: dict[str, tuple[str, ...]] = {}
    for requirement in table.keys():  # noqa: SIM118  a Table is no mapping
        if requirement not in known:
            raise unknown(table.where, "requirement", requirement, known)
        names = table.texts(requirement)
        if not names:
            raise table.fault(requirement, "names no check", "A requirement without a check is not covered; remove it.")
        checks[requirement] = names
    return LevelSet(top.text("edition"), top.date("frozen"), MappingProxyType(checks))


def current(where: Path | None = None) -> LevelSet | None:
    """Return the level set that was frozen last, None where nothing has been released yet."""
    sets = [load(path) for path in sorted((where or folder() / "levels").glob("*.toml"))]
    return max(sets, key=lambda row: (row.frozen, row.edition), default=None)


def render(edition: str, frozen: dt.date, checks: Mapping[str, Iterable[str]]) -> str:
    """Return the TOML of a level set, requirements in the order of the standard's rows, checks by name."""
    lines = [f"edition = {_quoted(edition)}", f"frozen = {frozen.isoformat()}", "", "[checks]"]
    order = {name: place for place, name in enumerate(load_requirements())}
    for requirement in sorted(checks, key=lambda name: (order.get(name, len(order)), name)):
        names = sorted(set(checks[requirement]))
        if names:
            lines += [f"{_quoted(requirement)} = [", *(f"    {_quoted(name)}," for name in names), "]"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
