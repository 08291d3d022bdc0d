"""What a component is run with: its self-description, its parameters, its files (8.4.1-a, 8.5.1).

Input `table` of a component is a dataset of this node that the party's parameters name under `input`, as in
`{"psi_0": {"id": "uscc", "input": {"table": "ds-meter"}}}`; null says that this party has none. An input that is of
type `model` in the DAG names a model instead. Input `psi_0.joined` is a file that an earlier task of this very party
has put out.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.evidence.records import canonical, digest
from reference_node.node import Node
from reference_node.runtime.catalogue import remedy
from reference_node.runtime.contract import Key, LaunchFailed, Recorded, Work
from reference_node.schedule import opening, sources
from reference_node.schedule.files import clear_name
from reference_node.store.contracts import ContractRow, OwnNodeRow
from reference_node.store.jobs import JobRow, PartRow, TaskRow, current_tasks, parts_of
from reference_node.store.resources import ComponentRow

INPUT = "input"
_SUFFIX = {"csv": ".csv", "parquet": ".parquet", "json": ".json"}
Described = Mapping[str, Any]


def component_row(session: Session, part: Described) -> ComponentRow | None:
    """Return the registered component that a DAG names."""
    wanted = (ComponentRow.code == part["componentName"], ComponentRow.version == part["version"])
    return session.scalar(select(ComponentRow).where(*wanted))


def description(node: Node, session: Session, part: Described) -> Described | None:
    """Return the self-description of a component that a DAG names, None where this node does not know it."""
    builtin = node.catalogue.get((part["componentName"], part["version"]))
    if builtin is not None:
        found = builtin.description
    else:
        row = component_row(session, part)
        if row is None:
            return None
        found = row.described
    return found if found["provider"] == part["provider"] else None


def parameters(
    job: JobRow, task: TaskRow | None, party: plan.Party, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a party's parameters of a component, and apart from them which datasets and models its inputs are."""
    further = [] if task is None else [task.task_params]
    found = plan.task_params(job.config, further, party, name)
    given = found.pop(INPUT, {})
    return found, dict(given) if isinstance(given, Mapping) else {}


def ports(part: Described, described: Described | None, side: str = INPUT) -> dict[str, str]:
    """Return the component's port by the key in the DAG; ports are matched by name, else by position."""
    declared = [] if described is None else [port["name"] for port in described[f"{side}Data"]]
    keys = [port["key"] for port in part[side]]
    return {
        key: key if key in declared or position >= len(declared) else declared[position]
        for position, key in enumerate(keys)
    }


def work(node: Node, session: Session, job: JobRow, task: TaskRow, part: PartRow) -> Work:
    """Put together what one attempt of this node's part is run with; raise LaunchFailed."""
    wanted = plan.component(job.dag, task.task_name)
    described = description(node, session, wanted)
    row = component_row(session, wanted)
    if described is None:
        missing = f"this node has no component {wanted['componentName']} {wanted['version']}"
        brought_by = remedy(wanted["provider"])
        raise LaunchFailed(missing if brought_by is None else f"{missing}; {brought_by}")
    if row is not None and row.described == described and row.address_type != "COMMAND":
        raise LaunchFailed(f"components with an address of type {row.address_type} are not run here")
    own_session = command(node, session, wanted) is not None
    party = part.party
    given, named = parameters(job, task, party, task.task_name)
    taking_part = [item for item in plan.parties(job.config) if item.role in described.get("roleList", (item.role,))]
    _demand_same_code(node, session, job, wanted)
    recorded = opening.opened(node, session, job, _named(wanted, described, named))
    inputs = dict(_inputs(node, session, job, part, wanted, described, recorded))
    folder = _folder(node, part)
    return Work(
        key=Key(task.task_id, part.role, part.attempt),
        job_id=job.job_id,
        task_name=task.task_name,
        me=party.name,
        component=wanted,
        description=described,
        command=command(node, session, wanted),
        parameters=given,
        inputs=inputs,
        outputs=_outputs(folder, described, inputs),
        parties={item.name: item.node_id for item in taking_part},
        institutions=_institutions(node, session, [item.node_id for item in taking_part]),
        session_id=task_session_id(task.task_id, part.attempt) if own_session else session_id(job),
        token=job.component_token,
        trace_id=secrets.token_hex(16),
        folder=folder,
        log=node.journal.path(task.task_id),
        address=node.component_address,
        memory_mib=_memory(node, job, task, party),
        recorded=recorded,
    )


def session_id(job: JobRow) -> str:
    """Return the id of a job's session on the data plane."""
    return f"session_{job.job_id}"


def task_session_id(task_id: str, attempt: int) -> str:
    """Return the id of the session that one attempt of a command has: named after the task, as SecretFlow does."""
    return f"session_{task_id}" if attempt == 1 else f"session_{task_id}.{attempt}"


def command(node: Node, session: Session, part: Described) -> str | None:
    """Return what a component is run by, None where the node runs it itself."""
    builtin = node.catalogue.get((part["componentName"], part["version"]))
    if builtin is not None:
        return builtin.command
    row = component_row(session, part)
    return None if row is None else row.address


def made(node: Node, session: Session, job: JobRow, task: TaskRow, part: PartRow) -> dict[str, str]:
    """Return the files that a part has put out so far, by port."""
    wanted = plan.component(job.dag, task.task_name)
    described = description(node, session, wanted)
    if described is None:
        return {}
    _, named = parameters(job, task, part.party, task.task_name)
    found = {port: sources.find(node, session, *it) for port, it in _named(wanted, described, named).items()}
    recorded = {port: source for port, source in found.items() if source is not None}
    if len(recorded) < len(found):  # a dataset has gone meanwhile
        return {}
    try:
        inputs = dict(_inputs(node, session, job, part, wanted, described, recorded))
    except LaunchFailed:  # what it was made of has gone meanwhile
        return {}
    outputs = _outputs(_folder(node, part), described, inputs)
    return {name: str(path) for name, path in outputs.items() if path.exists()}


def fingerprints(session: Session, dag: Described) -> dict[str, str]:
    """Return a digest of what a job would run as each registered component of its DAG, by name there (9.2-c).

    What comes with the node changes with the node only, and is not among them.
    """
    rows = {part["name"]: component_row(session, part) for part in dag["components"]}
    return {
        name: digest(canonical([row.described, row.address_type, row.address]))
        for name, row in rows.items()
        if row is not None
    }


def _demand_same_code(node: Node, session: Session, job: JobRow, wanted: Described) -> None:
    """Run a registered component only as it was when this node took the job."""
    name = wanted["name"]
    agreed = (job.components or {}).get(name)
    changed = agreed is not None and fingerprints(session, {"components": [wanted]}).get(name) != agreed
    if changed and not node.faults.on("replaced-component-run"):
        raise LaunchFailed(f"{wanted['componentName']} {wanted['version']} is not what it was when the job was taken")


def _named(part: Described, described: Described, given: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return kind and id of the datasets and models that a part is given, by port (9.2-c)."""
    return {
        port: (sources.kind_of(part, key), str(given[key]))
        for key, port in ports(part, described).items()
        if given.get(key) is not None
    }


def _inputs(
    node: Node,
    session: Session,
    job: JobRow,
    part: PartRow,
    wanted: Described,
    described: Described,
    recorded: Mapping[str, Recorded],
) -> Iterator[tuple[str, Path]]:
    tasks = current_tasks(session, job)
    makers = {
        f"{row['name']}.{port['key']}": (row, port["key"]) for row in job.dag["components"] for port in row["output"]
    }
    for key, port in ports(wanted, described).items():
        if key in makers:
            maker, output = makers[key]
            made_by = ports(maker, description(node, session, maker), "output")
            found = _made(session, tasks.get(maker["name"]), part, made_by[output])
            if found is not None:
                yield port, _kept(node, Path(found), key)
        elif port in recorded:
            yield port, recorded[port].path


def _kept(node: Node, path: Path, key: str) -> Path:
    """Return a file that an earlier task has put out, if it has not been removed since."""
    if node.work_folder in path.parents and not path.exists():
        raise LaunchFailed(f"{key} is no longer kept here: its task has to run again")
    return path


def _made(session: Session, task: TaskRow | None, part: PartRow, output: str) -> str | None:
    """Return the file that the same party has put out, None where it was to have none."""
    if task is None:
        return None
    for row in parts_of(session, task.task_id, part.node_id):
        if row.role == part.role:
            return row.files.get(output)
    return None


def _folder(node: Node, part: PartRow) -> Path:
    return node.work_folder / part.task_id / f"{part.party.name}.{part.attempt}"


def _outputs(folder: Path, described: Described, inputs: Mapping[str, Path]) -> dict[str, Path]:
    return {port["name"]: folder / (port["name"] + _suffix(port, inputs)) for port in described["outputData"]}


def _suffix(port: Described, inputs: Mapping[str, Path]) -> str:
    """Return the suffix of an output: that of an input where the component can write it, so that types are kept."""
    formats = port.get("dataFormat") or [""]
    known = [Path(clear_name(path)).suffix for path in inputs.values()]
    allowed = [_SUFFIX.get(name, "") for name in formats]
    return next((suffix for suffix in known if suffix in allowed), allowed[0])


def _memory(node: Node, job: JobRow, task: TaskRow, party: plan.Party) -> int:
    """Return the bound of the address space in MiB: the task's, else the job's, and never above this node's."""
    found = (task.run_params or {}).get("memory_mib") or plan.merged(
        job.config["job_params"], party.role, party.index
    ).get("memory_mib")
    most = node.config.memory_most_mib
    return min(found, most) if isinstance(found, int) and found > 0 else most


def _institutions(node: Node, session: Session, nodes: list[str]) -> dict[str, str]:
    own = session.get(OwnNodeRow, node.node_id)
    found = {node.node_id: own.inst_id if own is not None else node.node_id}
    for row in session.scalars(select(ContractRow).where(ContractRow.partner_node_id.in_(nodes))):
        found[row.partner_node_id] = str(row.partner.get("inst_id", row.partner_node_id))
    return {node_id: found.get(node_id, node_id) for node_id in nodes}
