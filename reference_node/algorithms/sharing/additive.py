"""The sum of what all parties hold, opened to result parties only: share, add, open.

Guarantees: before any share moves, all parties state what they agree on, and a difference is refused; a party sees one
uniformly random share of each other party's vector, so every proper subset of parties learns nothing from shares; only
result parties receive the summed shares. `specs/protocols/additive-statistics.md` has the messages.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Defect, sound
from reference_node.algorithms.errors import BatchRefused, CountRefused, HandshakeRefused
from reference_node.algorithms.sharing.ring import Limbs, Ring
from reference_node.proto import header_pb2, sharing_pb2

AGREEMENT, SHARE, OPENING = "sharing.agreement", "sharing.share", "sharing.opening"
VERSION: Final = 1


def agree(channel: Channel, own: sharing_pb2.Agreement) -> None:
    """Tell every other party what this one holds to and refuse any that holds to something else."""
    others = _others(channel)
    for other in others:
        channel.send(other, AGREEMENT, own.SerializeToString(deterministic=True))
    for other in others:
        try:
            theirs = sharing_pb2.Agreement.FromString(channel.recv(other, AGREEMENT))
        except DecodeError as wrong:
            raise BatchRefused(f"the agreement of {other} is not an Agreement") from wrong
        for field in own.DESCRIPTOR.fields:
            if getattr(own, field.name) != getattr(theirs, field.name):
                code = header_pb2.UNSUPPORTED_VERSION if field.name == "version" else header_pb2.HANDSHAKE_REFUSED
                raise HandshakeRefused(f"{other} states another {field.name}", error_code=code)


def sum_of_all(
    channel: Channel, ring: Ring, vector: Limbs, result_parties: tuple[str, ...], defect: Defect = sound
) -> list[int] | None:
    """Add up the vectors of all parties; return the sums to a result party, None to another."""
    parties, others = channel.parties, _others(channel)
    shares = dict(zip(parties, ring.split(vector, len(parties), kept=defect("statistics-share-kept")), strict=True))
    if defect("statistics-share-plain"):
        nothing = ring.encode([0] * len(vector))
        shares = {party: vector if party == others[0] else nothing for party in parties}
    for other in others:
        _send(channel, other, SHARE, ring, shares[other])
    held = ring.join([shares[channel.me], *(_receive(channel, other, SHARE, ring, len(vector)) for other in others)])
    for other in others:
        if other in result_parties:
            _send(channel, other, OPENING, ring, held)
    if channel.me not in result_parties:
        return None
    opened = [_receive(channel, other, OPENING, ring, len(vector)) for other in others]
    return ring.to_integers(ring.join([held, *opened]))


def _send(channel: Channel, to: str, tag: str, ring: Ring, vector: Limbs) -> None:
    message = sharing_pb2.ShareVector(modulus_bits=ring.bits, count=len(vector), values=ring.to_bytes(vector))
    channel.send(to, tag, message.SerializeToString())


def _receive(channel: Channel, sender: str, tag: str, ring: Ring, count: int) -> Limbs:
    try:
        message = sharing_pb2.ShareVector.FromString(channel.recv(sender, tag))
    except DecodeError as wrong:
        raise BatchRefused(f"{tag} of {sender} is not a ShareVector") from wrong
    if message.modulus_bits != ring.bits:
        raise BatchRefused(f"{tag} of {sender} is modulo 2^{message.modulus_bits}, not 2^{ring.bits}")
    vector = ring.from_bytes(message.values)
    if not message.count == len(vector) == count:
        raise CountRefused(f"{tag} of {sender} has {message.count} values, {count} were expected")
    return vector


def _others(channel: Channel) -> list[str]:
    return [name for name in channel.parties if name != channel.me]
