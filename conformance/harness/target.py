"""The seam through which the harness reaches a target: one method, one request, one answer.

HttpTransport goes over the network. The kill matrix puts the reference node behind the same seam in process.
"""

from __future__ import annotations

import threading
from typing import Protocol
from urllib.parse import quote, urlsplit

import requests
import urllib3

from conformance.harness import places
from conformance.harness.errors import HarnessError
from conformance.harness.profile_model import NODE_ID
from conformance.harness.records import Answer, Request
from conformance.harness.tls import Guise, NodeAdapter, Wardrobe

MAX_ANSWER = 16 * 1024 * 1024
MOST_SESSIONS = 128
_MOST_WORDS = 200
NOBODY = "hutong-harness"  # who shows a certificate where a request names no source


class Unanswered(HarnessError):
    """The target gave no answer; the message says why."""


class Transport(Protocol):
    """Whatever carries a request to the target."""

    def send(self, request: Request, timeout: float) -> Answer:
        """Return the answer. Raises Unanswered."""


def query_string(query: tuple[tuple[str, str], ...]) -> str:
    """Spell a query for the wire."""
    return "&".join(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in query)


class HttpTransport:
    """Carries requests over HTTP: no redirects, no proxies from the environment, bounded answers."""

    def __init__(self, url: str, wardrobe: Wardrobe | Guise | None = None) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""
        self._wardrobe = wardrobe
        self._lock = threading.Lock()
        self._sessions: dict[str, requests.Session] = {}

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request. Raises Unanswered when no whole answer comes in time."""
        url = self._base + request.path + (f"?{query_string(request.query)}" if request.query else "")
        try:
            with self._session(request).request(
                request.method,
                url,
                headers=dict(request.headers),
                data=request.body or None,
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = answer.raw.read(MAX_ANSWER + 1, decode_content=True)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                status = answer.status_code
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise Unanswered(f"no answer from {self._base} ({_kind(exc)})", hint=_remedy(exc, self._base)) from exc
        if len(body) > MAX_ANSWER:
            raise Unanswered(f"the answer is longer than {MAX_ANSWER} bytes", hint="Answer in pages.")
        return Answer(status, headers, body)

    def _session(self, request: Request) -> requests.Session:
        """Return the session of whoever the request says to be its source."""
        source = request.headers.get("x-source-node-id", "")
        who = source if NODE_ID.fullmatch(source) else NOBODY
        if self._wardrobe is None and not places.of(self._host, who):
            who = ""
        with self._lock:
            session = self._sessions.pop(who, None) or self._new_session(who)
            self._sessions[who] = session  # the one used last stands last
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions))).close()
        return session

    def _new_session(self, who: str) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        plain = _plain("" if who == NOBODY else places.of(self._host, who))
        adapter = plain if self._wardrobe is None else NodeAdapter(self._wardrobe, who, pool_maxsize=64)
        session.mount("http://", plain)
        session.mount("https://", adapter)
        return session


def _plain(place: str) -> requests.adapters.HTTPAdapter:
    if place:
        return places.FromPlace(place, pool_connections=4, pool_maxsize=64)
    return requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=64)


def _kind(exc: Exception) -> str:
    """Name what went wrong; of a secured connection also in the words of the TLS library."""
    kind = type(exc).__name__
    if not isinstance(exc, requests.exceptions.SSLError):
        return kind
    cause: object = exc
    while isinstance(cause, BaseException):
        cause = getattr(cause, "reason", None) or (cause.args[-1] if cause.args else kind)
    return f"{kind}: {cause}"[:_MOST_WORDS]


def _remedy(exc: Exception, base: str) -> str:
    text = str(exc)
    if "refused" in text:
        return f"Nothing listens at {base}: start the node, or correct [target] url in the profile."
    if "resolve" in text or "Name or service" in text:
        return f"The host of {base} is not known: correct [target] url in the profile."
    if isinstance(exc, requests.Timeout):
        return f"{base} accepts connections but does not answer in time: look at the node's log."
    return f"Look at the node at {base} and at the network between."
