"""The messages of the data plane and the codes of its frames, as the harness writes and reads them (6.2-c, 9.2-b).

Field numbers are those of the public interop API. Guarantees: what is packed is read back; bytes that are no message
raise `NoMessage` and nothing else.

>>> unpacked("Inbound", packed("Inbound", metadata={"x-ptp-topic": "t"}, payload=b"hello"))
{'metadata': {'x-ptp-topic': 't'}, 'payload': b'hello'}
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

PACKAGE = "org.ppc.ptp"
_MAP, _BYTES, _STRING, _INT32 = "map", "TYPE_BYTES", "TYPE_STRING", "TYPE_INT32"
_ANSWER = {"metadata": _MAP, "payload": _BYTES, "code": _STRING, "message": _STRING}
_MESSAGES: Mapping[str, Mapping[str, str]] = {  # fields in the order of their numbers, from 1
    "Inbound": {"metadata": _MAP, "payload": _BYTES},
    "Outbound": _ANSWER,
    "PushInbound": {"topic": _STRING, "payload": _BYTES, "metadata": _MAP},
    "PopInbound": {"topic": _STRING, "timeout": _INT32},
    "PeekInbound": {"topic": _STRING},
    "ReleaseInbound": {"topic": _STRING, "timeout": _INT32},
    "TransportOutbound": _ANSWER,
}
_DIGESTS: Mapping[str, type[hashes.HashAlgorithm]] = {
    "sm4-gmac": hashes.SM3,
    "aes-gmac": hashes.SHA256,
    "hmac-sm3": hashes.SM3,
    "hmac-sha256": hashes.SHA256,
}
_CIPHERS: Mapping[str, type[algorithms.SM4 | algorithms.AES]] = {"sm4-gmac": algorithms.SM4, "aes-gmac": algorithms.AES}
# what no node may take a stream with (9.2-f-1, 9.2-f-3); the name alone has to be refused, so SM4 stands in for DES
_WEAK: Mapping[str, type[hashes.HashAlgorithm]] = {
    "hmac-sha1": hashes.SHA1,
    "hmac-md5": hashes.MD5,
    "3des-gmac": hashes.SM3,
}
_LABEL = b"hutong-ptp-frame-1"
CODE = "mac"


class NoMessage(ValueError):
    """Some bytes are not the message that is due."""


@cache
def _kinds() -> Mapping[str, Any]:
    document = descriptor_pb2.FileDescriptorProto(name="harness.proto", package=PACKAGE, syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = document.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            row = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind != _MAP:
                row.type = kinds.Type.Value(kind)
                continue
            entry = message.nested_type.add(name="MetadataEntry")
            entry.options.map_entry = True
            for key, place in (("key", 1), ("value", 2)):
                entry.field.add(name=key, number=place, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
            row.label, row.type = kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
            row.type_name = f".{PACKAGE}.{name}.MetadataEntry"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(document)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }


def packed(kind: str, **fields: Any) -> bytes:
    """Return a message as it goes over the wire."""
    return bytes(_kinds()[kind](**fields).SerializeToString(deterministic=True))


def unpacked(kind: str, content: bytes) -> dict[str, Any]:
    """Return every field of a message; raise NoMessage."""
    try:
        message = _kinds()[kind].FromString(content)
    except DecodeError:
        raise NoMessage(f"the body is no {kind}") from None
    fields = {name: getattr(message, name) for name in _MESSAGES[kind]}
    return {name: dict(value) if _MESSAGES[kind][name] == _MAP else value for name, value in fields.items()}


# --- frames ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of a message in a stream."""

    metadata: Mapping[str, str]
    payload: bytes = b""

    @property
    def content(self) -> bytes:
        """The frame as a message."""
        return packed("Inbound", metadata=dict(self.metadata), payload=self.payload)


@dataclass(frozen=True, slots=True)
class Seal:
    """What the codes of the frames of one stream are made with: the headers of the request that opens it."""

    algorithm: str
    token: str
    nonce: str
    source: str
    target: str
    session_id: str

    def code(self, number: int, frame: Frame) -> str:
        """Return the code of the frame at this place of the stream."""
        opened = f"{_LABEL.decode()}\n{self.nonce}\n{self.source}\n{self.target}\n{self.session_id}"
        digest = _DIGESTS.get(self.algorithm) or _WEAK[self.algorithm]
        key = _hmac(digest, self.token.encode(), opened.encode())
        fields = sorted((name, value) for name, value in frame.metadata.items() if name != CODE)
        texts = [text.encode() for pair in fields for text in pair]
        content = _LABEL + struct.pack(">QI", number, len(fields))
        content += b"".join(struct.pack(">I", len(text)) + text for text in texts)
        content += struct.pack(">Q", len(frame.payload)) + frame.payload
        cipher = algorithms.SM4 if self.algorithm == "3des-gmac" else _CIPHERS.get(self.algorithm)
        return (_hmac(digest, key, content) if cipher is None else _gmac(cipher, key, number, content)).hex()

    def sealed(self, frames: Iterable[Frame]) -> list[Frame]:
        """Return the frames of a stream with their codes."""
        return [
            replace(frame, metadata={**frame.metadata, CODE: self.code(number, frame)})
            for number, frame in enumerate(frames)
        ]

    def broken(self, frames: Iterable[Frame]) -> bool:
        """Whether a frame of a stream has another code than is due at its place."""
        if self.algorithm not in _DIGESTS:
            return True
        return any(frame.metadata.get(CODE) != self.code(number, frame) for number, frame in enumerate(frames))


def _hmac(kind: type[hashes.HashAlgorithm], key: bytes, content: bytes) -> bytes:
    state = HMAC(key, kind())
    state.update(content)
    return state.finalize()


def _gmac(cipher: type[algorithms.SM4 | algorithms.AES], key: bytes, number: int, content: bytes) -> bytes:
    state = Cipher(cipher(key[:16]), modes.GCM(number.to_bytes(12, "big"))).encryptor()
    state.authenticate_additional_data(content)
    state.finalize()
    return state.tag


def joined(frames: Iterable[Frame]) -> bytes:
    """Return frames as they stand in the body of an HTTP request: each after its length."""
    return b"".join(struct.pack(">I", len(frame.content)) + frame.content for frame in frames)


def split(body: bytes) -> Iterator[Frame]:
    """Yield the frames of a body; raise NoMessage where one is cut short or is no message."""
    place = 0
    while place < len(body):
        if place + 4 > len(body):
            raise NoMessage("a length is cut short")
        (length,) = struct.unpack_from(">I", body, place)
        content = body[place + 4 : place + 4 + length]
        if len(content) < length:
            raise NoMessage("a frame is cut short")
        fields = unpacked("Inbound", content)
        yield Frame(fields["metadata"], fields["payload"])
        place += 4 + length
