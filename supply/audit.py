"""`python -m supply.audit`: known weaknesses of the tested set, by pip-audit and the OSV service.

Guarantees: exit status 0 says in its last line which of two it is: the service knows of nothing, or it could not be
reached and nothing was audited. 1 is a weakness, listed with the release that mends it; 2 an audit that did not finish.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from supply.pins import TESTED

SERVICE: Final = "https://api.osv.dev/"
CLEAN, WEAK, UNFINISHED = 0, 1, 2
_REACH_SECONDS: Final = 10
_AUDIT_SECONDS: Final = 600
_SAID: Final = 500


@dataclass(frozen=True, slots=True)
class Done:
    """How pip-audit ended."""

    code: int
    output: str
    errors: str


def reachable() -> str | None:
    """Return why the service cannot be reached, None where it answers."""
    try:
        requests.get(SERVICE, timeout=_REACH_SECONDS)
    except requests.RequestException as failure:
        return type(failure).__name__
    return None


def audited(path: Path = TESTED) -> Done:
    """Run pip-audit on a file of pins with hashes; it resolves and installs nothing."""
    options = ["--require-hashes", "--disable-pip", "--vulnerability-service", "osv", "--format", "json"]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), *options, "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_AUDIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Done(UNFINISHED, "", f"no end within {_AUDIT_SECONDS} s")
    return Done(done.returncode, done.stdout, done.stderr)


def audit(reach: Callable[[], str | None] = reachable, ask: Callable[[], Done] = audited) -> tuple[int, list[str]]:
    """Return the exit status and what is said."""
    why = reach()
    if why is not None:
        return CLEAN, [f"The vulnerability service {SERVICE} cannot be reached ({why}): NOTHING WAS AUDITED."]
    done = ask()
    try:
        releases = json.loads(done.output)["dependencies"]
        weak = list(_weaknesses(releases))
    except (ValueError, KeyError, TypeError):
        return UNFINISHED, ["The audit did not finish:", done.errors.strip()[-_SAID:]]
    left_out = [item["name"] for item in releases if "skip_reason" in item]
    if left_out or (done.code != 0 and not weak):
        return UNFINISHED, ["The audit did not finish.", *(f"{name} was left out." for name in left_out)]
    if weak:
        return WEAK, weak
    return CLEAN, [f"No known weakness in {len(releases)} releases."]


def _weaknesses(releases: list[Mapping[str, Any]]) -> Iterator[str]:
    for release in releases:
        for found in release.get("vulns", ()):
            mended = ", ".join(found.get("fix_versions") or ()) or "no release yet"
            yield f"{release['name']} {release['version']}: {found['id']}, mended by {mended}"


def main() -> int:
    """Print what is said; return the exit status."""
    code, lines = audit()
    sys.stdout.write("".join(line + "\n" for line in lines if line))
    return code


if __name__ == "__main__":
    sys.exit(main())
