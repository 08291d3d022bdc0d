"""gRPC between the reference node and the harness in one process: calls of methods, without a socket or a thread.

What the node sends goes through the harness's gate, what the harness sends into the node's methods; a call that is
broken off ends as the library's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from conformance.harness import channel, places, ptp
from conformance.harness.partner_grpc import AWAY, BrokenOff, Gate, Metadata
from conformance.harness.records import Answer, Request
from reference_node.interfaces import channel_grpc
from reference_node.node import Node


class Context:
    """The context of a gRPC call that never was one: its metadata, and who calls."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers as gRPC hands them over."""
        return tuple((name, value) for name, value in self._headers.items() if name != "content-type")

    def peer(self) -> str:
        """Return who calls."""
        own = places.of(places.LOOPBACK, self._headers.get("x-source-node-id", ""))
        return f"ipv4:{own or places.LOOPBACK}:0"


class InProcessGrpc:
    """Carries messages into the methods of the node's gRPC services."""

    def __init__(self, node: Node) -> None:
        self._methods = channel_grpc.methods(node)

    def send(self, request: Request, timeout: float) -> Answer:  # noqa: ARG002  nothing here can hang
        """Call one method."""
        method: Any = self._methods[request.path]
        context: Any = Context(request.headers)
        if method.request_streaming:
            answers = method.stream_stream((frame.content for frame in ptp.split(request.body)), context)
        else:
            answers = [method.unary_unary(request.body, context)]
        *_, last = [b"", *map(method.response_serializer, answers)]
        return Answer(200, {"content-type": channel.GRPC}, last)


class Broken(grpc.RpcError):
    """A call that ended with a status."""

    def __init__(self, status: grpc.StatusCode) -> None:
        super().__init__(status.name)
        self._status = status

    def code(self) -> grpc.StatusCode:
        """Return the status."""
        return self._status


class Answers:
    """The answers to a stream."""

    def __init__(self, answers: Iterator[Any]) -> None:
        self._answers = answers

    def __iter__(self) -> Iterator[Any]:
        return self._answers

    def cancel(self) -> None:
        """Nothing runs any more."""


class InProcessChannel:
    """Stands for a channel to the partners; without a gate nobody is there."""

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, *_: Any) -> Any:
        """Return what calls a method with one message."""

        def call(message: Any, timeout: float, metadata: Metadata) -> Any:  # noqa: ARG001 - nothing here can hang
            with _broken():
                return response_deserializer(self._there().single(method, metadata, request_serializer(message)))

        return call

    def stream_stream(self, method: str, request_serializer: Any, response_deserializer: Any, *_: Any) -> Any:
        """Return what calls a method with a stream."""

        def answers(messages: Iterable[Any], metadata: Metadata) -> Iterator[Any]:
            with _broken():
                bodies = map(request_serializer, messages)
                yield from map(response_deserializer, self._there().stream(method, metadata, bodies))

        return lambda messages, metadata: Answers(answers(messages, metadata))

    def close(self) -> None:
        """There is nothing to let go of."""

    def _there(self) -> Gate:
        if self._gate is None:
            raise BrokenOff(AWAY)
        return self._gate


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except BrokenOff as broken:
        raise Broken(grpc.StatusCode[broken.status]) from broken
    except DecodeError as wrong:  # the library says so of an answer that it cannot read
        raise Broken(grpc.StatusCode.INTERNAL) from wrong
