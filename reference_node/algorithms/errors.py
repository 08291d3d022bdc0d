"""What an algorithm refuses with: each class carries a name for the task's log and a hint for the operator.

    AlgorithmFailure
    ├── ParamsRefused          a parameter is missing, of another type, or out of bounds; `pointer` says which
    ├── InputRefused           a table, a column or a value is not what the parameters promise
    ├── ChannelFailure         the other side cannot be heard
    │   ├── ChannelClosed
    │   └── ChannelTimeout
    ├── EngineUnavailable      this machine lacks what a suite needs
    └── PeerRefused            the other side broke the protocol; nothing that it sent is used
        ├── HandshakeRefused   the two sides agree on nothing, or the answer says so
        ├── DowngradeRefused   the answer is weaker than, or other than, what was offered
        ├── BatchRefused       a message is malformed, out of order, or of the wrong kind
        ├── CountRefused       more or fewer values than were announced
        └── PointRefused       a point is not on the curve, not canonical, or of small order

Messages hold counts, positions and names, never identifiers, points or keys.
"""

from __future__ import annotations

from typing import ClassVar


class AlgorithmFailure(Exception):
    """Base of every failure of an algorithm."""

    name: ClassVar[str] = "ALGORITHM_FAILED"
    default_hint: ClassVar[str] = "look at the task's log on both sides"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class ParamsRefused(AlgorithmFailure):
    """A parameter is missing, of another type, or out of bounds."""

    name = "PARAMS_INVALID"
    default_hint = "compare the parameters with the component's self-description"

    def __init__(self, pointer: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{pointer}: {reason}", hint=hint)
        self.pointer = pointer
        self.reason = reason


class InputRefused(AlgorithmFailure):
    """A table, a column or a value is not what the parameters promise."""

    name = "INPUT_INVALID"
    default_hint = "check the file, the column's name and its values"


class ChannelFailure(AlgorithmFailure):
    """The other side cannot be heard."""

    name = "CHANNEL_FAILED"


class ChannelClosed(ChannelFailure):
    """The channel was closed while the algorithm was still running."""

    name = "CHANNEL_CLOSED"


class ChannelTimeout(ChannelFailure):
    """Nothing arrived in time."""

    name = "CHANNEL_TIMEOUT"
    default_hint = "see whether the other side's task is running"


class EngineUnavailable(AlgorithmFailure):
    """This machine lacks what a suite needs."""

    name = "ENGINE_UNAVAILABLE"
    default_hint = "install OpenSSL 3 (libcrypto.so.3)"


class PeerRefused(AlgorithmFailure):
    """The other side broke the protocol."""

    name = "PEER_REFUSED"
    default_hint = "compare the other side with specs/protocols"


class HandshakeRefused(PeerRefused):
    """The two sides agree on nothing, or the answer says so; `error_code` is the one of the handshake's header."""

    name = "HANDSHAKE_REFUSED"
    default_hint = "compare suites, versions and result parties of both sides"

    def __init__(self, message: str, *, error_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.error_code = error_code


class DowngradeRefused(PeerRefused):
    """The answer is weaker than, or other than, what was offered."""

    name = "DOWNGRADE_REFUSED"


class BatchRefused(PeerRefused):
    """A message is malformed, out of order, or of the wrong kind."""

    name = "BATCH_REFUSED"


class CountRefused(PeerRefused):
    """More or fewer values than were announced."""

    name = "COUNT_REFUSED"


class PointRefused(PeerRefused):
    """A point is not on the curve, not canonical, or of small order."""

    name = "POINT_REFUSED"
