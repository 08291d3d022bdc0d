"""Runs scenarios against a target, records them, has them judged, and writes the events of the run.

The order is always the same: a sign of life, the scenarios (in parallel, the exclusive ones alone), a sign of life,
the judgement. A target that cannot be reached leaves every check not_testable: the run is incomplete, never green.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SM3, Hash

import specs
from conformance.harness import canary, deposits, hooks, judge, registry, tampering, verdict, waivers
from conformance.harness.binding import Binding
from conformance.harness.clock import Clock, SystemClock
from conformance.harness.errors import Blame, NotOffered, Prerequisite, ScenarioStop, Undrivable
from conformance.harness.events import EventWriter, write_results
from conformance.harness.gap import FarSide
from conformance.harness.gap_relay import RelayEnds
from conformance.harness.levels import LevelSet
from conformance.harness.partner import STRAY, Receiver
from conformance.harness.profile_model import Profile
from conformance.harness.records import CheckResult, Exchange, Stop, StopKind, Transcript, Verdict
from conformance.harness.registry import Check, Scenario
from conformance.harness.schema import Contract
from conformance.harness.signing import KeyRing
from conformance.harness.steps import Told
from conformance.harness.target import HttpTransport, Transport
from conformance.harness.target_grpc import GrpcTransport
from conformance.harness.tls import Wardrobe
from conformance.harness.verdict import Outcome, RequirementResult
from conformance.harness.world import Stage, World
from specs import Level, Verification

SANITY = "sanity"
_KINDS: Mapping[type[ScenarioStop], StopKind] = {
    Prerequisite: StopKind.PREREQUISITE,
    Undrivable: StopKind.UNDRIVABLE,
    NotOffered: StopKind.NOT_OFFERED,
}

Progress = Callable[[str, Transcript], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run and judged."""

    scenarios: tuple[Scenario, ...]
    checks: tuple[Check, ...]
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a run came to."""

    transcripts: Mapping[str, Transcript]
    checks: tuple[CheckResult, ...]
    requirements: tuple[RequirementResult, ...]
    outcomes: Mapping[Level, Outcome]
    assurance: Mapping[str, int]
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Collector:
    """Acts out scenarios on one stage and keeps what happened."""

    stage: Stage
    transcripts: dict[str, Transcript] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def act(self, scenario: Scenario) -> Transcript:
        """Act out one scenario; whatever ends it early is written down, never raised."""
        world = World(self.stage, scenario.name)
        stop = _play(lambda: scenario.act(world), world)
        closing = _play(world.close, world)
        transcript = replace(world.transcript(), stop=stop or closing)
        with self._lock:
            self.transcripts[scenario.name] = transcript
        return transcript

    def sign_of_life(self, step: str) -> Told:
        """Ask the target who it is."""
        world = World(self.stage, SANITY)
        stop: Stop | None = None
        told: Told | None = None

        def ask() -> None:
            nonlocal told
            told = world.call(step, world.partner("sanity"), "nodeQuery", {"node_id": world.profile.target.node_id})

        stop = _play(ask, world)
        with self._lock:
            before = self.transcripts.get(SANITY, Transcript(SANITY))
            rows = (*before.exchanges, *(replace(row, id=f"{SANITY}/{step}") for row in world.transcript().exchanges))
            self.transcripts[SANITY] = Transcript(SANITY, rows, {}, before.stop or stop)
        if told is None:
            raise Blame(f"the sign of life could not be asked for: {stop.message if stop else ''}")
        return told

    def strays(self) -> None:
        """Keep the calls that nobody expected as evidence."""
        rows = tuple(self.stage.receiver.exchanges(STRAY))
        if rows:
            self.transcripts[STRAY] = Transcript(STRAY, rows)


def _play(act: Callable[[], None], world: World) -> Stop | None:
    try:
        act()
    except ScenarioStop as exc:
        return Stop(_KINDS[type(exc)], str(exc), world.current)
    except Exception as exc:  # noqa: BLE001  a scenario that breaks is the harness's fault and voids the run
        return Stop(StopKind.BLAME, f"{type(exc).__name__}: {exc}", world.current)
    return None


def plan(only: Sequence[str] = ()) -> Plan:
    """Collect the suite; `only` keeps the scenarios that serve requirements with one of these prefixes."""
    registry.load("conformance.checks", "conformance.suites")
    checks = sorted(registry.CHECKS.values(), key=lambda check: (check.requirement, check.name))
    if only:
        checks = [check for check in checks if not check.requirement or _matches(check.requirement, only)]
    wanted = {check.scenario for check in checks}
    scenarios = [row for row in registry.SCENARIOS.values() if not only or row.name in wanted]
    return Plan(tuple(scenarios), tuple(checks), tuple(only))


def _matches(requirement: str, only: Sequence[str]) -> bool:
    return any(requirement == part or requirement.startswith((f"{part}.", f"{part}-")) for part in only)


def stage(
    profile: Profile,
    binding: Binding,
    *,
    transport: Transport | None = None,
    peer: Transport | None = None,
    grpc: Transport | None = None,
    clock: Clock | None = None,
    record: Callable[[Exchange], None] = lambda _exchange: None,
    contract: Contract | None = None,
    keyring: KeyRing | None = None,
) -> Stage:
    """Set the stage of a run; the receiver is not serving yet."""
    time = clock or SystemClock()
    wardrobe = Wardrobe(profile.tls) if profile.tls and transport is None else None
    receiver = Receiver(
        binding,
        time,
        record=record,
        target_id=profile.target.node_id,
        skew_ms=profile.timings.clock_skew_seconds * 1000,
        wardrobe=wardrobe,
        secrets=canary.secrets_of(profile),
    )
    return Stage(
        run_id=secrets.token_hex(4),
        profile=profile,
        binding=binding,
        transport=transport or HttpTransport(profile.target.url, wardrobe),
        receiver=receiver,
        clock=time,
        contract=contract or Contract(),
        keyring=keyring or KeyRing(),
        record=record,
        peer=peer or (HttpTransport(profile.peer.url, wardrobe) if profile.peer else None),
        grpc=grpc or (GrpcTransport(profile.target.grpc, wardrobe) if profile.target.grpc else None),
        wardrobe=wardrobe,
        deposits=deposits.of(profile.hooks),
        tamper=tampering.of(profile.hooks),
        hands=hooks.of(profile.hooks),
        revoke=hooks.revoking(profile.hooks),
        gap=FarSide(profile.gap, profile.target.node_id, time, receiver.handle) if profile.gap else None,
        relay=RelayEnds(profile.relay, time) if profile.relay else None,
    )


def listen(current: Stage) -> None:
    """Have the partners of a run serve where the profile says, over gRPC too where the target offers it."""
    place = current.profile.partner
    grpc_port = place.grpc_port if current.profile.target.grpc else None
    current.receiver.start(place.host, place.port, place.address, grpc_port)


def collect(
    collector: Collector, scenarios: Sequence[Scenario], *, jobs: int, progress: Progress | None = None
) -> None:
    """Act out scenarios, the ordinary ones in parallel, then the exclusive ones one by one."""
    tell = progress or (lambda _name, _transcript: None)
    shared = [row for row in scenarios if not row.exclusive]
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="scenario") as pool:
        running = {pool.submit(collector.act, row): row.name for row in shared}
        try:
            for done in as_completed(running):
                tell(running[done], done.result())
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for row in scenarios:
        if row.exclusive:
            tell(row.name, collector.act(row))


def unreachable(scenarios: Iterable[Scenario], told: Told) -> dict[str, Transcript]:
    """Return the transcripts of a run that could not begin."""
    why = told.exchange.failure or (told.reading.msg if told.reading else "refused")
    stop = Stop(StopKind.UNDRIVABLE, f"the target gave no sign of life: {why}")
    return {row.name: Transcript(row.name, (), {}, stop) for row in scenarios}


# --- judging --------------------------------------------------------------------------------------------------------


def conclude(
    transcripts: Mapping[str, Transcript],
    checks: Sequence[Check],
    profile: Profile,
    binding: Binding,
    levels: LevelSet | None,
    *,
    waived: Sequence[waivers.Waiver] = (),
    proven: frozenset[str] = frozenset(),
    today: date | None = None,
) -> Judged:
    """Judge recordings and fold them into the outcome of a run."""
    requirements = specs.load_requirements()
    bench = judge.Bench(profile, binding, requirements, specs.operations())
    results = judge.judge(transcripts, checks, bench)
    results = [_scored(result, levels) for result in results]
    results, problems = _waive(results, waived, today or datetime.now(tz=UTC).date())
    rows = tuple(_requirement(row, results, profile) for row in requirements.values())
    outcomes = {level: _outcome(rows, level, problems) for level in verdict.LEVELS}
    return Judged(transcripts, tuple(results), rows, outcomes, _assurance(rows, proven), tuple(problems))


def _scored(result: CheckResult, levels: LevelSet | None) -> CheckResult:
    if levels is None or levels.scored(result.check):
        return result
    return replace(result, verdict=Verdict.NOT_SCORED, reason="added_after_release")


def _requirement(row: specs.Requirement, results: Iterable[CheckResult], profile: Profile) -> RequirementResult:
    mine = [result for result in results if result.requirement == row.id]
    declared = profile.declarations.get(row.id)
    if mine:
        reason = ""
    elif declared is not None:
        reason = f"declared: {declared.document or declared.statement}"
    elif row.verified_by is not Verification.TEST:
        reason = f"by_{row.verified_by.value}"
    else:
        reason = "not_covered"
    return verdict.of_requirement(row, mine, reason)


def _waive(
    results: list[CheckResult], rows: Sequence[waivers.Waiver], today: date
) -> tuple[list[CheckResult], list[str]]:
    problems: list[str] = []
    out: list[CheckResult] = []
    seen: set[str] = set()
    for result in results:
        codes = {found.code for found in result.findings}
        outcome = waivers.match(result.check, codes, rows, today)
        problems += [problem for problem in outcome.problems if problem not in problems]
        seen |= {result.check}
        if codes and codes <= outcome.waived:
            out.append(replace(result, verdict=Verdict.PASS, waived=tuple(sorted(codes)), reason="waived"))
        else:
            out.append(result)
    problems += waivers.unused(
        rows, {(result.check, code) for result in results for code in {f.code for f in result.findings}}
    )
    return out, problems


def _outcome(rows: Sequence[RequirementResult], level: Level, problems: Sequence[str]) -> Outcome:
    outcome = verdict.of_run(rows, level)
    green = outcome in (Outcome.CONFORMANT, Outcome.CONFORMANT_WITH_WAIVERS)
    return Outcome.NON_CONFORMANT if green and problems else outcome


def _assurance(rows: Sequence[RequirementResult], proven: frozenset[str]) -> dict[str, int]:
    scored = [row for row in rows if row.verdict not in (Verdict.NOT_SCORED, Verdict.NOT_APPLICABLE)]
    exercised = [row for row in scored if row.verdict in (Verdict.PASS, Verdict.WARN, Verdict.FAIL)]
    return {
        "clauses": len(rows),
        "applicable": len(scored),
        "exercised": len(exercised),
        "proven": len([row for row in exercised if row.id in proven]),
        "waived": len([row for row in scored if any(check.waived for check in row.checks)]),
    }


# --- a whole run ----------------------------------------------------------------------------------------------------


def digest(folder: Path, *suffixes: str) -> str:
    """Return the SM3 over the files of a folder, so that a report says what judged it."""
    total = Hash(SM3())
    for path in sorted(folder.rglob("*")):
        if path.suffix in suffixes and "__pycache__" not in path.parts:
            total.update(f"{path.relative_to(folder)}\0".encode())
            total.update(path.read_bytes())
    return total.finalize().hex()


def header(current: Stage, scheme: Plan, levels: LevelSet | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a run."""
    here = Path(__file__).resolve().parent.parent
    return {
        "run": current.run_id,
        "started_ms": current.clock.now_ms(),
        "profile": current.profile.public(),
        "binding": current.binding.name,
        "binding_content": dict(current.binding.content),
        "edition": levels.edition if levels else "unfrozen",
        "only": list(scheme.only),
        "scenarios": [row.name for row in scheme.scenarios],
        "digests": {"specs": digest(specs.folder(), ".toml", ".yaml"), "suite": digest(here, ".py")},
        "options": dict(options),
    }


def write(writer: EventWriter, judged: Judged, clock: Clock) -> None:
    """Record the judgement and close the run."""
    write_results(writer, judged.checks, judged.requirements)
    writer.footer(
        {
            "ended_ms": clock.now_ms(),
            "outcome": {level.value: outcome.value for level, outcome in judged.outcomes.items()},
            "assurance": dict(judged.assurance),
            "problems": list(judged.problems),
        }
    )
