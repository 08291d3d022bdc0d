"""Landlock, by which a process of Linux gives up rights of its own without being root (kernel 5.13 and newer).

Guarantees: what `restrict` leaves out cannot be had back, neither by this process nor by any that it starts; a rule for
a path that is not there is left out, since it would allow nothing. Beside files it bounds who may be traced: a process
outside is neither traced nor read through /proc by one inside, root or not.

Documentation of the kernel: userspace-api/landlock. `abi` is the version of what the kernel offers.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_VERSION: Final = 1
_BENEATH, _PORT = 1, 2

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_FIRST_RIGHTS: Final = (1 << 13) - 1
_CONNECT: Final = 1 << 1
_BIND_AND_CONNECT: Final = 0b11
_SOCKETS_AND_SIGNALS: Final = 0b11
_OF_A_FILE: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_NO_DEVICES: Final = ~((1 << 6) | (1 << 11))  # neither character nor block devices are made

FILES, CUTTING, NETWORK, SIGNALS = 1, 3, 4, 6  # the first version that bounds each

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return which version the kernel offers, 0 where it offers none."""
    return max(0, int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def restrict(version: int, readable: Iterable[Path], writable: Iterable[Path], ports: Iterable[int] | None) -> None:
    """Leave this process the given files, and what lies below the given folders, and nothing else; raise OSError.

    `ports` are those of TCP that it may connect to; None leaves the network as it is. The process must not be able to
    gain privileges (PR_SET_NO_NEW_PRIVS).
    """
    rights = _rights(version)
    bounds_network = version >= NETWORK and ports is not None
    attributes = struct.pack("=Q", rights)
    if version >= NETWORK:
        attributes += struct.pack("=Q", _BIND_AND_CONNECT if bounds_network else 0)
    if version >= SIGNALS:
        attributes += struct.pack("=Q", _SOCKETS_AND_SIGNALS)
    ruleset = _call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path in readable:
            _allow(ruleset, path, (_EXECUTE | _READ | _LIST) & rights)
        for path in writable:
            _allow(ruleset, path, rights & _NO_DEVICES)
        for port in ports or () if bounds_network else ():
            _call(
                _ADD, ctypes.c_int(ruleset), ctypes.c_int(_PORT), struct.pack("=QQ", _CONNECT, port), ctypes.c_uint32(0)
            )
        _call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _rights(version: int) -> int:
    """Return every right over files that a version knows: what is not allowed is refused."""
    further = {2: 1 << 13, CUTTING: _TRUNCATE, 5: _IOCTL}
    return _FIRST_RIGHTS | sum(right for since, right in further.items() if version >= since)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                rights &= _OF_A_FILE
            rule = struct.pack("=Qi", rights, handle)
            _call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_BENEATH), rule, ctypes.c_uint32(0))
        finally:
            os.close(handle)


def _call(number: int, *given: object) -> int:
    done = int(_libc.syscall(number, *given))
    if done < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, f"landlock: {os.strerror(failed)}")
    return done
