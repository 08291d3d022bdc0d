"""From a request to an envelope: the routes of specs/openapi and the one pipeline that all of them share.

Order: route, size of the body, guard of the operation, JSON, schema, handler. Guarantees: an operation that is not
planned has a handler, or the node does not start; whatever happens is answered with an envelope and never with a trace
(9.2-e-5: what fails half way is rolled back); a nonce stays used even when its request is refused later on.
"""

from __future__ import annotations

import re
import secrets
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import flask
import jsonschema_rs
import structlog
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

import specs
from reference_node.domain import RuleBroken
from reference_node.domain.text import hidden
from reference_node.errors import ConfigError, Refusal
from reference_node.evidence import refusals
from reference_node.evidence.acting import Acting, acting, actor
from reference_node.interfaces import lapses, leniency, wire
from reference_node.interfaces.calls import Call, Streamed
from reference_node.node import Node
from reference_node.security import doubled_headers, entrance, guards, signing
from reference_node.security.errors import SecurityFailure
from reference_node.security.guards import Caller
from reference_node.security.incoming import Incoming
from reference_node.security.tls import ENVIRON

BODY_LIMIT: Final = 1024 * 1024
_MISSED: Final = frozenset(  # what a deleted record may look like
    {"NODE_UNKNOWN", "CONTRACT_NOT_ACTIVE", "CONTRACT_NOT_FOUND", "PERMIT_MISSING", "PERMIT_OUT_OF_SCOPE"}
    | {"RESOURCE_NOT_FOUND", "AUDIT_NOT_FOUND"}
)
_TRACE: Final = re.compile(r"[!-~]{1,128}")
_NAMES: Final = wire.names()
log = structlog.get_logger("reference_node")

Handler = Callable[[Call], dict[str, Any] | Streamed]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation with everything that serving it needs, compiled once."""

    operation: specs.Operation
    handler: Handler
    parameters: Mapping[str, bool]
    query: jsonschema_rs.Validator
    body: jsonschema_rs.Validator | None
    defaults: Mapping[str, Any]


def register(app: flask.Flask, node: Node, modules: Mapping[str, ModuleType]) -> None:
    """Give the application a route for every operation of the interface documents."""
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    for operation in specs.operations().values():
        if operation.protocol == "channel":  # raw bodies of any size: interfaces/channel.py
            continue
        view = partial(_serve, node, _route(operation, modules.get(operation.protocol)))
        app.add_url_rule(
            operation.path, operation.id, view, methods=[operation.method], provide_automatic_options=False
        )
    app.register_error_handler(Exception, partial(_failed, node))


def handler_name(operation_id: str) -> str:
    """Return the name of the function that handles an operation: contractApply is contract_apply."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation_id).lower()


def _route(operation: specs.Operation, module: ModuleType | None) -> Route:
    handler: Handler | None = getattr(module, handler_name(operation.id), None)
    if operation.planned:
        handler = _not_implemented
    if handler is None:
        raise ConfigError(f"no module of interfaces has a function {handler_name(operation.id)} for {operation.id}")
    parameters = [item for item in operation.parameters if item.location == "query"]
    defs: dict[str, Any] = {}
    for item in parameters:
        defs |= item.schema.get("$defs", {})
    schema = {
        "type": "object",
        "properties": {item.name: {k: v for k, v in item.schema.items() if k != "$defs"} for item in parameters},
        "required": [item.name for item in parameters if item.required],
        "$defs": defs,
    }
    return Route(
        operation,
        handler,
        {item.name: _is_integer(item.schema) for item in parameters},
        jsonschema_rs.validator_for(schema, validate_formats=True),
        None
        if operation.body_schema is None or operation.planned
        else jsonschema_rs.validator_for(dict(operation.body_schema), validate_formats=True),
        {item.name: item.default for item in parameters if item.default is not None},
    )


def _is_integer(schema: Mapping[str, Any]) -> bool:
    target = schema
    while "$ref" in target:
        target = schema["$defs"][target["$ref"].removeprefix("#/$defs/")]
    return target.get("type") == "integer"


def _not_implemented(_call: Call) -> dict[str, Any]:
    raise Refusal("NOT_IMPLEMENTED")


def _serve(node: Node, route: Route) -> flask.Response:
    """Carry one request through the pipeline."""
    environ = flask.request.environ
    if environ["REQUEST_METHOD"] != route.operation.method:  # werkzeug adds HEAD to GET
        raise MethodNotAllowed([route.operation.method])
    doubled_headers.refuse(environ.get(doubled_headers.ENVIRON), node.faults)
    request = incoming(environ, route.operation.path, _read(node, environ))
    entrance.check(node, request)
    trace = _trace(request.headers)
    sent = request.body or request.query.encode()
    with acting(Acting(route.operation.id, trace, sent, actor("NODE"))) as now:  # whoever it is
        return _carry(node, route, request, trace, now)


def _carry(node: Node, route: Route, request: Incoming, trace: str, now: Acting) -> flask.Response:
    """Let the caller in, have the operation carried out, and answer."""
    auth = route.operation.auth
    caller: Caller | None = None
    component: str | None = None
    body: dict[str, Any] | None = None
    if auth == "operator":
        component = guards.operator(node, request)
        now.actor = actor("OPERATOR") if component is None else actor("COMPONENT", component)
    elif auth == "auditor":
        guards.auditor(node, request)
        now.actor = actor("AUDITOR")
    elif auth in ("known", "contract"):
        caller = guards.known(node, request, contract=auth == "contract")
    elif auth == "presented":
        standing = guards.presented_headers(node, request)
        body = _body(node, route, request)
        caller = guards.presented(node, request, body, standing=standing)
    if caller is not None:
        now.actor = actor("NODE", caller.node_id)
    _fits(node, partner=auth in ("known", "contract", "presented"))
    lapses.before(node, route.operation)
    with node.store.session() as session:
        try:
            if caller is not None:
                guards.admit(node, session, caller)
            call = Call(
                node,
                session,
                caller,
                _query(node, route, request),
                _body(node, route, request) if body is None else body,
                trace,
                request.headers.get(signing.TOKEN_SET, ""),
                component,
            )
            data = lapses.carry_out(node, route.operation, call, route.handler)
            if isinstance(data, Streamed):
                session.commit()
                return _file(data, trace)
            envelope = {"code": 0, "msg": "ok", "data": data}
            now.answer = partial(wire.write, envelope)
            lapses.keep(node, route.operation, call, route.handler)
        except BaseException as failure:
            session.rollback()
            free = node.faults.on("nonce-free-after-refusal")
            if caller is not None and not free and getattr(failure, "name", None) != "NONCE_REPLAYED":
                _keep_nonce(node, session, caller)
            raise
    answer = _answer(envelope, 200, trace)
    if route.operation.id == "nodeHealth" and node.faults.on("answer-breaks-off"):
        answer.headers["Content-Length"] = str(len(answer.get_data()) + 1)
        answer.headers["Connection"] = "close"
    return answer


def _fits(node: Node, *, partner: bool) -> None:
    """Serve no partner by records that were changed behind the node; its operator and auditor still see them."""
    tally = node.store.tally
    if tally is None or not tally.found:
        return
    if partner:
        tally.demand()
    else:
        tally.verify()


def _keep_nonce(node: Node, session: Session, caller: Caller) -> None:
    """Record the nonce again after a roll-back took it away; a replay that came between has recorded it itself."""
    try:
        guards.admit(node, session, caller)
        session.commit()
    except (Refusal, OperationalError, PoolTimeout):
        session.rollback()


def incoming(environ: Mapping[str, Any], path: str, body: bytes) -> Incoming:
    """Return a request as the guards look at it."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    # the signature covers the path as it was sent, PATH_INFO is decoded
    raw = environ.get("REQUEST_URI")
    sent = urlsplit(raw).path if raw else path
    return Incoming(
        environ["REQUEST_METHOD"],
        sent,
        environ.get("QUERY_STRING", ""),
        headers,
        body,
        environ.get("REMOTE_ADDR", ""),
        environ.get(ENVIRON),
    )


def _read(node: Node, environ: Mapping[str, Any]) -> bytes:
    """Read the body up to the limit; what is longer is refused without being read whole."""
    stated = environ.get("CONTENT_LENGTH") or ""
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if not stated and not chunked:
        return b""
    if stated.isdecimal() and int(stated) > BODY_LIMIT and node.faults.on("body-limit-not-enforced"):
        whole: bytes = environ["wsgi.input"].read(int(stated))
        return whole
    if stated and (not stated.isdecimal() or int(stated) > BODY_LIMIT):
        raise Refusal("BODY_TOO_LARGE" if stated.isdecimal() else "REQUEST_INVALID", pointer="content-length")
    body: bytes = environ["wsgi.input"].read(int(stated) if stated else BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise Refusal("BODY_TOO_LARGE")
    return body


def _body(node: Node, route: Route, incoming: Incoming) -> dict[str, Any]:
    if route.operation.method == "GET" or route.operation.planned:
        return {}
    media, _, parameters = incoming.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    encoding, content = incoming.headers.get("content-encoding", "identity").lower(), incoming.body
    foreign = media.strip().lower() != "application/json" or charset not in ("", "utf-8")
    if foreign or encoding != "identity":
        found = leniency.body(node.faults, content, incoming.headers.get("content-type", ""), encoding)
        if found is None:
            pointer = "content-type" if foreign else "content-encoding"
            raise Refusal("MEDIA_TYPE_UNSUPPORTED", pointer=pointer)
        content = found
    body = wire.read_object(content, faults=node.faults)
    _readable(body)
    _mend(node, route.operation.id, body)
    if route.body is not None:
        _validate(route.body, body)
    return body


_STATUSES = {
    "taskCallback": ("PENDING", "READY", "RUNNING", "SUCCESS", "FAILED"),
    "ownTaskCallback": ("RUNNING", "SUCCESS", "FAILED"),
}
_LENIENT = {"taskCallback": "unknown-task-status-taken", "ownTaskCallback": "unknown-own-status-taken"}
_OUTPUTS = ("dataset", "training_set", "test_set", "model", "report", "metric")


def _mend(node: Node, operation: str, body: dict[str, Any]) -> None:
    """Make a body pass that the interface does not take, for the faults that are too lenient."""
    if operation == "contractApply":
        body |= {"auth_type": leniency.strengthened(node.faults, body.get("auth_type"))}
        if "name" not in body and node.faults.on("application-without-name-taken"):
            body["name"] = "node"
        if not str(body.get("address")).startswith("http") and node.faults.on("application-without-address-taken"):
            body["address"] = "http://node.invalid"
    if operation == "ownProjectCreate" and node.faults.on("project-type-unchecked"):
        known = specs.schema("ProjectType")["$defs"]["common.ProjectType"]["enum"]
        body |= {} if body.get("type") in known else {"type": known[0]}
    if operation == "ownFlowCreate":
        if "flow_id" in body and node.faults.on("flow-id-from-outside-taken"):
            del body["flow_id"]
        _mend_dag(node, body.get("dag"))
    if operation in _STATUSES and body.get("status") not in _STATUSES[operation]:
        body |= {"status": "RUNNING"} if node.faults.on(_LENIENT[operation]) else {}
    if operation == "ownTaskReport" and body.get("output_type") not in _OUTPUTS:
        body |= {"output_type": "report"} if node.faults.on("unknown-output-type-taken") else {}
    if operation == "ownNodeUpdate" and "node_id" in body and node.faults.on("own-update-takes-node-id"):
        del body["node_id"]


def _mend_dag(node: Node, dag: Any) -> None:
    components = dag.get("components") if isinstance(dag, dict) else None
    for component in components if isinstance(components, list) else ():
        if not isinstance(component, dict):
            continue
        if "output" not in component and node.faults.on("incomplete-dag-accepted"):
            component["output"] = []
        if "config" in component and node.faults.on("dag-with-parameters-accepted"):
            del component["config"]


def _query(node: Node, route: Route, incoming: Incoming) -> dict[str, Any]:
    """Return the known parameters, integers as such, defaults filled in; a repeated one is refused."""
    values: dict[str, Any] = dict(route.defaults)
    if not incoming.query and not route.parameters:
        return values
    given: set[str] = set()
    try:
        incoming.query.encode("ascii")
        pairs = parse_qsl(incoming.query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refusal("REQUEST_INVALID", pointer="") from None
    for name, value in pairs:
        if name not in route.parameters:
            continue
        if name in given:
            raise Refusal("REQUEST_INVALID", pointer=f"/{name}")
        given.add(name)
        whole = route.parameters[name] and re.fullmatch(r"-?[0-9]{1,18}", value)
        values[name] = int(value) if whole else leniency.meant(node.faults, value)
    _readable(values)
    _validate(route.query, values)
    return values


def _readable(values: dict[str, Any]) -> None:
    """Refuse characters that steer whoever shows them: names and texts reach logs, reports and terminals."""
    pointer = hidden(values)
    if pointer is not None:
        raise Refusal("REQUEST_INVALID", pointer=pointer)


def _validate(validator: jsonschema_rs.Validator, value: dict[str, Any]) -> None:
    if validator.is_valid(value):
        return
    wrong = next(iter(validator.iter_errors(value)))
    steps = [*wrong.instance_path, *([missing] if (missing := getattr(wrong.kind, "property", None)) else [])]
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    raise Refusal("REQUEST_INVALID", pointer=pointer)


def _trace(headers: Mapping[str, str]) -> str:
    given = headers.get(signing.TRACE, "")
    return given if _TRACE.fullmatch(given) else secrets.token_hex(16)


def _answer(envelope: dict[str, Any], status: int, trace: str) -> flask.Response:
    answer = flask.Response(wire.write(envelope), status, content_type="application/json")
    answer.headers[signing.TRACE] = trace
    return answer


def _file(found: Streamed, trace: str) -> flask.Response:
    answer = flask.Response(found.content, 200, content_type="application/octet-stream")
    answer.headers["content-length"] = str(found.length)
    answer.headers.set("content-disposition", "attachment", filename=found.name)
    answer.headers[signing.TRACE] = trace
    return answer


def _failed(node: Node, failure: Exception) -> flask.Response:
    """Answer whatever was raised, and tell the log what the caller must not see."""
    request = flask.request
    trace = _trace({signing.TRACE: request.headers.get(signing.TRACE, "")})
    refusal = as_refusal(failure)
    if refusal.name in _MISSED and _was_changed(node):
        refusal = Refusal("STORE_TAMPERED")
    if refusal.name == "INTERNAL":
        log.error("handler failed", trace_id=trace, node_id=node.node_id, path=request.path, exc_info=failure)
        refusal.extra["trace_id"] = trace
    elif refusal.name == "BODY_NOT_JSON":
        if node.faults.on("bad-json-breaks-handler"):
            refusal = Refusal("INTERNAL", trace_id=trace)
        if node.faults.on("stack-trace-in-error"):
            refusal.extra["trace"] = traceback.format_exception(failure)
    elif refusal.name == "STORE_UNAVAILABLE":
        log.warning("store unavailable", trace_id=trace, node_id=node.node_id, reason=str(failure))
    count(node, refusal)
    envelope = wire.refusal_envelope(refusal, request.headers.get("accept-language"))
    answer = _answer(envelope, refusal.code.status, trace)
    if "retry_after" in refusal.extra:
        answer.headers["retry-after"] = str(refusal.extra["retry_after"])
    if isinstance(failure, MethodNotAllowed) and failure.valid_methods:
        answer.headers["allow"] = ", ".join(sorted(set(failure.valid_methods) - {"HEAD"}))
    return answer


def count(node: Node, refusal: Refusal) -> None:
    """Count a refusal that leaves no record of its own (9.2-d)."""
    if refusal.name in refusals.KEPT:
        node.refusals.count(refusal.name, flask.request.remote_addr or "", node.now())


def _was_changed(node: Node) -> bool:
    """Tell whether what is not found may have been taken away: a deleted record is not one that there never was."""
    return node.store.tally is not None and bool(node.store.tally.glance())


def as_refusal(failure: Exception) -> Refusal:
    """Return the refusal that stands for whatever was raised."""
    match failure:
        case Refusal():
            return failure
        case RuleBroken():
            return Refusal(failure.name, pointer=failure.pointer)
        case SecurityFailure() if failure.name in _NAMES:
            return Refusal(failure.name)
        case NotFound():
            return Refusal("OPERATION_NOT_FOUND")
        case MethodNotAllowed():
            return Refusal("METHOD_NOT_ALLOWED")
        case HTTPException():
            return Refusal("REQUEST_INVALID")
        case OperationalError() | PoolTimeout():
            return Refusal("STORE_UNAVAILABLE")
        case DataError():  # PostgreSQL takes no U+0000
            return Refusal("REQUEST_INVALID")
        case IntegrityError():  # a key taken between look and write by a concurrent request
            return Refusal("STORE_UNAVAILABLE")
        case _:
            return Refusal("INTERNAL")
