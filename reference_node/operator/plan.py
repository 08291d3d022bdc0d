"""What a job file means to the nodes: the DAG and the configuration of 8.3.1 and 8.4.1.

A component's ports and parameters are those of its self-description, so that a job file names only what it chooses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import specs
from reference_node.operator.client import NodeClient
from reference_node.operator.jobfile import ComponentEntry, JobFile, NodeEntry
from reference_node.operator.keys import JobFileError, meant

_VERSION: Final = "1.0"
_ID: Final = "id"
_INPUT: Final = "input"


@dataclass(slots=True)
class Hand:
    """A node of the job, as it stands; `client` is there if it can be operated, `told` is where it says that it is."""

    entry: NodeEntry
    node_id: str
    address: str
    grpc: str | None = None
    client: NodeClient | None = field(default=None)
    told: str = ""

    @property
    def label(self) -> str:
        """The node's name in the job file."""
        return self.entry.label

    def found_at(self, address: str) -> bool:
        """Whether an address is this node's, as far as we can know; who is not ours may be known by many."""
        return self.client is None or address in (self.address, self.told)


Hands = Mapping[str, Hand]
Described = Mapping[str, Any]


def describe(client: NodeClient, job: JobFile) -> dict[str, Described]:
    """Return the self-description of each component of a job by its name there; raise JobFileError."""
    return {part.name: _description(client, part) for part in job.components}


def _description(client: NodeClient, part: ComponentEntry) -> Described:
    own = [row for row in _builtins() if _fits(part, row["componentName"], row["version"], row["provider"])]
    if own:
        return own[-1]
    listed = list(client.every("ownComponentList"))
    found = [row for row in listed if _fits(part, row["code"], row["version"], row.get("developer"))]
    if not found:
        known = sorted({row["componentName"] for row in _builtins()} | {row["code"] for row in listed})
        wanted = " ".join(word for word in (part.provider, part.component, part.version) if word)
        place = f"components.{part.name}"
        raise JobFileError(f"{place}: {client.name} has no component {wanted}", hint=meant(part.component, known))
    row = found[-1]
    record = client.own("ownComponentQuery", code=row["code"], version=row["version"])
    return dict(record["component_info"])


def _fits(part: ComponentEntry, code: str, version: str, provider: str | None) -> bool:
    return part.component == code and part.version in (None, version) and part.provider in (None, provider)


@cache
def _builtins() -> tuple[Described, ...]:
    """Return the components that come with every reference node; its list has those whose engine is installed."""
    folder = specs.folder() / "components"
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))


def dag_of(job: JobFile, described: Mapping[str, Described]) -> dict[str, Any]:
    """Return the DAG."""
    components = []
    for part in job.components:
        own = described[part.name]
        components.append(
            {
                "name": part.name,
                "componentName": own["componentName"],
                "version": own["version"],
                "provider": own["provider"],
                "input": [_input(part, port, described) for port in _ports(part, own)],
                "output": [{"key": port["name"], "type": port["category"]} for port in own["outputData"]],
            }
        )
    return {"version": _VERSION, "components": components}


def _ports(part: ComponentEntry, own: Described) -> Sequence[Mapping[str, Any]]:
    names = [port["name"] for port in own["inputData"]]
    place = f"components.{part.name}.input"
    for port in part.inputs:
        if port not in names:
            raise JobFileError(f"{place}: {part.component} has no input {port}", hint=meant(port, names))
    for name in names:
        if name not in part.inputs:
            raise JobFileError(f"{place}.{name} is missing", hint=f"{part.component} needs: {', '.join(names)}.")
    found: Sequence[Mapping[str, Any]] = own["inputData"]
    return found


def _input(part: ComponentEntry, port: Mapping[str, Any], described: Mapping[str, Described]) -> dict[str, str]:
    given = part.inputs[port["name"]]
    if not isinstance(given, str):
        return {"key": port["name"], "type": port["category"]}
    maker, _, output = given.rpartition(".")
    made = {row["name"]: row["category"] for row in described[maker]["outputData"]}
    if output not in made:
        place = f"components.{part.name}.input.{port['name']}"
        raise JobFileError(f"{place}: {maker} has no output {output}", hint=meant(output, tuple(made)))
    return {"key": given, "type": made[output]}


def config_of(job: JobFile, described: Mapping[str, Described], hands: Hands) -> dict[str, Any]:
    """Return the configuration: who is what, when, where, and with which parameters."""
    common: dict[str, Any] = {"priority": job.priority, "timeout": job.timeout}
    if job.scheduler is not None:
        common["scheduler"] = hands[job.scheduler].node_id
    if job.transport == "grpc":
        common["transport"] = job.transport
    roles: dict[str, list[str]] = {"guest": [], "host": [], "arbiter": []}
    job_params: dict[str, Any] = {"common": common}
    task_params: dict[str, Any] = {"common": {part.name: dict(part.params) for part in job.components if part.params}}
    for node in job.parties:
        role = str(node.role)
        index = str(len(roles[role]))
        roles[role].append(hands[node.label].node_id)
        own = {part.name: found for part in job.components if (found := _own(part, described[part.name], node))}
        task_params.setdefault(role, {})[index] = own
    initiator = job.nodes[job.initiator]
    return {
        "version": _VERSION,
        "initiator": {"role": initiator.role, "node_id": hands[job.initiator].node_id},
        "role": roles,
        "job_params": job_params,
        "task_params": task_params,
    }


def _own(part: ComponentEntry, own: Described, node: NodeEntry) -> dict[str, Any]:
    """Return what a component is given at one node: its parameters there, its data, its identifier column."""
    found = dict(part.params_of.get(node.label, {}))
    data = {port: given for port, given in part.inputs.items() if not isinstance(given, str)}
    if not data or node.role not in own.get("roleList", (node.role,)):
        return found
    chosen = {port: node.datasets[given[node.label]] for port, given in data.items() if node.label in given}
    found[_INPUT] = {port: chosen[port].dataset_id if port in chosen else None for port in data}
    columns = [dataset.column for dataset in chosen.values() if dataset.column]
    takes_id = any(param["name"] == _ID for param in own["inputParam"])
    if columns and takes_id and _ID not in found and _ID not in part.params:
        found[_ID] = columns[0]
    return found
