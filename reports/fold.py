"""Folds a recorded run into what every report shows. Pure: the same run gives the same report.

Guarantees:
- every requirement of the standard is there, also those that the run says nothing of, each with a reason;
- nothing is green that the recording does not support: a file that is truncated, was changed, or whose summary claims
  more than its results is void at every level, and what it calls a pass is shown as an error;
- values that the target controls are carried along as they are; each writer escapes them for its own format.

What is read of the header: `run`, `started_ms`, `profile.target`, `options.level`; of the footer: `ended_ms`,
`outcome`, `assurance`, `problems`. All of the header is shown as facts under their own keys.

>>> fold(read_events(path), "en").outcomes["shall"]                        # doctest: +SKIP
<Outcome.CONFORMANT: 'conformant'>
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from conformance.harness.events import MASK, Run
from conformance.harness.records import CheckResult, Exchange, Finding, Stop, Verdict
from conformance.harness.verdict import LEVELS, ORDER, RANK, Outcome, counted, worst
from reports import words
from reports.load import Load, of_target, rate_held
from reports.trust import GREEN, problem_of
from specs import Level, Requirement, Text, Verification, load_requirements

# What a reader has to look at, worst first.
ATTENTION = (Verdict.ERROR, Verdict.FAIL, Verdict.NOT_TESTABLE, Verdict.WARN)
_SHOWN_ELSEWHERE = ("type", "run", "started_ms", "scenarios", "binding_content")
_SECRET = re.compile(r"token|secret|password|private", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding with its words; `waived` says that a waiver excuses it."""

    found: Finding
    text: Text
    hint: Text
    waived: bool


@dataclass(frozen=True, slots=True)
class CheckRow:
    """What one check says of one requirement."""

    check: str
    sentence: str
    scenario: str
    verdict: Verdict
    reason: Text | None
    findings: tuple[FindingRow, ...]
    waived: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequirementRow:
    """One clause and all that the run has on it; `elapsed_ms` is the time of the exchanges of its scenarios."""

    requirement: Requirement
    chapter: str
    verdict: Verdict
    reason: Text | None
    checks: tuple[CheckRow, ...]
    scenarios: tuple[str, ...]
    elapsed_ms: float

    @property
    def id(self) -> str:
        """The clause id."""
        return self.requirement.id

    @property
    def level(self) -> Level:
        """How binding the clause is."""
        return self.requirement.level

    @property
    def findings(self) -> tuple[FindingRow, ...]:
        """Every finding of every check of the clause."""
        return tuple(found for check in self.checks for found in check.findings)


@dataclass(frozen=True, slots=True)
class Chapter:
    """The clauses of one chapter, in document order."""

    id: str
    title: Text
    rows: tuple[RequirementRow, ...]

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many clauses have which verdict, best first."""
        return tally(self.rows)


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """One story: its exchanges and why it ended early, if it did."""

    name: str
    stop: Stop | None
    exchanges: tuple[Exchange, ...]
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Assurance:
    """How much stands behind the outcome; None where the run did not record it."""

    clauses: int | None = None
    applicable: int | None = None
    exercised: int | None = None
    proven: int | None = None
    waived: int | None = None

    def items(self) -> Iterator[tuple[str, int | None]]:
        """Yield name and number."""
        for name in ("clauses", "applicable", "exercised", "proven", "waived"):
            yield name, getattr(self, name)


@dataclass(frozen=True, slots=True)
class Gap:
    """Clauses that share one verdict which is no statement about the target, and one reason."""

    verdict: Verdict
    reason: Text
    rows: tuple[RequirementRow, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All that the reports show. `lang` is the language to open with ("" lets the reader's browser decide)."""

    lang: str
    problem: Text | None
    detail: str
    outcomes: Mapping[Level, Outcome]
    judged_at: Level
    run_id: str
    target: Mapping[str, Any]
    facts: Mapping[str, str]
    assurance: Assurance
    chapters: tuple[Chapter, ...]
    scenarios: Mapping[str, ScenarioRow]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    started_ms: int
    duration_ms: float
    loads: tuple[Load, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether anything may be concluded from the recording."""
        return self.problem is None

    @property
    def rows(self) -> tuple[RequirementRow, ...]:
        """Every clause, in document order."""
        return tuple(row for chapter in self.chapters for row in chapter.rows)

    @property
    def conformant_rate(self) -> float | None:
        """The rate (1/s) up to which the target conforms under load; None when the run itself is not conformant."""
        green = self.intact and self.outcomes[self.judged_at] in GREEN
        return rate_held(self.loads) if green else None

    @property
    def rate_told(self) -> Text:
        """What the load results come to, in words."""
        held = rate_held(self.loads)
        key = "load.rate_none" if held is None else "load.rate_held"
        if self.conformant_rate is not None:
            key = "load.rate_conformant"
        return words.fill(words.label(key), rate=f"{held or 0:.0f}")

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every exchange, scenario by scenario."""
        return tuple(exchange for scenario in self.scenarios.values() for exchange in scenario.exchanges)

    @property
    def loose(self) -> tuple[ScenarioRow, ...]:
        """Recorded scenarios that no clause rests on: signs of life, calls that nobody awaited."""
        told = {name for row in self.rows for name in row.scenarios}
        return tuple(scenario for name, scenario in self.scenarios.items() if name not in told)

    @property
    def attention(self) -> tuple[RequirementRow, ...]:
        """The clauses that a reader has to look at, worst first."""
        rows = [row for row in self.rows if row.verdict in ATTENTION]
        return tuple(sorted(rows, key=lambda row: (ATTENTION.index(row.verdict), LEVELS.index(row.level))))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is not covered, grouped by reason, the largest group first."""
        groups: dict[tuple[Verdict, Text], list[RequirementRow]] = defaultdict(list)
        for row in self.rows:
            if row.verdict in (Verdict.NOT_SCORED, Verdict.NOT_APPLICABLE, Verdict.NOT_TESTABLE):
                groups[row.verdict, row.reason or words.label("reason.not_reported")].append(row)
        gaps = [Gap(verdict, reason, tuple(rows)) for (verdict, reason), rows in groups.items()]
        return tuple(sorted(gaps, key=lambda gap: (-RANK[gap.verdict], -len(gap.rows))))

    def counts(self, level: Level) -> Mapping[Verdict, int]:
        """How many clauses of exactly this level have which verdict."""
        return tally(row for row in self.rows if row.level is level)

    def counting(self, level: Level) -> int:
        """How many clauses a run is judged by at `level`."""
        return sum(row.level in counted(level) for row in self.rows)

    def scored(self, level: Level) -> int:
        """How many of the clauses that count at `level` have a verdict that says something of the target."""
        silent = (Verdict.NOT_SCORED, Verdict.NOT_APPLICABLE, Verdict.NOT_TESTABLE, Verdict.ERROR)
        return sum(row.level in counted(level) and row.verdict not in silent for row in self.rows)


def tally(rows: Iterable[RequirementRow]) -> Mapping[Verdict, int]:
    """Count verdicts, best first; verdicts that do not occur are left out."""
    seen = Counter(row.verdict for row in rows)
    best_first = (Verdict.PASS, *(verdict for verdict in reversed(ORDER) if verdict is not Verdict.PASS))
    return {verdict: seen[verdict] for verdict in best_first if verdict in seen}


def chapter_of(clause: str) -> str:
    """Return the chapter under which a clause is shown: 8.1 to 9.4 by section, the others whole."""
    parts = clause.partition("-")[0].split(".")
    return ".".join(parts[:2]) if parts[0] in ("8", "9") else parts[0]


def redact(value: Any) -> Any:
    """Return a JSON value in which everything that is named like a secret is masked."""
    if isinstance(value, Mapping):
        return {key: MASK if item and _SECRET.search(str(key)) else redact(item) for key, item in value.items()}
    return [redact(item) for item in value] if isinstance(value, list) else value


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a JSON value under dotted keys."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        yield prefix, ", ".join(str(item) for item in value)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from flatten(item, f"{prefix}.{number}")
    elif value is not None and value != "":
        yield prefix, str(value)


def _within(clause: str, only: tuple[str, ...]) -> bool:
    """Say whether a run that was restricted to some chapters is about this clause."""
    return not only or any(clause == part or clause.startswith((f"{part}.", f"{part}-")) for part in only)


class _Folder:
    """Carries what every row needs: the recording and whether it can be trusted."""

    def __init__(self, run: Run, requirements: Mapping[str, Requirement], *, trusted: bool) -> None:
        self._requirements = requirements
        self._trusted = trusted
        self._only = tuple(run.header.get("only", ()))
        self._recorded = {row["id"]: row for row in run.requirements}
        self._checks: dict[str, list[CheckResult]] = defaultdict(list)
        for check in run.checks:
            self._checks[check.requirement].append(check)
        self.scenarios = {
            name: ScenarioRow(name, item.stop, item.exchanges, sum(one.elapsed_ms for one in item.exchanges))
            for name, item in run.transcripts.items()
        }

    def _believe(self, verdict: Verdict, reason: Text | None) -> tuple[Verdict, Text | None]:
        """A pass out of a recording that cannot be trusted is an error, not a pass."""
        if self._trusted or verdict is not Verdict.PASS:
            return verdict, reason
        said = words.label(f"verdict.{verdict.value}")
        return Verdict.ERROR, words.fill(words.label("problem.distrusted"), verdict=said)

    def _check(self, result: CheckResult, demand: Text) -> CheckRow:
        verdict, reason = self._believe(result.verdict, words.reason(result.reason) if result.reason else None)
        findings = tuple(
            FindingRow(found, *words.finding(found, demand), waived=found.code in result.waived)
            for found in (
                replace(found, check=found.check or result.check, requirement=found.requirement or result.requirement)
                for found in result.findings
            )
        )
        name = words.sentence(result.check)
        return CheckRow(result.check, name, result.scenario, verdict, reason, findings, result.waived)

    def _reason(self, requirement: Requirement, recorded: Mapping[str, Any] | None, verdict: Verdict) -> Text | None:
        said = str(recorded.get("reason", "")) if recorded else ""
        if verdict in (Verdict.PASS, Verdict.FAIL, Verdict.WARN) and not said:
            return None
        untested = said in ("", *(f"by_{way.value}" for way in Verification))
        if verdict is Verdict.NOT_SCORED and requirement.reason and untested:
            return requirement.reason  # the row itself says why a test cannot tell
        if said == "not_covered" and not _within(requirement.id, self._only):
            return words.label("reason.left_out")
        if said:
            return words.reason(said)
        return words.label("reason.not_reported" if self._checks[requirement.id] else "reason.not_covered")

    def row(self, requirement: Requirement) -> RequirementRow:
        """Fold one requirement."""
        checks = tuple(self._check(item, requirement.demand) for item in self._checks[requirement.id])
        recorded = self._recorded.get(requirement.id)
        # Without a row of its own (a truncated file) the checks that were written still count, never as a pass.
        said = Verdict(recorded["verdict"]) if recorded else worst(item.verdict for item in checks)
        verdict, reason = self._believe(said, self._reason(requirement, recorded, said))
        scenarios = tuple(dict.fromkeys(check.scenario for check in checks if check.scenario in self.scenarios))
        elapsed = sum(self.scenarios[name].elapsed_ms for name in scenarios)
        return RequirementRow(requirement, chapter_of(requirement.id), verdict, reason, checks, scenarios, elapsed)

    def chapters(self) -> tuple[Chapter, ...]:
        """Fold every requirement, chapter by chapter in document order."""
        groups: dict[str, list[RequirementRow]] = defaultdict(list)
        for requirement in self._requirements.values():
            row = self.row(requirement)
            groups[row.chapter].append(row)
        return tuple(Chapter(key, words.label(f"chapter.{key}"), tuple(rows)) for key, rows in groups.items())


def _assurance(footer: Mapping[str, Any]) -> Assurance:
    recorded = footer.get("assurance")
    if not isinstance(recorded, Mapping):
        return Assurance()
    sizes = {name: len(item) if isinstance(item, list) else item for name, item in recorded.items()}
    known = {name: sizes[name] for name, _ in Assurance().items() if isinstance(sizes.get(name), int)}
    return Assurance(**known)


def _target(header: Mapping[str, Any]) -> dict[str, Any]:
    profile = header.get("profile", {})
    target = profile.get("target") if isinstance(profile, Mapping) else None
    return dict(redact(target)) if isinstance(target, Mapping) else {}


def _span(run: Run) -> tuple[int, float]:
    """Return when the run began (Unix ms) and how long it took; of a truncated one, as far as its exchanges tell."""
    stamped = [exchange for exchange in run.exchanges() if exchange.at_ms]
    first = run.header.get("started_ms", min((exchange.at_ms for exchange in stamped), default=0))
    seen = max((exchange.at_ms + exchange.elapsed_ms for exchange in stamped), default=first)
    return first, max(0.0, float(run.footer.get("ended_ms", seen) - first))


def fold(
    run: Run, lang: str = "", requirements: Mapping[str, Requirement] | None = None, loads: Iterable[Load] = ()
) -> Report:
    """Fold a run, and what load campaigns on its target came to, into a report.

    `lang` is "zh", "en" or "" for the reader's choice. Raises UsageError for a load result of another target.
    """
    known = load_requirements() if requirements is None else requirements
    problem, detail = problem_of(run)
    folder = _Folder(run, known, trusted=problem is None)
    outcomes = {level: Outcome.VOID if problem else run.outcome(level.value) for level in LEVELS}
    level = run.header.get("options", {}).get("level")
    facts = redact({key: value for key, value in run.header.items() if key not in _SHOWN_ELSEWHERE})
    started, duration = _span(run)
    recorded = {row["id"] for row in run.requirements} | {check.requirement for check in run.checks}
    return Report(
        lang=lang,
        problem=problem,
        detail=detail,
        outcomes=outcomes,
        judged_at=Level(level) if level in set(Level) else Level.SHALL,
        run_id=str(run.header.get("run", "")),
        target=_target(run.header),
        facts=dict(flatten(facts)),
        assurance=_assurance(run.footer),
        chapters=folder.chapters(),
        scenarios=folder.scenarios,
        unknown=tuple(sorted(recorded - set(known))),
        notes=tuple(str(note) for note in run.footer.get("problems", ())),
        started_ms=started,
        duration_ms=duration,
        loads=of_target(loads, str(_target(run.header).get("node_id", ""))),
    )
