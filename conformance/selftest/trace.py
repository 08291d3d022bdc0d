"""The traceability matrix: requirements x checks x findings x faults, computed from a real run by a pure join.

It is committed as `specs/traceability.json`; `hutong trace --check` runs the whole kill matrix again and says where the
committed one differs. A requirement that a test is to verify and that has no check stands in it with empty lists, so
what is not covered shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import specs
from conformance.harness.records import CheckResult
from conformance.selftest import killmatrix
from conformance.selftest.killmatrix import Fate, Trial

Matrix = dict[str, dict[str, Any]]
PATH = specs.folder() / "traceability.json"


def join(
    requirements: Mapping[str, specs.Requirement], results: Iterable[CheckResult], trials: Iterable[Trial]
) -> Matrix:
    """Join the rows of the standard with what a run of the unmutated node judged and with what killed each fault."""
    checks: dict[str, set[str]] = defaultdict(set)
    for result in results:
        checks[result.requirement].add(result.check)
    faults: dict[str, dict[str, str]] = defaultdict(dict)
    for trial in trials:
        if trial.fate is Fate.KILLED:
            faults[trial.requirement][trial.fault] = trial.declared
    return {
        row.id: {
            "level": row.level.value,
            "verified_by": row.verified_by.value,
            "checks": sorted(checks[row.id]),
            "faults": dict(sorted(faults[row.id].items())),
        }
        for row in requirements.values()
    }


def compute() -> tuple[Matrix, list[str]]:
    """Run the suite against the unmutated node and against every fault: the matrix, and what is wrong with it."""
    ground = killmatrix.run_baseline()
    trials = killmatrix.run_matrix(killmatrix.choose(), baseline=ground, tell=lambda _trial: None)
    matrix = join(specs.load_requirements(), ground.results, trials)
    problems = killmatrix.lines_of_baseline(ground)[:-1]
    problems += [killmatrix.line_of(trial) for trial in trials if trial.fate is not Fate.KILLED]
    problems += unproven(matrix)
    return matrix, problems


def unproven(matrix: Matrix) -> list[str]:
    """Name the requirements that are checked but that no killed fault proves."""
    return [
        f"{name}: checked, but no fault proves that the checks can fail"
        for name, row in matrix.items()
        if row["checks"] and not row["faults"]
    ]


def spell(matrix: Matrix) -> str:
    """Return the committed form."""
    return json.dumps(matrix, ensure_ascii=False, indent=1) + "\n"


def differences(committed: Matrix, computed: Matrix) -> list[str]:
    """Say where two matrices differ."""
    lines = []
    for name in sorted({*committed, *computed}):
        old, new = committed.get(name), computed.get(name)
        if old != new:
            lines.append(f"{name}: committed {json.dumps(old)}, computed {json.dumps(new)}")
    return lines


@cache
def committed(path: Path = PATH) -> Matrix:
    """Return the committed matrix; empty when there is none yet."""
    if not path.is_file():
        return {}
    matrix: Matrix = json.loads(path.read_text(encoding="utf-8"))
    return matrix


def committed_proven() -> frozenset[str]:
    """Return the requirements that a killed fault proves, by the committed matrix."""
    return frozenset(name for name, row in committed().items() if row["faults"])


def check() -> list[str]:
    """Compute the matrix and return what is wrong with it or with the committed one."""
    matrix, problems = compute()
    return problems + differences(committed(), matrix)


def write() -> list[str]:
    """Compute the matrix, write it, and return what is wrong with it."""
    matrix, problems = compute()
    PATH.write_text(spell(matrix), encoding="utf-8")
    return problems


def show(tell: Callable[[str], None]) -> list[str]:
    """Print the committed matrix, a line for each requirement."""
    for name, row in committed().items():
        tell(
            f"{name:12} {row['level']:6} {row['verified_by']:11} {len(row['checks'])} checks, {len(row['faults'])} faults"
        )
    return []
