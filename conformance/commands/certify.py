"""`hutong certify` and `hutong doctor`: a target is examined, over the wire."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from conformance import demo as demonstration
from conformance.commands.console import ProfileOption, TargetOption, err, fail, out, parts_of, profile_of
from conformance.harness import engine, levels, verdict, waivers
from conformance.harness.binding import load_binding
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.events import EventWriter, Run, read_events
from conformance.harness.partner import STRAY
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Profile
from conformance.harness.records import Transcript, Verdict
from conformance.harness.verdict import ExitCode
from conformance.harness.world import Stage
from reports.shown import plain
from specs import Level

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.WARN: "yellow",
    Verdict.ERROR: "magenta",
    Verdict.NOT_TESTABLE: "yellow",
}


def certify(
    target: TargetOption = None,
    profile: ProfileOption = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where events and reports go.")] = Path("reports/latest"),
    level: Annotated[Level, typer.Option(help="Level that decides the exit code.")] = Level.SHALL,
    only: Annotated[str, typer.Option(help="Chapters to certify, e.g. `8.1,9.2`.")] = "",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Scenarios at a time.")] = 8,
    waiver_file: Annotated[Path | None, typer.Option("--waivers", help="Waivers (TOML).")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Start two reference nodes and certify the first.")] = False,
    tls: Annotated[
        Literal["off", "intl", "gm"], typer.Option(help="With --demo: everything over mutual TLS; gm is RFC 8998.")
    ] = "off",
    fault: Annotated[list[str] | None, typer.Option(help="With --demo: defects of the certified node.")] = None,
) -> None:
    """Certify a target and write the report · 认证一个节点并生成报告。

    What only its operator can do (search or alter its storage, lose and restore it, end an instance, fill a disk) the
    profile lends by commands in [operator_hooks] · 须由运维方执行的动作由配置的 [operator_hooks] 提供。

    Example: `hutong certify --profile my-node.toml --out reports/my-node`
    """
    try:
        parts = parts_of(only)
        with ExitStack() as stack:
            if demo:
                chosen = parse_profile(stack.enter_context(demonstration.two_nodes(tuple(fault or ()), tls)), "demo")
            elif fault or tls != "off":
                raise UsageError(
                    "--fault and --tls go with --demo", hint="For another target, see [tls] of its profile."
                )
            else:
                chosen = profile_of(profile, target)
            code = _certify(chosen, out_dir, level, parts, jobs, waiver_file)
    except UsageError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
    except HarnessError as exc:
        raise fail(exc, ExitCode.VOID) from exc
    except KeyboardInterrupt:
        err.print("[yellow]Interrupted: the events written so far have no footer and prove nothing.[/yellow]")
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _certify(
    profile: Profile, out_dir: Path, level: Level, only: tuple[str, ...], jobs: int, waiver_file: Path | None
) -> ExitCode:
    scheme = engine.plan(only)
    frozen = levels.current()
    waived = waivers.load(waiver_file) if waiver_file else ()
    events = _fresh(out_dir)
    secret = profile.operator.reveal() if profile.operator else ""
    with EventWriter(events, [secret]) as writer:
        stage = engine.stage(profile, load_binding(profile.target.binding), record=writer.exchange)
        writer.header(engine.header(stage, scheme, frozen, {"level": level.value, "jobs": jobs}))
        engine.listen(stage)
        try:
            transcripts, dead = _collect(stage, scheme, jobs, writer)
        finally:
            stage.receiver.stop()
        judged = engine.conclude(
            transcripts, scheme.checks, profile, stage.binding, frozen, waived=waived, proven=proven()
        )
        engine.write(writer, judged, stage.clock)
    return _tell(judged, read_events(events), level, out_dir, dead)


def _fresh(out_dir: Path) -> Path:
    """Make room for a run; an earlier run in the same place is replaced as a whole."""
    out_dir.mkdir(parents=True, exist_ok=True)
    events = out_dir / "events.jsonl"
    events.unlink(missing_ok=True)
    return events


def _collect(stage: Stage, scheme: engine.Plan, jobs: int, writer: EventWriter) -> tuple[dict[str, Transcript], str]:
    collector = engine.Collector(stage)
    first = collector.sign_of_life("first")
    if not first.accepted:
        transcripts = engine.unreachable(scheme.scenarios, first)
        for transcript in transcripts.values():
            writer.transcript(transcript)
        return transcripts, first.exchange.failure or f"{stage.profile.target.url} does not answer the node query"
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
    )
    with bar:
        task = bar.add_task("scenarios · 场景", total=len(scheme.scenarios))

        def tell(name: str, transcript: Transcript) -> None:
            writer.transcript(transcript)
            bar.update(task, advance=1, description=name[:40])

        engine.collect(collector, scheme.scenarios, jobs=jobs, progress=tell)
    collector.sign_of_life("last")
    collector.strays()
    for name in (engine.SANITY, STRAY):
        if name in collector.transcripts:
            writer.transcript(collector.transcripts[name])
    return collector.transcripts, ""


def proven() -> frozenset[str]:
    """Return the findings that killed a fault when the matrix was last computed."""
    from conformance.selftest import trace

    return trace.committed_proven()


def _tell(judged: engine.Judged, run: Run, level: Level, out_dir: Path, dead: str) -> ExitCode:
    import reports

    reports.write_all(run, out_dir)
    outcome = judged.outcomes[level]
    if dead:
        err.print(f"[red]{plain(dead)}[/red]")
    for row in judged.requirements:
        if row.verdict in (Verdict.FAIL, Verdict.WARN, Verdict.ERROR) or (
            row.verdict is Verdict.NOT_TESTABLE and not dead
        ):
            codes = sorted({found.code for check in row.checks for found in check.findings})
            colour = COLOURS[row.verdict]
            detail = ", ".join(codes) or row.reason
            out.print(f"[{colour}]{row.verdict.value:12}[/{colour}] {row.id:12} {plain(detail)}")
    for problem in judged.problems:
        out.print(f"[red]waiver[/red]       {plain(problem)}")
    sure = judged.assurance
    colour = "green" if verdict.EXIT[outcome] is ExitCode.CONFORMANT else "red"
    out.print(f"[bold {colour}]{outcome.value}[/bold {colour}] at level {level.value}")
    out.print(
        f"clauses {sure['clauses']} · applicable {sure['applicable']} · exercised {sure['exercised']} · "
        f"proven by a killed fault {sure['proven']} · waived {sure['waived']}"
    )
    out.print(f"report: {out_dir / 'index.html'}")
    return verdict.EXIT[outcome]


def doctor(target: TargetOption = None, profile: ProfileOption = None) -> None:
    """Examine the way to a target before certifying it · 认证前检查连通性。"""
    from conformance import doctor as practice

    try:
        chosen = profile_of(profile, target)
        findings = list(practice.visit(chosen))
    except HarnessError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
    for row in findings:
        out.print(
            f"[{'green' if row.well else 'red'}]{'ok' if row.well else 'no':3}[/] {row.name}: {plain(row.detail)}"
        )
        if row.remedy:
            out.print(f"    → {plain(row.remedy)}")
    raise typer.Exit(0 if all(row.well for row in findings) else ExitCode.INCOMPLETE)
