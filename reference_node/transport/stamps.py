"""The headers of a request from node to node on the data plane: those of the interop API, and the signature (9.2-b)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from reference_node.clock import Clock
from reference_node.faults import Faults
from reference_node.identity import Identity
from reference_node.security import signing
from reference_node.security.suites import suite_of_auth_type
from reference_node.transport.frames import ALGORITHM_HEADER, FrameCode
from reference_node.transport.relay import Route

VERSION: Final = "x-ptp-version"
PROVIDER: Final = "x-ptp-tech-provider-code"
PROVIDER_MISSPELT: Final = "x-ptp-tecn-provider-code"  # as SecretFlow's components spell it
TRACE: Final = "x-ptp-trace-id"
TOKEN: Final = "x-ptp-token"  # noqa: S105 - the header's name
URI: Final = "x-ptp-uri"
SESSION: Final = "x-ptp-session-id"
SOURCE: Final = "x-ptp-source-node-id"
TARGET: Final = "x-ptp-target-node-id"
BARE: Final = "1"
WRAPPED: Final = "2"
OUR_CODE: Final = "hutong"
_PUSH: Final = "/v1/interconn/chan/push"


class Stamps:
    """Makes the headers of this node's requests."""

    def __init__(self, node_id: str, clock: Clock, identity: Identity, faults: Faults | None = None) -> None:
        self._faults = Faults() if faults is None else faults
        self._node_id = node_id
        self._clock = clock
        self._identity = identity

    def headers(
        self,
        route: Route,
        path: str,
        body: bytes = b"",
        *,
        version: str = WRAPPED,
        more: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Return the headers of a request that posts `body`, or a stream, to `path`.

        `more` are those that it has besides, its content type and the numbers of a message: signed with the others
        where the other node knows the second version of the signature base.
        """
        peer = route.peer
        own = {
            VERSION: version,
            PROVIDER: OUR_CODE,
            TRACE: route.trace_id,
            TOKEN: route.session_id if self._faults.on("sent-with-wrong-token") else route.token,
            URI: _PUSH,
            SESSION: route.session_id,
            SOURCE: self._node_id,
            TARGET: peer.node_id,
            **(more or {}),
        }
        if self._faults.on("message-sent-without-uri"):
            del own[URI]
        base = signing.OLDEST if self._faults.on("sends-old-signature-base") else peer.signature_base
        request = signing.Request("POST", path, "", body, own)
        nonce = secrets.token_urlsafe(24)
        stamp = signing.Stamp(self._node_id, peer.node_id, nonce, self._clock.now_ms(), route.trace_id)
        signed = signing.sign_headers(self._identity.key(peer.auth_type), request, stamp, version=base)
        if self._faults.on("message-sent-unsigned"):
            del signed[signing.SIGNATURE]
        return {**own, **signed}

    def stream(
        self, route: Route, path: str, more: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], FrameCode]:
        """Return the headers that open a stream, and what its frames are authenticated with."""
        digest = suite_of_auth_type(route.peer.auth_type).digest
        algorithm = {ALGORITHM_HEADER: "sm4-gmac" if digest == "sm3" else "aes-gmac"}
        headers = self.headers(route, path, more={**(more or {}), **algorithm})
        if self._faults.on("frames-sent-with-wrong-code"):
            return headers, frame_code({**headers, SESSION: route.token})
        return headers, frame_code(headers)


def frame_code(headers: dict[str, str], faults: Faults | None = None) -> FrameCode:
    """Return the code of the frames of the stream that these headers open."""
    return FrameCode(
        headers.get(ALGORITHM_HEADER, ""),
        headers[TOKEN],
        nonce=headers[signing.NONCE],
        source=headers[SOURCE],
        target=headers[TARGET],
        session_id=headers[SESSION],
        faults=faults,
    )
