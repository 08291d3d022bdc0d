"""The one seam through which the node sends HTTP requests.

Guarantees of the HTTP implementation: no redirect is followed, no proxy is taken from the environment, an answer is
read up to a bound, and every failure to get a whole answer in time is `Unreachable`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import requests
import urllib3

ANSWER_LIMIT = 4 * 1024 * 1024
_CHUNK = 64 * 1024


class Unreachable(Exception):
    """No whole answer came back in time."""


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
    """Sends over sockets; one session for each thread, because sessions are not shared between threads."""

    def __init__(self) -> None:
        self._local = threading.local()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:
        """Send and wait for the whole answer."""
        deadline = time.monotonic() + timeout
        try:
            with self._session().request(
                method, url, headers=dict(headers), data=body, timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                content = _read(answer, deadline)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return OutboundAnswer(answer.status_code, named, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as failure:
            raise Unreachable(type(failure).__name__) from failure

    def stream(self, url: str, headers: Mapping[str, str], chunks: Iterable[bytes], timeout: float) -> OutboundAnswer:
        """Post the chunks as one body, without ever holding it whole."""
        try:
            with self._session().post(
                url, headers=dict(headers), data=iter(chunks), timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                content = _read(answer, time.monotonic() + timeout)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return OutboundAnswer(answer.status_code, named, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            raise Unreachable(type(failure).__name__) from failure

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            self._local.session = session
        return session


def _read(answer: requests.Response, deadline: float) -> bytes:
    content = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        content += chunk
        if len(content) > ANSWER_LIMIT:
            raise Unreachable("the answer is longer than a management answer may be")
        if time.monotonic() > deadline:
            raise Unreachable("the answer took too long")
    return bytes(content)
