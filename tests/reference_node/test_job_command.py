"""`hutong job run` between nodes in processes of their own: the shows of real jobs, held against the plaintext."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests

from reference_node.operator.client import OperatorError
from reference_node.operator.example import write_example
from reference_node.operator.jobfile import load_job
from reference_node.operator.run import Outcome, run
from tests.reference_node.served import Served, free_port
from tests.waiting import eventually
from tests.wires import Tap

pytestmark = pytest.mark.slow
IDS = 100_000


def command(*words: str) -> subprocess.Popen[str]:
    """Start `hutong job ...`."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "conformance.cli", "job", *words], stdout=pipe, stderr=pipe, text=True
    )


def told(*words: str) -> tuple[int, str, str]:
    """Run `hutong job ...` to its end; return exit code and what it says."""
    with command(*words) as process:
        out, err = process.communicate(timeout=400)
    return process.returncode, out, err


class Quiet:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, words: str) -> None:
        self.said.append(words)

    def task(self, name: str, status: str, share: int, words: str) -> None:
        self.said.append(f"{name} {status} {share} {words}")


def job_file(folder: Path, rows: int, *nodes: Served, add: str = "") -> Path:
    """Write the example for standing nodes: city, park and perhaps one without data; x25519 is the faster suite."""
    path = write_example(folder, rows)[0]
    text = path.read_text().replace('park = "meters" }', 'park = "meters" }\nparams.suites = ["x25519-sha256"]')
    for label, node in zip(("city", "park"), nodes, strict=False):
        at = f"[nodes.{label}]"
        head, _, rest = text.partition(at)
        stands = f'\naddress = "{node.address}"\nnode_id = "{node.name}"'
        stands += f'\ntoken_file = "{node.folder / "operator-token"}"'
        text = head + at + stands + rest.replace("start = true", "", 1)
    path.write_text(add + text)
    return path


def with_hub(folder: Path, city: Served, park: Served, hub: Served) -> Path:
    """Write the example with a third node that only schedules."""
    path = job_file(folder, IDS, city, park, add='scheduler = "hub"\n')
    stands = f'address = "{hub.address}"\nnode_id = "{hub.name}"\ntoken_file = "{hub.folder / "operator-token"}"\n'
    path.write_text(f"{path.read_text()}[nodes.hub]\n{stands}")
    return path


def check_results(folder: Path, outcome: dict[str, Any]) -> None:
    """Hold the outputs of both nodes against what the two files say in plain."""
    city = {row["enterprise"]: Fraction(row["kwh"]) for row in pq.read_table(folder / "city.parquet").to_pylist()}
    with (folder / "park.csv").open(newline="") as file:
        park = {row["enterprise"]: Fraction(row["kwh"]) for row in csv.DictReader(file)}
    common = city.keys() & park.keys()
    total = sum((city[name] + park[name] for name in common), Fraction(0))
    assert len(common) == len(city) * 3 // 5
    for label, rows in (("city", city), ("park", park)):
        mine = [row for row in outcome["outputs"] if row["node"] == label]
        joined = next(Path(row["file"]) for row in mine if row["kind"] == "dataset")
        assert joined.parent == folder / "results" / label
        assert kept(joined) == {name: rows[name] for name in common}
        (report,) = [row["content"]["result"]["kwh"] for row in mine if "result" in row["content"]]
        assert report["count"] == 2 * len(common)
        assert Fraction(report["sum"]) == total
        assert Fraction(report["mean_exact"]) == total / (2 * len(common))


def kept(path: Path) -> dict[str, Fraction]:
    """Read an output in whichever form it has."""
    if path.suffix == ".parquet":
        return {row["enterprise"]: Fraction(row["kwh"]) for row in pq.read_table(path).to_pylist()}
    with path.open(newline="") as file:
        return {row["enterprise"]: Fraction(row["kwh"]) for row in csv.DictReader(file)}


@pytest.fixture
def nodes() -> Iterator[list[Served]]:
    """Nodes that are stopped in the end, whatever became of them."""
    found: list[Served] = []
    yield found
    for node in found:
        if node.process.poll() is None:
            node.stop()


def test_the_two_commands_of_the_readme(tmp_path: Path) -> None:
    """Example and run: two nodes started, 100,000 ids each from Parquet and CSV, the results equal the plaintext."""
    folder = tmp_path / "demo"
    assert told("example", str(folder))[0] == 0
    code, out, err = told("run", str(folder / "job.toml"), "--json")
    assert code == 0, err
    outcome = json.loads(out)
    assert outcome["finished"]
    assert outcome["tasks"] == {"psi": "SUCCESS", "mean": "SUCCESS"}
    assert pq.read_metadata(folder / "city.parquet").num_rows == IDS
    check_results(folder, outcome)
    assert "psi SUCCESS" in err
    started = [line.split()[4].rstrip(",") for line in err.splitlines() if " listens at " in line]
    assert len(started) == 2
    for address in started:
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=5)


def test_the_same_over_grpc(tmp_path: Path, nodes: list[Served]) -> None:
    """What the components send each other goes in where the nodes announce it, and the results are right."""
    ports = [free_port(), free_port()]
    with Tap(f"grpc://127.0.0.1:{ports[0]}") as to_city, Tap(f"grpc://127.0.0.1:{ports[1]}") as to_park:
        for name, port, tap in zip(("node-a", "node-b"), ports, (to_city, to_park), strict=True):
            nodes.append(Served(tmp_path, name, grpc_port=port, grpc_address=tap.address))
        path = job_file(tmp_path / "demo", IDS, *nodes, add='transport = "grpc"\n')
        code, out, err = told("run", str(path), "--json")
        assert code == 0, err
        check_results(tmp_path / "demo", json.loads(out))
        # a masked identifier is 32 bytes, and goes each way
        assert min(to_city.carried, to_park.carried) > IDS * 32


def test_the_same_with_a_third_node_that_schedules(tmp_path: Path, nodes: list[Served]) -> None:
    """The third has no data, runs nothing, and has driven the job to its end."""
    nodes += [Served(tmp_path, name) for name in ("node-a", "node-b", "node-c")]
    hub = nodes[2]
    path = with_hub(tmp_path / "demo", *nodes)
    code, out, err = told("run", str(path), "--json")
    assert code == 0, err
    outcome = json.loads(out)
    check_results(tmp_path / "demo", outcome)
    assert {row["node"] for row in outcome["outputs"]} == {"city", "park"}
    record = hub.job(outcome["job_id"])
    assert record["config"]["job_params"]["common"]["scheduler"] == "node-c"
    assert (record["job_status"], record["status"]) == ("FINISHED", {"psi": "SUCCESS", "mean": "SUCCESS"})
    assert hub.own("ownDatasetList")["total"] == 0
    assert not [path for path in (hub.folder / "tasks").rglob("*") if {".csv", ".parquet"} & set(path.suffixes)]


def test_a_second_run_makes_nothing_anew_but_the_job(tmp_path: Path, nodes: list[Served]) -> None:
    """Contract, project, flow, data and grants of the first run are used again; new data are."""
    nodes += [Served(tmp_path, name) for name in ("node-a", "node-b")]
    path = job_file(tmp_path / "demo", 50, *nodes)
    first = run(load_job(path), Quiet())
    (tmp_path / "demo" / "city.parquet").rename(tmp_path / "demo" / "moved.parquet")
    path.write_text(path.read_text().replace("city.parquet", "moved.parquet"))
    second = run(load_job(path), Quiet())
    assert first.finished
    assert second.finished
    assert first.job_id != second.job_id
    for node in nodes:
        counts = {name: node.own(f"own{name}List")["total"] for name in ("Contract", "Dataset", "Job")}
        assert counts == {"Contract": 1, "Dataset": 1, "Job": 2}
        for kind in ("Project", "Flow"):
            assert node.own(f"own{kind}AuditList")["total"] == 1
    assert nodes[1].own("ownDatasetAuthList", mode="OUT")["total"] == 1
    assert nodes[0].own("ownDatasetList")["records"][0]["source"]["location"].endswith("moved.parquet")


def test_nodes_that_are_started_again_know_each_other(tmp_path: Path) -> None:
    """A second run with the same folders needs no contract; where a port is taken meanwhile, there is a new one."""
    job = load_job(write_example(tmp_path, 50)[0])
    watchers = [Quiet() for _ in range(3)]
    assert run(job, watchers[0]).finished
    assert run(job, watchers[1]).finished
    with socket.create_server(("127.0.0.1", int((tmp_path / "park" / "port").read_text()))):
        assert run(job, watchers[2]).finished
    made = ["city and park: contract" in watcher.said for watcher in watchers]
    assert made == [True, False, True]


def test_a_partner_with_an_operator_of_its_own_is_waited_for(tmp_path: Path, nodes: list[Served]) -> None:
    """With one token only, contract, project, data and flow wait for the other side, which is said, and go on."""
    a, b = (Served(tmp_path, name) for name in ("node-a", "node-b"))
    nodes += [a, b]
    path = job_file(tmp_path / "demo", 50, a, b)
    secret = f'token_file = "{b.folder / "operator-token"}"\n'
    entry = 'meters = { file = "park.csv", id = "enterprise" }'
    text = path.read_text().replace(secret, "")
    path.write_text(text.replace(entry, 'meters = { dataset_id = "ds-park", id = "enterprise" }'))
    source = {"type": "FILE", "location": str(tmp_path / "demo" / "park.csv")}
    b.own("ownDatasetCreate", dataset_id="ds-park", name="meters", source=source, visibility="PROTECTED")
    watcher = Quiet()
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run, load_job(path), watcher, patience=120)
        (asked,) = eventually(lambda: b.own("ownContractList", status="APPLIED")["records"])
        b.own("ownContractConfirm", contract_id=asked["contract_id"], status="APPROVED")
        for kind in ("Project", "Dataset", "Flow"):
            (asked,) = eventually(lambda kind=kind: b.own(f"own{kind}AuditList", status="APPLIED")["records"])
            b.own(f"own{kind}AuditConfirm", audit_id=asked["audit_id"], status="APPROVED")
        assert outcome.result(timeout=120).finished
    waited = [words for words in watcher.said if words.startswith("waiting for the operator of park")]
    assert len(waited) == 4


def test_an_operator_who_does_not_answer_or_says_no_ends_the_run(tmp_path: Path, nodes: list[Served]) -> None:
    """No decision in time, and a rejection, are told as what they are."""
    a, b = (Served(tmp_path, name) for name in ("node-a", "node-b"))
    nodes += [a, b]
    path = job_file(tmp_path / "demo", 50, a, b)
    path.write_text(path.read_text().replace(f'token_file = "{b.folder / "operator-token"}"\n', ""))
    with pytest.raises(OperatorError, match="no decision within 0 seconds"):
        run(load_job(path), Quiet(), patience=0)
    contract = b.own("ownContractList")["records"][0]["contract_id"]
    b.own("ownContractConfirm", contract_id=contract, status="APPROVED")
    with pytest.raises(OperatorError, match="no decision within 0 seconds"):
        run(load_job(path), Quiet(), patience=0)
    (asked,) = b.own("ownProjectAuditList")["records"]
    b.own("ownProjectAuditConfirm", audit_id=asked["audit_id"], status="REJECTED", comment="not this year")
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run, load_job(path), Quiet(), patience=60)
        (asked,) = eventually(lambda: b.own("ownProjectAuditList", status="APPLIED")["records"])
        b.own("ownProjectAuditConfirm", audit_id=asked["audit_id"], status="REJECTED", comment="not this year")
        with pytest.raises(OperatorError, match="rejected not this year"):
            outcome.result(timeout=120)


def test_a_job_that_fails_is_exit_code_1_with_task_cause_and_log(tmp_path: Path) -> None:
    """The component that failed is named with its node, its cause and the end of its log."""
    path = write_example(tmp_path, 50)[0]
    path.write_text(path.read_text().replace('["kwh"]', '["kw"]'))
    code, out, _ = told("run", str(path))
    assert code == 1
    assert re.search("mean at (city|park): COMPONENT_FAILED", out)
    assert "has no column kw" in out
    assert "FINISHED · COMPONENT_FAILED" in out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_job_and_ends_the_nodes(tmp_path: Path, nodes: list[Served], how: signal.Signals) -> None:
    """The job is stopped at both ends before the nodes that were started end; nothing of it runs any more."""
    path = write_example(tmp_path, IDS)[0]
    with command("run", str(path)) as process:
        said = _until_running(process)
        process.send_signal(how)
        _, rest = process.communicate(timeout=150)
    assert process.returncode == 130, rest
    assert "Interrupted" in rest
    job_id = next(line.split()[-1] for line in said if " job " in line)
    eventually(lambda: not _of(tmp_path), within=10)
    nodes += [Served(tmp_path, label) for label in ("city", "park")]
    assert [(node.job(job_id)["job_status"], node.job(job_id)["end_reason"]) for node in nodes] == [
        ("FINISHED", "STOPPED")
    ] * 2


def test_nodes_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    """`kill -9` of the command leaves no node and no component behind."""
    path = write_example(tmp_path, IDS)[0]
    with command("run", str(path)) as process:
        _until_running(process)
        assert _of(tmp_path)
        process.kill()
        process.communicate(timeout=150)
    eventually(lambda: not _of(tmp_path))


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["initiator", "partner", "scheduler"])
def test_a_node_killed_during_a_run_ends_it_everywhere(tmp_path: Path, nodes: list[Served], victim: int) -> None:
    """After its restart the job is over at every node within its time-out, its records are there, the run says why."""
    nodes += [Served(tmp_path, name) for name in ("node-a", "node-b", "node-c")]
    path = with_hub(tmp_path / "demo", *nodes)
    path.write_text(path.read_text().replace("timeout = 600", "timeout = 120"))
    watcher = Quiet()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, load_job(path), watcher)
        eventually(lambda: running.done() or any(words.startswith("psi RUNNING") for words in watcher.said))
        assert not running.done(), running.result()
        before = records(nodes)
        nodes[victim].kill()
        eventually(lambda: not _of(nodes[victim].folder), within=10)
        nodes[victim].start()
        outcome: Outcome = running.result(timeout=300)
    for node in nodes:
        record = node.job(outcome.job_id)
        assert record["job_status"] == "FINISHED"
    assert records(nodes) == before
    finished = [node.job(outcome.job_id) for node in nodes]
    if victim != 2:
        assert not outcome.finished
        assert all(record.get("end_reason") for record in finished)
    assert {record.get("end_reason") for record in finished} <= {None, "NODE_RESTARTED", "STOPPED", "COMPONENT_FAILED"}
    assert not _components(tmp_path)


def records(nodes: list[Served]) -> list[Any]:
    """Return the ids of everything that nodes keep of a job and what it rests on."""
    found: list[Any] = []
    for node in nodes:
        jobs = [row["job_id"] for row in node.own("ownJobList")["records"]]
        tasks = [node.tasks(job_id)["psi"]["task_id"] for job_id in jobs if "psi" in node.tasks(job_id)]
        contracts = sorted(row["contract_id"] for row in node.own("ownContractList")["records"])
        audits = [row["audit_id"] for kind in ("Project", "Flow") for row in node.own(f"own{kind}AuditList")["records"]]
        datasets = [row["dataset_id"] for row in node.own("ownDatasetList")["records"]]
        found.append((jobs, tasks, contracts, audits, datasets))
    return found


def test_wrong_words_are_exit_code_4(tmp_path: Path) -> None:
    """A typo is told with what was meant, and an unknown component with those that there are; no node is started."""
    path = write_example(tmp_path, 10)[0]
    text = path.read_text()
    path.write_text(text.replace("timeout", "timeuot"))
    code, _, err = told("run", str(path))
    assert (code, (tmp_path / "city").exists()) == (4, False)
    assert "there is no key timeuot" in err
    assert "Did you mean timeout?" in err
    path.write_text(text.replace('"intersection"', '"intersecton"'))
    code, _, err = told("run", str(path))
    assert code == 4
    assert "Did you mean intersection?" in err
    assert told("run", str(tmp_path / "nowhere.toml"))[0] == 4


def _until_running(process: subprocess.Popen[str]) -> list[str]:
    """Return what a command says until its first task runs."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "psi RUNNING" in line:
            return said
    raise AssertionError("".join(said))


def _of(folder: Path) -> set[int]:
    """Return the processes that are nodes with their data in a folder, or work there."""
    return {pid for pid in _processes() if _belongs(pid, folder)}


def _components(folder: Path) -> set[int]:
    """Return the processes that work for a task in a folder."""
    return {pid for pid in _processes() if str(_place(pid)).startswith(str(folder)) and "tasks" in str(_place(pid))}


def _processes() -> Iterator[int]:
    return (
        int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and int(path.name) != os.getpid()
    )


def _belongs(pid: int, folder: Path) -> bool:
    words = b""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    is_node = b"reference_node" in words and str(folder).encode() in words
    return is_node or str(_place(pid)).startswith(str(folder))


def _place(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""
