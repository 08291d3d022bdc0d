"""One address in front of several: connections go to each in turn, past those that do not answer."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence
from typing import Self


class Balancer:
    """A port of loopback that spreads connections over others."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = [(host, int(port)) for host, port in (each.rpartition("/")[2].split(":") for each in targets)]
        self._turn = itertools.cycle(range(len(targets)))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """What clients are told."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for end in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = self._reach()
            if far is None:
                near.close()
                continue
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()

    def _reach(self) -> socket.socket | None:
        first = next(self._turn)
        for target in self._targets[first:] + self._targets[:first]:
            with contextlib.suppress(OSError):
                return socket.create_connection(target, timeout=5)
        return None


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        source.settimeout(None)
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
