"""`hutong rejudge` and `hutong report`: a recorded run, without its target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.certify import proven
from conformance.commands.console import ProfileOption, err, fail, out
from conformance.harness import engine, levels, verdict
from conformance.harness.binding import recorded_binding
from conformance.harness.errors import HarnessError
from conformance.harness.events import read_events
from conformance.harness.profile import load_profile, parse_profile
from conformance.harness.verdict import ExitCode
from reports.shown import plain
from specs import Level


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
        binding = recorded_binding(run.header, str(events))
        judged = engine.conclude(run.transcripts, scheme.checks, chosen, binding, levels.current(), proven=proven())
    except HarnessError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
    if not run.intact:
        err.print(f"[red]{plain(run.problem)}[/red]")
        raise typer.Exit(ExitCode.VOID)
    outcome = judged.outcomes[level]
    same = all(run.outcome(one.value) is judged.outcomes[one] for one in verdict.LEVELS)
    out.print(f"{outcome.value} at level {level.value} · recorded: {run.outcome(level.value).value}")
    if not same:
        err.print("[yellow]The judgement differs from the recorded one: the suite or the profile has changed.[/yellow]")
    raise typer.Exit(verdict.EXIT[outcome])


def report(
    events: Annotated[Path, typer.Argument(help="events.jsonl of a run.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where the reports go; beside the events if absent.")
    ] = None,
    load: Annotated[
        list[Path] | None, typer.Option(help="load.json of a load campaign on the same target; may be repeated.")
    ] = None,
) -> None:
    """Write the reports of a recorded run again · 由事件重新生成报告。

    With --load they also show what load campaigns came to, and up to which rate the target conforms.
    """
    import reports

    try:
        run = read_events(events)
        written = reports.write_all(
            run, out_dir or events.parent, loads=[reports.read_load(path) for path in load or ()]
        )
    except HarnessError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
    for path in written:
        out.print(str(path))
