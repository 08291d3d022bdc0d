"""Two reference nodes as processes on loopback, for `hutong certify --demo`.

The first is the node under test, the second a real peer for it. Both live in a temporary directory and end with the
demonstration, also on Ctrl-C or on an error; only processes started here are ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.verdict import ExitCode

LOCKOUT_SECONDS = 2
LINGER_SECONDS = 1
SETTINGS = f"[channel]\ngrpc_port = 0\n\n[job]\nsession_linger_seconds = {LINGER_SECONDS}\n"
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """A reference node that runs as a process."""

    node_id: str
    address: str
    grpc: str
    token_file: Path
    data: Path
    process: subprocess.Popen[str]


@contextmanager
def serve(data: Path, node_id: str, *, faults: Sequence[str] = ()) -> Iterator[Served]:
    """Run one reference node on a free port until the block ends."""
    command = [sys.executable, "-m", "conformance.cli", "node", "--port", "0", "--data", str(data), "--id", node_id]
    settings = data.with_suffix(".toml")
    settings.write_text(SETTINGS, encoding="utf-8")
    command += ["--config", str(settings), "--lockout-seconds", str(LOCKOUT_SECONDS)]
    for fault in faults:
        command += ["--fault", fault]
    log = data.with_suffix(".log")
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            kind = UsageError if process.wait(timeout=START_SECONDS) == ExitCode.USAGE else HarnessError
            raise kind(f"the reference node {node_id} did not start", hint=log.read_text(encoding="utf-8")[-2000:])
        ready = json.loads(line)
        yield Served(node_id, ready["address"], ready["grpc"], data / "operator-token", data, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def two_nodes(faults: Sequence[str] = ()) -> Iterator[tuple[Served, Served]]:
    """Run the node under test (with these faults) and a healthy peer."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hutong-demo-")))
        target = stack.enter_context(serve(root / "target", "hutong-node-1", faults=faults))
        peer = stack.enter_context(serve(root / "peer", "hutong-node-2"))
        yield target, peer


def profile_of(target: Served, peer: Served) -> dict[str, object]:
    """Return the profile with which the demonstration certifies its first node."""
    return {
        "target": {
            "name": "Hutong reference node",
            "url": target.address,
            "node_id": target.node_id,
            "grpc": target.grpc,
        },
        "operator": {"token_file": str(target.token_file)},
        "timings": {"lockout_seconds": LOCKOUT_SECONDS, "session_linger_seconds": LINGER_SECONDS},
        "peer": {"url": peer.address, "node_id": peer.node_id, "token_file": str(peer.token_file)},
    }
