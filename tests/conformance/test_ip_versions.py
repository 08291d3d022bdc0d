"""Which version of IP an address is of, and where both sides listen over the other (9.1-e)."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from conformance.harness import ip_versions
from conformance.harness.errors import UsageError
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import PartnerPlace, Target


def target(url: str, other_url: str) -> Target:
    """Return a target at two addresses."""
    return Target("a", url, "node-a", other_url=other_url)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Resolve every name to documentation addresses of both versions, and tell which were asked for."""
    asked: list[str] = []

    def found(host: str, _port: object, family: int, _kind: int) -> list[Any]:
        asked.append(host)
        return [(family, 1, 6, "", ("192.0.2.7" if family == socket.AF_INET else "2001:db8::7", 0))]

    monkeypatch.setattr(ip_versions.socket, "getaddrinfo", found)
    return asked


@pytest.mark.parametrize(
    ("url", "other_url", "v4", "v6"),
    [
        ("http://192.0.2.1:80", "http://[2001:db8::1]:80", "http://192.0.2.1:80", "http://[2001:db8::1]:80"),
        ("https://[2001:db8::1]", "https://192.0.2.1", "https://192.0.2.1", "https://[2001:db8::1]"),
        ("http://192.0.2.1:80", "http://node6:81/a", "http://192.0.2.1:80", "http://[2001:db8::7]:81/a"),
        ("http://node:80", "http://[2001:db8::1]:80", "http://192.0.2.7:80", "http://[2001:db8::1]:80"),
        ("http://node:80", "http://node:80", "http://192.0.2.7:80", "http://[2001:db8::7]:80"),
    ],
)
def test_a_target_has_a_place_of_each_version(url: str, other_url: str, v4: str, v6: str, names: list[str]) -> None:
    """Figures are taken as they stand, a name resolves to the version that is left."""
    assert dict(ip_versions.places(target(url, other_url))) == {4: v4, 6: v6}
    assert bool(names) == ("node" in url + other_url)


def test_two_addresses_of_one_version_are_one_place(names: list[str]) -> None:
    """The other version stays open, and nothing is resolved."""
    assert list(ip_versions.places(target("http://192.0.2.1", "http://192.0.2.2"))) == [4]
    assert names == []


def test_partners_of_the_other_version_listen_where_the_target_reaches_them() -> None:
    """On loopback for a target on loopback, else only where the profile says."""
    usual, told = PartnerPlace(), PartnerPlace("192.0.2.9", other_host="2001:db8::9")
    assert ip_versions.listens(usual, "http://[::1]:80") == "::1"
    assert ip_versions.listens(PartnerPlace("::1"), "http://127.0.0.1:80") == "127.0.0.1"
    assert ip_versions.listens(usual, "http://[2001:db8::1]:80") == ""
    assert ip_versions.listens(told, "http://[2001:db8::1]:80") == "2001:db8::9"
    assert [ip_versions.usual(place) for place in (usual, told, PartnerPlace("[::]"))] == [4, 4, 6]


def test_a_host_that_this_machine_has_not_is_missing() -> None:
    """Loopback is there, an address of the documentation is not."""
    assert ip_versions.missing("127.0.0.1") == ""
    assert ip_versions.missing("192.0.2.1") != ""


def test_a_profile_names_both_places_and_reads_back() -> None:
    """The public form holds them; a host of partners is written in figures."""
    places = {"url": "http://192.0.2.1", "other_url": "http://[2001:db8::1]:80", "node_id": "node-a"}
    profile = parse_profile({"target": places, "partner": {"other_host": "2001:db8::9"}}, "here")
    assert parse_profile(profile.public(), "here") == profile
    assert (profile.target.other_url, profile.partner.other_host) == ("http://[2001:db8::1]:80", "2001:db8::9")
    with pytest.raises(UsageError, match="no IP address"):
        parse_profile({"target": places, "partner": {"other_host": "partner.example"}}, "here")
