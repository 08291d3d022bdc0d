"""Nodes that run jobs in one process: a runner whose components end when the test says so, and what jobs need first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.domain.task import Cause
from reference_node.identity import Identity
from reference_node.runtime.catalogue import Builtin
from reference_node.runtime.contract import Exit, Key, LaunchFailed, Work
from tests.reference_node import pair
from tests.reference_node.pair import ManualClock, Network, TestNode, at_home
from tests.reference_node.sharing import SECURITY

ECHO = "echo"
PLACES = [tempfile.gettempdir(), "/data"]  # where datasets and models of tests lie


def described(code: str = ECHO, inputs: Sequence[str] = (), **fields: Any) -> Builtin:
    """Return a component of the tests."""
    return Builtin(
        {
            "componentName": code,
            "title": code,
            "provider": "hutong",
            "version": "1.0.0",
            "roleList": ["guest", "host", "arbiter"],
            "storageEngine": ["local"],
            "inputParam": [
                {"name": "word", "title": "word", "type": "string", "optional": True, "validator": "^[a-z]+$"},
                {"name": "times", "title": "times", "type": "integer", "optional": True},
            ],
            "inputData": [{"name": name, "category": "dataset", "dataFormat": ["csv"]} for name in inputs],
            "outputData": [{"name": "out", "category": "dataset", "dataFormat": ["csv"]}],
            "result": [],
            "security": SECURITY,
            **fields,
        },
        "tests.reference_node.components:echo",
    )


CATALOGUE = {
    item.key: item for item in (described(), described("join", ["left", "right"]), described("follow", ["in"]))
}


@dataclass
class ScriptedRunner:
    """Components that end when the test says so."""

    works: dict[Key, Work] = field(default_factory=dict)
    running: dict[Key, Work] = field(default_factory=dict)
    stopped: list[Key] = field(default_factory=list)
    ended: list[Exit] = field(default_factory=list)
    refuse: bool = False

    def start(self, work: Work) -> None:
        """Begin."""
        if self.refuse:
            raise LaunchFailed("not today")
        self.works[work.key] = self.running[work.key] = work

    def stop(self, key: Key) -> None:
        """End an attempt."""
        if self.running.pop(key, None) is not None:
            self.stopped.append(key)

    def alive(self, key: Key) -> bool:
        """Tell whether an attempt runs."""
        return key in self.running or any(item.key == key for item in self.ended)

    def exits(self) -> Sequence[Exit]:
        """Return what has ended."""
        found, self.ended = self.ended, []
        return found

    def close(self) -> None:
        """End everything."""
        self.running.clear()

    def finish(self, name: str | None = None, cause: Cause | None = None, **fields: Any) -> None:
        """Let the running component of a name, or all, end."""
        for key, work in list(self.running.items()):
            if name in (None, work.task_name):
                del self.running[key]
                self.ended.append(Exit(key, cause, **fields))

    @property
    def names(self) -> list[str]:
        """The names of what runs."""
        return [work.task_name for work in self.running.values()]


@dataclass
class Worker(TestNode):
    """A node under test with its runner."""

    __test__ = False
    runner: ScriptedRunner = field(default_factory=ScriptedRunner)
    scheduler: str = ""

    def pump(self) -> None:
        """Let the node do what is due."""
        self.node.pump()

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as this node's operator sees it."""
        reply = self.own("ownJobQuery", job_id=job_id)
        assert reply.code == 0, reply
        return reply.data

    def tasks(self, job_id: str) -> dict[str, dict[str, Any]]:
        """Return the latest task of each component of a job."""
        records = self.own("ownTaskList", job_id=job_id, page_size=500).data["records"]
        return {record["task_name"]: record for record in records}

    def status(self, job_id: str) -> str:
        """Return the state of a job here."""
        return str(self.job(job_id)["job_status"])


@contextmanager
def workers(
    *names: str,
    clock: ManualClock | None = None,
    network: Network | None = None,
    runner: Any = None,
    **settings: Any,
) -> Iterator[tuple[Worker, ...]]:
    """Build nodes that reach each other and run scripted components; settings as in `pair.nodes`."""
    clock, network = clock or ManualClock(), network or Network()
    found = [worker(name, clock, network, settings, runner() if runner else ScriptedRunner()) for name in names]
    try:
        yield tuple(found)
    finally:
        for item in found:
            item.node.close()


def worker(name: str, clock: ManualClock, network: Network, settings: Mapping[str, Any], runner: Any) -> Worker:
    """Build one node; again with the same data folder it is the node after a restart."""
    own = {key: value.get(name) if isinstance(value, dict) else value for key, value in settings.items()}
    usual = {"node_id": name, "address": f"http://{name}.test", "background": False, "dataset_folders": PLACES}
    config = load_config(None, **usual | own)
    app = create_app(
        config,
        clock=clock,
        outbound=network,
        identity=Identity(config.data),
        runner=runner,
        catalogue=CATALOGUE,
        resolver=at_home,
    )
    network.apps[f"{name}.test"] = app
    return Worker(app, f"http://{name}.test", network, clock, runner)


def part(name: str, component: str = ECHO, inputs: Sequence[str] = ()) -> dict[str, Any]:
    """Return a component of a DAG; it puts out `out`."""
    return {
        "name": name,
        "componentName": component,
        "version": "1.0.0",
        "provider": "hutong",
        "input": [{"key": key, "type": "dataset"} for key in inputs],
        "output": [{"key": "out", "type": "dataset"}],
    }


def dag(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return a DAG."""
    return {"version": "1.0", "components": list(parts or (part("a"),))}


CHAIN = dag(part("a"), part("b", "follow", ["a.out"]))
FORK = dag(part("a"), part("b"), part("c", "join", ["a.out", "b.out"]))


def config(*nodes: TestNode, params: Mapping[str, Any] | None = None, **job_params: Any) -> dict[str, Any]:
    """Return a configuration with the first node as guest and initiator, the others as hosts."""
    guest, *hosts = [node.id for node in nodes]
    return {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": guest},
        "role": {"guest": [guest], "host": hosts, "arbiter": []},
        "job_params": {"common": job_params},
        "task_params": {"common": {}, **(params or {})},
    }


def agree_flow(
    owner: TestNode,
    *partners: TestNode,
    dag: Mapping[str, Any],
    project: str = "prj-1",
    given: Mapping[str, Any] | None = None,
) -> str:
    """Have a flow of the owner approved, with a configuration, by partners under contract; return its id."""
    given = given or config(owner, *partners)
    owner.own("ownProjectCreate", project_id=project, name=project)
    created = owner.own("ownFlowCreate", project_id=project, name="flow", dag=dag, config=given)
    assert created.code == 0, created
    flow_id = str(created.data["flow_id"])
    for partner in partners:
        contract_id = contract_between(owner, partner)
        for kind, fields in (("Project", {"project_id": project}), ("Flow", {"flow_id": flow_id})):
            records = owner.own(f"own{kind}AuditList", page_size=500).data["records"]
            resource = fields.get("flow_id", project)
            if any((row["resource_id"], row["partner_node_id"]) == (resource, partner.id) for row in records):
                continue
            applied = owner.own(f"own{kind}AuditApply", contract_id=contract_id, **fields)
            assert applied.code == 0, applied
            decided = partner.own(f"own{kind}AuditConfirm", audit_id=applied.data["audit_id"], status="APPROVED")
            assert decided.code == 0, decided
    return flow_id


def contract_between(a: TestNode, b: TestNode) -> str:
    """Return the contract in force between two nodes."""
    for record in a.own("ownContractList", page_size=500).data["records"]:
        if record["partner_node_id"] == b.id and record["status"] == "APPROVED":
            return str(record["contract_id"])
    raise AssertionError("no contract")


def allied(*found: TestNode) -> None:
    """Bring every two nodes under contract."""
    for a, b in combinations(found, 2):
        pair.sign_contract(a, b)


def created(
    owner: Worker, *partners: Worker, dag: Mapping[str, Any], scheduler: str | None = None, **fields: Any
) -> str:
    """Make a job of an agreed flow and return its id."""
    project = fields.pop("project", "prj-1")
    if scheduler is not None:
        fields["scheduler"] = scheduler
    given = config(owner, *partners, **fields)
    flow_id = agree_flow(owner, *partners, dag=dag, project=project, given=given)
    reply = owner.own("ownJobCreate", flow_id=flow_id, dag=dag, config=given)
    assert reply.code == 0, reply
    return str(reply.data["job_id"])


def settle(*found: Worker, rounds: int = 3) -> None:
    """Let every node do what is due, a few times in turn."""
    for _ in range(rounds):
        for item in found:
            item.pump()


def restarted(old: Worker, settings: Mapping[str, Any], runner: Any | None = None) -> Worker:
    """Return the node after it was killed: nothing of the old process is left but its data folder."""
    node_of(old.app).driver.close()
    node_of(old.app).leadership.close()
    node_of(old.app).store.close()
    return worker(
        old.id if False else old.address.removeprefix("http://").removesuffix(".test"),
        old.clock,
        old.network,
        settings,
        runner or ScriptedRunner(),
    )


def folders(tmp_path: Path, *names: str) -> dict[str, Path]:
    """Return a data folder for each node."""
    return {name: tmp_path / name for name in names}
