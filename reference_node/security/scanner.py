"""The operator's scanner: a command that looks at a file before it is loaded (9.2-c-3).

    [security]
    scanner = "clamdscan --no-summary"

Guarantees: the command gets the path as its last argument and nothing of the node's environment but PATH; exit 0 is
clean, everything else (a finding, a time-out, no such command) refuses the file, with the first line that was said.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path


def objection(command: str, path: Path, seconds: float) -> str | None:
    """Return what a scanner says against a file, None where it says nothing."""
    try:
        ran = subprocess.run(
            [*shlex.split(command), str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    except subprocess.TimeoutExpired:
        return f"the scanner took longer than {seconds:g} s"
    except (OSError, ValueError) as failure:
        return f"the scanner cannot be run: {failure}"
    if ran.returncode == 0:
        return None
    lines = (ran.stdout + b"\n" + ran.stderr).decode(errors="replace").split("\n")
    said = next((line.strip() for line in lines if line.strip()), "")
    return said[:200] or f"the scanner ended with {ran.returncode}"
