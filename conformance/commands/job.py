"""`hutong job`: a job between nodes, from one file.

Exit codes: 0 finished, 1 not finished, 4 the file or the words are wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from conformance.commands.console import err, fail, json_out, out
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.verdict import ExitCode
from reports.shown import plain

if TYPE_CHECKING:
    from reference_node.operator.run import Outcome, Output

_COLOURS = {"SUCCESS": "green", "FAILED": "red", "RUNNING": "cyan"}
_INTERRUPTED = 130


class _Shown:
    """A line for each task, which moves, and a line for each thing that was done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, TaskID] = {}
        self._states: dict[str, str] = {}
        columns = (TextColumn("{task.description:14}"), BarColumn(), TextColumn("{task.fields[state]}"))
        self.bar = Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[words]}"), console=console)

    def say(self, words: str) -> None:
        """Show what was done, or is waited for."""
        self._console.print(f"· {plain(words)}")

    def task(self, name: str, status: str, share: int, words: str) -> None:
        """Show how a task is; its clock runs while it runs."""
        colour = _COLOURS.get(status, "dim")
        fields: dict[str, Any] = {"state": f"[{colour}]{status:8}[/{colour}]", "words": plain(words)}
        if name not in self._rows:
            self._rows[name] = self.bar.add_task(name, total=100, start=False, **fields)
        row = self._rows[name]
        if self._states.get(name) != status:
            if status not in ("PENDING", "READY"):
                self.bar.start_task(row)
            if not self._console.is_terminal:
                self._console.print(f"· {time.strftime('%H:%M:%S')} {plain(name)} {status}")
        self._states[name] = status
        self.bar.update(row, completed=share, **fields)
        if status in ("SUCCESS", "FAILED"):
            self.bar.stop_task(row)


def run(
    file: Annotated[Path, typer.Argument(help="Job file (TOML or JSON); `hutong job example DIR` writes one.")],
    to: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for files of results, by default `results` beside the job file."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for other operators' approvals.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON on standard output.")] = False,
) -> None:
    """Run a job between nodes and show what came of it · 按作业文件在节点间运行作业。

    Example: `hutong job example demo && hutong job run demo/job.toml`
    """
    from reference_node.operator.client import OperatorError
    from reference_node.operator.jobfile import load_job
    from reference_node.operator.keys import JobFileError
    from reference_node.operator.run import run as run_job

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the command so wants the same as by Ctrl-C
    shown = _Shown(err)
    try:
        job = load_job(file)
        with shown.bar:
            outcome = run_job(job, shown, patience=wait, out=to)
    except JobFileError as exc:
        raise fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc
    except OperatorError as exc:
        raise fail(HarnessError(str(exc), hint=exc.hint), ExitCode.NON_CONFORMANT) from exc
    except KeyboardInterrupt:
        err.print("[yellow]Interrupted: the job was stopped, nodes that were started here have ended.[/yellow]")
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        json_out({**asdict(outcome), "finished": outcome.finished})
    else:
        _tell(outcome)
    raise typer.Exit(0 if outcome.finished else ExitCode.NON_CONFORMANT)


def example(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    rows: Annotated[int, typer.Option(min=1, max=10_000_000, help="Identifiers in each file.")] = 100_000,
) -> None:
    """Write a job file and two data files to try · 生成示例作业文件与数据。"""
    from reference_node.operator.example import write_example

    try:
        paths = write_example(folder, rows)
    except OSError as exc:
        raise fail(UsageError(f"{folder}: {exc.strerror}", hint="Choose another folder."), ExitCode.USAGE) from exc
    for path in paths:
        out.print(plain(str(path)))


def _tell(outcome: Outcome) -> None:
    if outcome.outputs:
        table = Table("node", "task", "output", Column("what", overflow="fold"))
        for row in outcome.outputs:
            table.add_row(row.node, row.task, row.kind, plain(_words(row)))
        out.print(table)
    for failure in outcome.failures:
        place = plain(f"{failure.task} at {failure.node}: {failure.cause} {failure.detail}".strip())
        out.print(f"[red]failed[/red] {place}")
        for line in failure.log:
            out.print(f"    {plain(line)}")
    colour = "green" if outcome.finished else "red"
    why = "" if outcome.cause is None else f" · {outcome.cause} {outcome.detail}".rstrip()
    out.print(f"[bold {colour}]{outcome.status}[/bold {colour}]{plain(why)} · {outcome.job_id} · {outcome.seconds:g} s")


def _words(row: Output) -> str:
    """Return an output in one cell: a file by its place, a report by what it says."""
    if row.file is not None:
        return f"{_short(row.file)} ({row.content['bytes']:,} bytes)"
    return "\n".join(f"{name}: {_value(value)}" for name, value in row.content.items())


def _short(path: str) -> str:
    """Return a path as it is told from here, if that is shorter."""
    return min(os.path.relpath(path), path, key=len)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    return str(value)
