"""The second oracle: Schemathesis generates requests from the interface documents and holds the answers against them.

Every request is signed as a signed partner's, or carries the operator's token, when it leaves: the harness's signing is
the authentication of the requests session. The node is the real application in process, on the harness's network, so
that an address that was made up is answered by the harness and by nobody else. Requests that follow the interface name
things that exist; requests that do not must be refused. Channels are left out: their bodies are no JSON. A finding is
reported under the requirements of its operation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase, given, settings
from requests.adapters import HTTPAdapter
from schemathesis.checks import negative_data_rejection, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import specs
from conformance.harness import signing
from conformance.harness.partner import Partner
from conformance.harness.records import Request
from conformance.harness.target import Transport
from conformance.harness.world import World
from conformance.selftest import inprocess
from conformance.suites import drafts, material, work
from tests.conformance import deciding

EXAMPLES = 4
# what stands here is prepared so that some request goes through
DEEP = ("project", "flow", "job", "task", "dataset", "model")
TASK = "psi_0"  # as the examples of the documents name it
PARTNER_STATUSES = (502, 503)  # said of a partner or of a busy store; a crash of the node itself is 500
SHAPE = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
SERVED = {name: row for name, row in specs.operations().items() if not row.planned and row.protocol != "channel"}
# What the examples of the documents name, and what stands for it at the node.
MEANT = {
    "contract-5f0c": "contract_id",
    "audit-3e81": "audit_id",
    "prj-emission": "project_id",
    "ds-meter-2025": "dataset_id",
    "node-grid-01-7131409522": "flow_id",
    "job-0f8fad5bd9cb469fa16570867728950e": "job_id",
    "task_7c9e6679f2554ba4a2c7b6f0c2d1e3aa": "task_id",
    "node-env-01": "partner_node_id",
    "model-hlr-1": "model_id",
}
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True, slots=True)
class Ground:
    """A partner in force at the node, the session that signs as it, and the names of what exists."""

    world: World
    session: requests.Session
    names: Mapping[str, Any]

    def meant(self, value: Any, made: str = "") -> Any:
        """Put what exists in the place of what the examples of the documents name, but not of what is to be `made`."""
        if isinstance(value, dict):
            return {key: item if key == made else self.meant(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.meant(item) for item in value]
        return self.names.get(MEANT.get(value, ""), value) if isinstance(value, str) else value


class InProcess(HTTPAdapter):
    """Carries prepared requests to a node behind the harness's seam."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def send(self, request: requests.PreparedRequest, *_args: Any, **_options: Any) -> requests.Response:
        """Deliver one request."""
        told = self._transport.send(as_request(request), 10.0)
        raw = urllib3.HTTPResponse(BytesIO(told.body), dict(told.headers), told.status, preload_content=False)
        return self.build_response(request, raw)


def as_request(request: requests.PreparedRequest) -> Request:
    """Return a prepared request as the harness carries it."""
    parts = urlsplit(request.url or "")
    body = request.body or b""
    headers = {
        name.lower(): value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in request.headers.items()
    }
    return Request(
        request.method or "",
        parts.path,
        signing.decode_query(parts.query),
        headers,
        body.encode() if isinstance(body, str) else body,
    )


class Signed(requests.auth.AuthBase):
    """Signs what is about to leave: as the partner, or as the operator where the path is the operator's."""

    def __init__(self, world: World, partner: Partner) -> None:
        self._world = world
        self._partner = partner

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the authentication on a request; what was generated in its place goes."""
        sent = as_request(request)
        if sent.path.startswith("/v1/platform/"):
            request.headers["authorization"] = f"Bearer {inprocess.TOKEN}"
            return request
        headers = signing.signed_headers(
            self._partner.key,
            sent.method,
            sent.path,
            sent.query,
            sent.body,
            source=self._partner.node_id,
            target=inprocess.NODE_ID,
            nonce=secrets.token_urlsafe(24),
            timestamp_ms=self._world.now_ms(),
            trace_id=secrets.token_hex(16),
            token_set=sent.headers.get("x-mprac-token-set", ""),
        )
        request.headers.update(headers)
        return request


@cache
def lab(*faults: str) -> inprocess.Lab:
    """Return a node, which all tests of a process share."""
    return inprocess.lab(faults)


@cache
def document() -> Any:
    """Return the interface as Schemathesis reads it, operations by their ids."""
    config = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})  # the session signs
    schema = schemathesis.openapi.from_dict(specs.bundle(), config=config)
    return {item.ok().definition.raw["operationId"]: item.ok() for item in schema.get_all_operations()}


def prepared(name: str, *faults: str) -> Ground:
    """Make a partner with a contract and what an operation may name, at a node with these defects."""
    world = World(lab(*faults).collector.stage, "schemathesis")
    partner = work.played(world)
    session = requests.Session()
    session.trust_env = False
    session.auth = Signed(world, partner)
    session.mount(inprocess.URL, InProcess(world.stage.transport))
    project_id, audit_id = drafts.agreed_project(world, partner, "project")
    component = material.component(world.id("component"), "1.0.0", "hutong")
    names = {
        "contract_id": partner.contract_id,
        "project_id": project_id,
        "audit_id": audit_id,
        "dataset_id": material.own_dataset(world, "dataset", "PUBLIC"),
        "partner_node_id": partner.node_id,
        # a node that moves to where its partner is could not be its partner any more
        "address": inprocess.URL if name == "ownNodeUpdate" else world.stage.receiver.address,
        "auth_type": partner.key.auth_type,
        "auth_credential": partner.key.credential,
        **material.own_component(world, "component", component),
    }
    if SERVED[name].protocol == "flow":
        names |= agreeing(world, partner, name, project_id)
    if SERVED[name].protocol in ("project", "dataset", "model"):
        names |= deciding.names(world, partner, SERVED[name], project_id)
    if "obAudit" in name:
        names |= asking(world, partner, name)
    elif SERVED[name].protocol in ("job", "task"):
        names |= working(world, partner, name)
    return Ground(world, session, names)


def agreeing(world: World, partner: Partner, name: str, project_id: str) -> dict[str, Any]:
    """Bring about a flow that stands as an operation needs it: written, asked for by either side, or agreed."""
    drawn = {"dag": drafts.dag(), "config": drafts.config(world, partner.node_id)}
    match name:
        case "flowAuditConfirm" | "ownFlowAuditCancel":
            flow_id, audit_id = drafts.offer_flow(world, partner, project_id, "flow")
        case "flowAuditTerminate" | "ownFlowAuditTerminate" | "ownFlowAuditQuery":
            flow_id, audit_id = drafts.agreed_flow(world, partner, project_id, "flow")
        case "flowAuditApply" | "flowAuditCancel" | "flowAuditQuery" | "ownFlowAuditConfirm":
            project_id, _ = drafts.joined_project(world, partner, "joined")
            asked = drafts.flow_application(world, partner, project_id, "flow")
            flow_id, audit_id = asked["flow_id"], asked["audit_id"]
            if name != "flowAuditApply":
                world.call("asked", partner, "flowAuditApply", asked).at("")
        case _:
            written = drafts.flow(world, project_id, host=partner.node_id)
            flow_id, audit_id = str(world.own("written", "ownFlowCreate", written).at("/flow_id")), "audit-none"
    return {**drawn, "project_id": project_id, "flow_id": flow_id, "audit_id": audit_id}


def asking(world: World, partner: Partner, name: str) -> dict[str, Any]:
    """Bring about a job for which the node asks the partner, or the partner the node; it may be decided already."""
    plan = work.dag(work.registered(world), **{TASK: ()})
    if name in ("jobAuditConfirm", "jobAuditTerminate"):
        config = work.config(inprocess.NODE_ID, partner.node_id, approval=True)
        body = {"flow_id": work.own_flow(world, plan), "dag": plan, "config": config}
        job_id = str(world.own("create", "ownJobCreate", body).at("/job_id"))
        asked = dict(world.awaited("asked", partner, "jobAuditApply", {"job_id": job_id}).sent)
        if name == "jobAuditTerminate":
            told = drafts.approval(world, partner, "JOB", asked["audit_id"], job_id)
            world.call("confirm", partner, "jobAuditConfirm", told).at("")
        return {"audit_id": asked["audit_id"]}
    config = work.config(partner.node_id, inprocess.NODE_ID)
    asked = {"audit_id": world.id("asked"), "job_id": world.id("job"), "flow_id": world.id("flow"), "name": "作业"}
    asked |= {"project_id": world.id("project"), "dag": plan, "conf": config}
    if name != "jobAuditApply":
        world.call("ask", partner, "jobAuditApply", asked).at("")
    if name == "ownJobAuditTerminate":
        decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
        world.own("approve", "ownJobAuditConfirm", decision).at("")
    return asked


def working(world: World, partner: Partner, name: str) -> dict[str, Any]:
    """Bring about a job, and mostly a task that runs, which the node schedules or takes part in."""
    plan = work.dag(work.registered(world), **{TASK: ()})
    task_id = world.id("task")
    if SERVED[name].own_side or name in ("taskCallback", "jobStopAll"):
        job_id = work.own_job(world, partner, plan)
        if name not in ("ownJobStart", "ownTaskStart"):
            task_id = work.started(world, partner, job_id, TASK)[TASK]
        if name == "ownTaskOutput":
            put_out(task_id)
        if name.endswith(("Rerun", "Output")):
            work.ended(world, "over", partner, job_id, task_id)
        config = work.config(inprocess.NODE_ID, partner.node_id)
    else:
        job_id = work.joined(world, partner, plan, open_params={TASK: ["curve"]})
        task_id = work.given(world, "given", partner, job_id, TASK)
        if name == "taskRerun":
            work.reported(world, "over", job_id, task_id, "SUCCESS", "host").at("")
        config = work.config(partner.node_id, inprocess.NODE_ID, open_params={TASK: ["curve"]})
    told = world.own("job", "ownJobQuery", {"job_id": job_id})
    flow_id = told.at("/flow_id")
    if name == "jobCreateAll":
        config = work.config(partner.node_id, inprocess.NODE_ID, scheduler=inprocess.NODE_ID)
        flow_id = work.approved_flow(world, partner, str(told.at("/project_id")), "flow-wide", plan, config)
        job_id = world.id("job-wide")
    named = {"job_id": job_id, "flow_id": flow_id, "task_id": task_id, "task_name": TASK}
    named |= {"party": "guest.0", "name": "out"} if name == "ownTaskOutput" else {}
    return {**named, "role": "guest" if SERVED[name].own_side else "host", "dag": plan, "config": config}


def put_out(task_id: str) -> None:
    """Write what the component of a task would put out."""
    folder = lab().node.work_folder / task_id / "guest.0.1"
    folder.mkdir(parents=True)
    (folder / "out.csv").write_text("id,kwh\nu0001,12.5\n")


def probe(name: str, case: Any, ground: Ground, *checks: Any) -> int:
    """Send a generated request, hold the answer against the document, return its status.

    A finding names the requirements of the operation.
    """
    answer = case.call(base_url=inprocess.URL, session=ground.session)
    judged = [*SHAPE, *checks]
    if answer.status_code not in PARTNER_STATUSES:
        judged.append(not_a_server_error)
    try:
        case.validate_response(answer, checks=judged)
    except (Failure, FailureGroup) as exc:
        found = exc.exceptions if isinstance(exc, FailureGroup) else [exc]
        what = "; ".join(f"{one.title}: {one.message}" for one in found)
        clauses = ", ".join(SERVED[name].requirements)
        told = f"{case.as_curl_command()}\nHTTP {answer.status_code} {answer.text}"
        raise AssertionError(f"{clauses} · {name}: {what}\n{told}") from None
    return int(answer.status_code)


def follow(name: str, ground: Ground) -> set[int]:
    """Send what the interface allows, about things that exist; return the statuses of the answers."""
    seen: set[int] = set()
    partner = name.endswith("Apply") or "Partner" in name
    names = {**ground.names, "node_id": ground.names["partner_node_id"] if partner else inprocess.NODE_ID}

    @BOUNDED
    @given(case=document()[name].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def act(case: Any) -> None:
        for part in (case.query, case.body):
            if isinstance(part, dict):
                part |= {key: names[key] for key in part if key in names}
        seen.add(probe(name, case, ground))

    act()
    return seen


def stray(name: str, ground: Ground) -> None:
    """Send what the interface forbids: every way to break every field, one case of each."""
    operation = document()[name]
    schema = operation.schema
    cases = schema.iter_coverage_cases(
        operation,
        generation_modes=[GenerationMode.NEGATIVE],
        generation_config=schema.config.generation_for(operation=operation),
    )
    made = f"{SERVED[name].protocol}_id" if name.endswith("Create") else ""
    tried: set[str] = set()
    for case in cases:
        way = case.meta.phase.data.description
        if way not in tried:
            tried.add(way)
            case.query, case.body = ground.meant(case.query), ground.meant(case.body, made)
            probe(name, case, ground, negative_data_rejection)
    assert tried, f"there is no way to break {name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVED)
def test_an_operation_does_what_the_interface_says_and_nothing_else(name: str) -> None:
    """What it allows is answered with a documented status, type, header and shape; what it forbids is refused."""
    ground = prepared(name)
    seen = follow(name, ground)
    assert 200 in seen or SERVED[name].protocol not in DEEP, f"nothing of {name} was accepted"
    stray(name, ground)
    ground.world.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "name", "send", "told"),
    [
        ("dataset-source-disclosed", "datasetPubQuery", follow, r"8\.7\.1\.2-d.* Response violates schema"),
        ("project-type-unchecked", "ownProjectCreate", stray, r"8\.2\.1-a.* Schema-violating request accepted"),
    ],
)
def test_a_defect_is_told_under_the_requirements_of_its_operation(fault: str, name: str, send: Any, told: str) -> None:
    """The second oracle finds what it is there for: an answer off the interface, a request that should be refused."""
    with pytest.raises(AssertionError, match=told):
        send(name, prepared(name, fault))
