"""Checks of components (8.6.3): parameters held against the self-description, and whether the service answers.

Guarantees: each wrong parameter is named by its place; a service that does not answer is not reported as healthy.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import params
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.services import component_finding
from reference_node.services.approvals import Body
from reference_node.store.resources import BUILT_IN, ComponentRow

_IMAGE = re.compile(r"[a-z0-9]+([._:/@-]{1,2}[A-Za-z0-9]+)*")


def validate(node: Node, session: Session, body: Body) -> dict[str, Any]:
    """Hold parameters against the self-description of a component (8.6.3-a)."""
    try:
        row = component_finding.found(node, session, body)
    except Refusal:
        if node.faults.on("params-of-no-component-valid"):
            return {"valid": True, "problems": []}
        raise
    if node.faults.on("params-of-first-version"):
        row = component_finding.versions(session, row.code)[0]
    declared = row.described["inputParam"]
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
        row = component_finding.found(node, session, query)
    except Refusal:
        if node.faults.on("component-health-of-none"):
            return {"status": "DOWN", "checked_at": node.now()}
        raise
    if row.address_type == BUILT_IN:
        return {"status": "UP", "checked_at": node.now(), "detail": "the component comes with the node"}
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
