"""What follows from DAG and configuration: who takes part, with which parameters, and which task may start now (8.4.3).

Parameters stand in three layers, `common` < role < index, of which the later ones win:

    {"common": {"psi_0": {"curve": "sm2"}}, "host": {"psi_0": {"id": "uscc"}, "0": {"psi_0": {"id": "code"}}}}

    >>> merged({"common": {"a": {"x": 1, "y": 1}}, "host": {"0": {"a": {"y": 2}}}}, "host", 0)["a"]
    {'x': 1, 'y': 2}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reference_node.domain import RuleBroken
from reference_node.domain.task import MILD, Standing, TaskStatus

COMMON = "common"


class PartyRole(StrEnum):
    """What a party is in a job."""

    GUEST = "guest"
    HOST = "host"
    ARBITER = "arbiter"


@dataclass(frozen=True, slots=True)
class Party:
    """One party of a job."""

    role: PartyRole
    index: int
    node_id: str

    @property
    def name(self) -> str:
        """The name by which channels and components know the party."""
        return f"{self.role}.{self.index}"


@dataclass(frozen=True, slots=True)
class Step:
    """What the scheduler does next: tasks to start, tasks that can never start, whether the run is over, who failed."""

    start: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    over: bool = False
    failed: str | None = None


def parties(config: Mapping[str, Any]) -> tuple[Party, ...]:
    """Return the parties of a configuration; one node takes a role once, and the initiator has the role it says."""
    found: list[Party] = []
    for role in PartyRole:
        nodes = config["role"].get(role.value, [])
        for index, node_id in enumerate(nodes):
            if node_id in nodes[:index]:
                raise RuleBroken("REQUEST_INVALID", f"/config/role/{role}/{index}")
            found.append(Party(role, index, node_id))
    initiator = config["initiator"]
    if not any((party.role, party.node_id) == (initiator["role"], initiator["node_id"]) for party in found):
        raise RuleBroken("REQUEST_INVALID", "/config/initiator/node_id")
    return tuple(found)


def of_node(config: Mapping[str, Any], node_id: str) -> tuple[Party, ...]:
    """Return what a node is in a job; nothing if it is no party."""
    return tuple(party for party in parties(config) if party.node_id == node_id)


def scheduler_of(config: Mapping[str, Any]) -> str:
    """Return which node schedules: the one that is named, else the initiator's."""
    return str(config["job_params"].get(COMMON, {}).get("scheduler") or config["initiator"]["node_id"])


def merged(params: Mapping[str, Any], role: str, index: int) -> dict[str, Any]:
    """Return the parameters of one party: common, its role's, its own."""
    of_role = params.get(role, {})
    own = of_role.get(str(index), {})
    layers = (params.get(COMMON, {}), {key: value for key, value in of_role.items() if not key.isdecimal()}, own)
    found: dict[str, Any] = {}
    for layer in layers:
        found = _over(found, layer if isinstance(layer, Mapping) else {})
    return found


def task_params(config: Mapping[str, Any], further: Iterable[Mapping[str, Any] | None], party: Party, name: str) -> Any:
    """Return the parameters of a component at a party: the configuration's, and what was given for this run."""
    found: Mapping[str, Any] = {}
    for params in (config["task_params"], *further):
        found = _over(found, merged(params or {}, party.role, party.index))
    own = found.get(name, {})
    return dict(own) if isinstance(own, Mapping) else {}


def place(given: Mapping[str, Any], party: Party, name: str, key: str, root: str) -> str:
    """Return where a parameter of a component stands for a party; one that is missing is missing from `common`."""
    of_role = given.get(party.role, {})
    for steps, layer in (
        ((party.role, str(party.index)), of_role.get(str(party.index), {})),
        ((party.role,), of_role),
        ((COMMON,), given.get(COMMON, {})),
    ):
        if isinstance(layer.get(name), Mapping) and key in layer[name]:
            return "/".join((root, *steps, name, key))
    return f"{root}/{COMMON}/{name}/{key}"


def with_params(config: Mapping[str, Any], names: Iterable[str], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a configuration with what was given for a run in it: the effective parameters of each party, in its place.

    So whoever is asked to approve it sees what each party would compute with, and no layer hides another.
    """
    wanted = tuple(names)
    params: dict[str, Any] = {COMMON: {}}
    for party in parties(config):
        found = {name: task_params(config, [given], party, name) for name in wanted}
        own = {name: values for name, values in found.items() if values}
        params.setdefault(party.role.value, {})[str(party.index)] = own
    return {**config, "task_params": params}


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one object over another, objects within them likewise."""
    found = dict(below)
    for key, value in above.items():
        known = found.get(key)
        found[key] = _over(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return found


def component(dag: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a component of a DAG by its name there; raise RuleBroken."""
    for found in dag["components"]:
        if found["name"] == name:
            return dict(found)
    raise RuleBroken("RESOURCE_NOT_FOUND", "/task_name")


def feeders(dag: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return which components must be done before each, in the order of the DAG."""
    makers = {f"{part['name']}.{port['key']}": part["name"] for part in dag["components"] for port in part["output"]}
    return {
        part["name"]: tuple(dict.fromkeys(makers[port["key"]] for port in part["input"] if port["key"] in makers))
        for part in dag["components"]
    }


def step(before: Mapping[str, tuple[str, ...]], targets: Iterable[str], now: Mapping[str, Standing]) -> Step:
    """Look at the tasks of a run and say what comes next; `targets` are those that this run is for (8.4.3-a, 8.5.5)."""
    wanted = [name for name in before if name in set(targets)]
    for name in wanted:
        if now[name].status is TaskStatus.FAILED and now[name].cause not in MILD:
            return Step(over=True, failed=name)
    skip = _unreachable(before, wanted, now)
    waiting = [name for name in wanted if now[name].status is TaskStatus.PENDING and name not in skip]
    ready = [name for name in waiting if all(now[feeder].status is TaskStatus.SUCCESS for feeder in before[name])]
    over = all(now[name].final or name in skip for name in wanted)
    return Step(tuple(ready), tuple(skip), over)


def _unreachable(before: Mapping[str, tuple[str, ...]], wanted: list[str], now: Mapping[str, Standing]) -> list[str]:
    """Return the tasks that wait for one that will not succeed in this run."""
    lost: list[str] = []
    more = True
    while more:
        more = False
        for name in wanted:
            if name in lost or now[name].status is not TaskStatus.PENDING:
                continue
            if any(feeder in lost or now[feeder].status is TaskStatus.FAILED for feeder in before[name]):
                lost.append(name)
                more = True
    return lost
