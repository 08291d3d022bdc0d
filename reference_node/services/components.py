"""Components (8.6): registered by their self-description, looked up, checked and taken away.

Guarantees: code and version name one component, which does not change once registered; partners see public ones only,
a private one does not exist for them; a component that an agreed flow uses is not taken away; a service that does not
answer is not reported as healthy.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from reference_node.domain import Status, dag, params, statement
from reference_node.domain.approval import Kind
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security.guards import Caller
from reference_node.services import links, vouching
from reference_node.services.approvals import Body
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow
from reference_node.store.resources import ComponentRow, FlowRow, counts

PUBLIC = "PUBLIC"
_OWN, _PUBLIC = Listed("component"), Listed("public-component")
_PORT = ("name", "title", "description", "category", "dataFormat", "type", "optional", "defaultValue", "validator")
_IMAGE = re.compile(r"[a-z0-9]+([._:/@-]{1,2}[A-Za-z0-9]+)*")
Row = ComponentRow


def register(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Record a component (8.6.1); the same registration again is answered as before."""
    info = body["component_info"]
    _check_statement(node, info.get("security"))
    _check_params(info["inputParam"])
    row = Row(
        code=info["componentName"],
        version=info["version"],
        name=info["title"],
        description=info.get("description"),
        category=body.get("category"),
        engine=body.get("engine", info["provider"]),
        developer=info["provider"],
        visibility=body.get("visibility", PUBLIC),
        address=body.get("address", body["imageUrl"]),
        address_type=body.get("address_type", "IMAGE"),
        image_url=body["imageUrl"],
        info=info,
        status="AVAILABLE",
        created_at=node.now(),
        updated_at=node.now(),
    )
    known = session.scalar(select(Row).where(Row.code == row.code, Row.version == row.version))
    if known is not None:
        if _content(known) == _content(row):
            return {"code": row.code, "version": row.version}
        if node.faults.on("component-overwritten-when-refused"):
            known.name = row.name
            session.commit()
        if not node.faults.on("component-registered-twice"):
            raise Refusal("ID_TAKEN", pointer="/component_info/version")
        session.delete(known)
        session.flush()
    if node.faults.on("component-versions-refused") and _versions(session, row.code):
        raise Refusal("ID_TAKEN", pointer="/component_info/componentName")
    if not node.faults.on("component-not-kept"):
        session.add(row)
    return {"code": row.code, "version": row.version}


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List this node's components (8.6.2-c)."""
    where = [_OWN.found(node, query, Row.code, Row)]
    if node.faults.on("own-component-list-omits-private"):
        where.append(Row.visibility == PUBLIC)

    def shown(row: ComponentRow) -> dict[str, Any]:
        found = {**summary(row), "visibility": row.visibility}
        if node.faults.on("own-component-engine-wrong"):
            found["engine"] = "unknown"
        return found

    return _page(node, session, query, _OWN, where, shown)


def list_public(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """List to a partner the components that are public (8.6.2-a)."""
    links.with_caller(node, session, caller, query["contract_id"])
    where = [] if node.faults.on("private-component-listed") else [Row.visibility == PUBLIC]

    def shown(row: ComponentRow) -> dict[str, Any]:
        found = summary(row)
        if node.faults.on("public-component-without-engine"):
            del found["engine"]
        return found

    page = _page(node, session, query, _PUBLIC, where, shown)
    if page["records"] and node.faults.on("public-component-list-cut-short"):
        page |= {"records": page["records"][:-1], "total": page["total"] - 1}
    return page


def query_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return one component with its self-description (8.6.2-d)."""
    row = _found_or_another(node, session, query)
    if node.faults.on("own-component-version-ignored"):
        row = _other_version(session, row)
    found = {
        **detail(row),
        "visibility": row.visibility,
        "imageUrl": row.image_url,
        "component_info": row.info,
        "created_at": row.created_at,
    }
    if node.faults.on("component-address-lost"):
        found |= {"address": row.image_url, "address_type": "IMAGE"}
    if node.faults.on("own-component-name-wrong"):
        found["name"] = row.code
    if node.faults.on("own-component-inputs-lost"):
        found["inputs"] = []
    if node.faults.on("own-component-outputs-lost"):
        found["outputs"] = []
    return found


def query_for(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a public component to a partner (8.6.2-b)."""
    contract = links.with_caller(node, session, caller, query["contract_id"])
    row = session.scalar(select(Row).where(Row.code == query["code"], Row.version == query["version"]))
    if row is None:  # answered like a hidden one, to the letter
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/code")
    if row.visibility != PUBLIC and not node.faults.on("private-component-answered"):
        betrayed = node.faults.on("private-component-betrayed")
        raise Refusal("PERMIT_MISSING" if betrayed else "RESOURCE_NOT_FOUND", pointer="/code")
    if node.faults.on("public-component-version-ignored"):
        row = _other_version(session, row)
    found = detail(row)
    if node.faults.on("public-component-without-developer"):
        del found["developer"]
    if node.faults.on("public-component-without-address"):
        del found["address"]
    if node.faults.on("public-component-outputs-lost"):
        found["outputs"] = []
    return vouching.described(node, contract, found)


def ask_partner(
    node: Node, session: Session, operation: str, query: Mapping[str, Any], trace_id: str
) -> dict[str, Any]:
    """Ask a partner for its public components, or about one of them (8.6.2-a, 8.6.2-b)."""
    if operation == "componentList" and node.faults.on("partner-components-not-asked"):
        return {"records": [], "total": 0}
    if operation == "componentQuery" and node.faults.on("partner-component-not-asked"):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/code")
    try:
        answer = links.ask(node, session, query["contract_id"], operation, trace_id, query=dict(query))
    except Refusal:
        if operation == "componentQuery" and node.faults.on("partner-component-refusal-hidden"):
            named = {name: query[name] for name in ("code", "version")}
            return {**named, "name": "?", "engine": "?", "status": "UNKNOWN", "inputs": [], "outputs": []}
        raise
    if operation == "componentQuery":
        vouching.check_description(node, links.of_this_node(node, session, query["contract_id"]), answer)
    if node.faults.on("partner-components-recounted") and "records" in answer:
        answer["total"] = len(answer["records"])
    if node.faults.on("partner-component-outputs-lost") and "outputs" in answer:
        answer["outputs"] = []
    return answer


def validate(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Hold parameters against the self-description of a component (8.6.3-a)."""
    try:
        row = find(session, body)
    except Refusal:
        if node.faults.on("params-of-no-component-valid"):
            return {"valid": True, "problems": []}
        raise
    if node.faults.on("params-of-first-version"):
        row = _versions(session, row.code)[0]
    declared = row.info["inputParam"]
    problems = [found for found in params.problems(declared, body["params"]) if not _overlooked(node, found.reason)]
    if node.faults.on("params-bounds-excluded"):
        problems += [params.Problem("/params/batch", "on the bound") for value in _on_bounds(declared, body["params"])]
    if node.faults.on("params-problem-not-named"):
        problems = [params.Problem("/params", problem.reason) for problem in problems]
    if node.faults.on("params-never-valid"):
        problems = [params.Problem("/params", "refused")]
    listed = [{"pointer": problem.pointer, "reason": problem.reason[:1024]} for problem in problems]
    return {"valid": not problems, "problems": listed}


def health(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Look whether the service of a component answers (8.6.3-b)."""
    try:
        row = find(session, query)
    except Refusal:
        if node.faults.on("component-health-of-none"):
            return {"status": "DOWN", "checked_at": node.now()}
        raise
    session.commit()
    up, detail_ = _probe(node, row)
    if row.address_type == "HTTP" and node.faults.on("component-service-not-asked"):
        up = True
    if row.address_type == "COMMAND" and node.faults.on("component-command-not-looked-for"):
        up = True
    if row.status != "AVAILABLE" and node.faults.on("component-never-recovers"):
        up = False
    if node.faults.on("component-health-always-down"):
        up = False
    row.status = "AVAILABLE" if up else "UNAVAILABLE"
    session.merge(row)
    return {"status": "UP" if up else "DOWN", "checked_at": node.now(), "detail": detail_}


def deregister(node: Node, session: Session, body: Body) -> None:
    """Take a component away (8.6.4), unless a flow in force uses it."""
    try:
        row = find(session, body)
    except Refusal:
        if node.faults.on("component-deregistered-twice"):
            return
        raise
    if node.faults.on("component-deregister-refused"):
        raise Refusal("IN_USE", pointer="/code")
    in_force = (ApprovalRow.kind == Kind.FLOW.value, ApprovalRow.status == Status.APPROVED.value)
    flows = select(FlowRow).where(FlowRow.flow_id.in_(select(ApprovalRow.resource_id).where(*in_force)))
    if any(dag.uses_component(flow.dag, row.code, row.version) for flow in session.scalars(flows)):
        raise Refusal("IN_USE", pointer="/code")
    if node.faults.on("component-deregister-does-nothing"):
        return
    if node.faults.on("component-deregister-takes-all-versions"):
        for other in session.scalars(select(Row).where(Row.code == row.code, Row.seq != row.seq)).all():
            session.delete(other)
    session.delete(row)


def find(session: Session, named: Mapping[str, Any]) -> ComponentRow:
    """Return a component by code and version."""
    row = session.scalar(select(Row).where(Row.code == named["code"], Row.version == named["version"]))
    if row is None:
        known = session.scalar(select(Row.seq).where(Row.code == named["code"]).limit(1))
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/code" if known is None else "/version")
    return row


def summary(row: ComponentRow) -> dict[str, Any]:
    """Return a component as `ComponentSummary`."""
    names = ("code", "version", "name", "category", "engine", "developer")
    return without_none({name: getattr(row, name) for name in names})


def detail(row: ComponentRow) -> dict[str, Any]:
    """Return a component as `ComponentDetail`."""
    ports = {
        "inputs": [*row.info["inputData"], *row.info["inputParam"]],
        "outputs": row.info["outputData"],
    }
    shown = {
        side: [{key: port[key] for key in _PORT if key in port} for port in found] for side, found in ports.items()
    }
    names = ("status", "address", "address_type", "description")
    stated = {name: row.info.get(name) for name in ("security", "digest")}
    return {**summary(row), **shown, **without_none({name: getattr(row, name) for name in names} | stated)}


def _page(
    node: Node,
    session: Session,
    query: Mapping[str, Any],
    listed: Listed,
    where: list[ColumnElement[bool]],
    shown: Any,
) -> dict[str, Any]:
    wanted = select(Row).where(*where)
    for name in ("category", "developer"):
        if name in query:
            wanted = wanted.where(getattr(Row, name) == query[name])
    wanted = wanted.order_by(Row.code, Row.version)
    statistics = {f"by_{name}": counts(session, wanted, getattr(Row, name)) for name in ("category", "engine")}
    if node.faults.on(f"{listed.what}-statistics-left-empty"):
        statistics = {name: {} for name in statistics}
    return {**listed.answer(node, session, query, wanted, shown), "statistics": statistics}


def _content(row: ComponentRow) -> tuple[Any, ...]:
    """What makes one registration the same as another."""
    return (row.info, row.category, row.engine, row.visibility, row.address, row.address_type, row.image_url)


_UNSTATED = {
    "/security": "component-without-statement-taken",
    "/security/model": "component-of-no-model-taken",
    "/security/computational_bits": "weak-component-taken",
    "/security/statistical_bits": "statistically-weak-component-taken",
    "/security/leakage": "component-silent-of-leakage-taken",
}


def _check_statement(node: Node, stated: object) -> None:
    """Refuse a self-description that states no security, or less than the standard's least (9.2-c-2)."""
    found = statement.problem(stated)
    if found is not None and not node.faults.on(_UNSTATED[found.pointer]):
        vouching.refuse(found, "/component_info")


def _check_params(declared: list[Mapping[str, Any]]) -> None:
    """Refuse a self-description by which parameters could not be held."""
    names = [param["name"] for param in declared]
    for index, param in enumerate(declared):
        place = f"/component_info/inputParam/{index}"
        if param["name"] in names[:index]:
            raise Refusal("PARAMS_INVALID", pointer=f"{place}/name")
        if not set(param.get("dependsOn", ())) <= set(names):
            raise Refusal("PARAMS_INVALID", pointer=f"{place}/dependsOn")
        try:
            if "validator" in param:
                params.validator(param["validator"])
        except params.ValidatorError:
            raise Refusal("PARAMS_INVALID", pointer=f"{place}/validator") from None


def _other_version(session: Session, row: ComponentRow) -> ComponentRow:
    """Return another version of a component, for the defects that confuse them."""
    return session.scalar(select(Row).where(Row.code == row.code, Row.version != row.version).limit(1)) or row


def _versions(session: Session, code: str) -> list[ComponentRow]:
    """Return what is registered under a code, oldest first, for the defects that take one for another."""
    return list(session.scalars(select(Row).where(Row.code == code).order_by(Row.seq)))


def _found_or_another(node: Node, session: Session, query: Mapping[str, Any]) -> ComponentRow:
    """Return the component that is named, or with a defect another version of it."""
    try:
        return find(session, query)
    except Refusal:
        others = _versions(session, query["code"])
        if not others or not node.faults.on("own-component-unknown-answered"):
            raise
        return others[0]


_CARELESS = {
    "required": "params-missing-overlooked",
    "not of type": "params-type-overlooked",
    "not in": "params-range-overlooked",
    "does not meet": "params-choice-overlooked",
    "the component has no": "params-unknown-overlooked",
}


def _overlooked(node: Node, reason: str) -> bool:
    """Whether a defect does not see what is wrong with a parameter."""
    return any(reason.startswith(words) and node.faults.on(fault) for words, fault in _CARELESS.items())


def _on_bounds(declared: list[Mapping[str, Any]], given: Mapping[str, Any]) -> list[Any]:
    """Return the parameters that lie on a bound of their range, for the defect that excludes the bounds."""
    bounds = {param["name"]: param.get("validator", "").strip("[]").split(",") for param in declared}
    return [value for name, value in given.items() if str(value) in bounds.get(name, ())]


def _probe(node: Node, row: ComponentRow) -> tuple[bool, str]:
    """Try the entry point: (whether it is there, what was seen)."""
    if row.address_type == "HTTP":
        up = node.partner.reaches(row.address)
        return up, "the service answers" if up else "the service does not answer"
    if row.address_type == "COMMAND":
        command = shlex.split(row.address)[:1] if row.address.count("'") % 2 == 0 else []
        up = bool(command) and shutil.which(command[0]) is not None
        return up, "the command is installed" if up else "the command is not installed"
    up = _IMAGE.fullmatch(row.address) is not None
    return up, "image reference present" if up else "not an image reference"
