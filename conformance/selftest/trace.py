"""The traceability matrix: requirements x checks x findings x faults, computed from a real run by a pure join.

It is committed as `specs/traceability.json`; `hutong trace --check` runs the whole kill matrix again and says where the
committed one differs. A requirement that a test is to verify and that has no check stands in it with empty lists, so
what is not covered shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import specs
from conformance.harness import levels
from conformance.harness.records import CheckResult
from conformance.selftest import killmatrix
from conformance.selftest.killmatrix import Fate, Trial

Row = dict[str, Any]
PATH = specs.folder() / "traceability.json"


@dataclass(frozen=True, slots=True)
class Matrix:
    """What each requirement rests on, and which defects each check has caught."""

    requirements: Mapping[str, Row]
    checks: Mapping[str, list[str]]

    def spell(self) -> str:
        """Return the committed form."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    def unproven(self) -> list[str]:
        """Name what is checked without a defect that proves that the check can fail."""
        return [
            *(
                f"{name}: checked, but no fault proves that its checks can fail"
                for name, row in self.requirements.items()
                if row["checks"] and not row["faults"]
            ),
            *(f"{name}: this check has caught no fault" for name, faults in self.checks.items() if not faults),
        ]


def join(
    requirements: Mapping[str, specs.Requirement], results: Iterable[CheckResult], trials: Iterable[Trial]
) -> Matrix:
    """Join the rows of the standard with what a run of the unmutated node judged and with what killed each fault."""
    checks: dict[str, set[str]] = defaultdict(set)
    caught: dict[str, set[str]] = {}
    for result in results:
        checks[result.requirement].add(result.check)
        caught[result.check] = set()
    faults: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for trial in trials:
        for row in trial.findings if trial.fate is Fate.KILLED else ():
            faults[row.requirement][trial.fault].add(row.code)
            caught[row.check].add(trial.fault)
    rows = {
        row.id: {
            "level": row.level.value,
            "verified_by": row.verified_by.value,
            "checks": sorted(checks[row.id]),
            "faults": {fault: sorted(codes) for fault, codes in sorted(faults[row.id].items())},
        }
        for row in requirements.values()
    }
    return Matrix(rows, {name: sorted(found) for name, found in sorted(caught.items())})


def compute(tell: Callable[[Trial], None] = lambda _trial: None) -> tuple[Matrix, list[str]]:
    """Run the suite against the unmutated node and against every fault: the matrix, and what is wrong with it."""
    ground = killmatrix.run_baseline()
    trials = killmatrix.run_matrix(killmatrix.choose(), baseline=ground, tell=tell)
    matrix = join(specs.load_requirements(), ground.results, trials)
    problems = killmatrix.lines_of_baseline(ground)[:-1]
    problems += [killmatrix.line_of(trial) for trial in trials if trial.fate is not Fate.KILLED]
    return matrix, problems + matrix.unproven()


def differences(committed: Matrix, computed: Matrix) -> list[str]:
    """Say where two matrices differ."""
    lines = []
    for kind in ("requirements", "checks"):
        old, new = getattr(committed, kind), getattr(computed, kind)
        lines += [
            f"{name}: committed {json.dumps(old.get(name))}, computed {json.dumps(new.get(name))}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
    return lines


@cache
def committed(path: Path = PATH) -> Matrix:
    """Return the committed matrix; empty when there is none yet."""
    return Matrix(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Matrix({}, {})


def committed_proven() -> frozenset[str]:
    """Return the requirements that a killed fault proves, by the committed matrix."""
    return frozenset(name for name, row in committed().requirements.items() if row["faults"])


def check(tell: Callable[[Trial], None] = lambda _trial: None) -> list[str]:
    """Compute the matrix and return what is wrong with it or with the committed one."""
    matrix, problems = compute(tell)
    return problems + differences(committed(), matrix)


def write(tell: Callable[[Trial], None] = lambda _trial: None) -> list[str]:
    """Compute the matrix, write it, and return what is wrong with it."""
    matrix, problems = compute(tell)
    PATH.write_text(matrix.spell(), encoding="utf-8")
    return problems


def freeze(edition: str, today: date) -> Path:
    """Freeze the checks of the committed matrix as the level set of an edition."""
    rows = {name: row["checks"] for name, row in committed().requirements.items() if row["checks"]}
    path = specs.folder() / "levels" / f"{edition}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(levels.render(edition, today, rows), encoding="utf-8")
    return path


def show(tell: Callable[[str], None]) -> None:
    """Print the committed matrix, a line for each requirement."""
    for name, row in committed().requirements.items():
        counts = f"{len(row['checks'])} checks, {len(row['faults'])} faults"
        tell(f"{name:12} {row['level']:6} {row['verified_by']:11} {counts}")
