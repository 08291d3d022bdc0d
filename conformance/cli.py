"""The command line: `hutong --help` lists what it can do; each command's `--help` shows an example.

This module is the roof: it alone may import every room, and nothing imports it. Exit codes are the API: 0 conformant,
1 not conformant, 2 incomplete, 3 void (the harness failed), 4 wrong usage.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import specs
from conformance import demo as demonstration
from conformance.harness import engine, levels, verdict, waivers
from conformance.harness.binding import load_binding
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.events import EventWriter, Run, read_events
from conformance.harness.partner import STRAY
from conformance.harness.profile import Profile, load_profile, parse_profile
from conformance.harness.records import Transcript, Verdict
from conformance.harness.verdict import ExitCode
from conformance.harness.world import Stage
from specs import Level

app = typer.Typer(
    name="hutong",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Certify privacy computing nodes for interoperability · 隐私计算互联互通认证。",
)
selftest = typer.Typer(no_args_is_help=True, help="Prove that the suite finds defects · 证明检查真的能失败。")
app.add_typer(selftest, name="selftest")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.WARN: "yellow",
    Verdict.ERROR: "magenta",
    Verdict.NOT_TESTABLE: "yellow",
}

ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Profile of the target (TOML, ten lines) · 被测节点配置文件。")
]
TargetOption = Annotated[str | None, typer.Option("--target", help="Address of the target; overrides the profile's.")]


def _fail(exc: HarnessError, code: ExitCode) -> typer.Exit:
    err.print(f"[red]{escape(str(exc))}[/red]")
    if exc.hint:
        err.print(f"  → {escape(exc.hint)}")
    return typer.Exit(code)


def _profile(path: Path | None, target: str | None) -> Profile:
    if path is None:
        raise UsageError(
            "certifying a target needs --profile FILE (or --demo)",
            hint="README.md shows a profile of ten lines; `hutong certify --demo` needs none.",
        )
    profile = load_profile(path)
    return replace(profile, target=replace(profile.target, url=target)) if target else profile


# --- certify --------------------------------------------------------------------------------------------------------


@app.command()
def certify(
    target: TargetOption = None,
    profile: ProfileOption = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where events and reports go.")] = Path("reports/latest"),
    level: Annotated[Level, typer.Option(help="Level that decides the exit code.")] = Level.SHALL,
    only: Annotated[str, typer.Option(help="Chapters to certify, e.g. `8.1,9.2`.")] = "",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Scenarios at a time.")] = 8,
    waiver_file: Annotated[Path | None, typer.Option("--waivers", help="Waivers (TOML).")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Start two reference nodes and certify the first.")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="With --demo: defects of the certified node.")] = None,
) -> None:
    """Certify a target and write the report · 认证一个节点并生成报告。

    Example: `hutong certify --profile my-node.toml --out reports/my-node`
    """
    try:
        parts = _parts(only)
        with ExitStack() as stack:
            if demo:
                first, second = stack.enter_context(demonstration.two_nodes(tuple(fault or ())))
                chosen = parse_profile(demonstration.profile_of(first, second), "demo")
            elif fault:
                raise UsageError("--fault goes with --demo", hint="A defect is switched on in the reference node only.")
            else:
                chosen = _profile(profile, target)
            code = _certify(chosen, out_dir, level, parts, jobs, waiver_file)
    except UsageError as exc:
        raise _fail(exc, ExitCode.USAGE) from exc
    except HarnessError as exc:
        raise _fail(exc, ExitCode.VOID) from exc
    except KeyboardInterrupt:
        err.print("[yellow]Interrupted: the events written so far have no footer and prove nothing.[/yellow]")
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _parts(only: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in only.split(",") if part.strip())
    known = specs.load_requirements()
    for part in parts:
        if not any(row == part or row.startswith((f"{part}.", f"{part}-")) for row in known):
            raise UsageError(f"--only {part}: no requirement begins so", hint="Give chapters like 8.1 or 9.2-a.")
    return parts


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
        stage.receiver.start(profile.partner.host, profile.partner.port, profile.partner.address)
        try:
            transcripts, dead = _collect(stage, scheme, jobs, writer)
        finally:
            stage.receiver.stop()
        judged = engine.conclude(
            transcripts, scheme.checks, profile, stage.binding, frozen, waived=waived, proven=_proven()
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


def _proven() -> frozenset[str]:
    from conformance.selftest import trace

    return trace.committed_proven()


def _tell(judged: engine.Judged, run: Run, level: Level, out_dir: Path, dead: str) -> ExitCode:
    import reports

    reports.write_all(run, out_dir)
    outcome = judged.outcomes[level]
    if dead:
        err.print(f"[red]{escape(dead)}[/red]")
    for row in judged.requirements:
        if row.verdict in (Verdict.FAIL, Verdict.WARN, Verdict.ERROR) or (
            row.verdict is Verdict.NOT_TESTABLE and not dead
        ):
            codes = sorted({found.code for check in row.checks for found in check.findings})
            colour = COLOURS[row.verdict]
            detail = ", ".join(codes) or row.reason
            out.print(f"[{colour}]{row.verdict.value:12}[/{colour}] {row.id:12} {escape(detail)}")
    for problem in judged.problems:
        out.print(f"[red]waiver[/red]       {escape(problem)}")
    sure = judged.assurance
    colour = "green" if verdict.EXIT[outcome] is ExitCode.CONFORMANT else "red"
    out.print(f"[bold {colour}]{outcome.value}[/bold {colour}] at level {level.value}")
    out.print(
        f"clauses {sure['clauses']} · applicable {sure['applicable']} · exercised {sure['exercised']} · "
        f"proven by a killed fault {sure['proven']} · waived {sure['waived']}"
    )
    out.print(f"report: {out_dir / 'index.html'}")
    return verdict.EXIT[outcome]


@app.command()
def rejudge(
    events: Annotated[Path, typer.Argument(help="events.jsonl of a run.")],
    profile: ProfileOption = None,
    level: Annotated[Level, typer.Option(help="Level that decides the exit code.")] = Level.SHALL,
) -> None:
    """Judge a recorded run again, without the target · 离线重新判定。

    With --profile the recording is judged as if the target had declared that profile.
    """
    try:
        run = read_events(events)
        chosen = load_profile(profile) if profile else parse_profile(run.header["profile"], str(events))
        scheme = engine.plan(tuple(run.header["only"]))
        binding = load_binding(run.header["binding"])
        judged = engine.conclude(run.transcripts, scheme.checks, chosen, binding, levels.current(), proven=_proven())
    except HarnessError as exc:
        raise _fail(exc, ExitCode.USAGE) from exc
    if not run.intact:
        err.print(f"[red]{escape(run.problem)}[/red]")
        raise typer.Exit(ExitCode.VOID)
    outcome = judged.outcomes[level]
    same = all(run.outcome(one.value) is judged.outcomes[one] for one in verdict.LEVELS)
    out.print(f"{outcome.value} at level {level.value} · recorded: {run.outcome(level.value).value}")
    if not same:
        err.print("[yellow]The judgement differs from the recorded one: the suite or the profile has changed.[/yellow]")
    raise typer.Exit(verdict.EXIT[outcome])


@app.command()
def report(
    events: Annotated[Path, typer.Argument(help="events.jsonl of a run.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where the reports go; beside the events if absent.")
    ] = None,
) -> None:
    """Write the reports of a recorded run again · 由事件重新生成报告。"""
    import reports

    try:
        run = read_events(events)
    except HarnessError as exc:
        raise _fail(exc, ExitCode.USAGE) from exc
    for path in reports.write_all(run, out_dir or events.parent):
        out.print(str(path))


@app.command()
def doctor(target: TargetOption = None, profile: ProfileOption = None) -> None:
    """Examine the way to a target before certifying it · 认证前检查连通性。"""
    from conformance import doctor as practice

    try:
        chosen = _profile(profile, target)
        findings = list(practice.visit(chosen))
    except HarnessError as exc:
        raise _fail(exc, ExitCode.USAGE) from exc
    for row in findings:
        out.print(
            f"[{'green' if row.well else 'red'}]{'ok' if row.well else 'no':3}[/] {row.name}: {escape(row.detail)}"
        )
        if row.remedy:
            out.print(f"    → {escape(row.remedy)}")
    raise typer.Exit(0 if all(row.well for row in findings) else ExitCode.INCOMPLETE)


# --- the reference node ---------------------------------------------------------------------------------------------


@app.command()
def node(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8801,
    data: Annotated[Path, typer.Option(help="Folder of database, keys and operator token.")] = Path("node-data"),
    config: Annotated[Path | None, typer.Option(help="Configuration (TOML).")] = None,
    host: Annotated[str | None, typer.Option(help="Interface; 127.0.0.1 by default.")] = None,
    node_id: Annotated[str | None, typer.Option("--id", help="Node id, at the first start.")] = None,
    address: Annotated[str | None, typer.Option(help="Address that partners are told.")] = None,
    lockout_seconds: Annotated[int | None, typer.Option(help="How long a peer is locked out.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Deliberate defect; see `hutong selftest faults`.")] = None,
) -> None:
    """Run a reference node until Ctrl-C · 启动参考节点。

    The line it prints when it is ready says its address; the operator token is in DATA/operator-token.
    """
    from reference_node.config import load_config
    from reference_node.errors import ConfigError
    from reference_node.server import serve

    try:
        settings = load_config(
            config,
            port=port,
            data=data,
            host=host,
            node_id=node_id,
            address=address,
            lockout_seconds=lockout_seconds,
            faults=tuple(fault) if fault else None,
        )
        serve(settings)
    except ConfigError as exc:
        raise _fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc


# --- selftest and trace ---------------------------------------------------------------------------------------------


def _json_out(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


@selftest.command()
def faults(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the deliberate defects of the reference node · 列出参考节点的故障注入点。"""
    from reference_node.faults import declared

    rows = list(declared().values())
    if as_json:
        _json_out(
            [
                {
                    "name": row.name,
                    "requirement": row.requirement,
                    "finding": row.finding,
                    "breaks": {"zh": row.breaks_zh, "en": row.breaks_en},
                }
                for row in rows
            ]
        )
        return
    table = Table("fault", "requirement", "finding", "breaks")
    for row in rows:
        table.add_row(row.name, row.requirement, row.finding, row.breaks_en)
    out.print(table)


@selftest.command("kill-matrix")
def kill_matrix(
    only: Annotated[str, typer.Option(help="Requirements by prefix, e.g. `8.1,9.2-b`.")] = "",
    fault: Annotated[list[str] | None, typer.Option(help="Faults by name.")] = None,
    sample: Annotated[int, typer.Option(help="A random sample of this size; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Try every defect against the suite; 0 when each is found as declared · 故障×发现矩阵。"""
    from conformance.selftest import killmatrix

    try:
        rows = killmatrix.choose(_parts(only), tuple(fault or ()), sample, seed)
    except HarnessError as exc:
        raise _fail(exc, ExitCode.USAGE) from exc
    ground = killmatrix.run_baseline()
    if as_json:
        trials = killmatrix.run_matrix(rows, jobs=jobs, baseline=ground, tell=lambda _trial: None)
        _json_out(killmatrix.summary(trials, ground))
    else:
        for line in killmatrix.lines_of_baseline(ground):
            out.print(escape(line))
        trials = killmatrix.run_matrix(
            rows, jobs=jobs, baseline=ground, tell=lambda trial: out.print(escape(killmatrix.line_of(trial)))
        )
        out.print(escape(killmatrix.line_of_all(trials)))
    raise typer.Exit(0 if killmatrix.complete(trials, ground) else 1)


@app.command()
def trace(
    check: Annotated[bool, typer.Option("--check", help="Fail when a run gives another matrix.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the matrix that a run gives.")] = False,
    freeze: Annotated[str, typer.Option(help="Freeze the checks of the matrix as the level set of an edition.")] = "",
    standard: Annotated[Path | None, typer.Option(help="A text of the standard, to compare with the rows.")] = None,
) -> None:
    """Show, check or compute requirements x checks x faults · 可追溯矩阵。

    The matrix comes from a real run: the unmutated node and every deliberate defect. With --standard the command says
    which sentences of a new edition differ from those that the requirements were written for.
    """
    from conformance.selftest import trace as tracing

    if standard is not None:
        raise typer.Exit(_compare(standard))
    if freeze:
        out.print(str(tracing.freeze(freeze, datetime.now(tz=UTC).date())))
        return
    if not (check or write):
        tracing.show(out.print)
        return
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=err) as bar:
        task = bar.add_task("faults · 故障", total=None)
        problems = (tracing.check if check else tracing.write)(
            lambda trial: bar.update(task, advance=1, description=trial.fault)
        )
    for problem in problems:
        err.print(f"[red]{escape(problem)}[/red]")
    raise typer.Exit(1 if problems else 0)


def _compare(standard: Path) -> int:
    from specs.edition import compare

    try:
        found = compare(standard.read_text(encoding="utf-8"))
    except OSError as exc:
        raise _fail(
            UsageError(f"{standard}: {exc.strerror}", hint="Give the text as Markdown."), ExitCode.USAGE
        ) from exc
    for kind in ("changed", "added", "removed", "moved"):
        for row in getattr(found, kind):
            out.print(f"{kind:8} {row}")
    out.print("some sentences differ" if found else "the requirements were written for this very text")
    return 1 if found else 0


def main() -> None:
    """Run the command line; wrong usage is exit code 4."""
    try:
        code = app(standalone_mode=False)
    except typer.Exit as exc:
        code = exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as exc:
        if not hasattr(exc, "format_message"):
            raise
        exc.show()  # type: ignore[attr-defined]
        code = int(ExitCode.USAGE)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
