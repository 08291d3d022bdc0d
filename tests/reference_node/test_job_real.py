"""Jobs on real nodes: sockets, channels, components in processes of their own; and nodes that are killed (5.3)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.reference_node.served import Served
from tests.reference_node.sharing import SECURITY
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two nodes on sockets, under contract, with a table each."""
    a, b = Served(tmp_path, "node-a"), Served(tmp_path, "node-b")
    contract = a.own("ownContractApply", address=b.address, node_id=b.name)["contract_id"]
    b.own("ownContractConfirm", contract_id=contract, status="APPROVED")
    for node, ids in ((a, range(300)), (b, range(200, 600))):
        table = node.folder / "datasets" / "table.csv"
        table.write_text("id,kwh\n" + "".join(f"u{number:04d},{number}.5\n" for number in ids))
        source = {"type": "FILE", "location": "table.csv"}
        node.own("ownDatasetCreate", dataset_id="ds-table", name="table", source=source, visibility="PUBLIC")
    yield a, b
    for node in (a, b):
        node.stop()


def part(name: str, component: str, key: str, kind: str, output: str, put_out: str) -> dict[str, Any]:
    return {
        "name": name,
        "componentName": component,
        "version": "1.0.0",
        "provider": "hutong",
        "input": [{"key": key, "type": kind}],
        "output": [{"key": output, "type": put_out}],
    }


DAG = {
    "version": "1.0",
    "components": [
        part("psi_0", "intersection", "table", "dataset", "joined", "dataset"),
        part("sum_0", "statistics", "psi_0.joined", "dataset", "result", "report"),
    ],
}


def agreed(a: Served, b: Served, dag: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Have a flow approved and return its id."""
    contract = a.own("ownContractList")["records"][0]["contract_id"]
    a.own("ownProjectCreate", project_id="prj-1", name="project")
    flow_id = a.own("ownFlowCreate", project_id="prj-1", name="flow", dag=dag, config=config)["flow_id"]
    for kind, fields in (("Project", {"project_id": "prj-1"}), ("Flow", {"flow_id": flow_id})):
        audit = a.own(f"own{kind}AuditApply", contract_id=contract, **fields)["audit_id"]
        b.own(f"own{kind}AuditConfirm", audit_id=audit, status="APPROVED")
    return str(flow_id)


def made(a: Served, b: Served, dag: Mapping[str, Any], params: Mapping[str, Any], **job_params: Any) -> str:
    """Make a job and return its id once it is ready."""
    config = {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": a.name},
        "role": {"guest": [a.name], "host": [b.name], "arbiter": []},
        "job_params": {"common": {"timeout": 120, **job_params}},
        "task_params": {"common": params},
    }
    job_id = a.own("ownJobCreate", flow_id=agreed(a, b, dag, config), dag=dag, config=config)["job_id"]
    eventually(lambda: a.job(job_id)["job_status"] == "READY")
    return str(job_id)


def test_an_intersection_and_a_mean_over_it_run_across_two_nodes(two: tuple[Served, Served]) -> None:
    """The results equal the plaintext, at both ends."""
    a, b = two
    params = {"psi_0": {"id": "id", "input": {"table": "ds-table"}}, "sum_0": {"columns": ["kwh"]}}
    job_id = made(a, b, DAG, params)
    a.own("ownJobStart", job_id=job_id)
    eventually(lambda: all(node.job(job_id)["job_status"] == "FINISHED" for node in two))
    for node in two:
        assert node.job(job_id)["status"] == {"psi_0": "SUCCESS", "sum_0": "SUCCESS"}, node.job(job_id)
        tasks = node.tasks(job_id)
        report = next(row["output_content"] for row in tasks["sum_0"]["outputs"] if "result" in row["output_content"])
        result = report["result"]["kwh"]
        assert (result["count"], float(result["sum"])) == (200, 2 * sum(number + 0.5 for number in range(200, 300)))
        lines = node.own("ownTaskLog", task_id=tasks["psi_0"]["task_id"], log_level="INFO", start=0)["lines"]
        assert any("succeeded" in line["content"] for line in lines)


def sleeper(node: Served) -> dict[str, Any]:
    """Register a command that runs until it is killed."""
    node.own(
        "ownComponentRegister",
        imageUrl="sleeper",
        address=f'{sys.executable} -c \'import os, time; open("pid", "w").write(str(os.getpid())); time.sleep(600)\'',
        address_type="COMMAND",
        component_info={
            "componentName": "sleeper",
            "title": "sleeper",
            "provider": "hutong",
            "version": "1.0.0",
            "roleList": ["guest", "host"],
            "storageEngine": ["local"],
            "inputParam": [],
            "inputData": [],
            "outputData": [],
            "result": [],
            "security": SECURITY,
        },
    )
    return {"version": "1.0", "components": [{**part("s", "sleeper", "", "", "", ""), "input": [], "output": []}]}


def sleeping(node: Served) -> set[int]:
    """Return the processes of the command that have begun at a node and are still there."""
    return alive({int(path.read_text() or 0) for path in (node.folder / "tasks").rglob("pid")} - {0})


def alive(pids: set[int]) -> set[int]:
    """Return those processes that are still there."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and _state(pid) != "Z"}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.parametrize("victim", [0, 1], ids=["initiator", "partner"])
def test_a_node_killed_in_the_middle_leaves_no_orphan_and_both_sides_end(
    two: tuple[Served, Served], victim: int
) -> None:
    """Its components die with it; after its restart the job is over at both ends."""
    for node in two:
        dag = sleeper(node)
    job_id = made(*two, dag, {})
    two[0].own("ownJobStart", job_id=job_id)
    eventually(lambda: all(sleeping(node) for node in two))
    begun = [sleeping(node) for node in two]
    assert os.getpid() not in begun[victim]
    two[victim].kill()
    eventually(lambda: not alive(begun[victim]))
    two[victim].start()
    eventually(lambda: all(node.job(job_id)["job_status"] == "FINISHED" for node in two))
    eventually(lambda: not alive(begun[0] | begun[1]))
    assert {node.job(job_id)["end_reason"] for node in two} <= {"NODE_RESTARTED", "STOPPED"}


def test_a_stop_kills_third_party_commands_at_both_ends(two: tuple[Served, Served]) -> None:
    """Within moments nothing of the job runs any more."""
    for node in two:
        dag = sleeper(node)
    job_id = made(*two, dag, {})
    two[0].own("ownJobStart", job_id=job_id)
    eventually(lambda: all(sleeping(node) for node in two))
    begun = {pid for node in two for pid in sleeping(node)}
    two[0].own("ownJobStop", job_id=job_id)
    eventually(lambda: not alive(begun))
    eventually(lambda: all(node.job(job_id)["job_status"] == "FINISHED" for node in two))
