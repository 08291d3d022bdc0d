"""The kill matrix: every deliberate defect of the reference node against every finding of the suite.

A fault is *killed* when it was reached and exactly the finding that it declares appears (others only where it declares
them as blast). It is *unreached* when the suite never came to its place, *survived* when its finding is missing,
*collateral* when findings appear that it does not declare. A scenario is run again for a fault only if the unmutated
run asked at that fault's place during that scenario: elsewhere the fault cannot change anything. Defects of the
channel are tried over sockets, those of a store that is disturbed on a disk, in the scenarios about them; everything
else runs in process, without sockets.

`python -m conformance.selftest.killmatrix --only 8.1` prints the matrix of one chapter.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import specs
from conformance.harness import engine, judge
from conformance.harness.binding import load_binding
from conformance.harness.records import CheckResult, Transcript, Verdict
from conformance.harness.registry import Scenario
from conformance.harness.strict import unknown
from conformance.harness.world import COMMON
from conformance.selftest import computing, served, stored
from conformance.selftest.inprocess import Lab, demo_profile, lab
from reference_node.faults import Fault, declared

# End-to-end stories: whatever defect lies on their way may show in them, beside the finding that names it.
COMPOSITE = frozenset({"two_nodes"})
STAND_INS = 12
BYSTANDERS = 6
_LABS: Mapping[str, str] = {
    **served.LABS,
    **dict.fromkeys(stored.MODULES, stored.NAME),
    computing.MODULE: computing.NAME,
}


class Fate(StrEnum):
    """What became of a fault."""

    KILLED = "killed"
    UNREACHED = "unreached"
    SURVIVED = "survived"
    COLLATERAL = "collateral"


class Found(NamedTuple):
    """One finding of one check against one requirement."""

    requirement: str
    check: str
    code: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What the suite said of one fault."""

    fault: str
    requirement: str
    declared: str
    fate: Fate
    hits: int
    findings: tuple[Found, ...]
    unexpected: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "fault": self.fault,
            "requirement": self.requirement,
            "declared": self.declared,
            "fate": self.fate.value,
            "hits": self.hits,
            "findings": [row._asdict() for row in self.findings],
            "unexpected": list(self.unexpected),
            "errors": list(self.errors),
        }


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unmutated node: its results, and which faults' places each scenario came to."""

    results: tuple[CheckResult, ...]
    places: Mapping[str, frozenset[str]]
    common: Mapping[str, frozenset[str]]

    @property
    def red(self) -> tuple[CheckResult, ...]:
        """Return what is not as it should be on the unmutated node."""
        fine = (Verdict.PASS, Verdict.NOT_APPLICABLE)
        return tuple(result for result in self.results if result.verdict not in fine)

    def scenarios(self, fault: str) -> frozenset[str]:
        """Return the scenarios in which a fault could show: always those whose checks may emit its finding.

        What a node does to its sockets or its disk it settles when it starts, so there every scenario counts.
        """
        if declared()[fault].lab:
            return frozenset(row.name for row in suite_plan().scenarios if lab_of(row) == declared()[fault].lab)
        own = {name for name, places in self.places.items() if fault in places}
        common = sorted(name for name, places in self.common.items() if fault in places and name not in own)
        stand_ins = random.Random(fault).sample(common, min(STAND_INS, len(common)))
        return frozenset(own | set(stand_ins) | (_telling(fault) & set(common)))

    def focus(self, fault: str) -> frozenset[str]:
        """Return of these scenarios those whose checks may say what the fault declares, and a sample of the others.

        It takes a third of the time: enough to see that a fault is found, not to list all that finds it.
        """
        every = self.scenarios(fault)
        telling = every & _telling(fault)
        others = sorted(every - telling)
        return telling | set(random.Random(fault).sample(others, min(BYSTANDERS, len(others))))


def _telling(fault: str) -> frozenset[str]:
    """Return the scenarios whose checks may emit what a fault declares."""
    codes = {declared()[fault].finding, *declared()[fault].blast}
    return frozenset(check.scenario for check in suite_plan().checks if codes & set(check.codes))


@cache
def suite_plan() -> engine.Plan:
    """Return the whole suite."""
    return engine.plan()


def lab_of(scenario: Scenario) -> str:
    """Return the lab in which a scenario runs; those about the channel itself need sockets, some others a disk."""
    return _LABS.get(scenario.act.__module__, "")


def open_lab(name: str, faults: Sequence[str] = ()) -> Lab | served.ServedLab | stored.StoredLab:
    """Build the lab of that name with these defects on; "" is the one in process."""
    if name == stored.NAME:
        return stored.stored_lab(faults)
    if name == computing.NAME:
        return computing.computing_lab(faults)
    return served.served_lab(name, faults) if name else lab(faults)


def judge_all(transcripts: Mapping[str, Transcript]) -> list[CheckResult]:
    """Judge what was recorded by every check of the suite."""
    bench = judge.Bench(demo_profile(), load_binding("reference"), specs.load_requirements(), specs.operations())
    return judge.judge(transcripts, suite_plan().checks, bench)


def run_baseline(scenarios: Iterable[Scenario] | None = None) -> Baseline:
    """Run the suite against the unmutated node."""
    places: dict[str, frozenset[str]] = {}
    common: dict[str, frozenset[str]] = {}
    chosen = suite_plan().scenarios if scenarios is None else tuple(scenarios)
    transcripts: dict[str, Transcript] = {}
    for name in (*dict.fromkeys(_LABS.values()), ""):
        mine = [scenario for scenario in chosen if lab_of(scenario) == name]
        transcripts |= _run_ground(name, mine, places, common) if mine else {}
    return Baseline(tuple(judge_all(transcripts)), places, common)


def _run_ground(
    name: str, scenarios: Iterable[Scenario], places: dict[str, frozenset[str]], common: dict[str, frozenset[str]]
) -> Mapping[str, Transcript]:
    """Run scenarios in one lab and note which faults' places each comes to."""
    room = open_lab(name)
    asked: dict[bool, set[str]] = {True: set(), False: set()}

    def note(fault: str) -> None:
        asked[COMMON.get()].add(fault)

    room.node.faults.observe(note)
    for scenario in scenarios:
        asked[True].clear()
        asked[False].clear()
        room.run([scenario])
        places[scenario.name] = frozenset(asked[False])
        common[scenario.name] = frozenset(asked[True])
    room.close()
    return room.collector.transcripts


def _found(results: Iterable[CheckResult]) -> set[Found]:
    return {Found(row.requirement, row.check, row.code) for result in results for row in result.findings}


def _sharp(results: Iterable[CheckResult]) -> set[str]:
    """Return the codes found outside the end-to-end stories."""
    return {row.code for row in _found(result for result in results if result.scenario not in COMPOSITE)}


def try_fault(fault: Fault, names: frozenset[str]) -> Trial:
    """Run the scenarios in which a fault could show, and say what became of it."""
    scenarios = [row for row in suite_plan().scenarios if row.name in names and lab_of(row) == fault.lab]
    room = open_lab(fault.lab, [fault.name])
    results = judge_all(room.run(scenarios))
    hits = room.node.faults.hits.get(fault.name, 0)
    room.close()
    found = _found(results)
    errors = tuple(sorted({f"{row.check}: {row.reason}" for row in results if row.verdict is Verdict.ERROR}))
    unexpected = tuple(sorted(_sharp(results) - {fault.finding, *fault.blast}))
    if not hits:
        fate = Fate.UNREACHED
    elif (fault.requirement, fault.finding) not in {(row.requirement, row.code) for row in found}:
        fate = Fate.SURVIVED
    elif unexpected or errors:
        fate = Fate.COLLATERAL
    else:
        fate = Fate.KILLED
    return Trial(fault.name, fault.requirement, fault.finding, fate, hits, tuple(sorted(found)), unexpected, errors)


def run_matrix(
    faults: Sequence[Fault], *, jobs: int = 2, baseline: Baseline | None = None, tell: Callable[[Trial], None] = print
) -> list[Trial]:
    """Try faults in several processes; `tell` hears of each as it is done."""
    ground = baseline or run_baseline()
    trials: list[Trial] = []
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for trial in pool.map(try_fault, faults, [ground.scenarios(fault.name) for fault in faults]):
            trials.append(trial)
            tell(trial)
    return trials


def choose(only: Sequence[str] = (), names: Sequence[str] = (), sample: int = 0, seed: int = 0) -> list[Fault]:
    """Choose faults by requirement prefix, by name, or a random sample."""
    for name in names:
        if name not in declared():
            raise unknown("--fault", "fault", name, declared())
    rows = [row for row in declared().values() if not names or row.name in names]
    if only:
        rows = [row for row in rows if any(row.requirement.startswith(part) for part in only)]
    if sample and sample < len(rows):
        rows = random.Random(seed).sample(rows, sample)
    return rows


def resolution(trials: Sequence[Trial]) -> float:
    """Return distinct signatures / faults: how well the findings tell one defect from another."""
    return len({trial.findings for trial in trials}) / len(trials) if trials else 1.0


def complete(trials: Sequence[Trial], ground: Baseline) -> bool:
    """Whether the unmutated node is green and every fault is killed."""
    return not ground.red and all(trial.fate is Fate.KILLED for trial in trials)


def summary(trials: Sequence[Trial], ground: Baseline) -> dict[str, Any]:
    """Return the matrix as JSON."""
    return {
        "baseline": {"results": len(ground.results), "not_green": [row.to_json() for row in ground.red]},
        "counts": _counts(trials),
        "resolution": round(resolution(trials), 4),
        "trials": [trial.to_json() for trial in trials],
    }


def _counts(trials: Sequence[Trial]) -> dict[str, int]:
    return {fate.value: sum(trial.fate is fate for trial in trials) for fate in Fate}


def lines_of_baseline(ground: Baseline) -> list[str]:
    """Say in words how the unmutated node did."""
    lines = []
    for row in ground.red:
        lines.append(f"NOT GREEN {row.requirement} {row.check}: {row.verdict.value} {row.reason}")
        lines += [
            f"    {found.code} {found.pointer} expected {found.expected!r}, got {found.actual!r} {found.exchanges}"
            for found in row.findings
        ]
    return [*lines, f"unmutated node: {len(ground.results)} results, {len(ground.red)} not green"]


def line_of(trial: Trial) -> str:
    """Say in words what became of a fault."""
    line = f"{trial.fate.value:10} {trial.fault} [{trial.requirement} {trial.declared}] hits={trial.hits}"
    if trial.fate is Fate.KILLED:
        return line
    found = ", ".join(sorted({f"{row.requirement} {row.code}" for row in trial.findings})) or "nothing"
    return "\n".join([line, f"    found: {found}", *(f"    error: {error}" for error in trial.errors[:3])])


def line_of_all(trials: Sequence[Trial]) -> str:
    """Count the fates."""
    counts = " · ".join(f"{name} {count}" for name, count in _counts(trials).items())
    return f"{len(trials)} faults · {counts} · diagnostic resolution {resolution(trials):.2f}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="requirement prefixes, e.g. 8.1 9.2-b")
    parser.add_argument("--fault", nargs="*", default=[], help="names of faults")
    parser.add_argument("--baseline", action="store_true", help="run the unmutated node only")
    options = parser.parse_args(argv)
    ground = run_baseline()
    sys.stdout.write("\n".join(lines_of_baseline(ground)) + "\n")
    if options.baseline:
        return 1 if ground.red else 0
    faults = choose(options.only, options.fault)
    trials = run_matrix(faults, baseline=ground, tell=lambda trial: _say(line_of(trial)))
    sys.stdout.write(line_of_all(trials) + "\n")
    return 0 if complete(trials, ground) else 1


if __name__ == "__main__":
    sys.exit(main())
