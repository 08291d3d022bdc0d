"""The node on its sockets: cheroot, a ready line, background work, a clean stop.

Guarantees: binds loopback unless told otherwise, and IPv4 and IPv6 side by side where both are told (9.1-e); port 0
takes a free one; with TLS on, components of this machine have a plain port of their own on the loopback interface; the
ready line, one JSON object on one line, is printed only once requests are answered; SIGINT and SIGTERM let running
requests finish and stop every thread.

>>> serve(load_config(None, data=Path("node-a"), port=0))
{"event":"ready","node_id":"node-4f1c2a90","address":"http://127.0.0.1:40213","components":{"confined_by":"landlock",...}}
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_network
from pathlib import Path
from types import FrameType
from typing import Any, Self

import flask
import structlog

import specs
from reference_node import log, private
from reference_node.app import create_app, node_of
from reference_node.config import Config
from reference_node.errors import ConfigError, Refusal
from reference_node.faults import Faults
from reference_node.front.hall import Common
from reference_node.front.head import Malformed
from reference_node.front.lines import Limits
from reference_node.front.rules import Rules
from reference_node.gap.inlet import Inlet
from reference_node.interfaces import wire
from reference_node.interfaces.channel import PROTOCOL
from reference_node.interfaces.channel_grpc import GrpcServer
from reference_node.interfaces.router import BODY_LIMIT
from reference_node.node import Node
from reference_node.runtime.confinement import Way, keep_to_itself
from reference_node.sockets import Server
from reference_node.transport.tls import TlsAdapter

logger = structlog.get_logger("reference_node")
_PUMP_SECONDS = 1.0
_STANDBY_SECONDS = 0.2
_REQUEST_LIMIT = 72 * 1024 * 1024  # operations have lower limits of their own, which they answer with an envelope
_MOST_THREADS = 256
_THREADS_KEPT = 64  # of them are for requests that are whole
_MOST_FILES = 1 << 20
_FILES_KEPT = 256  # are for the database, partners and tasks
_BACKLOG = 1024
_STREAMED = frozenset(each.path.encode() for each in specs.operations().values() if each.protocol == PROTOCOL)
_INNER_HOST = "127.0.0.1"
_OTHERS = 0o077


class NodeServer:
    """A node that listens; `start` returns once requests are answered, `stop` once nothing runs any more.

    >>> with NodeServer(load_config(None, port=0)) as server:
    ...     print(server.address)
    """

    def __init__(self, config: Config) -> None:
        faults = Faults(config.faults, _hits_writer(config.data) if config.faults else None)
        self._app: flask.Flask = create_app(config, faults=faults)
        self._config = config
        self._servers: list[Server] = []
        self._grpc: GrpcServer | None = None
        self._growing = threading.Lock()
        self._rules = _rules(config, _files())
        self.node.sessions.crowded = self._make_room
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def node(self) -> Node:
        """The node that is served."""
        return node_of(self._app)

    @property
    def address(self) -> str:
        """Where the node listens, the first of its addresses."""
        return self.addresses[0]

    @property
    def addresses(self) -> list[str]:
        """Everywhere the node listens for others."""
        scheme = "http" if self.node.tls is None else "https"
        return [_url(scheme, server.bind_addr) for server in self._servers if server.ssl_adapter or scheme == "http"]

    @property
    def grpc_address(self) -> str | None:
        """Where the data plane listens for gRPC, if it does."""
        return None if self._grpc is None else self._grpc.address

    def start(self) -> None:
        """Bind, and serve in threads of its own."""
        try:
            self._bind()
        except OSError as failure:
            for server in self._servers:
                server.stop()
            self.node.close()
            raise ConfigError(
                f"cannot listen on {', '.join(self._config.hosts)}, port {self._config.port}: {failure}",
                hint="choose another --port, 0 takes a free one",
            ) from failure
        self.node.listening = self.address
        self.node.places.bound = tuple(server.bind_addr[:2] for server in self._servers)
        if self._config.grpc_port is not None:
            self._grpc = _grpc_server(self.node, self._config)
            self.node.grpc_listening = self._config.grpc_address or self._grpc.address
            self.node.places.bound += ((self._config.hosts[0], self._grpc.port),)
            if self.node.faults.on("grpc-announced-elsewhere"):
                self.node.grpc_listening = "grpc://127.0.0.1:1"
        for server in self._servers:
            self._run(server.serve, "serve")
        if self.node.gap is not None:
            poll, faults = self._config.gap_poll_seconds, self.node.faults
            inlet = Inlet(self._app, self.node.node_id, self.node.gap, poll=poll, faults=faults)
            self._run(lambda: inlet.run(self._stopping), "gap")
        if self._config.background:
            self._run(self._pump, "pump")

    def stop(self) -> None:
        """Let running requests finish, then let go of everything."""
        self._stopping.set()
        self.node.sessions.end_waits()
        if self._grpc is not None:
            self._grpc.stop()
        with self._growing:  # a thread that is told to end while it is waited for to begin would be waited for for ever
            servers = list(self._servers)
        for server in servers:
            server.stop()
        for thread in self._threads:
            thread.join()
        self.node.close()

    def _bind(self) -> None:
        port, tls = self._config.port, self.node.tls
        adapter = None if tls is None else TlsAdapter(tls)
        common = Common(self._rules)
        for host in self._config.hosts:
            if ":" in host and self.node.faults.on("ipv6-not-served"):
                continue
            port = self._listen(host, port, adapter, common)
        if adapter is not None:
            inner = self._listen(_INNER_HOST, 0, None, Common(self._rules))  # strangers take nothing from components
            self.node.inner = _url("http", (_INNER_HOST, inner))

    def _listen(self, host: str, port: int, adapter: TlsAdapter | None, common: Common) -> int:
        """Bind one address and return its port."""
        _claim(host, port)
        server = Server(
            (host, port),
            self._app,
            rules=self._rules,
            refused=_refused,
            streams=_STREAMED.__contains__,
            lax=self.node.faults.on,
            common=common,
            noted=lambda reason, address: self.node.refusals.count(reason, address, self.node.now()),
            numthreads=self._config.threads,
            max=max(_MOST_THREADS, self._config.threads),
            request_queue_size=_BACKLOG,
            timeout=30,
            shutdown_timeout=5,
            server_name="hutong",
        )
        server.crowded = self._make_room
        server.ssl_adapter = adapter
        server.prepare()
        self._servers.append(server)
        return int(server.bind_addr[1])

    def _run(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=f"{self.node.node_id}-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _make_room(self) -> None:
        """Add threads before the last ones wait for messages of components, so that others are still answered."""
        with self._growing:
            for server in () if self._stopping.is_set() else self._servers:
                if server.requests.idle < 2:
                    server.requests.grow(4)

    def _pump(self) -> None:
        while not self._stopping.wait(_PUMP_SECONDS):
            self.node.pump()


def serve(config: Config, ready: Callable[[Mapping[str, Any]], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told once, instead of the ready line being printed.

    A node on standby says so in a line of its own and listens only once the process that leads is gone (9.2-e-4).
    """
    os.umask(_OTHERS)  # what components and libraries write is this user's alone too
    log.to_stderr()
    keep_to_itself()
    server = NodeServer(config)
    _say_confinement(server.node)
    stopped = threading.Event()

    def _stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    previous = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if not _its_turn(server.node, stopped):
            server.stop()
            return
        with server:
            line: dict[str, Any] = {"event": "ready", "node_id": server.node.node_id, "address": server.address}
            line |= {"addresses": server.addresses} if len(server.addresses) > 1 else {}
            line["components"] = server.node.means.words()
            (ready or _print_ready)(line | ({"grpc": server.grpc_address} if server.grpc_address else {}))
            stopped.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say_confinement(node: Node) -> None:
    """Say, once, what this machine gives to keep components from what is the node's (9.2-e)."""
    said = node.means.words()
    if node.means.way is Way.NONE:
        hint = "run the node on Linux with Landlock (kernel 6.2 or newer) or allow it user namespaces"
        logger.warning(
            "components are not confined: they can read what the node can", node_id=node.node_id, hint=hint, **said
        )
    else:
        logger.info("components are confined", node_id=node.node_id, **said)


def _its_turn(node: Node, stopped: threading.Event) -> bool:
    """Wait until this process may serve; return whether it was not stopped meanwhile."""
    if node.leadership.held() or not node.config.standby:
        return True
    _print_ready({"event": "standby", "node_id": node.node_id})
    while not node.leadership.held():
        if stopped.wait(_STANDBY_SECONDS):
            return False
    node.vault.refresh()
    return True


def _claim(host: str, port: int) -> None:
    """Fail early and cleanly where a port is taken: cheroot leaves its socket open when it cannot bind."""
    if port:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()


def _url(scheme: str, bound: tuple[Any, ...]) -> str:
    host, port = bound[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _grpc_server(node: Node, config: Config) -> GrpcServer:
    try:
        server = GrpcServer(node, config.hosts[0], config.grpc_port or 0)
    except (RuntimeError, OSError) as failure:
        raise ConfigError(
            f"cannot listen for gRPC on {config.hosts[0]}, port {config.grpc_port}",
            hint="choose another [channel] grpc_port, 0 takes a free one",
        ) from failure
    server.start()
    return server


def _rules(config: Config, files: int) -> Rules:
    """Return deadlines and bounds of a configuration; connections never take all the files there may be."""
    return Rules(
        head_seconds=config.head_seconds,
        idle_seconds=config.idle_seconds,
        handshake_seconds=config.tls_handshake_seconds,
        rate=config.least_kib_per_second * 1024,
        most=max(16, min(config.connections, files - max(_FILES_KEPT, files // 8))),
        each=config.connections_per_address,
        buffered=config.buffer_mib * 1024 * 1024,
        streams=_MOST_THREADS - _THREADS_KEPT,
        limits=Limits(whole=BODY_LIMIT, body=_REQUEST_LIMIT),
        proxies=tuple(ip_network(each, strict=False) for each in config.proxy_protocol_from),
    )


def _files() -> int:
    """Allow this process as many files as it may allow itself; return how many that are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def _refused(wrong: Malformed, accept: bytes) -> tuple[str, bytes]:
    """Return status and envelope for what is no request."""
    refusal = Refusal(wrong.name, pointer=wrong.pointer)
    status = refusal.code.status
    envelope = wire.refusal_envelope(refusal, accept.decode("latin-1"))
    return f"{status} {HTTPStatus(status).phrase}", wire.write(envelope)


def _print_ready(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _hits_writer(data: Path | None) -> Callable[[Mapping[str, int]], None] | None:
    """Return what keeps the hit counters readable from outside the process."""
    if data is None:
        return None
    lock = threading.Lock()

    def _write(hits: Mapping[str, int]) -> None:
        with lock:
            fresh = data / "fault-hits.json.new"
            private.write(fresh, json.dumps(hits).encode())
            fresh.replace(data / "fault-hits.json")

    return _write
