"""The published vectors hold for the node's curves and for plain integers alike."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reference_node.algorithms.psi import handshake
from reference_node.algorithms.psi.curves import X25519, Curve, PointFormat, Sm2, Suite
from reference_node.algorithms.sharing.ring import Ring
from reference_node.proto import handshake_pb2
from tests.reference_node.algorithms import plain

VECTORS = Path(__file__).resolve().parents[3] / "specs" / "vectors"
SIDES = (("guest", "host"), ("host", "guest"))


def cases(room: str) -> Any:
    """Read the vectors of a room."""
    return json.loads((VECTORS / room / "cases.json").read_text(encoding="utf-8"))


def curve(suite: str, secret: str) -> Curve:
    """Make the node's curve with a published secret."""
    if suite == Suite.X25519:
        return X25519(bytes.fromhex(secret))
    return Sm2(PointFormat.X962_COMPRESSED, int(secret, 16))


@pytest.mark.parametrize("suite", list(Suite))
def test_identifiers_become_the_published_points(suite: Suite) -> None:
    """Digest and point are those of the vectors, in both implementations."""
    made = curve(suite, "01" * 32)
    for case in cases("hash-to-curve")["suites"][suite]:
        item = case["item"].encode()
        digest = made.digest(item)
        second = plain.sha256(item) if suite is Suite.X25519 else plain.sm3(item)
        assert digest.hex() == second.hex() == case["digest"]
        point = second if suite is Suite.X25519 else plain.compressed(plain.sm2_lift(second))
        assert made.points(digest).hex() == point.hex() == case["point"]


def test_vectors_of_sm2_need_several_tries() -> None:
    """Some digests are no x of a point, so that the vectors show what happens then."""
    tries = [case["tries"] for case in cases("hash-to-curve")["suites"]["sm2-sm3"]]
    assert 1 in tries
    assert max(tries) > 2


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize(("own", "other"), SIDES)
def test_masks_and_tags_are_the_published_ones(suite: Suite, own: str, other: str) -> None:
    """What a side sends and what comes back are those of the vectors, in both implementations."""
    case = cases("psi")[suite]
    mine, theirs = (curve(suite, case["secrets"][name]) for name in (own, other))
    for row in case[own]:
        once = mine.mask(mine.points(mine.digest(row["item"].encode())))
        twice = theirs.mask(once)
        assert once.hex() == _plain(suite, row["item"], case["secrets"][own]) == row["masked_once"]
        assert twice.hex() == _plain(suite, row["item"], case["secrets"][own], case["secrets"][other])
        assert twice.hex() == row["masked_twice"]
        assert mine.tags(twice, 12).hex() == twice[-12:].hex() == row["tag"]
    tags = [{row["tag"] for row in case[name]} for name in (own, other)]
    assert [row["item"] for row in case["guest"] if row["tag"] in tags[0] & tags[1]] == case["intersection"]


def _plain(suite: Suite, item: str, *secrets: str) -> str:
    if suite is Suite.X25519:
        point = plain.sha256(item.encode())
        for secret in secrets:
            point = plain.x25519(bytes.fromhex(secret), point)
        return point.hex()
    place = plain.sm2_lift(plain.sm3(item.encode()))
    for secret in secrets:
        place = plain.sm2_multiply(int(secret, 16), place)
    return plain.compressed(place).hex()


@pytest.mark.parametrize("suite", list(Suite))
def test_handshake_is_read_and_bound_as_published(suite: Suite) -> None:
    """The published proposal is chosen from as published, and the transcript is the hash of both."""
    case = cases("psi")[suite]["handshake"]
    request, response = bytes.fromhex(case["request"]), bytes.fromhex(case["response"])
    chosen = handshake._choose(request, handshake.Offer((suite,), 4, handshake.BOTH))
    assert (chosen[0], chosen[3]) == (suite, 3)
    offer = handshake.Offer((suite,), 3, handshake.BOTH)
    assert handshake._chosen(handshake_pb2.HandshakeResponse.FromString(response), offer)[2] == 96
    assert handshake.transcript(suite, request, response).hex() == case["transcript"]
    text = b"hutong ecdh-psi transcript 1"
    text += b"".join(len(part).to_bytes(8, "big") + part for part in (request, response))
    assert (plain.sha256(text) if suite is Suite.X25519 else plain.sm3(text)).hex() == case["transcript"]


def test_shares_join_to_the_published_sum() -> None:
    """Limbs and integers agree on every opening, on the sum and on the mean."""
    case = cases("additive-statistics")
    ring, modulus = Ring(case["modulus_bits"]), 1 << case["modulus_bits"]
    for party, opening in case["openings"].items():
        raw = [bytes.fromhex(shares[party]) for shares in case["shares"].values()]
        assert ring.to_bytes(ring.join([ring.from_bytes(part) for part in raw])).hex() == opening
        sums = [sum(int.from_bytes(part[at : at + 16], "little") for part in raw) % modulus for at in (0, 16)]
        assert b"".join(value.to_bytes(16, "little") for value in sums).hex() == opening
    opened = [ring.from_bytes(bytes.fromhex(opening)) for opening in case["openings"].values()]
    assert ring.to_integers(ring.join(opened)) == [case["sum_scaled"], case["count"]]
    values = [Fraction(value) for column in case["values"].values() for value in column]
    assert Fraction(case["sum"]) == sum(values)
    assert Fraction(case["mean_exact"]) == sum(values) / len(values)


def test_second_implementation_holds_for_rfc_7748() -> None:
    """The plain ladder gives the first answer of RFC 7748, section 5.2."""
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    u = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    expected = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    assert plain.x25519(scalar, u).hex() == X25519(scalar).mask(u).hex() == expected
