"""The one seam through which the node sends HTTP requests.

Guarantees of the HTTP implementation: no redirect is followed, no proxy is taken from the environment, an answer is
read up to a bound, and every failure to get a whole answer in time is `Unreachable`.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import requests
import urllib3

from reference_node.faults import Faults
from reference_node.security import signing
from reference_node.security.tls import SecureChannel
from reference_node.transport.pinned import PlainHttpAdapter
from reference_node.transport.places import Places
from reference_node.transport.tls import TlsHttpAdapter

ANSWER_LIMIT = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_SESSIONS = 64
_WORDS = 300
TLS_FAILED = "TLS: "


class Unreachable(Exception):
    """No whole answer came back in time; the message says why, in words fit for the operator."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound(Protocol):
    """Whatever carries a request to another node."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:
        """Send and wait for the whole answer at most `timeout` seconds; raise Unreachable."""


@runtime_checkable
class StreamingOutbound(Outbound, Protocol):
    """What can also send a body that is made while it is sent."""

    def stream(self, url: str, headers: Mapping[str, str], chunks: Iterable[bytes], timeout: float) -> OutboundAnswer:
        """Post the chunks as one body; `timeout` bounds each wait on the socket, not the whole."""


class HttpOutbound:
    """Sends over sockets; one session for each thread, because sessions are not shared between threads.

    With a secure channel it sends by TLS only, unless `plain` allows both, and each session is for one node, whose
    certificate it demands. With places it connects to nothing but IP addresses that these have judged (`Unfit`).
    """

    def __init__(
        self,
        tls: SecureChannel | None = None,
        handshake_seconds: float = 10.0,
        *,
        plain: bool = False,
        places: Places | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._faults = faults or Faults()
        self._local = threading.local()
        self._places = places
        self._plain = plain
        self._tls = tls
        self._handshake_seconds = handshake_seconds

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:
        """Send and wait for the whole answer."""
        if "://[" in url and self._faults.on("ipv6-partner-not-reached"):
            raise Unreachable("no IPv6")
        deadline = time.monotonic() + timeout
        try:
            with self._session(headers).request(
                method, url, headers=dict(headers), data=body, timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                content = _read(answer, deadline)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return OutboundAnswer(answer.status_code, named, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as failure:
            raise Unreachable(why(failure)) from failure

    def stream(self, url: str, headers: Mapping[str, str], chunks: Iterable[bytes], timeout: float) -> OutboundAnswer:
        """Post the chunks as one body, without ever holding it whole."""
        try:
            with self._session(headers).post(
                url, headers=dict(headers), data=iter(chunks), timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                content = _read(answer, time.monotonic() + timeout)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return OutboundAnswer(answer.status_code, named, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            raise Unreachable(why(failure)) from failure

    def _session(self, headers: Mapping[str, str]) -> requests.Session:
        sessions: dict[str | None, requests.Session] = self._local.__dict__.setdefault("sessions", {})
        target = None if self._tls is None else headers.get(signing.TARGET)
        session = sessions.pop(target, None) or self._new_session(target)
        sessions[target] = session  # the one used last stands last
        if len(sessions) > _SESSIONS:
            sessions.pop(next(iter(sessions))).close()
        return session

    def _new_session(self, target: str | None) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, PlainHttpAdapter(self._places))
        if self._tls is not None:
            if not (self._plain or self._faults.on("plain-http-fallback")):
                session.adapters.clear()  # and what is not https:// cannot be sent
            session.mount("https://", TlsHttpAdapter(self._tls, target, self._handshake_seconds, self._places))
        return session


def why(failure: BaseException) -> str:
    """Return why a call failed: what the secure channel has to say, else the kind of failure alone."""
    seen: list[BaseException] = []
    todo: list[object] = [failure]
    while todo:
        found = todo.pop()
        if not isinstance(found, BaseException) or found in seen:
            continue
        if isinstance(found, ssl.SSLError):
            words = " ".join(str(found.args[-1] if found.args else found).split())
            return f"{TLS_FAILED}{words[:_WORDS]}"
        seen.append(found)
        todo += [found.__cause__, found.__context__, getattr(found, "reason", None), *found.args]
    return type(failure).__name__


def _read(answer: requests.Response, deadline: float) -> bytes:
    content = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        content += chunk
        if len(content) > ANSWER_LIMIT:
            raise Unreachable("the answer is longer than a management answer may be")
        if time.monotonic() > deadline:
            raise Unreachable("the answer took too long")
    return bytes(content)
