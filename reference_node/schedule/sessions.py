"""The sessions that jobs and tasks have on the data plane (6.2-c): opened when they begin, closed with the job.

A job has one session. A component that comes as a command knows nothing of scopes within it: engines such as
SecretFlow's name their topics after the parties only, so each attempt of its task has a session of its own, with the
job's tokens. What an earlier task or attempt has left cannot reach it then.

Where a job asks for gRPC, messages go over it between nodes that both announce an address for it, and over HTTP
otherwise (9.1-a). Where a node is, the contract with that very node says, and nobody else: not the job, which a third
node has written.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy.orm import Session, object_session

from reference_node.domain import plan
from reference_node.node import Node
from reference_node.schedule import material
from reference_node.schedule.common import contract_with
from reference_node.store.jobs import JobRow, TaskRow


def open_job(node: Node, job: JobRow) -> None:
    """Open the session of a job, so that components reach each other; again is no error."""
    _open(node, job, material.session_id(job), None)


def open_task(node: Node, session: Session, job: JobRow, task: TaskRow, attempt: int) -> None:
    """Open the session of one attempt where the component is a command; again is no error."""
    if material.command(node, session, plan.component(job.dag, task.task_name)) is not None:
        _open(node, job, material.task_session_id(task.task_id, attempt), material.session_id(job))


def unproved(job_id: str) -> str:
    """Return what stands in the place of a token where none was issued: public, and so no proof of anything."""
    return job_id


def _open(node: Node, job: JobRow, session_id: str, within: str | None) -> None:
    parties = plan.parties(job.config)
    addresses = {item.node_id: address for item in parties if (address := _announced(node, job, item))}
    node.sessions.open(
        session_id,
        job.session_token,
        {item.name: item.node_id for item in parties},
        addresses,
        component_token=job.component_token,
        within=within,
        proved=job.session_token != unproved(job.job_id),
    )


def _announced(node: Node, job: JobRow, party: plan.Party) -> str | None:
    """Return where a party takes messages over gRPC, if the job asks for it and this node offers it as well."""
    settings = plan.merged(job.config["job_params"], party.role, party.index)
    if node.faults.on("job-address-taken") and settings.get("address"):
        return str(settings["address"])
    wanted = settings.get("transport") == "grpc"
    session = object_session(job)
    if not wanted or node.grpc_listening is None or session is None or party.node_id == node.node_id:
        return None
    contract = contract_with(node, session, party.node_id)
    if contract is None or node.faults.on("grpc-offer-ignored"):
        return None
    announced: str | None = contract.partner.get("grpc_address")
    if announced is None and node.faults.on("grpc-taken-for-granted"):
        return f"grpc://{urlsplit(contract.partner_address).netloc}"
    return announced
