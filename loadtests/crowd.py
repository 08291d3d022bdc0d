"""Many connections on which nothing whole ever comes: idle, dripping, half open. A process of its own, on loopback.

    python -m loadtests.crowd 127.0.0.1:8801 --count 10000 --sources 20 [--tls]

It opens what it is told and keeps it open; what the other end closes is opened again. Each line on its standard input
is answered with one of JSON: how many stand, and how many the other end has closed. At the end of its input it goes.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import resource
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from OpenSSL import SSL

HEAD: Final = b"GET /v1/interconn/node/query?node_id=nobody HTTP/1.1\r\nHost: nobody\r\nx-filler: " + b"x" * 4096
_OPENED_AT_ONCE: Final = 250
_DRIP_SECONDS: Final = 2.0
_TICK_SECONDS: Final = 0.05
_SPARE_FILES: Final = 64
_STALLED_SHARE: Final = (
    0.02  # of the half open ones send a whole first message of TLS, which the other end must compute on
)


@dataclass(slots=True, eq=False)
class Guest:
    """One connection: from where, and what it sends at once, then byte by byte."""

    source: str
    at_once: bytes
    drips: bytes
    sock: socket.socket | None = None
    sent: int = 0


@dataclass(slots=True)
class Crowd:
    """All of them."""

    place: tuple[str, int]
    guests: list[Guest]
    closed: int = 0
    standing: int = 0
    waiting: deque[Guest] = field(default_factory=deque)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self) -> None:
        """Keep them open until the input ends."""
        self.waiting.extend(self.guests)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        turn = 0
        due = time.monotonic()
        slices = max(1, round(_DRIP_SECONDS / _TICK_SECONDS))
        while True:
            for key, mask in self.selector.select(_TICK_SECONDS if not self.waiting else 0):
                if key.data is None:
                    if not sys.stdin.readline():
                        return
                    sys.stdout.write(json.dumps({"standing": self.standing, "closed": self.closed}) + "\n")
                    sys.stdout.flush()
                else:
                    self._attend(key.data, mask)
            for _ in range(min(_OPENED_AT_ONCE, len(self.waiting))):
                self._open(self.waiting.popleft())
            if time.monotonic() >= due:
                due += _TICK_SECONDS
                for guest in self.guests[turn % slices :: slices]:
                    self._drip(guest)
                turn += 1

    def _open(self, guest: Guest) -> None:
        family = socket.AF_INET6 if ":" in guest.source else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.bind((guest.source, 0))
            sock.connect_ex(self.place)
        except OSError:
            sock.close()
            self.waiting.append(guest)
            return
        guest.sock, guest.sent = sock, 0
        self.selector.register(sock, selectors.EVENT_WRITE, guest)

    def _attend(self, guest: Guest, mask: int) -> None:
        sock = guest.sock
        if sock is None:
            return
        try:
            if mask & selectors.EVENT_WRITE:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise ConnectionError
                if guest.at_once:
                    sock.send(guest.at_once)
                self.selector.modify(sock, selectors.EVENT_READ, guest)
                self.standing += 1
                return
            if sock.recv(65536):
                return
            raise ConnectionError
        except BlockingIOError:
            return
        except OSError:
            self.standing -= 0 if mask & selectors.EVENT_WRITE else 1
            self.closed += 1
            self.selector.unregister(sock)
            sock.close()
            guest.sock = None
            self.waiting.append(guest)

    def _drip(self, guest: Guest) -> None:
        if guest.sock is not None and guest.sent < len(guest.drips):
            with contextlib.suppress(OSError):
                guest.sent += guest.sock.send(guest.drips[guest.sent : guest.sent + 1])


def guests(count: int, sources: list[str], hello: bytes) -> list[Guest]:
    """Return a third of idle ones, of dripping ones, and of ones that stop half way."""
    found = []
    whole = hello or HEAD
    for number in range(count):
        source = sources[number % len(sources)]
        match number % 3:
            case 0:
                found.append(Guest(source, b"", b""))
            case 1:
                found.append(Guest(source, b"", whole))
            case _:
                stalled = hello and number % round(1 / _STALLED_SHARE) == 0
                found.append(Guest(source, whole if stalled else whole[: len(whole) // 2], b""))
    return found


def first_message() -> bytes:
    """Return what a client of TLS says first."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


def main() -> None:
    """Open them."""
    words = argparse.ArgumentParser(prog="crowd", description=__doc__)
    words.add_argument("address")
    words.add_argument("--count", type=int, default=10_000)
    words.add_argument("--sources", type=int, default=20)
    words.add_argument("--tls", action="store_true")
    given = words.parse_args()
    host, _, port = given.address.rpartition(":")
    if not ipaddress.ip_address(host).is_loopback:
        raise SystemExit("only nodes on this machine: give an address of its loopback interface")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = given.count + _SPARE_FILES if hard == resource.RLIM_INFINITY else min(hard, given.count + _SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    sources = [f"127.0.1.{number + 1}" for number in range(given.sources)]
    count = min(given.count, most - _SPARE_FILES)
    Crowd((host, int(port)), guests(count, sources, first_message() if given.tls else b"")).run()


if __name__ == "__main__":
    main()
