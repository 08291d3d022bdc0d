"""Sessions of the data plane for stories: of a partner's job on the target, or of a job that the target makes.

A partner that schedules a job chooses the token between nodes itself. The token of the target's component is told by
the component, which writes it into its log: what it does with its session the story then does in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from conformance.harness import channel, ptp
from conformance.harness.channel_calls import Line
from conformance.harness.errors import Undrivable
from conformance.harness.partner import Behaviour, Partner, Reply
from conformance.harness.partner_grpc import AWAY, HANGS
from conformance.harness.world import World
from conformance.suites import drafts, work

ANNOUNCE = {"first": {"announce": 1}}
WORD = "session"
GRPC = "grpc"


def drivable(world: World) -> None:
    """End the story where a job's session cannot be joined."""
    world.offered("chanInvoke")
    binding = world.stage.binding
    if "session_token" in binding.lacks("jobCreate", "request"):
        raise Undrivable(f"binding {binding.name}: jobCreate tells no session_token, so no session can be joined")


def agreed(world: World, partner: Partner) -> tuple[str, dict[str, Any]]:
    """Have the target take part in a project; return its id and the DAG, of one component, of the jobs in it."""
    drivable(world)
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-session")
    return project_id, plan


def opened(
    world: World, partner: Partner, flow: tuple[str, Mapping[str, Any]], slug: str = "one", **settings: Any
) -> Line:
    """Have a job of the partner's run on the target; return the session of that job."""
    project_id, plan = flow
    settings = {"task_params": ANNOUNCE, **settings}
    flow_id = work.approved_flow(world, partner, project_id, f"flow-{slug}", plan, **settings)
    token = world.id(f"token-{slug}")
    asked = work.offer(world, partner, flow_id, plan, f"job-{slug}", **settings)
    world.call(f"{slug}:create", partner, "jobCreate", {**asked, "session_token": token}).at("")
    return running(world, partner, str(asked["job_id"]), token, slug)


def running(world: World, partner: Partner, job_id: str, token: str, slug: str) -> Line:
    """Have a job that the partner has created run on the target; return the session of that job."""
    world.fact(f"{slug}:job", job_id)
    world.call(f"{slug}:start", partner, "jobStart", {"job_id": job_id}).at("")
    task_id = world.id(f"task-{slug}")
    began = {"task_id": task_id, "job_id": job_id, "task_name": "first"}
    world.call(f"{slug}:begin", partner, "taskStart", began).at("")
    work.demanded(work.task_is(world, f"{slug}:runs", job_id, task_id, "RUNNING"), "/status", "RUNNING")
    return _told(world, slug, job_id, task_id, token)


def usual(world: World, **settings: Any) -> tuple[Partner, Line]:
    """Play a partner with a job on the target; return it and the session."""
    partner = work.played(world)
    return partner, opened(world, partner, agreed(world, partner), **settings)


def own(world: World, partner: Partner, slug: str = "own") -> Line:
    """Have the target run a job of its own with the partner; return the session, whose token the target chose."""
    drivable(world)
    plan = work.dag(work.registered(world), first=())
    flow_id = work.own_flow(world, plan, f"flow-{slug}")
    body = {"flow_id": flow_id, "dag": plan}
    body["config"] = work.config(world.profile.target.node_id, partner.node_id, task_params=ANNOUNCE)
    job_id = str(world.own(f"{slug}:create", "ownJobCreate", body).at("/job_id"))
    work.demanded(work.job_is(world, f"{slug}:ready", job_id, "READY"), "/job_status", "READY")
    told = world.awaited(f"{slug}:told", partner, "jobCreate", {"job_id": job_id})
    token = str(told.sent.get("session_token", job_id))  # without one the signature of each message admits
    world.own(f"{slug}:start", "ownJobStart", {"job_id": job_id}).at("")
    task_id = work.begun(world, f"{slug}:begun", partner, job_id, "first")
    work.demanded(work.task_is(world, f"{slug}:runs", job_id, task_id, "RUNNING"), "/status", "RUNNING")
    return _told(world, slug, job_id, task_id, token)


def ended(world: World, partner: Partner, line: Line, topic: str) -> None:
    """Have the partner stop a session's job; wait until it is closed or time is over; a message waits in the topic."""
    job_id = world.facts["one:job"]
    world.call("stop", partner, "jobStop", {"job_id": job_id}).at("")
    work.demanded(work.job_is(world, "stopped", job_id, "FINISHED"), "/job_status", "FINISHED")
    world.elapse(world.profile.timings.session_linger_seconds)
    looks = count()
    world.eventually(lambda: None if line.peek(f"waiting~{next(looks)}", topic).accepted else True)


def _told(world: World, slug: str, job_id: str, task_id: str, token: str) -> Line:
    """Read what the component tells of its session."""
    asked = {"job_id": job_id, "task_id": task_id, "log_level": "DEBUG", "start": 0, "length": 100}
    numbers = count()

    def probe() -> tuple[str, str] | None:
        told = world.own(f"{slug}:log~{next(numbers)}", "ownTaskLog", asked)
        for line in told.at("/lines") if told.accepted else ():
            words = str(line.get("content", "")).split()
            if words[:1] == [WORD] and len(words) == 3:
                return words[1], words[2]
        return None

    found = world.eventually(probe)
    if found is None:
        raise Undrivable("the component does not tell the session of its job in the log of its task")
    world.fact(f"{slug}:token", token)
    return Line(world, world.fact(f"{slug}:session", found[0]), token, found[1])


# --- what the target sends ------------------------------------------------------------------------------------------


def faltering(replies: Sequence[Reply]) -> Behaviour:
    """Answer the first calls with these, every later one as usual."""
    left = list(replies)
    return lambda _sent: left.pop(0) if left else Reply()


def troubles(world: World) -> list[Reply]:
    """Return the refusals of a partner that breaks, whose queue is full, and that breaks again."""
    status, body = world.stage.binding.spell_refusal("QUEUE_FULL")
    broken = Reply(status=500, raw=b"<html>Internal Server Error</html>")
    return [broken, Reply(status=status, raw=body), broken]


def grpc_place(world: World) -> dict[str, str]:
    """Return what a partner says of itself that takes messages over gRPC too; end the story where none can."""
    drivable(world)
    if world.stage.grpc is None:
        raise Undrivable("the profile names no [target] grpc, and the suite speaks no other second protocol")
    if not world.stage.receiver.grpc_address:
        raise Undrivable("the suite plays no partners over gRPC here")
    return {"grpc_address": world.stage.receiver.grpc_address}


def nonsense_over_grpc() -> list[Reply]:
    """Return answers that take nothing: a code that nobody knows, no code, and bytes that are no message."""
    wrong = (ptp.packed("Outbound", code="E0000000999", message="?"), ptp.packed("Outbound", message="ok"), b"\xff\xff")
    return [Reply(status=502, raw=body) for body in wrong]


def troubles_over_grpc() -> list[Reply]:
    """Return what a partner does that is away, hangs, and is full."""
    metadata = {"error": "QUEUE_FULL", "status": "503"}
    full = ptp.packed("Outbound", code=channel.FULL, message="full", metadata=metadata)
    lost = [Reply(status=503, raw=b"", lost=status) for status in (AWAY, HANGS)]
    return [*lost, Reply(status=503, raw=full)]


def taken(world: World, partner: Partner, topic: str) -> list[str]:
    """Return the messages of a topic that the partner has taken so far."""
    found: dict[int, str] = {}
    for row in world.stage.receiver.exchanges(world.scenario):
        if row.operation in channel.BETWEEN_NODES and row.partner == partner.node_id and row.answer is not None:
            for message in channel.sent(row.operation, row.request).get("messages", ()):
                if row.answer.status == 200 and message["topic"] == topic:
                    found[message["sequence"] or 0] = message["payload"]
    return [found[number] for number in sorted(found)]


def awaits(world: World, partner: Partner, topic: str, number: int) -> None:
    """Wait until the partner has taken some messages of a topic, or the time is over."""
    world.eventually(lambda: True if len(taken(world, partner, topic)) >= number else None)
