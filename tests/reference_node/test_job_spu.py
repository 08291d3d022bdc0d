"""SecretFlow's spu as a third party's component of real nodes, told all by the environment contract (5.3, 6.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference_node.algorithms.tables import Table
from reference_node.operator.client import NodeClient
from tests.reference_node.test_job_real import Served, agreed, eventually

pytestmark = pytest.mark.slow

GRID = {f"u{number:04d}": number * 0.25 for number in range(300)}
PLANT = {f"u{number:04d}": 1000.5 - number for number in range(599, 199, -1)}
BOTH = sorted(GRID.keys() & PLANT.keys())
PRODUCTS = [GRID[item] * PLANT[item] for item in BOTH]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two nodes under contract: a CSV file at one, a Parquet file at the other."""
    a, b = Served(tmp_path, "node-a"), Served(tmp_path, "node-b")
    contract = a.own("ownContractApply", address=b.address, node_id=b.name)["contract_id"]
    b.own("ownContractConfirm", contract_id=contract, status="APPROVED")
    (a.folder / "datasets" / "grid.csv").write_text(
        "id,kwh\n" + "".join(f"{item},{kwh}\n" for item, kwh in GRID.items())
    )
    pq.write_table(
        pa.table({"id": list(PLANT), "price": list(PLANT.values())}), b.folder / "datasets" / "plant.parquet"
    )
    for node, name in ((a, "grid.csv"), (b, "plant.parquet")):
        source = {"type": "FILE", "location": name}
        node.own("ownDatasetCreate", dataset_id="ds-table", name=name, source=source, visibility="PUBLIC")
    yield a, b
    for node in (a, b):
        node.stop()


def part(name: str, component: str, key: str, output: str) -> dict[str, Any]:
    """Return a component of the DAG."""
    return {
        "name": name,
        "componentName": component,
        "version": "1.0.0",
        "provider": "secretflow",
        "input": [{"key": key, "type": "dataset"}],
        "output": [{"key": output, "type": "dataset"}],
    }


DAG = {
    "version": "1.0",
    "components": [
        part("psi_0", "spu-psi", "table", "joined"),
        part("dot_0", "spu-product", "psi_0.joined", "result"),
        part("each_0", "spu-product", "psi_0.joined", "result"),
    ],
}
PARAMS = {
    "common": {
        "psi_0": {"id": "id", "protocol": "rr22", "order": "id", "input": {"table": "ds-table"}},
        "dot_0": {"protocol": "cheetah"},
        "each_0": {"protocol": "semi2k", "operation": "product", "result_parties": ["guest.0"]},
    },
    "guest": {"dot_0": {"column": "kwh"}, "each_0": {"column": "kwh"}},
    "host": {"dot_0": {"column": "price"}, "each_0": {"column": "price"}},
}


def test_spu_runs_a_psi_and_secure_products_between_two_nodes(two: tuple[Served, Served]) -> None:
    """Results equal the plaintext, in the black box form; who is no result party has none."""
    a, b = two
    config = {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": a.name},
        "role": {"guest": [a.name], "host": [b.name], "arbiter": []},
        "job_params": {"common": {"timeout": 900, "open_params": {"psi_0": ["protocol"]}}},
        "task_params": PARAMS,
    }
    job_id = a.own("ownJobCreate", flow_id=agreed(a, b, DAG, config), dag=DAG, config=config)["job_id"]
    eventually(lambda: a.job(job_id)["job_status"] == "READY")
    a.own("ownJobStart", job_id=job_id)
    eventually(lambda: all(node.job(job_id)["job_status"] == "FINISHED" for node in two), within=600)
    for node in two:
        assert set(node.job(job_id)["status"].values()) == {"SUCCESS"}, node.job(job_id)
        (psi,), (dot,) = reports(node, job_id, "psi_0"), reports(node, job_id, "dot_0")
        assert (psi["intersection"], psi["rows_kept"]) == (len(BOTH), len(BOTH))
        assert dot["dot"] == pytest.approx(sum(PRODUCTS), abs=1e-4)
        assert column(node, job_id, "joined", "id") == BOTH
    assert column(a, job_id, "joined", "kwh") == [str(GRID[item]) for item in BOTH]
    assert column(b, job_id, "joined", "price") == [PLANT[item] for item in BOTH]
    each = fetched(a, job_id, "each_0", "result")
    assert [float(row[0]) for row in rows(each, "product")] == pytest.approx(PRODUCTS, abs=1e-6)
    for node in two:
        eventually(lambda node=node: not list((node.folder / "tasks").rglob("*.csv")))
    for node in two:  # a component that has called back may still be on its way out
        eventually(lambda node=node: len(calls(node, job_id)) == 3)
        assert all(count > 10 for count in calls(node, job_id))
    assert (list(files(b, job_id, "dot_0")), list(files(b, job_id, "each_0"))) == (["result"], [])
    for protocol in ("kkrt", "ecdh"):  # each attempt has a session of its own
        task_id = task_of(a, job_id, "psi_0")["task_id"]
        a.own("ownTaskRerun", job_id=job_id, task_id=task_id, task_params={"common": {"psi_0": {"protocol": protocol}}})
        for node in two:
            found = eventually(lambda node=node, wanted=protocol: redone(node, job_id, "psi_0", wanted), within=600)
            assert (found["items"], found["intersection"]) == (len(GRID if node is a else PLANT), len(BOTH))
        for node in two:  # what a component reports is there before its task has ended
            eventually(lambda node=node: task_of(node, job_id, "psi_0")["status"] == "SUCCESS")


def redone(node: Served, job_id: str, name: str, protocol: str) -> dict[str, Any] | None:
    """Return what a component has reported of a run with a protocol, once it has; fail with its log if it fails."""
    task = task_of(node, job_id, name)
    if task["status"] == "FAILED":
        raise AssertionError((node.name, task, node.own("ownTaskLog", task_id=task["task_id"], start=0)["lines"][-40:]))
    return next((row for row in reports(node, job_id, name) if row["protocol"] == protocol), None)


def task_of(node: Served, job_id: str, name: str) -> dict[str, Any]:
    """Return a task as a node shows it."""
    return {row["task_name"]: row for row in node.own("ownTaskList", job_id=job_id)["records"]}[name]


def reports(node: Served, job_id: str, name: str) -> list[dict[str, Any]]:
    """Return what a component has reported at a node."""
    outputs = task_of(node, job_id, name).get("outputs", [])
    return [row["output_content"] for row in outputs if "engine" in row["output_content"]]


def rows(path: Path, column: str) -> list[tuple[Any, ...]]:
    """Return a column of a table."""
    return [(value.as_py(),) for batch in Table(path).batches([column]) for value in batch.column(0)]


def files(node: Served, job_id: str, name: str) -> dict[str, dict[str, Any]]:
    """Return what a node says of the files that a task has put out there, by port."""
    outputs = [row["output_content"] for row in task_of(node, job_id, name).get("outputs", [])]
    return {row["name"]: row for row in outputs if "sha256" in row}


def fetched(node: Served, job_id: str, name: str, port: str) -> Path:
    """Have a node hand out a file that a task has put out."""
    said = eventually(lambda: files(node, job_id, name).get(port))
    path: Path = node.folder / f"{name}-{said['file']}"
    client = NodeClient(node.name, node.address, node.token)
    asked = {"task_id": task_of(node, job_id, name)["task_id"], "party": said["party"], "name": port}
    assert client.file("ownTaskOutput", path, **asked) == said["sha256"]
    client.close()
    return path


def column(node: Served, job_id: str, port: str, name: str) -> list[Any]:
    """Return a column of the file that the intersection has put out at a node."""
    return [value for (value,) in rows(fetched(node, job_id, "psi_0", port), name)]


def calls(node: Served, job_id: str) -> list[int]:
    """Return how often each task's component has called the data plane as SecretFlow's black box."""
    found = []
    for task in node.own("ownTaskList", job_id=job_id)["records"]:
        lines = node.own("ownTaskLog", task_id=task["task_id"], log_level="INFO", start=0)["lines"]
        told = [re.search(r"called the data plane (\d+) x BLACKBOX SecretFlow", line["content"]) for line in lines]
        found += [int(match[1]) for match in told if match]
    return found
