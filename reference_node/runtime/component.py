"""What happens in the process of a component, from the fork to the exit status.

Guarantees: it leads a session of its own and dies with the server; its memory is bounded, a built-in component's
address space here, a command's resident memory by the server; nothing of the node's is open in it, and nothing of it
can be reached (`confinement`): what is the node's is loaded before, what the component does comes after; a built-in one
leaves `result.json` and an exit status, whatever it raises; what it raises is told by name and, for failures that are
worded for it, by message, never with the data at hand.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from reference_node import private
from reference_node.runtime import confinement
from reference_node.runtime.logs import append

FAILED: Final = 1
NO_MEMORY: Final = 77
NOT_FOUND: Final = 127
RESULT: Final = "result.json"
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
_MIB: Final = 1024 * 1024

Wanted = Mapping[str, Any]


def become(wanted: Wanted, output: int) -> None:
    """Turn a freshly forked process into the component; never returns."""
    status = FAILED
    try:
        _settle_in(wanted, output)
        if wanted["command"] is not None:
            _replace(wanted)
        status = run(wanted)
    except MemoryError:
        status = NO_MEMORY
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _settle_in(wanted: Wanted, output: int) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    folder = Path(wanted["folder"])
    private.make(folder)
    os.chdir(folder)
    Path(wanted["log"]).touch(mode=0o600)  # only what is there can be left to a component
    if wanted["memory_mib"] is not None and wanted["command"] is None:
        # what the server has loaded is shared with all components and not theirs
        bound = _mapped() + wanted["memory_mib"] * _MIB
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _mapped() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def _replace(wanted: Wanted) -> None:
    """Become the command of a component that somebody else has made."""
    words = shlex.split(wanted["command"])
    confinement.enter(wanted["confinement"])
    try:
        os.execvp(words[0], words)  # noqa: S606 - the operator has registered this command
    except OSError as failure:
        sys.stderr.write(f"{words[0]}: {failure.strerror}\n")
        sys.stderr.flush()
        os._exit(NOT_FOUND)


def run(wanted: Wanted) -> int:
    """Run a built-in component and leave what it says of its end; return the exit status."""
    try:
        start, channel, inputs = _entry(wanted["entry"], wanted["inputs"]), _channel(wanted), _inputs(wanted)
        confinement.enter(wanted["confinement"])
        outputs = start(channel, dict(wanted["parameters"]), inputs)
    except MemoryError:
        raise
    except Exception as failure:  # noqa: BLE001 - a component may raise anything
        _note(wanted, "ERROR", f"{_name(failure)}: {_words(failure)}")
        for line in traceback.format_tb(failure.__traceback__):
            _note(wanted, "DEBUG", line.rstrip())
        _leave(wanted, {"detail": f"{_name(failure)}: {_words(failure)}"[:512]})
        return FAILED
    _leave(
        wanted,
        {
            "files": {name: str(path) for name, path in outputs.files.items()},
            "summary": json.loads(json.dumps(dict(outputs.summary), default=str)),
        },
    )
    return 0


def _entry(entry: str, inputs: Mapping[str, str]) -> Callable[..., Any]:
    """Return the function that a built-in component is run by, with what it needs of code loaded."""
    kind, _, name = entry.rpartition(":")
    if kind == "algorithm":
        from reference_node.algorithms import ALGORITHMS

        ALGORITHMS[name].ahead([Path(path) for path in inputs.values()])
        return ALGORITHMS[name].start
    found: Callable[..., Any] = getattr(importlib.import_module(kind), name)
    return found


def _channel(wanted: Wanted) -> Any:
    from reference_node.transport.client import ChannelClient

    return ChannelClient.from_environment(os.environ, me=wanted["me"], scope=wanted["scope"])


def _inputs(wanted: Wanted) -> Any:
    from reference_node.algorithms.contract import Inputs, sound

    def progress(share: float, word: str) -> None:
        _note(wanted, "INFO", f"{share:.0%} {word}")

    files = {name: Path(path) for name, path in wanted["inputs"].items()}
    targets = {name: Path(path) for name, path in wanted["outputs"].items()}
    if not wanted["faults"]:
        return Inputs(files, targets, progress, sound)
    from reference_node.faults import Faults  # takes time to load, and is needed for defects only

    return Inputs(files, targets, progress, Faults(wanted["faults"]).on)


def _note(wanted: Wanted, level: str, words: str) -> None:
    append(Path(wanted["log"]), level, f"{wanted['me']} {words}", time.time_ns() // 1_000_000)


def _leave(wanted: Wanted, said: Mapping[str, Any]) -> None:
    path = Path(wanted["folder"]) / RESULT
    path.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def _name(failure: Exception) -> str:
    return str(getattr(failure, "name", None) or type(failure).__name__)


def _words(failure: Exception) -> str:
    """Return the message of a failure that is worded for the log; of others it could hold data."""
    worded = hasattr(failure, "hint") or type(failure).__module__.startswith("reference_node.transport")
    return str(failure) if worded else "see the log's DEBUG lines for the place"
