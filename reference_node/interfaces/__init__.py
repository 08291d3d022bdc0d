"""One module for each protocol of chapter 8: a function for each operation that translates, calls a service, answers.

`HANDLERS` names the modules. An operation `contractApply` of specs/openapi/node.yaml is the function `contract_apply`
of the module that stands for `node`; it takes a `Call` and returns `data` of the envelope. A node does not
start while an operation that is not planned has no function.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from reference_node.interfaces import component, dataset, evidence, flow, job, model, node, project, task

HANDLERS: Mapping[str, ModuleType] = {
    "node": node,
    "project": project,
    "flow": flow,
    "job": job,
    "task": task,
    "component": component,
    "dataset": dataset,
    "model": model,
    "evidence": evidence,
}
