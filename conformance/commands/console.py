"""What the commands share: two consoles, how a refusal is told, options that mean the same everywhere."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import specs
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.profile import load_profile
from conformance.harness.profile_model import Profile
from conformance.harness.verdict import ExitCode
from reports.shown import plain, shown

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Profile of the target (TOML, ten lines) · 被测节点配置文件。")
]
TargetOption = Annotated[str | None, typer.Option("--target", help="Address of the target; overrides the profile's.")]


def fail(exc: HarnessError, code: ExitCode) -> typer.Exit:
    """Say what is wrong and what to do about it; return the exit to raise."""
    err.print(f"[red]{plain(str(exc))}[/red]")
    if exc.hint:
        err.print(f"  → {plain(exc.hint)}")
    return typer.Exit(code)


def json_out(value: Any) -> None:
    """Print a value for machines."""
    sys.stdout.write(shown(json.dumps(value, ensure_ascii=False, indent=1)) + "\n")


def profile_of(path: Path | None, target: str | None) -> Profile:
    """Load the profile of a target, with another address where one is given."""
    if path is None:
        raise UsageError(
            "certifying a target needs --profile FILE (or --demo)",
            hint="README.md shows a profile of ten lines; `hutong certify --demo` needs none.",
        )
    profile = load_profile(path)
    return replace(profile, target=replace(profile.target, url=target)) if target else profile


def parts_of(only: str) -> tuple[str, ...]:
    """Return the chapters that `--only` names, each of which has a requirement."""
    parts = tuple(part.strip() for part in only.split(",") if part.strip())
    known = specs.load_requirements()
    for part in parts:
        if not any(row == part or row.startswith((f"{part}.", f"{part}-")) for row in known):
            raise UsageError(f"--only {part}: no requirement begins so", hint="Give chapters like 8.1 or 9.2-a.")
    return parts
