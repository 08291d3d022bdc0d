"""What the stories of jobs and tasks share: a component that runs until it is told, DAGs of it, jobs on both sides.

The component does nothing by itself: how its task is, the story reports by the standard's own callbacks. It judges
nothing; the functions that act name their steps after a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from conformance.harness.errors import Prerequisite
from conformance.harness.partner import Partner, Reply, saying
from conformance.harness.steps import Awaited, Told
from conformance.harness.world import World
from conformance.suites import drafts, material

VERSION = "0.1.0"
PROVIDER = "hutong"
PAGE = 500
LINE = 4000
# Writes as many lines as it is asked for, tells its session if it is asked to, then waits to be stopped.
COMMAND = (
    'python3 -c "import os, time; '
    "n = int(os.environ.get('runtime.component.parameter.lines', '0')); "
    f"[print('x' * {LINE}, flush=True) for _ in range(n)]; "
    "[print('session', os.environ['config.session_id'], os.environ['config.token'], flush=True)"
    " for _ in range(int(os.environ.get('runtime.component.parameter.announce', '0')))]; time.sleep(600)\""
)
LINES = {"name": "lines", "title": "行数", "type": "integer", "optional": True, "validator": "[0,10000]"}
ANNOUNCE = {"name": "announce", "title": "会话", "type": "integer", "optional": True, "validator": "[0,1]"}
WORD = {"name": "word", "title": "词", "type": "string", "optional": True, "validator": "in:old|new"}


def registered(world: World) -> dict[int, str]:
    """Have the target's operator register the component with none, one and two inputs; return the codes."""
    codes = {}
    for inputs in range(3):
        code = codes[inputs] = world.id(f"hold{inputs}")
        world.own(f"register-{inputs}", "ownComponentRegister", component(code, inputs)).at("")
    return codes


def component(code: str, inputs: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the registration of the component; `fields` replace parts of it."""
    info = {
        "componentName": code,
        "title": f"互通测试组件 {inputs}",
        "provider": PROVIDER,
        "version": VERSION,
        "roleList": ["guest", "host", "arbiter"],
        "storageEngine": ["local"],
        "inputParam": [LINES, ANNOUNCE, WORD],
        "inputData": [{"name": f"in{n}", "category": "dataset", "dataFormat": ["csv"]} for n in range(inputs)],
        "outputData": [{"name": "out", "category": "dataset", "dataFormat": ["csv"]}],
        "result": [{"resultCode": "0", "resultMessage": "成功"}],
        "security": material.SECURITY,
    }
    body = {"imageUrl": f"registry.example/hutong/{code}:{VERSION}", "component_info": info}
    body |= {"category": "互通测试", "visibility": "PUBLIC", "engine": "hutong-engine"}
    return {**body, "address": COMMAND, "address_type": "COMMAND", **fields}


def dag(codes: Mapping[int, str], **feeders: tuple[str, ...]) -> dict[str, Any]:
    """Return a DAG of components by name, each with the names of those that feed it."""
    return {
        "version": "1.0",
        "components": [
            {
                "name": name,
                "componentName": codes[len(fed_by)],
                "version": VERSION,
                "provider": PROVIDER,
                "input": [drafts.port(f"{feeder}.out") for feeder in fed_by],
                "output": [drafts.port("out")],
            }
            for name, fed_by in feeders.items()
        ],
    }


def chain(codes: Mapping[int, str]) -> dict[str, Any]:
    """Return a DAG of two components, the second of which waits for the first."""
    return dag(codes, first=(), second=("first",))


def fork(codes: Mapping[int, str]) -> dict[str, Any]:
    """Return a DAG of two components that run side by side and one that waits for both."""
    return dag(codes, left=(), right=(), last=("left", "right"))


def config(
    guest: str, host: str, *, task_params: Mapping[str, Any] | None = None, arbiter: tuple[str, ...] = (), **common: Any
) -> dict[str, Any]:
    """Return the configuration of a job of two parties, of which the guest is the initiator."""
    return {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": guest},
        "role": {"guest": [guest], "host": [host], "arbiter": list(arbiter)},
        "job_params": {"common": {"timeout": 3600, **common}},
        "task_params": {"common": dict(task_params or {})},
    }


def played(world: World, name: str = "partner", **particulars: Any) -> Partner:
    """Play a partner under contract whose tasks, when it is asked, run; `particulars` it says of itself besides."""
    partner = world.signed_partner(name, **particulars)
    partner.answers("taskPoll", saying({"status": "RUNNING"}))
    return partner


def fails_when_stopped(partner: Partner, task_id: str = "") -> None:
    """Have the partner's tasks, or the one, run until it is told to stop them or their job, and have failed then."""

    def told(_sent: Mapping[str, Any]) -> Reply:
        partner.answers("taskPoll", lambda sent: Reply({"status": "FAILED" if concerned(sent) else "RUNNING"}))
        return Reply()

    def concerned(sent: Mapping[str, Any]) -> bool:
        return task_id in ("", sent.get("task_id"))

    for operation in ("taskStop", "jobStop"):
        partner.answers(operation, told)


def until(world: World, step: str, operation: str, data: Mapping[str, Any], pointer: str, *values: Any) -> Told:
    """Ask the target's operator side until it shows one of these values, or the time is over; return the last look."""
    numbers = count()

    def probe() -> Told | None:
        told = world.own(f"{step}~{next(numbers)}", operation, data)
        return told if told.accepted and told.at(pointer) in values else None

    world.eventually(probe)
    return world.own(step, operation, data)


def job_is(world: World, step: str, job_id: str, *statuses: str) -> Told:
    """Wait until the target shows a job in one of these states; return the last look at it."""
    return until(world, step, "ownJobQuery", {"job_id": job_id}, "/job_status", *statuses)


def demanded(told: Told, pointer: str, value: Any) -> None:
    """End the story unless an answer shows what the rest of it stands on."""
    if told.at(pointer) != value:
        raise Prerequisite(f"step {told.step} does not show {value} at {pointer}")


# --- the target initiates and schedules -----------------------------------------------------------------------------


def own_flow(world: World, plan: Mapping[str, Any], slug: str = "flow") -> str:
    """Have the target's operator write a flow of this DAG in a project of its own; return the flow's id."""
    project = drafts.project(world, f"prj-{slug}")
    world.own(f"{slug}:project", "ownProjectCreate", project).at("")
    body = {"project_id": project["project_id"], "name": f"流程 {world.id(slug)}", "dag": dict(plan)}
    return str(world.own(f"{slug}:create", "ownFlowCreate", body).at("/flow_id"))


def own_job(world: World, partner: Partner, plan: Mapping[str, Any], **settings: Any) -> str:
    """Have the target create a job with a partner and wait until it is ready; return the job's id."""
    body = {"flow_id": own_flow(world, plan), "dag": dict(plan)}
    body["config"] = config(world.profile.target.node_id, partner.node_id, **settings)
    job_id = str(world.own("create", "ownJobCreate", body).at("/job_id"))
    demanded(job_is(world, "ready", job_id, "READY"), "/job_status", "READY")
    return job_id


def started(world: World, partner: Partner, job_id: str, *names: str) -> dict[str, str]:
    """Have the target start a job and wait until the partner is told to begin tasks; return their ids by name."""
    world.own("start", "ownJobStart", {"job_id": job_id}).at("")
    return {name: begun(world, f"begin-{name}", partner, job_id, name) for name in names}


def begun(world: World, step: str, partner: Partner, job_id: str, name: str, **where: Any) -> str:
    """Wait until the partner is told to begin a task; return the task's id."""
    told = world.awaited(step, partner, "taskStart", {"job_id": job_id, "task_name": name, **where})
    return str(told.sent.get("task_id", ""))


def ended(
    world: World, step: str, partner: Partner, job_id: str, task_id: str, status: str = "SUCCESS", role: str = "guest"
) -> None:
    """Report the end of both parties' parts of a task; the target has the role that is named."""
    reported(world, f"{step}:own", job_id, task_id, status, role).at("")
    called_back(world, f"{step}:partner", partner, job_id, task_id, status)


def reported(world: World, step: str, job_id: str, task_id: str, status: str, role: str = "guest") -> Told:
    """Have the component of the target's own part tell its node how it is."""
    said = {"job_id": job_id, "task_id": task_id, "status": status, "role": role}
    return world.own(step, "ownTaskCallback", said)


def called_back(world: World, step: str, partner: Partner, job_id: str, task_id: str, status: str, **more: Any) -> Told:
    """Tell the target, which schedules, how the partner's part of a task is."""
    said = {"job_id": job_id, "task_id": task_id, "status": status, "role": "host", **more}
    return world.call(step, partner, "taskCallback", said)


# --- the target is a party of a partner's job -----------------------------------------------------------------------


def approved_flow(
    world: World,
    partner: Partner,
    project_id: str,
    slug: str,
    plan: Mapping[str, Any],
    conf: Mapping[str, Any] | None = None,
    **settings: Any,
) -> str:
    """Have the target approve a flow of the partner's with the configuration that its jobs have; return its id."""
    asked = drafts.flow_application(world, partner, project_id, slug)
    shown = conf or config(partner.node_id, world.profile.target.node_id, **settings)
    asked = {**asked, "dag": dict(plan), "config": dict(shown)}
    world.call(f"{slug}:apply", partner, "flowAuditApply", asked).at("")
    decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
    world.own(f"{slug}:approve", "ownFlowAuditConfirm", decision).at("")
    return str(asked["flow_id"])


def offer(
    world: World, partner: Partner, flow_id: str, plan: Mapping[str, Any], slug: str = "job", **settings: Any
) -> dict[str, Any]:
    """Return what the partner, as scheduler, creates a job on the target with."""
    return {
        "job_id": world.id(slug),
        "flow_id": flow_id,
        "dag": dict(plan),
        "config": config(partner.node_id, world.profile.target.node_id, **settings),
    }


def joined(world: World, partner: Partner, plan: Mapping[str, Any], **settings: Any) -> str:
    """Bring about a job of the partner's that runs on the target; return its id."""
    project_id, _ = drafts.joined_project(world, partner, "prj-joined")
    flow_id = approved_flow(world, partner, project_id, "flow-joined", plan, **settings)
    asked = offer(world, partner, flow_id, plan, **settings)
    world.call("create", partner, "jobCreate", asked).at("")
    world.call("start", partner, "jobStart", {"job_id": asked["job_id"]}).at("")
    return str(asked["job_id"])


def given(world: World, step: str, partner: Partner, job_id: str, name: str, **more: Any) -> str:
    """Have the partner begin a task on the target; return the id under which it did."""
    task_id = world.id(f"task-{step}")
    world.call(step, partner, "taskStart", {"task_id": task_id, "job_id": job_id, "task_name": name, **more}).at("")
    return task_id


def task_is(world: World, step: str, job_id: str, task_id: str, *statuses: str) -> Told:
    """Wait until the target shows a task in one of these states; return the last look at it."""
    return until(world, step, "ownTaskQuery", {"job_id": job_id, "task_id": task_id}, "/status", *statuses)


def tells(world: World, step: str, partner: Partner, task_id: str, status: str) -> Awaited:
    """Wait until the target tells the partner, which schedules, of a state of its part."""
    return world.awaited(step, partner, "taskCallback", {"task_id": task_id, "status": status})
