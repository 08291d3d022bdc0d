"""`hutong gap`: the relay between two nodes that share no socket, and its evidence (9.2-h)."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from conformance.commands.console import fail
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode

gap = typer.Typer(no_args_is_help=True, help="Relay files between two networks · 隔离摆渡。")

_SHOWN = 20
State = Annotated[Path, typer.Option("--state", help="Folder of the relay's memory, evidence and quarantine.")]


@gap.command()
def run(
    outer: Annotated[Path, typer.Option(help="Folder of the outer node's link.")],
    inner: Annotated[Path, typer.Option(help="Folder of the inner node's link.")],
    policy: Annotated[Path, typer.Option(help="What may pass (TOML).")],
    state: State = Path("gap-state"),
    poll: Annotated[float, typer.Option(min=0.01, max=10, help="Seconds between two looks at the folders.")] = 0.05,
    fault: Annotated[list[str] | None, typer.Option(help="Deliberate defect; see `hutong selftest faults`.")] = None,
) -> None:
    """Move files between an outer and an inner node until Ctrl-C · 在内外网节点间摆渡文件。

    Example: `hutong gap run --outer a/gap/node-b --inner b/gap/node-a --policy gap.toml`
    """
    from reference_node import log
    from reference_node.faults import Faults
    from reference_node.gap.policy import load_policy
    from reference_node.gap.relay import GapRelay

    stop = threading.Event()
    with _told():
        log.to_stderr()
        with GapRelay(outer, inner, load_policy(policy), state, faults=Faults(fault or ())) as relay:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            _line({"event": "ready", "outer": str(outer), "inner": str(inner)})
            relay.run(stop, poll=poll)


@gap.command()
def evidence(state: State = Path("gap-state")) -> None:
    """Print the signed records of a relay and verify them; exit code 1 if one was changed · 导出并核验证据链。

    What is printed is an export, which `hutong gap verify` takes anywhere; the relay's key is STATE/relay.pem.
    """
    from reference_node.gap.ledger import Ledger

    with _told():
        if not (state / "gap.db").exists():
            raise UsageError(f"{state} is no state of a relay", hint="Give --state as `hutong gap run` had it.")
        ledger = Ledger(state)
        try:
            for line in ledger.exported(time.time_ns() // 1_000_000):
                sys.stdout.write(f"{line}\n")
            broken = ledger.broken_at()
        finally:
            ledger.close()
    if broken is not None:
        raise fail(UsageError(f"the chain is broken at record {broken}"), ExitCode.NON_CONFORMANT)


@gap.command()
def verify(
    file: Annotated[Path, typer.Argument(help="What `hutong gap evidence` printed.")],
    key: Annotated[Path | None, typer.Option(help="The relay's public key, from its operator.")] = None,
) -> None:
    """Verify an export of a relay's evidence by the relay's key; exit code 1 if it was changed · 验证导出的证据。

    Without --key it is held against the key that stands in it, which shows changes but not who made it.
    """
    from reference_node.errors import ConfigError
    from reference_node.gap import evidence as records
    from reference_node.gap.files import SUITE
    from reference_node.security.errors import SecurityFailure
    from reference_node.security.keys import PublicKey

    with _told():
        try:
            content = file.read_bytes()
            relay = PublicKey.from_credential(SUITE, key.read_text(encoding="ascii")) if key else None
        except (OSError, UnicodeDecodeError, SecurityFailure) as wrong:
            raise UsageError(str(wrong), hint="Give an export, and relay.pem of the relay's state.") from wrong
    try:
        relay = relay or records.relay_of(content)
    except ConfigError as wrong:
        raise fail(UsageError(str(wrong)), ExitCode.NON_CONFORMANT) from wrong
    found = records.verified(content, relay)
    wrong_lines = [{"line": line, "problem": words} for line, words in found.wrong]
    known = {"relay": relay.fingerprint, "key": "given" if key else "in the export"}
    _line({"records": found.records, **known, "intact": not wrong_lines, "problems": wrong_lines[:_SHOWN]})
    if wrong_lines:
        raise typer.Exit(ExitCode.NON_CONFORMANT)


@gap.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    session_mib: Annotated[int, typer.Option(min=1, max=64, help="The bound of a session in the policy.")] = 1,
) -> None:
    """Make folders, keys and a policy for a relay under test; print its section of a profile · 准备摆渡测试。

    The suite then plays the nodes on both sides; see `[gap.relay]` in the README.
    """
    from reference_node.gap.files import IN, OUT, SUITE
    from reference_node.security.keys import PrivateKey

    if folder.exists():
        raise fail(UsageError(f"{folder} is there already", hint="Name a new folder."), ExitCode.USAGE)
    section, policy = ["[gap.relay]", f"session_mib = {session_mib}"], []
    for side in ("outer", "inner"):
        for name in (OUT, IN):
            (folder / side / name).mkdir(parents=True)
        key = PrivateKey.generate(SUITE)
        key.save(folder / f"{side}-key.pem")
        (folder / f"{side}.pem").write_text(key.public.pem, encoding="ascii")
        names = [(side, folder / side), (f"{side}_key", folder / f"{side}-key.pem")]
        section += [f"{name} = {json.dumps(str(path.absolute()))}" for name, path in names]
        section += [f'{side}_id = "relay-test-{side}"']
        policy += [f"[{side}]", f'node_id = "relay-test-{side}"', f'key = "{side}.pem"']
    text = "\n".join([*policy, "[limits]", f"session_mib = {session_mib}", ""])
    (folder / "gap.toml").write_text(text, encoding="utf-8")
    sys.stdout.write("\n".join([*section, ""]))


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
