"""Generated mutants: a measure of what the suite would miss if the node did otherwise.

A mutant is one small change of the node's source that nobody thought of (`mutation`). A sample of them is drawn from
the modules that carry the protocols; each is tried in the scenarios that come to its statement when the node is sound.
It is *killed* when a check reports a finding, *incomplete* when a scenario could not be played to its end and no check
says why, *survived* when nothing shows, *unreached* when no scenario comes to its place, and *void* when it cannot be
tried: it hangs, or breaks the harness. The mutation score is the killed among all that are not void and not judged.

`judged_mutants.toml` lists survivors that somebody has looked at: equivalent to the sound node, or outside of what
standard and `specs/` promise. Every other survivor is a check that is missing.
"""

from __future__ import annotations

import math
import multiprocessing
import pkgutil
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import specs
from conformance.harness.errors import UsageError
from conformance.harness.records import Verdict
from conformance.harness.registry import Scenario
from conformance.selftest import killmatrix
from conformance.selftest.mutation import Mutant, marked, mutants, mutate
from conformance.selftest.weaving import NotWoven, Source, unweave, weave

PACKAGES: Final = ("interfaces", "services", "domain", "security", "evidence", "schedule", "transport")
JUDGED: Final = Path(__file__).with_name("judged_mutants.toml")
CRASHES: Final = frozenset({"SERVER_ERROR"})
_MARK: Final = "__reached__"
_SECONDS: Final = 180.0
_Z: Final = 1.959963984540054  # of a 95 % interval


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    INCOMPLETE = "incomplete"
    SURVIVED = "survived"
    UNREACHED = "unreached"
    VOID = "void"


class Judgement(StrEnum):
    """Why a mutant need not be killed."""

    EQUIVALENT = "equivalent"
    NOT_PROMISED = "not_promised"


@dataclass(frozen=True, slots=True)
class Trial:
    """What the suite said of one mutant."""

    mutant: Mutant
    fate: Fate
    codes: tuple[str, ...] = ()
    reason: str = ""
    judgement: Judgement | None = None

    @property
    def crash(self) -> bool:
        """Whether nothing but a failure of the node itself showed."""
        return self.fate is Fate.KILLED and set(self.codes) <= CRASHES

    @property
    def counts(self) -> bool:
        """Whether it counts in the score."""
        return self.fate is not Fate.VOID and (self.fate is Fate.KILLED or self.judgement is None)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        where = {"module": self.mutant.module, "function": self.mutant.function, "line": self.mutant.line}
        change = {"kind": self.mutant.kind, "before": self.mutant.before, "after": self.mutant.after}
        judged = None if self.judgement is None else self.judgement.value
        said = {"fate": self.fate.value, "findings": list(self.codes), "reason": self.reason, "judgement": judged}
        return {**where, **change, "nth": self.mutant.nth, **said}


@dataclass(frozen=True, slots=True)
class Score:
    """Killed of those that count, with the bounds of its 95 % interval (Wilson 1927)."""

    killed: int
    total: int

    @property
    def value(self) -> float:
        """The share that was killed."""
        return self.killed / self.total if self.total else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Return the bounds."""
        if not self.total:
            return 0.0, 1.0
        n, p, z2 = self.total, self.value, _Z * _Z
        middle, width = p + z2 / (2 * n), _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return (middle - width) / (1 + z2 / n), (middle + width) / (1 + z2 / n)

    def __str__(self) -> str:
        """Return the score in words."""
        low, high = self.interval
        return f"{self.value:.0%} ({low:.0%} to {high:.0%}), {self.killed} of {self.total}"


@dataclass(frozen=True, slots=True)
class Ground:
    """The sound node: which scenarios come to which statement of which module."""

    reached: Mapping[str, Mapping[int, frozenset[str]]]
    statements: Mapping[str, int]

    def scenarios(self, mutant: Mutant) -> list[Scenario]:
        """Return the scenarios that come to a mutant's statement, those first that come to little else."""
        names = self.reached[mutant.module].get(mutant.statement, frozenset())
        weight = self._weights()
        return sorted(
            (row for row in killmatrix.suite_plan().scenarios if row.name in names), key=lambda r: weight[r.name]
        )

    def _weights(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for of_module in self.reached.values():
            for names in of_module.values():
                for name in names:
                    found[name] = found.get(name, 0) + 1
        return found


def modules(only: Sequence[str] = ()) -> list[str]:
    """Return the modules that are changed; `only` keeps those that begin so, without the name of the node's package."""
    found = []
    for package in PACKAGES:
        path = import_module(f"reference_node.{package}").__path__
        found += [f"reference_node.{package}.{item.name}" for item in pkgutil.iter_modules(path)]
    wanted = tuple(f"reference_node.{part.removeprefix('reference_node.')}" for part in only)
    chosen = [name for name in found if not wanted or name.startswith(wanted)]
    if not chosen:
        raise UsageError(f"no module begins with {', '.join(only)}", hint=f"Packages: {', '.join(PACKAGES)}.")
    return chosen


def draw(names: Iterable[str], sample: int, seed: int) -> list[Mutant]:
    """Return a sample of the mutants of modules, all of them where `sample` is 0."""
    every = [mutant for name in names for mutant in mutants(Source.of(name))]
    return every if not sample or sample >= len(every) else random.Random(seed).sample(every, sample)


def examine(names: Iterable[str]) -> Ground:
    """Run the suite against the sound node and note which statements each scenario comes to."""
    reached: dict[str, dict[int, set[str]]] = {}
    current: list[set[tuple[str, int]]] = [set()]
    replaced: dict[FunctionType, CodeType] = {}
    statements = {}
    for name in names:
        source = Source.of(name)
        module = import_module(name)
        setattr(module, _MARK, lambda number, name=name: current[0].add((name, number)))
        tree, statements[name] = marked(source, _MARK)
        replaced |= weave(source, tree)
        reached[name] = {}
    try:
        for lab, scenarios in _by_lab(killmatrix.suite_plan().scenarios):
            room = killmatrix.open_lab(lab)
            for scenario in scenarios:
                current[0] = set()
                room.run([scenario])
                for name, number in current[0]:
                    reached[name].setdefault(number, set()).add(scenario.name)
            room.close()
    finally:
        unweave(replaced)
    frozen = {name: {at: frozenset(found) for at, found in rows.items()} for name, rows in reached.items()}
    return Ground(frozen, statements)


def run(
    sample: Sequence[Mutant],
    ground: Ground,
    *,
    jobs: int = 2,
    seconds: float = _SECONDS,
    tell: Callable[[Trial], None] = lambda _trial: None,
) -> list[Trial]:
    """Try mutants, each in a process of its own; `tell` hears of each as it is done."""
    context = multiprocessing.get_context("fork")
    waiting, found = list(reversed(sample)), {}
    working: dict[Connection, tuple[Any, Mutant, float]] = {}
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                mutant = waiting.pop()
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(mutant, ground.scenarios(mutant), there), daemon=True)
                process.start()
                there.close()
                working[here] = (process, mutant, time.monotonic() + seconds)
            ready = set(wait(list(working), timeout=1.0))
            late = {pipe for pipe, (_, _, until) in working.items() if time.monotonic() > until}
            for pipe in [pipe for pipe in working if pipe in ready | late]:
                process, mutant, _ = working.pop(pipe)
                trial = _heard(pipe, mutant) if pipe in ready else Trial(mutant, Fate.VOID, reason="it hangs")
                process.kill()
                process.join()
                pipe.close()
                found[mutant] = trial
                tell(trial)
    finally:
        for process, _, _ in working.values():
            process.kill()
    return [found[mutant] for mutant in sample]


def score(trials: Iterable[Trial]) -> Score:
    """Return the mutation score."""
    counted = [trial for trial in trials if trial.counts]
    return Score(sum(trial.fate is Fate.KILLED for trial in counted), len(counted))


def lines(trials: Sequence[Trial], ground: Ground) -> list[str]:
    """Say in words which mutants live, and the score."""
    found = [
        f"{trial.fate.value:10} {trial.mutant}" + (f" ({trial.reason})" if trial.reason else "")
        for trial in trials
        if trial.fate is not Fate.KILLED and trial.judgement is None
    ]
    counts = " · ".join(f"{name} {number}" for name, number in _counts(trials).items())
    looked_at = sum(trial.judgement is not None for trial in trials)
    crashes = sum(trial.crash for trial in trials)
    reached = sum(len(rows) for rows in ground.reached.values())
    return [
        *found,
        f"statements: {reached} of {sum(ground.statements.values())} are reached by a scenario",
        f"{len(trials)} mutants · {counts} · not killed but judged {looked_at} · killed by a crash alone {crashes}",
        f"mutation score {score(trials)}",
    ]


def summary(trials: Sequence[Trial], ground: Ground, seed: int) -> dict[str, Any]:
    """Return a run as JSON."""
    found = score(trials)
    return {
        "seed": seed,
        "statements": {
            "all": sum(ground.statements.values()),
            "reached": sum(len(rows) for rows in ground.reached.values()),
        },
        "counts": _counts(trials),
        "score": {"value": found.value, "interval": list(found.interval), "killed": found.killed, "of": found.total},
        "trials": [trial.to_json() for trial in trials],
    }


def _counts(trials: Iterable[Trial]) -> dict[str, int]:
    fates = [trial.fate for trial in trials]
    return {fate.value: fates.count(fate) for fate in Fate}


@cache
def judged(path: Path = JUDGED) -> Mapping[tuple[Any, ...], Judgement]:
    """Return the mutants that somebody has looked at, by what identifies them."""
    rows = specs.read_toml(path).get("mutant", []) if path.is_file() else []
    names = ("module", "function", "kind", "before", "after")
    return {(*(row[name] for name in names), row.get("nth", 0)): Judgement(row["judgement"]) for row in rows}


def _by_lab(scenarios: Iterable[Scenario]) -> Iterator[tuple[str, list[Scenario]]]:
    found: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        found.setdefault(killmatrix.lab_of(scenario), []).append(scenario)
    yield from sorted(found.items())  # the lab without a name, which is in process, comes first


def _heard(pipe: Connection, mutant: Mutant) -> Trial:
    try:
        fate, codes, reason = pipe.recv()
    except EOFError:
        return Trial(mutant, Fate.VOID, reason="its process died")
    return Trial(mutant, fate, codes, reason, None if fate is Fate.KILLED else judged().get(mutant.identity))


def _work(mutant: Mutant, scenarios: Sequence[Scenario], pipe: Connection) -> None:
    """Try one mutant, in a process of its own, and send what became of it."""
    if not scenarios:
        pipe.send((Fate.UNREACHED, (), "no scenario comes to its place"))
        return
    source = Source.of(mutant.module)
    try:
        weave(source, mutate(source, mutant), mutant.key)
        pipe.send(_try(scenarios))
    except NotWoven as refused:
        pipe.send((Fate.VOID, (), str(refused)))
    except Exception as failure:  # noqa: BLE001  whatever a changed node does to the harness is said, not raised
        pipe.send((Fate.VOID, (), f"{type(failure).__name__}: {failure}"[:200]))


def _try(scenarios: Sequence[Scenario]) -> tuple[Fate, tuple[str, ...], str]:
    """Play scenarios until a check has a finding."""
    incomplete = broken = ""
    for lab, mine in _by_lab(scenarios):
        room = killmatrix.open_lab(lab)
        for scenario in mine:
            room.run([scenario])
            results = killmatrix.judge_all({scenario.name: room.collector.transcripts[scenario.name]})
            codes = tuple(sorted({row.code for result in results for row in result.findings}))
            if codes:
                return Fate.KILLED, codes, ""
            for result in results:
                if result.verdict is Verdict.ERROR:
                    broken = broken or f"{scenario.name}: {result.reason}"
                elif result.verdict is Verdict.NOT_TESTABLE:
                    incomplete = incomplete or f"{scenario.name}: {result.reason}"
        room.close()
    if incomplete:
        return Fate.INCOMPLETE, (), incomplete[:200]
    return (Fate.VOID, (), broken[:200]) if broken else (Fate.SURVIVED, (), "")
