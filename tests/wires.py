"""Ports of loopback in front of others: one that spreads connections, one that listens to what passes."""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Wire:
    """Carries connections to the first of some addresses that answers."""

    def __init__(self, *addresses: str) -> None:
        parts = [urlsplit(address) for address in addresses]
        self._targets = [(one.hostname or "", one.port or 0) for one in parts]
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"{parts[0].scheme}://127.0.0.1:{self._server.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for end in (self._server, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def order(self) -> list[tuple[str, int]]:
        """Return where the next connection may go, the best first."""
        return self._targets

    def passed(self, piece: bytes, *, inward: bool) -> None:
        """Take note of what passes."""

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = self._reach()
                self._sockets.append(near)
                if far is None:
                    near.close()
                    continue
                self._sockets.append(far)
                for ends in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _reach(self) -> socket.socket | None:
        for target in self.order():
            with suppress(OSError):
                far = socket.create_connection(target, timeout=5)
                far.settimeout(None)
                return far
        return None

    def _carry(self, source: socket.socket, sink: socket.socket, inward: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                self.passed(piece, inward=inward)
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Balancer(Wire):
    """Spreads connections over its addresses in turn, past those that do not answer."""

    def __init__(self, *addresses: str) -> None:
        self._turn = itertools.cycle(range(len(addresses)))
        super().__init__(*addresses)

    def order(self) -> list[tuple[str, int]]:
        """Return the addresses, each in its turn the first."""
        first = next(self._turn)
        return self._targets[first:] + self._targets[:first]


class Tap(Wire):
    """Keeps everything that passes: `heard` both ways, `carried` the number of bytes that went in."""

    def __init__(self, address: str) -> None:
        self.heard = bytearray()
        self.carried = 0
        super().__init__(address)

    def passed(self, piece: bytes, *, inward: bool) -> None:
        """Keep a piece."""
        self.heard += piece
        self.carried += len(piece) if inward else 0
