"""The reference node and the harness in one process, on one clock that moves only when a scenario lets it.

No socket, no thread, no waiting: a whole run takes seconds, so each deliberate defect can be tried. The node is the
real application behind its WSGI interface; what it sends goes straight to the harness's receiver.
"""

from __future__ import annotations

import io
import logging
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from flask import Flask

from conformance.harness import engine, places
from conformance.harness.binding import load_binding
from conformance.harness.deposits import Deposits, Place
from conformance.harness.gap import FarSide
from conformance.harness.gap_relay import RelayEnds
from conformance.harness.partner_grpc import Gate
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import GapPlace, Profile
from conformance.harness.records import Answer, Request, Transcript
from conformance.harness.registry import Scenario
from conformance.harness.schema import Contract
from conformance.harness.signing import KeyRing
from conformance.harness.target import Transport, Unanswered, query_string
from conformance.harness.world import Stage
from conformance.selftest import relaying
from conformance.selftest.inprocess_grpc import InProcessChannel, InProcessGrpc
from conformance.selftest.tampering import hand
from conformance.suites.work import LINE
from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.gap.inlet import Inlet
from reference_node.identity import Identity
from reference_node.node import Node
from reference_node.runtime.contract import Exit, Key, Work
from reference_node.runtime.logs import append
from reference_node.transport.outbound import OutboundAnswer


class Lines(logging.Handler):
    """Keeps the lines that the node logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


LINES = Lines()
logging.getLogger("reference_node").addHandler(LINES)  # defects make the node complain at length

NODE_ID = "node-under-test"
URL = "http://target.test"
PEER_ID = "node-peer"
PEER_URL = "http://peer.test"
GRPC = "grpc://target.test:1"
PARTNER_GRPC = "grpc://partner.test:1"
BEYOND = "node-beyond-the-gap"
TOKEN = "operator-token-of-the-lab"  # noqa: S105  lives as long as the process
AUDITOR = "auditor-token-of-the-lab"
LOCKOUT_SECONDS = 2
LINGER_SECONDS = 1
START_MS = 1_800_000_000_000
Given = ParamSpec("Given")
Done = TypeVar("Done")


class SteppedClock:
    """A clock that stands still until somebody lets time pass; the node then does what has become due."""

    grain = 0.5

    def __init__(self) -> None:
        self._now = START_MS
        self.node: Node | None = None
        self.gap: list[Callable[[], object]] = []

    def now_ms(self) -> int:
        """Return the time; each look at it takes a millisecond, so that what follows is later."""
        self._now += 1
        return self._now

    def elapse(self, seconds: float) -> None:
        """Let time pass."""
        self._now += int(seconds * 1000)
        if self.node is not None:
            self.node.pump()
        for carry in self.gap:
            carry()


class AtOnce(Executor):
    """Does what is submitted, in the thread that submits it."""

    def submit(self, work: Callable[Given, Done], /, *given: Given.args, **named: Given.kwargs) -> Future[Done]:
        """Do the work and return its result as one that is there already."""
        done: Future[Done] = Future()
        done.set_result(work(*given, **named))
        return done


class InProcessTransport:
    """Carries requests into the node's WSGI application."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def send(self, request: Request, timeout: float) -> Answer:  # noqa: ARG002  nothing here can hang
        """Send one request."""
        status = 0
        headers: dict[str, str] = {}

        def start_response(line: str, pairs: list[tuple[str, str]], _exc: object = None) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            headers.update({name.lower(): value for name, value in pairs})

        chunks: Any = self._app(_environ(request), start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        if int(headers.get("content-length", len(body))) != len(body):
            raise Unanswered("the answer broke off", hint="Send as many bytes as Content-Length says.")
        return Answer(status, headers, body)


def _environ(request: Request) -> dict[str, Any]:
    query = query_string(request.query)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(request.path, encoding="latin-1"),
        "REQUEST_URI": request.path + (f"?{query}" if query else ""),
        "QUERY_STRING": query,
        "SERVER_NAME": "target.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": places.of(places.LOOPBACK, request.headers.get("x-source-node-id", "")) or places.LOOPBACK,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if request.body or request.method == "POST":
        environ["CONTENT_LENGTH"] = str(len(request.body))
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ


_PRINTED = re.compile(r"print\('([a-z-]+)', flush=True\)")


class HeldRunner:
    """Stands in for the components of the stories: writes what they write, then runs until it is stopped.

    That is the lines that are asked for, and the words that its command prints as they stand.
    """

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        self._running: set[Key] = set()

    def start(self, work: Work) -> None:
        """Begin."""
        self._running.add(work.key)
        for _ in range(work.parameters.get("lines", 0)):
            append(work.log, "INFO", "x" * LINE, self._clock.now_ms())
        for words in _PRINTED.findall(work.command or ""):
            append(work.log, "INFO", words, self._clock.now_ms())
        for _ in range(work.parameters.get("announce", 0)):
            append(work.log, "INFO", f"session {work.session_id} {work.token}", self._clock.now_ms())

    def stop(self, key: Key) -> None:
        """End an attempt."""
        self._running.discard(key)

    def alive(self, key: Key) -> bool:
        """Tell whether an attempt runs."""
        return key in self._running

    def exits(self) -> Sequence[Exit]:
        """Nothing ends by itself."""
        return ()

    def close(self) -> None:
        """End everything."""
        self._running.clear()


def at_home(_name: str) -> tuple[str, ...]:
    """Resolve every name to this machine: nothing is looked up where all are in one process."""
    return ("127.0.0.1",)


class Network:
    """Carries what a node sends: to the other node, or to the harness's receiver."""

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.nodes: dict[str, Transport] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:
        """Deliver one call."""
        if self.stage is None:
            raise RuntimeError("the stage is not set")
        parts = urlsplit(url)
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        lower = {name.lower(): value for name, value in headers.items()}
        request = Request(method, quote(parts.path, safe="/%"), query, lower, body)
        node = self.nodes.get(f"{parts.scheme}://{parts.netloc}")
        answer = node.send(request, timeout) if node else self.stage.receiver.handle(request)
        return OutboundAnswer(answer.status, answer.headers, answer.body)

    def dial(self, address: str) -> Any:
        """Open what stands for a channel of gRPC; nobody answers at another address than the partners'."""
        if self.stage is None:
            raise RuntimeError("the stage is not set")
        return InProcessChannel(Gate(self.stage.receiver) if address == PARTNER_GRPC else None)


class SecondNode:
    """The healthy peer of the node under test, built when it is first called."""

    def __init__(self, clock: SteppedClock, network: Network) -> None:
        self._clock = clock
        self._network = network
        self._app: Flask | None = None

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request to the peer."""
        if self._app is None:
            config = load_config(None, node_id=PEER_ID, address=PEER_URL, background=False)
            identity = Identity(operator_token=TOKEN)
            self._app = create_app(
                config, clock=self._clock, outbound=self._network, identity=identity, resolver=at_home
            )
        return InProcessTransport(self._app).send(request, timeout)

    def close(self) -> None:
        """Close the peer, if it was ever called."""
        if self._app is not None:
            node_of(self._app).close()


def _deposits(node: Node) -> Deposits:
    """Return what a node without a data folder has written down: its database in memory, and its log lines."""

    def storage() -> Iterator[tuple[str, bytes]]:
        with node.store.reading() as connection:
            held: Any = connection.connection.driver_connection
            yield "database", held.serialize()

    def logs() -> Iterator[tuple[str, bytes]]:
        yield "log", "\n".join(LINES.lines).encode()

    LINES.lines.clear()
    return Deposits({Place.STORAGE: storage, Place.LOGS: logs})


def _joined(app: Flask, far: FarSide | None) -> Callable[[], object]:
    """Join a node's end of the gap to the harness's; return what has the node look whether anything lies there.

    A request of the node's is answered while it waits.
    """
    node = node_of(app)
    if node.gap is None or far is None:
        raise RuntimeError("the lab has no gap")
    box = far.folder / "in"
    inlet = Inlet(app, NODE_ID, node.gap, poll=0, faults=node.faults, workers=AtOnce())

    def carry(heard: threading.Event, _seconds: float) -> bool:
        far.collect()
        inlet.round()
        return heard.is_set()

    node.gap.wait = carry
    return lambda: any(box.iterdir()) and inlet.round()


@dataclass(frozen=True, slots=True)
class Lab:
    """A node with some defects and a stage around it."""

    node: Node
    peer: SecondNode
    collector: engine.Collector
    relay: relaying.InProcessRelay
    folder: tempfile.TemporaryDirectory[str]

    def run(self, scenarios: Sequence[Scenario]) -> dict[str, Transcript]:
        """Act out scenarios one after the other."""
        for scenario in scenarios:
            self.collector.act(scenario)
        self.collector.strays()
        return self.collector.transcripts

    def close(self) -> None:
        """Let go of the databases and of the folder of the gap."""
        self.relay.close()
        self.node.close()
        self.peer.close()
        self.folder.cleanup()


def demo_profile() -> Profile:
    """Return the profile of the node under test."""
    return parse_profile(
        {
            "target": {"name": "reference node", "url": URL, "node_id": NODE_ID},
            "operator": {"token": TOKEN},
            "auditor": {"token": AUDITOR},
            "peer": {"url": PEER_URL, "node_id": PEER_ID, "token": TOKEN},
            "timings": {
                "lockout_seconds": LOCKOUT_SECONDS,
                "callback_seconds": 2.0,
                "session_linger_seconds": LINGER_SECONDS,
            },
        },
        "in process",
    )


_CONTRACT: list[Contract] = []
_KEYS = KeyRing()


def lab(faults: Sequence[str] = ()) -> Lab:
    """Build a node with these defects, in memory, and a stage around it."""
    if not _CONTRACT:
        _CONTRACT.append(Contract())
    clock = SteppedClock()
    network = Network()
    peer = SecondNode(clock, network)
    folder = tempfile.TemporaryDirectory(prefix="hutong-gap-")
    gap = Path(folder.name)
    between = relaying.place(gap / "relay")
    profile = replace(demo_profile(), gap=GapPlace(gap / BEYOND, BEYOND), relay=between)
    config = load_config(
        None,
        node_id=NODE_ID,
        address=URL,
        lockout_seconds=LOCKOUT_SECONDS,
        session_linger_seconds=LINGER_SECONDS,
        auditor_token=AUDITOR,
        background=False,
        gap=gap,
        gap_partners=[BEYOND],
        faults=tuple(faults),
    )
    identity = Identity(operator_token=TOKEN)
    app = create_app(
        config,
        clock=clock,
        outbound=network,
        identity=identity,
        runner=HeldRunner(clock),
        dial=network.dial,
        resolver=at_home,
    )
    node = node_of(app)
    node.grpc_listening = GRPC
    clock.node = node
    current = engine.stage(
        profile,
        load_binding("reference"),
        transport=InProcessTransport(app),
        peer=peer,
        grpc=InProcessGrpc(node),
        clock=clock,
        contract=_CONTRACT[0],
        keyring=_KEYS,
    )
    current.receiver.address = "http://partner.test"
    current.receiver.grpc_address = PARTNER_GRPC
    relay = relaying.InProcessRelay(gap / "relay", clock, node.faults)
    ends = RelayEnds(between, clock, relay.evidence)
    current = replace(current, threads=1, deposits=_deposits(node), tamper=hand(node), relay=ends)  # one connection
    network.stage = current
    clock.gap = [_joined(app, current.gap), relay.step]
    network.nodes = {URL: current.transport, PEER_URL: peer}
    return Lab(node, peer, engine.Collector(current), relay, folder)
