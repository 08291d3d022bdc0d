"""The environment contract: what a component process is told by its variables (5.3-c, 6.1-c).

runtime.component.name                  code of the component
runtime.component.parameter.<name>      a parameter; texts as they are, lists of words joined by commas, else JSON
runtime.component.input.<port>          {"namespace": folder, "name": file} of an input
runtime.component.output.<port>         the same for an output, which the component writes
config.node_id.<role>.<index>           the nodes that take part
config.inst_id.<role>.<index>           their institutions
config.self_role                        which of them this is: guest.0
config.job_id, config.task_id, config.session_id, config.trace_id, config.token
system.transport                        host:port of the own node's data plane
system.storage                          file:/// : inputs and outputs are files
system.callback                         where a component may report to, with config.token as bearer
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from reference_node.runtime.contract import Work

CALLBACK_PATH: Final = "/v1/platform/schedule/task/callback"
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


def of_server() -> dict[str, str]:
    """Return the variables of the fork server: keys and tokens may be among those that the node was started with."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("PYTHON")}


def variables(work: Work) -> dict[str, str]:
    """Return the variables of an attempt; of the node's own ones a component gets the harmless few."""
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    found["PYTHONUNBUFFERED"] = "1"
    found["HOME"] = found["TMPDIR"] = str(work.folder.absolute())  # what it keeps goes with its attempt
    found["runtime.component.name"] = str(work.component["componentName"])
    found |= {f"runtime.component.parameter.{name}": text(value) for name, value in work.parameters.items()}
    found |= {f"runtime.component.input.{name}": _place(path) for name, path in work.inputs.items()}
    found |= {f"runtime.component.output.{name}": _place(path) for name, path in work.outputs.items()}
    found |= {f"config.node_id.{party}": node_id for party, node_id in work.parties.items()}
    found |= {f"config.inst_id.{party}": work.institutions[node_id] for party, node_id in work.parties.items()}
    return found | {
        "config.self_role": work.me,
        "config.job_id": work.job_id,
        "config.task_id": work.key.task_id,
        "config.session_id": work.session_id,
        "config.trace_id": work.trace_id,
        "config.token": work.token,
        "system.transport": work.address.partition("://")[2],
        "system.storage": "file:///",
        "system.callback": work.address + CALLBACK_PATH,
    }


def text(value: Any) -> str:
    """Return a parameter as a variable carries it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value):
        return ",".join(value)
    return json.dumps(value, ensure_ascii=False)


def _place(path: Path) -> str:
    whole = path.absolute()
    return json.dumps({"namespace": str(whole.parent), "name": whole.name}, ensure_ascii=False)


def request(
    work: Work, entry: str | None, confinement: Mapping[str, Any], faults: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Return what the fork server is told of an attempt; `faults` are the node's deliberate defects."""
    return {
        "id": f"{work.key.task_id}/{work.key.role}/{work.key.attempt}",
        "me": work.me,
        "scope": f"{work.key.task_id}.{work.key.attempt}",
        "entry": entry,
        "command": work.command,
        "parameters": dict(work.parameters),
        "inputs": {name: str(path.absolute()) for name, path in work.inputs.items()},
        "outputs": {name: str(path.absolute()) for name, path in work.outputs.items()},
        "environment": variables(work),
        "folder": str(work.folder.absolute()),
        "log": str(work.log.absolute()),
        "memory_mib": work.memory_mib,
        "confinement": dict(confinement),
        "faults": list(faults),
    }
