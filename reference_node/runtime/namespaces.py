"""A user and a mount namespace in which folders of the node are empty, for kernels without Landlock.

Guarantees: after `hide` the process, and whatever it starts, finds in the hidden folders nothing but what was kept;
hidden files read as empty; processes outside of the namespace are neither traced nor read through /proc. It holds only
once the capabilities of the namespace are given up, which is the caller's part.

    python -m reference_node.runtime.namespaces    exit status 0 where the kernel gives one
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_NEW_USER, _NEW_MOUNTS = 0x1000_0000, 0x0002_0000
_READ_ONLY, _NO_SUID, _NO_DEV, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 32, 4096, 16_384, 1 << 18
_PLAIN: Final = _NO_SUID | _NO_DEV

_libc = ctypes.CDLL(None, use_errno=True)


def hide(hidden: Iterable[Path], kept: Iterable[Path]) -> None:
    """Enter namespaces of one's own in which `hidden` is empty but for `kept`; raise OSError.

    The working folder is left behind where it is: the caller enters it again, by its path.
    """
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(_NEW_USER | _NEW_MOUNTS), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _mount(None, Path("/"), None, _RECURSIVE | _PRIVATE)
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in kept if path.exists()]
    try:
        for path in hidden:
            if path.is_dir():
                _empty(path, [(place, handle) for place, handle in held if path in place.parents])
            elif path.exists():
                _mount("/dev/null", path, None, _BIND)
    finally:
        for _, handle in held:
            os.close(handle)


def available() -> bool:
    """Tell whether the kernel gives this process namespaces; tried in a process of its own, for good."""
    pid = os.fork()
    if pid == 0:
        done = 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                hide([Path(folder)], [])
                done = 0
        finally:
            os._exit(done)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _empty(folder: Path, kept: Iterable[tuple[Path, int]]) -> None:
    """Put an empty folder in the place of one, with what is kept at its old place."""
    _mount("none", folder, "tmpfs", _PLAIN, "mode=0700,size=64k")
    for path, handle in kept:
        source = Path(f"/proc/self/fd/{handle}")
        if source.is_dir():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        _mount(str(source), path, None, _BIND)
    _mount("none", folder, "tmpfs", _PLAIN | _REMOUNT | _READ_ONLY, "mode=0700,size=64k")


def _mount(source: str | None, target: Path, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, str(target), kind, options)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def _check(done: int, what: str) -> None:
    if done != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, f"{what}: {os.strerror(failed)}")


if __name__ == "__main__":
    sys.exit(0 if available() else 1)
