"""`hutong gap`: the relay between two nodes that share no socket, and its evidence (9.2-h)."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from conformance.commands.console import fail
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode

gap = typer.Typer(no_args_is_help=True, help="Relay files between two networks · 隔离摆渡。")

State = Annotated[Path, typer.Option("--state", help="Folder of the relay's memory, evidence and quarantine.")]


@gap.command()
def run(
    outer: Annotated[Path, typer.Option(help="Folder of the outer node's link.")],
    inner: Annotated[Path, typer.Option(help="Folder of the inner node's link.")],
    policy: Annotated[Path, typer.Option(help="What may pass (TOML).")],
    state: State = Path("gap-state"),
    poll: Annotated[float, typer.Option(min=0.01, max=10, help="Seconds between two looks at the folders.")] = 0.05,
) -> None:
    """Move files between an outer and an inner node until Ctrl-C · 在内外网节点间摆渡文件。

    Example: `hutong gap run --outer a/gap/node-b --inner b/gap/node-a --policy gap.toml`
    """
    from reference_node import log
    from reference_node.gap.policy import load_policy
    from reference_node.gap.relay import GapRelay

    stop = threading.Event()
    with _told():
        log.to_stderr()
        with GapRelay(outer, inner, load_policy(policy), state) as relay:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            _line({"event": "ready", "outer": str(outer), "inner": str(inner)})
            relay.run(stop, poll=poll)


@gap.command()
def evidence(state: State = Path("gap-state")) -> None:
    """Print the records of a relay and verify their chain; exit code 1 if it is broken · 查看并核验证据链。"""
    from reference_node.gap.ledger import Ledger

    with _told():
        if not (state / "gap.db").exists():
            raise UsageError(f"{state} is no state of a relay", hint="Give --state as `hutong gap run` had it.")
        ledger = Ledger(state)
        try:
            for record in ledger.records():
                _line(record)
            broken = ledger.broken_at()
        finally:
            ledger.close()
    if broken is not None:
        raise fail(UsageError(f"the chain is broken at record {broken}"), ExitCode.NON_CONFORMANT)


def _line(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@contextmanager
def _told() -> Iterator[None]:
    from reference_node.errors import ConfigError

    try:
        yield
    except ConfigError as exc:
        raise fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc
    except UsageError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
