"""The seam through which the harness reaches a target: one method, one request, one answer.

HttpTransport goes over the network. The kill matrix puts the reference node behind the same seam in process.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote, urlsplit

import requests
import urllib3

from conformance.harness.errors import HarnessError
from conformance.harness.records import Answer, Request

MAX_ANSWER = 16 * 1024 * 1024


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

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._session = requests.Session()
        self._session.trust_env = False
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=64)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request. Raises Unanswered when no whole answer comes in time."""
        url = self._base + request.path + (f"?{query_string(request.query)}" if request.query else "")
        try:
            with self._session.request(
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
            kind = type(exc).__name__
            raise Unanswered(f"no answer from {self._base} ({kind})", hint=_remedy(exc, self._base)) from exc
        if len(body) > MAX_ANSWER:
            raise Unanswered(f"the answer is longer than {MAX_ANSWER} bytes", hint="Answer in pages.")
        return Answer(status, headers, body)


def _remedy(exc: Exception, base: str) -> str:
    text = str(exc)
    if "refused" in text:
        return f"Nothing listens at {base}: start the node, or correct [target] url in the profile."
    if "resolve" in text or "Name or service" in text:
        return f"The host of {base} is not known: correct [target] url in the profile."
    if isinstance(exc, requests.Timeout):
        return f"{base} accepts connections but does not answer in time: look at the node's log."
    return f"Look at the node at {base} and at the network between."
