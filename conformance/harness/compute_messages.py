"""The messages of the open algorithms as the harness writes and reads them (9.2-c-1): handshake, batches, shares.

Names and field numbers are those of `specs/proto`. Guarantees: what is packed is read back; bytes that are no message
raise `NoMessage` and nothing else.

>>> unpacked("ShareVector", packed("ShareVector", modulus_bits=64, count=1, values=bytes(8))).count
1
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from conformance.harness.ptp import NoMessage

_PACKAGE = "hutong.harness"
_TYPES = ("int32", "int64", "uint32", "uint64", "bool", "string", "bytes")
# name, number and type of every field; * marks a repeated one
_MESSAGES: Mapping[str, str] = {
    "Any": "type_url:1:string value:2:bytes",
    "ResponseHeader": "error_code:1:int32 error_msg:2:string",
    "EcSuit": "curve:1:int32 hash:2:int32 hash2curve_strategy:3:int32",
    "EccProtocolProposal": (
        "supported_versions:1:int32* ec_suits:2:EcSuit* point_octet_formats:3:int32* support_point_truncation:4:bool"
    ),
    "EccProtocolResult": (
        "version:1:int32 ec_suit:2:EcSuit point_octet_format:3:int32 bit_length_after_truncated:4:int32"
    ),
    "PsiDataIoProposal": "supported_versions:1:int32* item_num:2:int64 result_to_rank:3:int32",
    "PsiDataIoResult": "version:1:int32 result_to_rank:2:int32",
    "HandshakeRequest": (
        "version:1:int32 requester_rank:2:int32 supported_algos:3:int32* protocol_families:7:int32* "
        "protocol_family_params:8:Any* io_param:9:Any"
    ),
    "HandshakeResponse": (
        "header:1:ResponseHeader algo:2:int32 protocol_families:6:int32* protocol_family_params:7:Any* io_param:8:Any"
    ),
    "EcdhPsiCipherBatch": "type:1:string batch_index:3:int32 is_last_batch:4:bool count:6:int32 ciphertext:7:bytes",
    "Agreement": (
        "version:1:uint32 functionality:2:string parties:3:string* result_parties:4:string* columns:5:string* "
        "scale:6:uint32 max_abs:7:string max_rows:8:uint64 modulus_bits:9:uint32"
    ),
    "ShareVector": "modulus_bits:1:uint32 count:2:uint32 values:3:bytes",
}
_FULL = {
    "EccProtocolProposal": "org.interconnection.v2.protocol",
    "EccProtocolResult": "org.interconnection.v2.protocol",
    "PsiDataIoProposal": "org.interconnection.v2.algos",
    "PsiDataIoResult": "org.interconnection.v2.algos",
}


@cache
def _kinds() -> Mapping[str, Any]:
    document = descriptor_pb2.FileDescriptorProto(name="compute.proto", package=_PACKAGE, syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, spelled in _MESSAGES.items():
        message = document.message_type.add(name=name)
        for field in spelled.split():
            title, number, kind = field.split(":")
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            row = message.field.add(name=title, number=int(number), label=label)
            if kind.rstrip("*") in _TYPES:
                row.type = kinds.Type.Value(f"TYPE_{kind.rstrip('*').upper()}")
            else:
                row.type, row.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind.rstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(document)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


def packed(kind: str, **fields: Any) -> bytes:
    """Return a message as it goes over the wire."""
    return bytes(_kinds()[kind](**fields).SerializeToString(deterministic=True))


def unpacked(kind: str, content: bytes) -> Any:
    """Read a message; raise NoMessage."""
    try:
        return _kinds()[kind].FromString(content)
    except DecodeError:
        raise NoMessage(f"these bytes are no {kind}") from None


def wrapped(kind: str, **fields: Any) -> dict[str, Any]:
    """Return a message as the parameter of another."""
    return {"type_url": f"type.googleapis.com/{_FULL[kind]}.{kind}", "value": packed(kind, **fields)}


def unwrapped(kind: str, parameter: Any) -> Any:
    """Read a message that is the parameter of another; raise NoMessage."""
    if parameter.type_url.rpartition("/")[2] != f"{_FULL[kind]}.{kind}":
        raise NoMessage(f"a {kind} is due")
    return unpacked(kind, parameter.value)


# --- who speaks them ------------------------------------------------------------------------------------------------

Said = list[tuple[str, bytes]]  # tags and payloads


class Talker(Protocol):
    """One side of an algorithm, apart from any wire."""

    def begin(self) -> Said:
        """Return what this side says first."""

    def heard(self, tag: str, payload: bytes) -> Said:
        """Take a message of the other side's; return what there is to say to it. Raises NoMessage."""


def exchange(one: Talker, other: Talker) -> None:
    """Have two sides talk until neither has anything more to say."""
    waiting = [(other, *said) for said in one.begin()] + [(one, *said) for said in other.begin()]
    while waiting:
        hearer, tag, payload = waiting.pop(0)
        speaker = one if hearer is other else other
        waiting += [(speaker, *said) for said in hearer.heard(tag, payload)]
