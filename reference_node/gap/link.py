"""The node's outgoing end: requests to `spool://<node id>` become files, and wait for the files that answer (9.2-h).

Guarantees: files of one link leave in the order of their numbers, which go on after a restart; a request that was not
answered in time is Unreachable, as over a socket, and its file is taken back if it has not left; nothing is sent to a
partner that the configuration does not name.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from reference_node.clock import Clock
from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.gap.files import IN, OUT, SUITE, Draft, Head
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.transport.outbound import Outbound, OutboundAnswer, StreamingOutbound, Unreachable

SCHEME: Final = "spool"
OWN_KEY: Final = "own.pem"
PARTNER_KEY: Final = "partner.pem"
_NEXT: Final = "next"
_BLOCK: Final = 1024
_REQUEST_HEADERS: Final = frozenset({"accept", "accept-language", "content-type", "content-digest"})


@dataclass(slots=True)
class _Waiter:
    """A request on its way."""

    heard: threading.Event = field(default_factory=threading.Event)
    answer: OutboundAnswer | None = None


class Link:
    """The folder that this node shares with the relay to one partner."""

    def __init__(self, node_id: str, partner: str, folder: Path, key: PrivateKey, clock: Clock, faults: Faults) -> None:
        self.partner = partner
        self._faults = faults
        self.folder = folder
        self._node_id = node_id
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        for name in (OUT, IN):
            (folder / name).mkdir(mode=0o770, parents=True, exist_ok=True)
        for left in (folder / OUT).glob(".*.part"):
            left.unlink()
        (folder / OWN_KEY).write_text(key.public.pem, encoding="ascii")
        self._reserved = self._sequence = self._kept()

    def partner_key(self) -> PublicKey | None:
        """Return the partner's key as the operator has put it here; None until then."""
        try:
            return PublicKey.from_credential(SUITE, (self.folder / PARTNER_KEY).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (SecurityFailure, UnicodeDecodeError) as wrong:
            raise ConfigError(f"{self.folder / PARTNER_KEY}: {wrong}") from wrong

    def draft(self) -> Draft:
        """Begin a file."""
        return Draft(self.folder / OUT)

    def publish(
        self,
        draft: Draft,
        headers: Mapping[str, str],
        *,
        identity: str,
        request: tuple[str, str, str] | None = None,
        answer: tuple[str, int] | None = None,
    ) -> Path:
        """Let a file go: a request (method, path, query), or an answer (the id of the request, status)."""
        method, path, query = request or (None, None, None)
        answers, status = answer or (None, None)
        key = PrivateKey.generate(SUITE) if self._faults.on("gap-file-signed-by-another") else self._key
        receiver = self._node_id if self._faults.on("gap-receiver-wrong") else self.partner
        digested = self._faults.on("gap-digest-wrong")
        with self._lock:
            number = self._number()
            return draft.publish(
                lambda size, digest: Head(
                    kind="request" if answer is None else "answer",
                    sequence=number,
                    id=identity,
                    sender=self._node_id,
                    receiver=receiver,
                    size=size,
                    digest=digest[::-1] if digested else digest,
                    time=self._clock.now_ms(),
                    headers=headers,
                    method=method,
                    path=path,
                    query=query,
                    answers=answers,
                    status=status,
                ),
                key,
            )

    def _kept(self) -> int:
        """Return the number to go on from: what was reserved, at first the time in microseconds."""
        try:
            return int((self.folder / _NEXT).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return time.time_ns() // 1000

    def _number(self) -> int:
        """Draw the next number; they are reserved in blocks, so that none is used twice whenever the node dies."""
        if self._faults.on("gap-sequence-repeated"):
            return self._sequence
        if self._sequence >= self._reserved:
            self._reserved = self._sequence + _BLOCK
            fresh = self.folder / f".{_NEXT}"
            fresh.write_text(str(self._reserved), encoding="ascii")
            fresh.rename(self.folder / _NEXT)
        self._sequence += 1
        return self._sequence


class Links:
    """All links of a node, and the requests that wait for their answers."""

    def __init__(
        self,
        node_id: str,
        folder: Path,
        partners: Iterable[str],
        key: PrivateKey,
        clock: Clock,
        *,
        timeout: float,
        faults: Faults | None = None,
    ) -> None:
        self.address = f"{SCHEME}://{node_id}"
        self.timeout = timeout
        self._faults = switches = Faults() if faults is None else faults
        self.wait: Callable[[threading.Event, float], bool] = threading.Event.wait  # another where there are no threads
        self._waiting: dict[str, tuple[str, _Waiter]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._links = {name: Link(node_id, name, folder / name, key, clock, switches) for name in partners}

    def __contains__(self, partner: object) -> bool:
        return partner in self._links

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    def of(self, partner: str) -> Link:
        """Return the link to a partner; raise Unreachable where there is none."""
        if partner not in self._links:
            raise Unreachable(f"no link across the gap to {partner}")
        return self._links[partner]

    def ask(
        self,
        partner: str,
        request: tuple[str, str, str],
        headers: Mapping[str, str],
        body: Iterable[bytes],
        wait: float,
    ) -> OutboundAnswer:
        """Send a request and wait for its answer."""
        link, identity, waiter = self.of(partner), secrets.token_hex(16), _Waiter()
        kept = {name: value for name, value in headers.items() if name in _REQUEST_HEADERS or name.startswith("x-")}
        if self._kept_back(request[1]):
            raise Unreachable("contracts do not cross the gap")
        draft = link.draft()
        with self._lock:
            self._waiting[identity] = (partner, waiter)
        try:
            for piece in body:
                draft.write(piece)
            path = link.publish(draft, kept, identity=identity, request=request)
            if not self._closed:
                self.wait(waiter.heard, max(wait, self.timeout))
        except OSError as failure:
            raise Unreachable(f"the spool cannot be written: {failure.strerror}") from failure
        finally:
            draft.abandon()
            with self._lock:
                self._waiting.pop(identity, None)
        if waiter.answer is None:
            path.unlink(missing_ok=True)
            raise Unreachable("no answer came across the gap in time")
        return waiter.answer

    def _kept_back(self, path: str) -> bool:
        if path.endswith("/contract/confirm"):
            return self._faults.on("gap-decision-untold")
        return path.endswith("/contract/apply") and self._faults.on("gap-application-untold")

    def waits(self, partner: str, identity: str) -> bool:
        """Tell whether a request to this partner still waits."""
        return self._waiting.get(identity, ("", None))[0] == partner

    def heard(self, partner: str, identity: str, answer: OutboundAnswer) -> None:
        """Hand an answer to who waits for it; nobody may."""
        with self._lock:
            waits_for, waiter = self._waiting.get(identity, ("", None))
        if waiter is not None and waits_for == partner:
            waiter.answer = answer
            waiter.heard.set()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._lock:
            self._closed = True
            for _, waiter in self._waiting.values():
                waiter.heard.set()


class GapOutbound:
    """Sends to `spool://` addresses across the gap and to all others as before."""

    def __init__(self, sockets: Outbound, links: Links) -> None:
        self._sockets = sockets
        self._links = links

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:
        """Send and wait for the whole answer."""
        parts = urlsplit(url)
        if parts.scheme != SCHEME:
            return self._sockets.send(method, url, headers, body, timeout)
        return self._links.ask(parts.netloc, (method, parts.path, parts.query), headers, (body,), timeout)

    def stream(self, url: str, headers: Mapping[str, str], chunks: Iterable[bytes], timeout: float) -> OutboundAnswer:
        """Post the chunks as one body, without ever holding it whole."""
        parts = urlsplit(url)
        if parts.scheme == SCHEME:
            return self._links.ask(parts.netloc, ("POST", parts.path, parts.query), headers, chunks, timeout)
        if isinstance(self._sockets, StreamingOutbound):
            return self._sockets.stream(url, headers, chunks, timeout)
        return self._sockets.send("POST", url, headers, b"".join(chunks), timeout)
