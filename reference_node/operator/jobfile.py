"""The job file: which nodes, which data, which components, in words that a newcomer can read (TOML or JSON).

Guarantees: every key is checked; what is unknown, missing or out of range is a JobFileError that names its place, what
was probably meant and what is valid; nothing is started or sent before the whole file has been read.

    name = "meters and loans"

    [nodes.grid]
    start = true                       # a process of its own, or: address, token_file or token_env
    role = "guest"

    [nodes.grid.datasets]
    meters = { file = "grid.parquet", id = "household" }

    [[components]]
    name = "psi"
    component = "intersection"
    input.table = { grid = "meters", bank = "loans" }
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reference_node.operator.keys import JobFileError, Keys

ROLES: Final = ("guest", "host", "arbiter")
TRANSPORTS: Final = ("http", "grpc")
_SUFFIXES: Final = (".csv", ".parquet")
_JOB: Final = ("name", "project", "initiator", "scheduler", "transport", "timeout", "priority", "nodes", "components")
_NODE: Final = (
    *("start", "data", "port", "role", "datasets"),
    *("address", "node_id", "token_file", "token_env"),
)
_STARTED_ONLY: Final = ("data", "port")
_STANDING_ONLY: Final = ("address", "node_id", "token_file", "token_env")
_DATASET: Final = ("file", "location", "id", "dataset_id")
_COMPONENT: Final = ("name", "component", "provider", "version", "input", "params", "params_of")


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset of a node; without a location it is there already. `column` holds the identifiers."""

    label: str
    dataset_id: str
    location: str | None
    column: str | None


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node: started here with its files in `data`, or standing at `address`; one without a role does not compute."""

    label: str
    role: str | None
    datasets: Mapping[str, DatasetEntry]
    data: Path | None = None
    port: int = 0
    address: str = ""
    node_id: str = ""
    token: str | None = field(default=None, repr=False)

    @property
    def started_here(self) -> bool:
        """Whether the command starts the node, and ends it."""
        return self.data is not None

    @property
    def ours(self) -> bool:
        """Whether the node can be operated, and not only be partner."""
        return self.started_here or self.token is not None


@dataclass(frozen=True, slots=True)
class ComponentEntry:
    """A component of the DAG; an input is `<component>.<output>`, or the dataset of each node by its label."""

    name: str
    component: str
    provider: str | None
    version: str | None
    inputs: Mapping[str, str | Mapping[str, str]]
    params: Mapping[str, Any]
    params_of: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job as its file describes it."""

    path: Path
    name: str
    project: str | None
    nodes: Mapping[str, NodeEntry]
    components: tuple[ComponentEntry, ...]
    initiator: str
    scheduler: str | None
    transport: str
    timeout: int
    priority: int

    @property
    def parties(self) -> tuple[NodeEntry, ...]:
        """The nodes that compute, the initiator first within its role."""
        found = sorted(self.nodes.values(), key=lambda node: node.label != self.initiator)
        return tuple(node for role in ROLES for node in found if node.role == role)


def load_job(path: Path) -> JobFile:
    """Read a job file; raise JobFileError."""
    top = Keys(_content(path), "", _JOB)
    nodes = {keys.name: _node(keys, path.parent) for keys in top.tables("nodes", _NODE)}
    components = tuple(_component(keys, nodes) for keys in top.rows("components", _COMPONENT))
    guests = [node.label for node in nodes.values() if node.role == "guest"]
    if not guests or not any(node.role == "host" for node in nodes.values()):
        raise JobFileError("nodes: a job needs a guest and a host", hint='Give one node role = "guest", one "host".')
    job = JobFile(
        path=path,
        name=top.text("name", path.stem),
        project=top.identifier("project", None),
        nodes=nodes,
        components=components,
        initiator=top.one_of("initiator", tuple(nodes), guests[0]) or guests[0],
        scheduler=top.one_of("scheduler", tuple(nodes), None),
        transport=top.one_of("transport", TRANSPORTS, "http") or "http",
        timeout=top.number("timeout", 1, 2**31 - 1, 3600),
        priority=top.number("priority", 0, 9, 5),
    )
    _check_nodes(job)
    _check_feeds(job)
    return job


def _content(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as failure:
        hint = "`hutong job example DIR` writes one with data to try."
        raise JobFileError(f"{path}: {failure.strerror}", hint=hint) from failure
    except ValueError as failure:
        raise JobFileError(f"{path}: {failure}", hint="A job file is TOML, or JSON if its name ends so.") from failure


def _node(keys: Keys, folder: Path) -> NodeEntry:
    role = keys.one_of("role", ROLES, None)
    datasets = {
        row.name: _dataset(row, folder) for row in keys.tables("datasets", _DATASET, needed=False, short="file")
    }
    started = keys.flag("start", default=False)
    for name in _STANDING_ONLY if started else _STARTED_ONLY:
        if keys.given(name):
            other = "a node that is started here has none" if started else "only a node with start = true has one"
            raise JobFileError(f"{keys.place(name)}: {other}")
    if started:
        data = folder / keys.text("data", keys.name)
        return NodeEntry(keys.name, role, datasets, data=data.absolute(), port=keys.number("port", 0, 65535, 0))
    return NodeEntry(
        keys.name,
        role,
        datasets,
        address=keys.url("address", ("http", "https")),
        node_id=keys.identifier("node_id", keys.name) or keys.name,
        token=_token(keys, folder),
    )


def _token(keys: Keys, folder: Path) -> str | None:
    if keys.given("token_env"):
        variable = keys.text("token_env", "")
        found = os.environ.get(variable, "").strip()
        if not found:
            raise JobFileError(f"{keys.place('token_env')}: the environment has no {variable}")
        return found
    if not keys.given("token_file"):
        return None
    path = folder / keys.text("token_file", "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as failure:
        hint = "A reference node keeps it in its data folder as operator-token."
        raise JobFileError(f"{keys.place('token_file')}: {path} cannot be read", hint=hint) from failure


def _dataset(keys: Keys, folder: Path) -> DatasetEntry:
    location = keys.text("location", "") or None
    if keys.given("file"):
        path = folder / keys.text("file", "")
        if location is not None:
            raise JobFileError(f"{keys.where}: give file (on this machine) or location (at the node), not both")
        if not path.is_file():
            raise JobFileError(f"{keys.place('file')}: there is no file {path}")
        location = str(path.absolute())
    if location is not None and Path(location).suffix not in _SUFFIXES:
        raise JobFileError(f"{keys.where}: {location} is neither CSV nor Parquet", hint="It ends in .csv or .parquet.")
    dataset_id = keys.identifier("dataset_id", keys.name) or keys.name
    return DatasetEntry(keys.name, dataset_id, location, keys.text("id", "") or None)


def _component(keys: Keys, nodes: Mapping[str, NodeEntry]) -> ComponentEntry:
    component = keys.text("component")
    inputs = keys.table("input")
    for port, given in inputs.items():
        place = f"{keys.where}.input.{port}"
        if isinstance(given, str) and "." in given:
            continue
        if not isinstance(given, Mapping):
            hint = 'Write "psi.joined" for an output above, or { grid = "meters", bank = "loans" } for data.'
            raise JobFileError(f"{place}: {given!r} names neither an output nor datasets", hint=hint)
        for label, dataset in Keys(given, place, tuple(nodes)).items():
            Keys.among(dataset, tuple(nodes[label].datasets), f"{place}.{label}", f"dataset of {label}")
    params_of = keys.table("params_of")
    return ComponentEntry(
        name=keys.identifier("name", component) or component,
        component=component,
        provider=keys.text("provider", "") or None,
        version=keys.text("version", "") or None,
        inputs=inputs,
        params=keys.table("params"),
        params_of={
            label: Keys.object(value, f"{keys.where}.params_of.{label}")
            for label, value in Keys(params_of, f"{keys.where}.params_of", tuple(nodes)).items()
        },
    )


def _check_nodes(job: JobFile) -> None:
    initiator = job.nodes[job.initiator]
    if initiator.role is None or not initiator.ours:
        raise JobFileError(
            f"nodes.{job.initiator}: the initiator needs a role, and must be started here or have a token",
            hint="`initiator = ...` names another node.",
        )


def _check_feeds(job: JobFile) -> None:
    names: list[str] = []
    for part in job.components:
        for port, given in part.inputs.items():
            if isinstance(given, str):
                place = f"components.{part.name}.input.{port}"
                Keys.among(given.rpartition(".")[0], tuple(names), place, "component above")
        if part.name in names:
            raise JobFileError(f"components.{part.name}: two components have this name", hint="Give each a name.")
        names.append(part.name)
