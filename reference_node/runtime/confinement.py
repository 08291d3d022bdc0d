"""What a component is kept from: it runs as the node's own user, and is to reach nothing of the node's (9.2-e, 5.3).

Guarantees, where the kernel has Landlock: a component reads the system's programs and libraries, its declared inputs
and its own folder, writes its own folder and log, and nothing else: neither the node's keys, tokens, database and
evidence nor the folders of other attempts; it reads no process outside of it; it connects to its own node by TCP and
nowhere else, and serves nobody. Without Landlock, namespaces hide the node's folders from it. In either case, and
without both, it gains no privileges, has none of root's beside the reading of files, and is bounded in open files,
processes and sizes of files.
What does not hold on a machine is told by `Means.open`, and by the node when it starts.

`probe` tells what the kernel gives, `told` (the node's side) what a component may reach, `enter` (the component's
side, in the freshly forked process) gives up everything else, for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from reference_node.runtime import landlock, namespaces
from reference_node.runtime.contract import Work

ANY, NODE = "any", "node"  # whom components may connect to

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/nix/store", "/gnu/store")
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_KERNEL: Final = ("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage")
_SETTINGS: Final = (
    *(
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "alternatives",
        "localtime",
        "timezone",
        "mime.types",
        "locale.conf",
    ),
    *("passwd", "group", "nsswitch.conf", "host.conf", "hosts", "resolv.conf", "gai.conf", "services", "protocols"),
    *("ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/ca-trust", "ca-certificates", "crypto-policies", "fonts"),
)
_BESIDE: Final = ("bin", "sbin", "shims")
_HOMES: Final = Path("/home")
_OPEN_FILES: Final = 4096
_PROCESSES: Final = 4096
_MIB: Final = 1024 * 1024
_ASKED_SECONDS: Final = 30

_DIE_WITH_PARENT, _DUMPABLE, _CAPABILITY_DROP, _NO_NEW_PRIVILEGES, _AMBIENT = 1, 4, 24, 38, 47
_CLEAR_AMBIENT: Final = 4
_CAPABILITIES_3: Final = 0x2008_0522
_READS_ALL_FILES: Final = 1  # CAP_DAC_OVERRIDE: of inputs that another user owns; Landlock still decides which

_libc = ctypes.CDLL(None, use_errno=True)


class NotConfined(Exception):
    """The kernel has refused what it had promised at the start; nothing is run."""

    hint = "start the node again: it then says what this machine gives"


class Way(StrEnum):
    """What the kernel gives to confine a component."""

    LANDLOCK = "landlock"
    NAMESPACES = "namespaces"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Means:
    """What the kernel gives; `abi` is Landlock's version."""

    way: Way
    abi: int = 0

    @property
    def open(self) -> tuple[str, ...]:
        """What stays open to a component, by name: files (and processes), cutting of files, network, signals."""
        if self.way is Way.NONE:
            return ("files", "processes", "network", "signals")
        if self.way is Way.NAMESPACES:
            return ("network", "signals")
        since = {"cutting": landlock.CUTTING, "network": landlock.NETWORK, "signals": landlock.SIGNALS}
        return tuple(name for name, first in since.items() if self.abi < first)

    def words(self) -> dict[str, Any]:
        """Return what the node says of it when it starts."""
        version = {"abi": self.abi} if self.way is Way.LANDLOCK else {}
        return {"confined_by": self.way.value, **version, "open": list(self.open)}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds for every component of a node.

    `hidden` is what no component may reach but for its own inputs and folder: the node's data folder, keys, backups;
    `readable` and `writable` are what the operator grants beside the usual; `network` is `node` or `any`; `file_mib`
    bounds each file that a component writes.
    """

    hidden: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    network: str = NODE
    file_mib: int | None = None


def probe(landlock_abi: Callable[[], int] = landlock.abi, namespaced: Callable[[], bool] | None = None) -> Means:
    """Return what the kernel gives; Landlock that lets files be cut comes after namespaces, and before nothing."""
    abi = landlock_abi() if sys.platform == "linux" else 0
    if abi >= landlock.CUTTING:
        return Means(Way.LANDLOCK, abi)
    if sys.platform == "linux" and (namespaced or _namespaced)():
        return Means(Way.NAMESPACES)
    return Means(Way.LANDLOCK, abi) if abi >= landlock.FILES else Means(Way.NONE)


@cache
def _namespaced() -> bool:
    """Ask in a process of its own: this one may have threads, and would not come out again."""
    command = [sys.executable, "-m", namespaces.__name__]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, timeout=_ASKED_SECONDS, check=False).returncode == 0
    return False


def told(work: Work, bounds: Bounds, means: Means) -> dict[str, Any]:
    """Return what the process of a component is told: what it may reach, and by what the rest is kept from it."""
    hidden = [path.absolute() for path in bounds.hidden]
    named = without(_named(work.command), hidden) if work.command else ()
    address = urlsplit(work.address)
    port = address.port or (443 if address.scheme == "https" else 80)
    return {
        "way": means.way.value,
        "abi": means.abi,
        "hidden": [str(path) for path in hidden],
        "readable": [*_readable(bounds), *map(str, named)],
        "inputs": [str(path.absolute()) for path in work.inputs.values()],
        "writable": [str(path) for path in (*without(bounds.writable, hidden), "/dev/null")],
        "folder": str(work.folder.absolute()),
        "log": str(work.log.absolute()) if work.command is None else None,  # of a command the server writes it
        "ports": [port] if bounds.network == NODE else None,
        "file_mib": bounds.file_mib,
    }


@cache
def _readable(bounds: Bounds) -> tuple[str, ...]:
    """Return what every component of a node may read; looked up once, since each start would wait for it."""
    usual = (*_SYSTEM, *_KERNEL, *_DEVICES, *(f"/etc/{name}" for name in _SETTINGS))
    allowed = [*map(Path, usual), *_program(), *bounds.readable]
    return tuple(str(path) for path in without(allowed, bounds.hidden))


def without(allowed: Iterable[Path], hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield what is allowed without what is hidden: a folder that holds something hidden by its other entries."""
    resolved = [_resolved(path) for path in hidden]
    for path in allowed:
        whole = _resolved(path)
        if any(place == whole or place in whole.parents for place in resolved):
            continue
        if any(whole in place.parents for place in resolved):
            with contextlib.suppress(OSError):
                yield from without(sorted(whole.iterdir()), resolved)
        else:
            yield whole


def enter(told_: Mapping[str, Any]) -> None:
    """Give up, in this process and for good, all that the component is not to have; raise NotConfined."""
    try:
        _enter(told_)
    except (OSError, ValueError, OverflowError) as failure:
        raise NotConfined(f"this component could not be confined: {failure}") from failure


def _enter(told_: Mapping[str, Any]) -> None:
    _bound(told_["file_mib"])
    folder, log = Path(told_["folder"]), told_["log"]
    own = [folder] if log is None else [folder, Path(log)]
    inputs = [Path(text) for text in told_["inputs"]]
    _set(_NO_NEW_PRIVILEGES, 1)
    way = Way(told_["way"])
    if way is Way.NAMESPACES:
        _set(_DUMPABLE, 1)  # what belongs to nobody cannot be told who it is
        namespaces.hide([Path(text) for text in told_["hidden"]], [*own, *inputs])
        os.chdir(folder)
    if way is Way.LANDLOCK:
        readable = [*(Path(text) for text in told_["readable"]), *inputs]
        writable = [*own, *(Path(text) for text in told_["writable"])]
        landlock.restrict(told_["abi"], readable, writable, told_["ports"])
    _give_up_privileges(kept=1 << _READS_ALL_FILES if way is Way.LANDLOCK else 0)
    _set(_DUMPABLE, 0)
    _set(_DIE_WITH_PARENT, signal.SIGKILL)  # giving up privileges has undone it


def keep_to_itself() -> None:
    """Let no process of the same user trace this one, read its memory or its environment; Linux only."""
    if sys.platform == "linux":
        _set(_DUMPABLE, 0)


def _program() -> Iterator[Path]:
    """Yield where the interpreter, its packages, this package and the libraries that the node was told of lie."""
    yield from (Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix))
    yield from (Path(text) for text in sys.path if Path(text).name in ("site-packages", "dist-packages"))
    here = Path(__file__).resolve().parents[1]
    yield from (here, here.with_name("specs"))
    yield from (Path(text) for text in os.environ.get("LD_LIBRARY_PATH", "").split(":") if text)
    yield from _programs(os.environ.get("PATH", os.defpath))


def _programs(path: str) -> Iterator[Path]:
    """Yield where programs are found, with what lies beside them: of /srv/engine/bin all of /srv/engine.

    A home and the root are too much: of those the folder of programs alone.
    """
    homes = [Path("/"), Path("/root")]
    with contextlib.suppress(RuntimeError):  # a user of no name has none
        homes.append(Path.home())
    for folder in (Path(text) for text in path.split(os.pathsep) if text.startswith("/")):
        beside = folder.parent
        alone = folder.name not in _BESIDE or beside in homes or beside.parent == _HOMES
        yield folder if alone else beside


def _named(command: str) -> Iterator[Path]:
    """Yield the files that the operator's command itself names: the executable, scripts."""
    words = shlex.split(command)
    found = shutil.which(words[0]) if words else None
    yield from [] if found is None else [Path(found)]
    yield from (path for path in map(Path, words) if path.is_absolute() and path.is_file())


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path.absolute()


def _bound(file_mib: int | None) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, _PROCESSES)
    if file_mib is not None:
        _limit(resource.RLIMIT_FSIZE, file_mib * _MIB)


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (bound, bound))


def _give_up_privileges(kept: int) -> None:
    """Let go of every capability but those in the mask, of which an ordinary user has none anyhow."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    held = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, held) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    if any(held):
        for number in range(64):
            if not kept >> number & 1:
                _prctl(_CAPABILITY_DROP, number)  # those above the last are refused
        _prctl(_AMBIENT, _CLEAR_AMBIENT)
    low, high = kept & 0xFFFF_FFFF, kept >> 32
    left = (ctypes.c_uint32 * 6)(held[0] & low, held[1] & low, 0, held[3] & high, held[4] & high, 0)
    if _libc.capset(header, left) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _set(what: int, value: int) -> None:
    if _prctl(what, value) != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, f"prctl {what}: {os.strerror(failed)}")


def _prctl(what: int, value: int) -> int:
    return int(_libc.prctl(what, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0))))
