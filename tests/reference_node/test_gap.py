"""Two nodes that share no socket model together through the relay (9.2-h), all in processes of their own."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reference_node.gap.ledger import Ledger
from tests.reference_node.served import Served
from tests.reference_node.test_job_real import DAG, made
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@dataclass
class Relay:
    """The relay as an operator starts it."""

    folder: Path
    outer: Served
    inner: Served

    def __post_init__(self) -> None:
        for side, node, other in (("outer", self.outer, self.inner), ("inner", self.inner, self.outer)):
            own = node.folder / "gap" / other.name / "own.pem"
            shutil.copy(own, self.folder / f"{side}.pem")
            shutil.copy(own, other.folder / "gap" / node.name / "partner.pem")
        names = {"outer": self.outer.name, "inner": self.inner.name}
        text = "".join(f'[{side}]\nnode_id = "{name}"\nkey = "{side}.pem"\n' for side, name in names.items())
        (self.folder / "policy.toml").write_text(text)
        self.start()

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def start(self) -> None:
        """Start, or start again."""
        outer = self.outer.folder / "gap" / self.inner.name
        inner = self.inner.folder / "gap" / self.outer.name
        words = ["--outer", str(outer), "--inner", str(inner), "--policy", str(self.folder / "policy.toml")]
        command = [sys.executable, "-m", "conformance.cli", "gap", "run", *words, "--state", str(self.state)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["event"] == "ready"

    def end(self, how: signal.Signals) -> int:
        """End it, and return its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def records(self) -> list[dict[str, Any]]:
        """Return the evidence of a relay that has ended, which must be whole."""
        ledger = Ledger(self.state)
        try:
            assert ledger.broken_at() is None
            return list(ledger.records())
        finally:
            ledger.close()


@pytest.fixture
def gap(tmp_path: Path) -> Iterator[Relay]:
    """An outer and an inner node, each at a loopback address of its own, and the relay between their folders."""
    nodes = [
        Served(
            tmp_path,
            name,
            host=host,
            gap=str(tmp_path / name / "gap"),
            gap_partners=[partner],
            channel_memory_mib=1,
        )
        for name, host, partner in (("node-out", "127.0.0.2", "node-in"), ("node-in", "127.0.0.3", "node-out"))
    ]
    folder = tmp_path / "relay"
    folder.mkdir()
    relay = Relay(folder, *nodes)
    for node, ids in zip(nodes, (range(300), range(200, 600)), strict=True):
        (node.folder / "datasets" / "table.csv").write_text("id,kwh\n" + "".join(f"u{n:04d},{n}.5\n" for n in ids))
    yield relay
    if relay.process.poll() is None:
        relay.end(signal.SIGTERM)
    for node in nodes:
        node.stop()


def under_contract(relay: Relay) -> tuple[Served, Served]:
    """Have both nodes sign across the gap, and each register its table."""
    a, b = relay.outer, relay.inner
    contract = a.own("ownContractApply", address=f"spool://{b.name}", node_id=b.name)["contract_id"]
    b.own("ownContractConfirm", contract_id=contract, status="APPROVED")
    for node in (a, b):
        source = {"type": "FILE", "location": "table.csv"}
        node.own("ownDatasetCreate", dataset_id="ds-table", name="table", source=source, visibility="PUBLIC")
    return a, b


def peers(node: Served) -> set[int]:
    """Return the ports at the other ends of a node's connections."""
    inodes = set()
    for path in Path(f"/proc/{node.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(path.readlink().name)
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in inodes}


def port(node: Served) -> int:
    return int(node.address.rpartition(":")[2])


def check_results(a: Served, b: Served, job_id: str) -> None:
    """Hold what both nodes have got against the plaintext."""
    for node in (a, b):
        assert node.job(job_id)["status"] == {"psi_0": "SUCCESS", "sum_0": "SUCCESS"}, node.job(job_id)
        outputs = node.tasks(job_id)["sum_0"]["outputs"]
        (report,) = [row["output_content"]["result"]["kwh"] for row in outputs if "result" in row["output_content"]]
        assert (report["count"], float(report["sum"])) == (200, 2 * sum(n + 0.5 for n in range(200, 300)))


PARAMS = {"psi_0": {"id": "id", "input": {"table": "ds-table"}}, "sum_0": {"columns": ["kwh"]}}


def test_an_intersection_and_a_sum_run_across_the_gap_and_no_socket_joins_the_nodes(gap: Relay) -> None:
    """The results equal the plaintext, the contract names spools only, and the evidence names what passed."""
    a, b = under_contract(gap)
    job_id = made(a, b, DAG, PARAMS)
    a.own("ownJobStart", job_id=job_id)
    seen: dict[str, set[int]] = {a.name: set(), b.name: set()}

    def _over() -> bool:
        for node in (a, b):
            seen[node.name] |= peers(node)
        return all(node.job(job_id)["job_status"] == "FINISHED" for node in (a, b))

    eventually(_over)
    check_results(a, b, job_id)
    assert port(b) not in seen[a.name]
    assert port(a) not in seen[b.name]
    for node, other in ((a, b), (b, a)):
        assert node.own("ownContractList")["records"][0]["partner_address"] == f"spool://{other.name}"
    assert gap.end(signal.SIGINT) == 0
    records = gap.records()
    assert not [row for row in records if row["act"] == "REFUSED"]
    carried = {(m["task"], m["tag"]) for row in records for m in row.get("messages", ())}
    psi = {("psi_0", tag) for tag in ("Handshake", "Handshake_response", "Handshake_confirm", "enc", "dual.enc")}
    assert carried == psi | {("sum_0", f"sharing.{tag}") for tag in ("agreement", "share", "opening")}


def test_a_relay_killed_in_the_middle_of_a_job_loses_nothing(gap: Relay) -> None:
    """Killed without a word thrice while the job runs and started again, the job ends with the right results."""
    a, b = under_contract(gap)
    job_id = made(a, b, DAG, PARAMS)
    a.own("ownJobStart", job_id=job_id)
    for _ in range(3):
        before = gap.process.pid
        eventually(lambda: any((node.folder / "gap").glob("*/out/*.gap") for node in (a, b)))
        assert gap.end(signal.SIGKILL) == -signal.SIGKILL
        gap.start()
        assert gap.process.pid != before
    eventually(lambda: all(node.job(job_id)["job_status"] == "FINISHED" for node in (a, b)))
    check_results(a, b, job_id)
    assert gap.end(signal.SIGTERM) == 0
    passed = [(row["from"], row["sequence"]) for row in gap.records() if row["act"] == "ADMITTED"]
    assert len(passed) == len(set(passed))


def test_the_partner_behind_the_gap_schedules_the_job(gap: Relay) -> None:
    """The outer node's job is scheduled by the inner one: whoever tells whom, the relay lets the same messages pass."""
    a, b = under_contract(gap)
    job_id = made(a, b, DAG, PARAMS, scheduler=b.name)
    a.own("ownJobStart", job_id=job_id)
    eventually(lambda: all(node.job(job_id)["job_status"] == "FINISHED" for node in (a, b)))
    check_results(a, b, job_id)
    assert gap.end(signal.SIGTERM) == 0
    records = gap.records()
    assert not [row for row in records if row["act"] == "REFUSED"]
    asked = [(row["from"], row["operation"]) for row in records if row.get("kind") == "request"]
    assert ("outer", "jobCreateAll") in asked
    assert ("inner", "taskStart") in asked
