"""`hutong selftest` and `hutong trace`: the proof that the suite finds defects."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from conformance.commands.console import err, fail, json_out, out, parts_of
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.verdict import ExitCode
from reports.shown import plain


def faults(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the deliberate defects of the reference node · 列出参考节点的故障注入点。"""
    from reference_node.faults import declared

    rows = list(declared().values())
    if as_json:
        json_out(
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
        rows = killmatrix.choose(parts_of(only), tuple(fault or ()), sample, seed)
    except HarnessError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
    ground = killmatrix.run_baseline()
    if as_json:
        trials = killmatrix.run_matrix(rows, jobs=jobs, baseline=ground, tell=lambda _trial: None)
        json_out(killmatrix.summary(trials, ground))
    else:
        for line in killmatrix.lines_of_baseline(ground):
            out.print(plain(line))
        trials = killmatrix.run_matrix(
            rows, jobs=jobs, baseline=ground, tell=lambda trial: out.print(plain(killmatrix.line_of(trial)))
        )
        out.print(plain(killmatrix.line_of_all(trials)))
    raise typer.Exit(0 if killmatrix.complete(trials, ground) else 1)


def mutants(
    sample: Annotated[int, typer.Option(help="How many to draw; 0 tries all.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    module: Annotated[
        list[str] | None, typer.Option(help="Modules by prefix, e.g. `services.approvals`; repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Change the node's source at random and count what the suite finds · 变异测试。

    Each mutant is one small change that nobody thought of. What survives is listed with its place; it is a check that
    is missing, unless it is judged in `conformance/selftest/judged_mutants.toml`. Exit code 0 whatever the score.
    """
    from conformance.selftest import mutants as trying

    try:
        names = trying.modules(tuple(module or ()))
    except HarnessError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
    with Progress(TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), console=err) as bar:
        task = bar.add_task("the sound node · 正常节点", total=None)
        ground = trying.examine(trying.modules())
        drawn = trying.draw(names, sample, seed)
        bar.update(task, total=len(drawn), description="mutants · 变异体")
        trials = trying.run(drawn, ground, jobs=jobs, tell=lambda _trial: bar.update(task, advance=1))
    if as_json:
        json_out(trying.summary(trials, ground, seed))
        return
    for line in trying.lines(trials, ground):
        out.print(plain(line), soft_wrap=True)


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
        err.print(f"[red]{plain(problem)}[/red]")
    raise typer.Exit(1 if problems else 0)


def _compare(standard: Path) -> int:
    from specs.edition import compare

    try:
        found = compare(standard.read_text(encoding="utf-8"))
    except OSError as exc:
        raise fail(
            UsageError(f"{standard}: {exc.strerror}", hint="Give the text as Markdown."), ExitCode.USAGE
        ) from exc
    for kind in ("changed", "added", "removed", "moved"):
        for row in getattr(found, kind):
            out.print(f"{kind:8} {row}")
    out.print("some sentences differ" if found else "the requirements were written for this very text")
    return 1 if found else 0
