"""Components (8.6): registered by their self-description, looked up, opened to partners and taken away.

Guarantees: code and version name one component, of which nothing but for whom it is there changes once registered; a
partner sees what is public or open to it, anything else does not exist for it (9.2-b-1); what is taken back from a
partner is neither shown nor run for it from that moment on (9.2-b-3); a component that an agreed flow uses is not taken
away. Components that come with the node are listed beside the registered ones, open as `[components] allow` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from reference_node.domain import Status, dag, params, statement
from reference_node.domain.approval import Kind
from reference_node.domain.search import Match, matches
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import permitted
from reference_node.security.guards import Caller
from reference_node.services import component_finding, links, vouching
from reference_node.services.approvals import Body
from reference_node.services.lists import Listed, without_none
from reference_node.store.approvals import ApprovalRow
from reference_node.store.resources import (
    PRIVATE,
    PROTECTED,
    PUBLIC,
    UNSPECIFIED,
    ComponentRow,
    FlowRow,
    counts,
)

_OWN, _PUBLIC = Listed("component"), Listed("public-component")
_PORT = ("name", "title", "description", "category", "dataFormat", "type", "optional", "defaultValue", "validator")
_ANSWERED = {PROTECTED: "protected-component-answered", PRIVATE: "private-component-answered"}
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
    if row.visibility == PROTECTED:
        row.protect(body["partners"])
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
    if node.faults.on("component-versions-refused") and component_finding.versions(session, row.code):
        raise Refusal("ID_TAKEN", pointer="/component_info/componentName")
    if not node.faults.on("component-not-kept"):
        session.add(row)
    return {"code": row.code, "version": row.version}


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List this node's components (8.6.2-c), those that come with it at the end."""
    where = [_OWN.found(node, query, Row.code, Row)]
    if node.faults.on("own-component-list-omits-private"):
        where.append(Row.visibility == PUBLIC)

    def shown(row: ComponentRow) -> dict[str, Any]:
        found = {**summary(row), **_opened(row), "address_type": row.address_type}
        if node.faults.on("own-component-engine-wrong"):
            found["engine"] = "unknown"
        return found

    return _page(node, session, query, _OWN, where, shown, component_finding.built_in(node, session))


def list_public(node: Node, session: Session, caller: Caller, query: Mapping[str, Any]) -> dict[str, Any]:
    """List to a partner the components that are there for it (8.6.2-a)."""
    links.with_caller(node, session, caller, query["contract_id"])
    where = [_there_for(node, session, caller.node_id)]
    built_in = [row for row in component_finding.built_in(node, session) if row.open_to(caller.node_id)]

    def shown(row: ComponentRow) -> dict[str, Any]:
        found = summary(row)
        if node.faults.on("public-component-without-engine"):
            del found["engine"]
        return found

    page = _page(node, session, query, _PUBLIC, where, shown, built_in)
    if page["records"] and node.faults.on("public-component-list-cut-short"):
        page |= {"records": page["records"][:-1], "total": page["total"] - 1}
    return page


def query_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return one component with its self-description (8.6.2-d)."""
    row = _found_or_another(node, session, query)
    if node.faults.on("own-component-version-ignored"):
        row = component_finding.other_version(session, row)
    found = {
        **detail(row),
        **_opened(row),
        "imageUrl": row.image_url,
        "component_info": row.described,
        **without_none({"created_at": row.created_at}),
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
    """Describe to a partner a component that is there for it (8.6.2-b)."""
    contract = links.with_caller(node, session, caller, query["contract_id"])
    row = component_finding.named(node, session, query)
    if row is None:  # answered like a hidden one, to the letter
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/code")
    if not _is_there_for(node, row, caller.node_id):
        betrayed = node.faults.on("private-component-betrayed")
        raise Refusal("PERMIT_MISSING" if betrayed else "RESOURCE_NOT_FOUND", pointer="/code")
    if node.faults.on("public-component-version-ignored"):
        row = component_finding.other_version(session, row)
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


def update(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Say anew for whom a component is there (9.2-b-3, 9.2-b-4); what runs for others is stopped."""
    row = component_finding.find(node, session, body)
    partners = set(body.get("partners", ()))
    if node.faults.on("component-withdrawal-lost"):
        partners |= set(row.partners)
    if node.faults.on("component-opening-lost"):
        partners &= set(row.partners)
    row.visibility, row.updated_at = body["visibility"], node.now()
    row.protect(partners)
    session.flush()
    permitted.review(node, session)
    return _opened(row)


def deregister(node: Node, session: Session, body: Body) -> None:
    """Take a component away (8.6.4), unless a flow in force uses it."""
    try:
        row = component_finding.find(node, session, body)
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


def _there_for(node: Node, session: Session, partner: str) -> ColumnElement[bool]:
    """Condition that a registered component is there for a partner."""
    protected = session.scalars(select(Row).where(Row.visibility == PROTECTED)).all()
    if not node.faults.on("protected-component-listed"):
        protected = [row for row in protected if row.open_to(partner)]
    if node.faults.on("protected-component-withheld"):
        protected = []
    closed = [code for code in node.config.component_allow or () if not permitted.configured(node, code, partner)]
    shown = [PUBLIC, *([PRIVATE] if node.faults.on("private-component-listed") else [])]
    open_to_it = or_(Row.visibility.in_(shown), Row.seq.in_([row.seq for row in protected]))
    return open_to_it & Row.code.not_in(closed)


def _is_there_for(node: Node, row: ComponentRow, partner: str) -> bool:
    """Tell whether a component is there for a partner."""
    if row.visibility != PUBLIC and node.faults.on(_ANSWERED[row.visibility]):
        return True
    return row.open_to(partner) and permitted.configured(node, row.code, partner)


def _opened(row: ComponentRow) -> dict[str, Any]:
    """Return for whom a component is there, as its owner is told."""
    return {"visibility": row.visibility, **({"partners": row.partners} if row.visibility == PROTECTED else {})}


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
    built_in: Sequence[ComponentRow],
) -> dict[str, Any]:
    wanted = select(Row).where(*where)
    keyword, mode = query.get("keyword", ""), Match(query.get("match", Match.FUZZY))
    more = [row for row in built_in if matches(keyword, mode, row.code, row.name)]
    for name in ("category", "developer"):
        if name in query:
            wanted = wanted.where(getattr(Row, name) == query[name])
            more = [row for row in more if getattr(row, name) == query[name]]
    wanted = wanted.order_by(Row.code, Row.version)
    statistics = {}
    for name in ("category", "engine"):
        numbers = Counter(getattr(row, name) or UNSPECIFIED for row in more)
        statistics[f"by_{name}"] = dict(numbers + Counter(counts(session, wanted, getattr(Row, name))))
    if node.faults.on(f"{listed.what}-statistics-left-empty"):
        statistics = {name: {} for name in statistics}
    return {**listed.answer(node, session, query, wanted, shown, more), "statistics": statistics}


def _content(row: ComponentRow) -> tuple[Any, ...]:
    """What makes one registration the same as another."""
    opened = (row.visibility, row.partners)
    return (row.described, opened, row.category, row.engine, row.address, row.address_type, row.image_url)


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


def _found_or_another(node: Node, session: Session, query: Mapping[str, Any]) -> ComponentRow:
    """Return the component that is named, or with a defect another version of it."""
    try:
        return component_finding.found(node, session, query)
    except Refusal:
        others = component_finding.versions(session, query["code"])
        if not others or not node.faults.on("own-component-unknown-answered"):
            raise
        return others[0]
