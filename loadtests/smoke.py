"""`make load`: a load campaign against a node, judged by the suite's own checks on sampled answers.

    python -m loadtests.smoke --demo                      the reference node, started for the purpose
    python -m loadtests.smoke --profile my-node.toml      any node; --users 20 --seconds 60 --out reports/runs/mine

The profile is the one of `hutong certify`. DIR/load.json has the figures, DIR/load.html the same with charts; `hutong
report events.jsonl --load DIR/load.json` shows them beside a certification of the same node.
Exit codes: 0 every gate is met, 1 not, 3 the harness failed, 4 wrong usage. Guarantees: nothing is sent to a node that
is not on loopback without --allow-remote; the campaign ends, whatever the target does; this process stays free of
gevent, which has a process of its own (`loadtests.users`).
"""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from conformance import demo
from conformance.harness import registry
from conformance.harness.binding import load_binding
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Profile
from conformance.harness.strict import meant, read_toml
from conformance.harness.verdict import ExitCode
from loadtests import measure, page
from loadtests.campaign import Campaign, parse_campaign, reshaped
from reports.load import Load
from reports.shown import plain

CAMPAIGNS = Path(__file__).resolve().parent / "campaigns"
DEMO_NODE = "hutong-node-1"  # as `hutong certify --demo` names its target, so that one report can show both
GRACE_SECONDS = 60.0
SECONDS_PER_USER = 5.0  # to make a user's contract and to end it

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Mission:
    """What the load process is to do, as far as it can be told before the target is known to answer."""

    profile: Mapping[str, Any]
    where: str
    campaign: Mapping[str, Any]
    campaign_where: str
    users: int | None
    seconds: float | None


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell wrong usage as everywhere in the harness."""
        raise UsageError(message, hint=self.format_usage().strip())


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    words = _Words(prog="python -m loadtests.smoke", description="A load campaign with conformance checks · 负载测试")
    target = words.add_mutually_exclusive_group(required=True)
    target.add_argument("--profile", type=Path, help="profile of the target (TOML)")
    target.add_argument("--demo", action="store_true", help="start a reference node and load it")
    words.add_argument("--campaign", default="smoke", help="name in loadtests/campaigns, or a file")
    words.add_argument("--users", type=int, help="users at a time instead of the campaign's")
    words.add_argument("--seconds", type=float, help="length instead of the campaign's")
    words.add_argument("--out", type=Path, default=Path("reports/runs/load"), help="folder of load.json and load.html")
    words.add_argument("--allow-remote", action="store_true", help="load a node that is not on this machine")
    words.add_argument("--fault", action="append", default=[], help="with --demo: a deliberate defect of the node")
    given = words.parse_args(argv)
    if given.fault and not given.demo:
        raise UsageError("--fault goes with --demo", hint="A defect is switched on in the reference node only.")
    if importlib.util.find_spec("locust") is None:
        raise UsageError("Locust is not installed", hint="pip install 'hutong[load]'")
    return given


def on_loopback(url: str) -> bool:
    """Say whether an address is this machine's own, without asking any name service."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def campaign_file(name: str) -> Path:
    """Return the file of a campaign: a name of the shipped ones, or a path that ends in .toml."""
    if name.endswith(".toml"):
        return Path(name)
    shipped = {path.stem: path for path in sorted(CAMPAIGNS.glob("*.toml"))}
    if name not in shipped:
        guess = meant(name, shipped)
        raise UsageError(
            f'there is no campaign "{name}"' + (f'; did you mean "{guess}"?' if guess else ""),
            hint=f"Take one of: {', '.join(shipped)}; or name a file.",
        )
    return shipped[name]


def act(mission: Mission, campaign: Campaign) -> dict[str, Any]:
    """Have the load process act out a mission; return what it wrote. Raises HarnessError when it fails or hangs."""
    limit = campaign.shape.seconds + SECONDS_PER_USER * campaign.shape.users + GRACE_SECONDS
    with tempfile.TemporaryDirectory(prefix="hutong-load-") as folder:
        happened = Path(folder) / "happened.json"
        orders = json.dumps({**{name: getattr(mission, name) for name in Mission.__slots__}, "out": str(happened)})
        command = [sys.executable, "-m", "loadtests.users"]
        try:
            done = subprocess.run(command, input=orders, text=True, capture_output=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired as exc:
            raise HarnessError(f"the load process did not end within {limit:.0f} s") from exc
        if done.returncode != 0 or not happened.exists():
            raise HarnessError(f"the load process failed ({done.returncode})", hint=done.stderr[-2000:])
        written: dict[str, Any] = json.loads(happened.read_text(encoding="utf-8"))
    if written["blame"]:
        raise HarnessError(f"the load process broke off: {written['blame']}")
    return written


def run(mission: Mission, *, allow_remote: bool = False) -> Load:
    """Carry out a campaign and judge it."""
    profile: Profile = parse_profile(mission.profile, mission.where)
    if not (allow_remote or on_loopback(profile.target.url)):
        raise UsageError(
            f"{profile.target.url} is not on this machine",
            hint="Load only nodes whose owner agrees, and say so: --allow-remote.",
        )
    campaign = reshaped(parse_campaign(mission.campaign, mission.campaign_where), mission.users, mission.seconds)
    binding = load_binding(profile.target.binding)
    registry.load("conformance.checks")
    checks = measure.checks_of(campaign, registry.CHECKS, mission.campaign_where)
    return measure.fold(act(mission, campaign), campaign, profile, binding, checks)


def write(load: Load, folder: Path) -> list[Path]:
    """Write load.json and load.html."""
    folder.mkdir(parents=True, exist_ok=True)
    data, shown = folder / "load.json", folder / "load.html"
    data.write_text(json.dumps(load.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shown.write_text(page.render(load), encoding="utf-8")
    return [data, shown]


def tell(load: Load) -> None:
    """Print the outcome in short."""
    table = Table("operation", "requests", "errors", "1/s", "p50 ms", "p95 ms", "p99 ms")
    for row in (*load.operations, load.total):
        figures = (row.per_second, row.p50, row.p95, row.p99)
        table.add_row(row.operation or "all", str(row.requests), str(row.errors), *(f"{one:.1f}" for one in figures))
    out.print(table)
    for name, what, count in load.errors:
        out.print(f"[red]{plain(name)}: {plain(what)}[/red] × {count}")
    for seen in load.seen:
        out.print(f"[red]{seen.finding.requirement} {seen.finding.code}[/red] in {seen.operation} × {seen.times}")
    for gate in load.gates:
        actual = "not measured" if gate.actual is None else f"{gate.actual:g}"
        out.print(f"{'[green]met[/]' if gate.met else '[red]not met[/]'} {gate.name}: {actual} (limit {gate.limit:g})")
    if load.stop:
        out.print(f"[red]{plain(load.stop)}[/red]")
    out.print(f"{load.sampled} stories were judged by the suite")


def campaign(argv: Sequence[str]) -> ExitCode:
    """Carry out what the command line asks for."""
    given = _arguments(argv)
    file = campaign_file(given.campaign)
    with ExitStack() as stack:
        if given.demo:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hutong-load-")))
            served = stack.enter_context(demo.serve(folder / "node", DEMO_NODE, faults=given.fault))
            declared, where = profile_of(served), "demo"
        else:
            declared, where = read_toml(given.profile), str(given.profile)
        mission = Mission(declared, where, read_toml(file), str(file), given.users, given.seconds)
        load = run(mission, allow_remote=given.allow_remote)
    tell(load)
    for path in write(load, given.out):
        out.print(str(path))
    return ExitCode.CONFORMANT if load.met else ExitCode.NON_CONFORMANT


def profile_of(served: demo.Served) -> dict[str, Any]:
    """Return the profile of a reference node that was started here."""
    return {
        "target": {"name": "Hutong reference node", "url": served.address, "node_id": served.node_id},
        "operator": {"token_file": str(served.token_file)},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return int(campaign(sys.argv[1:] if argv is None else argv))
    except HarnessError as exc:
        err.print(f"[red]{plain(str(exc))}[/red]")
        if exc.hint:
            err.print(f"  → {plain(exc.hint)}")
        return int(ExitCode.USAGE if isinstance(exc, UsageError) else ExitCode.VOID)
    except KeyboardInterrupt:
        err.print("[yellow]Interrupted: nothing was measured.[/yellow]")
        return 130


if __name__ == "__main__":
    sys.exit(main())
