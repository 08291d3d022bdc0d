"""A component that tries to get at what is the node's: run by the node itself, or as a command by its file's name.

As a command it is told the same by variables: `runtime.component.parameter.plan` is the plan as JSON, and what came of
it goes into the output `out`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_ATTACH = 16  # ptrace


def attempts(plan: Mapping[str, Any]) -> dict[str, str]:
    """Try everything in the plan; return what came of each: `refused: <name of the error>`, or `done`."""
    found = {f"read {path}": _tried(lambda path=path: _read(path)) for path in plan["read"]}
    found |= {f"write {path}": _tried(lambda path=path: _write(path)) for path in plan["write"]}
    found |= {f"cut {path}": _tried(lambda path=path: os.truncate(path, 0)) for path in plan["cut"]}
    found |= {f"list {path}": _tried(lambda path=path: list(Path(path).iterdir())) for path in plan["list"]}
    found |= {f"link {path}": _tried(lambda path=path: _by_link(path)) for path in plan["read"]}
    found |= {f"remove {path}": _tried(lambda path=path: Path(path).unlink()) for path in plan["cut"]}
    found |= {f"trace {pid}": _tried(lambda pid=pid: _trace(pid)) for pid in plan["processes"]}
    found |= {f"signal {pid}": _tried(lambda pid=pid: os.kill(pid, 0)) for pid in plan["processes"]}
    found |= {f"connect {port}": _tried(lambda port=port: _connect(port)) for port in plan["ports"]}
    return found


def about() -> dict[str, Any]:
    """Return what the process is and has."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return {
        "environ": sorted({*os.environ, *_first_environ()}),
        "capabilities": int(status["CapEff"], 16),
        "privileges": status["NoNewPrivs"],
        "session": os.getsid(0) == os.getpid(),
        "files": sorted(int(name) for name in _open_files() if Path(f"/proc/self/fd/{name}").exists()),
    }


def pry(_channel: Any, params: Mapping[str, Any], inputs: Any) -> Any:
    """Run the plan as a component of the node's own."""
    from reference_node.algorithms.contract import Outputs

    inputs.targets["out"].write_text("written")
    taken = {name: path.read_text() for name, path in inputs.files.items()}
    return Outputs(
        {"out": inputs.targets["out"]}, {"attempts": attempts(params["plan"]), "about": about(), "inputs": taken}
    )


def _open_files() -> list[str]:
    return os.listdir("/proc/self/fd")  # noqa: PTH208 - the names alone


def _tried(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as failure:
        return f"refused: {type(failure).__name__}"
    return "done"


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(1) or b""


def _write(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("mine")


def _by_link(path: str) -> None:
    """Bring a file under a name of one's own and read it there."""
    for place, make in (("hard", os.link), ("soft", os.symlink)):
        own = Path(place + str(abs(hash(path))))
        try:
            make(path, own)
        except OSError:
            continue
        _read(str(own))
        return
    raise PermissionError


def _trace(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def _first_environ() -> list[str]:
    """Return the names of the environment that the process began with, as the kernel still has it."""
    try:
        return [item.partition("=")[0] for item in Path("/proc/self/environ").read_text().split("\0") if item]
    except OSError:
        return []


if __name__ == "__main__":
    signal.alarm(60)
    told = {name.removeprefix("runtime.component."): value for name, value in os.environ.items()}
    place = {
        side: {
            name.removeprefix(f"{side}."): Path(json.loads(value)["namespace"]) / json.loads(value)["name"]
            for name, value in told.items()
            if name.startswith(f"{side}.")
        }
        for side in ("input", "output")
    }
    said = {
        "attempts": attempts(json.loads(told["parameter.plan"])),
        "about": about(),
        "inputs": {name: path.read_text() for name, path in place["input"].items()},
    }
    place["output"]["out"].write_text(json.dumps(said))
    sys.stdout.write("pried\n")
