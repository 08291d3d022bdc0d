"""Addresses: one plain spelling of each, which networks are gone to, and what a name leads to when it is called."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_node.config import Config, load_config
from reference_node.domain.places import HTTP, SPOOL, Policy, Reason, Unfit, network_problem, read
from reference_node.errors import ConfigError
from reference_node.transport import places as module
from reference_node.transport.places import Places, policy_of, resolve

HOME = ("127.0.0.1",)
TOLD = HTTP | {SPOOL}


def reason_of(address: str) -> Reason | None:
    """Return why an address is not spelled plainly."""
    try:
        read(address)
    except Unfit as unfit:
        return unfit.reason
    return None


def refusal(places: Places, address: str, node_id: str = "node-b") -> Reason | None:
    """Return why an address that is told is refused."""
    try:
        places.told(address, node_id, schemes=TOLD)
    except Unfit as unfit:
        return unfit.reason
    return None


@pytest.mark.parametrize(
    ("address", "origin", "path"),
    [
        ("http://127.0.0.1:8801", ("127.0.0.1", 8801), ""),
        ("http://127.0.0.1:8801/", ("127.0.0.1", 8801), ""),
        ("https://Node-B.Example/interop/v2/", ("node-b.example", 443), "/interop/v2"),
        ("HTTP://LOCALHOST", ("localhost", 80), ""),
        ("http://[::1]:8801/a", ("::1", 8801), "/a"),
        ("http://[0:0:0:0:0:0:0:1]:1", ("::1", 1), ""),
        ("http://node_b:65535", ("node_b", 65535), ""),
        ("http://xn--fsqu00a.xn--0zwm56d", ("xn--fsqu00a.xn--0zwm56d", 80), ""),
        ("grpc://node-b.example:9000", ("node-b.example", 9000), ""),
        ("spool://node-B.1", ("node-B.1", 0), ""),
    ],
)
def test_a_plain_address_is_read(address: str, origin: tuple[str, int], path: str) -> None:
    """Scheme and name in either case, a port or the usual one, a path without its last stroke."""
    place = read(address)
    assert (place.origin, place.path) == (origin, path)


ODD = {
    Reason.HOST: [
        *(
            "http://0",
            "http://2130706433",
            "http://0x7f.1",
            "http://127.1",
            "http://0177.0.0.1",
            "http://0x7f000001:80",
        ),
        *("http://127.0.0.1.", "http://localhost.", "http://[::1", "http://::1", "http://[127.0.0.1]", "http://a..b"),
        *(
            "http://[fe80::1%25eth0]",
            "http://-a.example",
            "http://256.0.0.1",
            "http://1.2.3",
            "http://a b"[:8] + "%20b",
        ),
        *("http://[::1]x:80", "http://:80", "http://127.0.0.1%00.example"),
    ],
    Reason.SPELLING: [
        *("http://１２７.0.0.1", "http://ⓛocalhost", "http://例え.example", "http://a b", "http://a\n", "http://a\x00"),
        *(
            "http://a\\@b",
            "http:\\\\a",
            "",
            "spool://",
            "spool://../x",
            "spool://node-a/x",
            "spool://-a",
            "\x1bhttp://a",
        ),
        "http://" + "a" * 600,
    ],
    Reason.SCHEME: [
        *(
            "ftp://a",
            "file:///etc/hostname",
            "gopher://a:1",
            "unix:/run/x",
            "//a",
            "a:80",
            "http:a",
            "http:///a",
            "grpc:a",
        ),
        *("javascript:alert(1)", "data:,x", "ws://a"),
    ],
    Reason.USER: ["http://u@a", "http://u:p@a", "http://@a", "http://127.0.0.1@a", "grpc://u@a:1"],
    Reason.PORT: [
        *("http://a:0", "http://a:99999", "http://a:65536", "http://a:", "http://a:1:2", "http://a:-1", "http://a:08"),
        *("http://a:+1", "grpc://a", "http://[::1]:", "http://a:8０"[:9] + "x"),
    ],
    Reason.PATH: [
        *(
            "http://a/..",
            "http://a/../b",
            "http://a/./b",
            "http://a/b/.",
            "http://a/%2e%2e/b",
            "http://a/b%2fc",
            "http://a//b",
        ),
        *("http://a#f", "http://a/#", "http://a?q", "http://a/b?", "grpc://a:1/b"),
    ],
}


@pytest.mark.parametrize(("wanted", "address"), [(reason, item) for reason, items in ODD.items() for item in items])
def test_what_is_not_plain_is_refused_for_its_reason(wanted: Reason, address: str) -> None:
    """Whatever a resolver or a client would make of it."""
    assert reason_of(address) is wanted


@given(st.text(alphabet="htp:/.@#?%[]0x127localst\\ -_~é", max_size=40))
def test_what_is_read_means_to_the_library_what_it_means_here(text: str) -> None:
    """An address that is taken has one host, one port and no more, whoever parses it."""
    address = "http://" + text
    if reason_of(address) is None:
        place, parts = read(address), urlsplit(address)
        assert parts.username is None
        assert not parts.query + parts.fragment
        assert (parts.port or 80) == place.port
        host = parts.hostname or ""
        assert place.host in (host, str(place.literal))
        assert place.literal is not None or not host.replace(".", "").isdigit()


KINDS = {
    Reason.LOOPBACK: [
        "127.0.0.1",
        "127.255.0.9",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::7f00:1",
    ],
    Reason.PRIVATE: ["10.1.2.3", "172.31.0.1", "192.168.0.1", "fd00::1", "::ffff:10.0.0.1"],
    Reason.LINK_LOCAL: ["169.254.169.254", "fe80::1", "::ffff:169.254.1.1"],
    Reason.MULTICAST: ["224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1"],
    Reason.UNSPECIFIED: ["0.0.0.0", "::", "::ffff:0.0.0.0"],
    Reason.RESERVED: [
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "100.64.0.1",
        "2001:db8::1",
        "0.1.2.3",
    ],
}


@pytest.mark.parametrize(("kind", "address"), [(kind, item) for kind, items in KINDS.items() for item in items])
def test_each_kind_is_opened_by_its_own_word_only(kind: Reason, address: str) -> None:
    """Private and loopback by their class, others by their network, the rest by nothing."""
    judged = ip_address(address)
    assert Policy(("public",)).judge(judged) is kind
    assert Policy(("public", "private", "loopback")).judge(judged) is (
        None if kind in (Reason.PRIVATE, Reason.LOOPBACK) else kind
    )
    everything = Policy(("public", "private", "loopback", "0.0.0.0/0", "::/0")).judge(judged)
    never = kind in (Reason.LINK_LOCAL, Reason.MULTICAST, Reason.UNSPECIFIED) or address == "255.255.255.255"
    assert everything is (kind if never else None)


def test_a_network_opens_what_is_in_it() -> None:
    """And nothing beside: one address of the loopback interface, not the next."""
    policy = Policy(("127.0.0.1/32", "10.20.0.0/16", "fd00:1::/32"))
    assert policy.judge(IPv4Address("127.0.0.1")) is policy.judge(IPv4Address("10.20.255.1")) is None
    assert policy.judge(IPv6Address("::ffff:127.0.0.1")) is policy.judge(IPv6Address("fd00:1::9")) is None
    assert policy.judge(IPv4Address("127.0.0.2")) is Reason.LOOPBACK
    assert policy.judge(IPv4Address("10.21.0.1")) is policy.judge(IPv6Address("fd00:2::9")) is Reason.PRIVATE
    assert policy.judge(IPv4Address("8.8.8.8")) is Reason.RESERVED


@pytest.mark.parametrize(
    ("networks", "hosts", "loopback"),
    [
        (None, ("127.0.0.1",), True),
        (None, ("127.0.0.1", "::1"), True),
        (None, ("localhost",), True),
        (None, ("127.0.0.1", "0.0.0.0"), False),
        (None, ("10.1.2.3",), False),
        (None, ("node-a.example",), False),
        (("public",), ("127.0.0.1",), False),
        (("loopback",), ("0.0.0.0",), True),
    ],
)
def test_loopback_is_open_where_the_node_is_there_alone_or_says_so(
    networks: Sequence[str] | None, hosts: tuple[str, ...], loopback: bool
) -> None:
    """A node that others can reach goes to no loopback address unless it is configured."""
    assert (policy_of(networks, hosts).judge(IPv4Address("127.0.0.1")) is None) is loopback


def test_networks_are_checked_when_the_node_starts() -> None:
    """A word that is none, a network with bits beside its mask, and an empty list."""
    assert load_config(None, networks=["public", "10.0.0.0/8"]).networks == ("public", "10.0.0.0/8")
    assert Config().networks is None
    for wrong in (["publik"], ["10.0.0.1/8"], [], "public", [1]):
        with pytest.raises(ConfigError, match=r"\[partner\] networks"):
            load_config(None, networks=wrong)
    assert network_problem(["loopback", "1.2.3.4"]) is None


def test_each_address_of_a_name_is_judged() -> None:
    """One that may not be called is enough; none is no refusal, and nobody is called then."""
    found = {"good.example": ("127.0.0.1", "::1"), "bad.example": ("127.0.0.1", "10.0.0.1"), "gone.example": ()}
    places = Places(Policy(("loopback",)), resolver=lambda name: found[name])
    assert places.judged("http://good.example", "b") == (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    assert places.told("http://good.example", "b", schemes=TOLD) == (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    assert places.judged("http://gone.example", "b") == ()
    assert refusal(places, "http://bad.example") is Reason.PRIVATE
    with pytest.raises(Unfit, match="private"):
        places.judged("http://bad.example", "b")


def test_a_literal_is_never_looked_up() -> None:
    """Nor is a name of RFC 6761 that leads nowhere."""

    def never(name: str) -> Sequence[str]:
        raise AssertionError(name)

    places = Places(Policy(("loopback",)), resolver=never)
    assert places.told("http://[::1]:1", "b", schemes=TOLD) == places.judged("http://[::1]:1", "b")
    assert resolve("node.invalid") == resolve("invalid") == resolve("node-b.test") == ()


def test_a_name_that_takes_its_time_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever applies has a name looked up for a moment only, and few at a time: the call judges it again."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    slow = threading.Event()
    looked: list[str] = []

    def resolver(name: str) -> Sequence[str]:
        looked.append(name)
        slow.wait(20)
        return ("10.0.0.1",)

    places = Places(Policy(("loopback",)), resolver=resolver)
    assert [refusal(places, f"http://{number}.example") for number in range(5)] == [None] * 5
    assert len(looked) == 2
    slow.set()
    for thread in threading.enumerate():
        if thread.name == "name-lookup":
            thread.join(5)
    monkeypatch.setattr(module, "_PATIENCE", 5.0)
    assert refusal(places, "http://again.example") is Reason.PRIVATE


def test_a_node_is_not_called_by_itself() -> None:
    """Not where it listens, under whatever name, and not where it says that it is, or below that."""
    places = Places(Policy(("loopback",)), resolver=lambda _name: HOME)
    places.bound = (("127.0.0.1", 8801), ("::1", 8801), ("127.0.0.1", 9000))
    places.announced = lambda: ["http://gateway.example/a", "grpc://node-a.example:9000"]
    for own in (
        *(
            "http://127.0.0.1:8801",
            "http://localhost:8801/x",
            "http://[::ffff:127.0.0.1]:8801",
            "http://any.example:9000",
        ),
        *(
            "http://gateway.example/a",
            "https://gateway.example:80/a/b",
            "http://GATEWAY.example:80/a/",
            "http://[::1]:8801",
        ),
    ):
        assert refusal(places, own) is Reason.OWN, own
    for other in (
        "http://127.0.0.1:8802",
        "http://127.0.0.2:8801",
        "http://gateway.example/ab",
        "http://gateway.example",
    ):
        assert refusal(places, other) is None, other
    places.bound = (("0.0.0.0", 8801),)
    assert refusal(places, "http://127.0.0.9:8801") is Reason.OWN
    places.bound = (("localhost", 8801),)
    assert refusal(places, "http://127.0.0.1:8801") is Reason.OWN


def test_a_wildcard_socket_is_reached_at_addresses_of_this_machine_only() -> None:
    """Another machine's port of the same number is not ours; nothing is sent to find out."""
    places = Places(Policy(("public",)))
    places.bound = (("0.0.0.0", 8801), ("::", 8801))
    assert refusal(places, "http://8.8.8.8:8801") is None
    assert refusal(places, "http://127.0.0.1:8801") is Reason.LOOPBACK


def test_across_the_gap_a_node_is_reached_under_its_own_id_only() -> None:
    """Whoever is behind a gap cannot give another's link, and whoever is not has none."""
    places = Places(Policy(), beyond=frozenset({"node-b", "node-c"}))
    assert places.judged("spool://node-b", "node-b") == ()
    assert refusal(places, "spool://node-b", "node-b") is None
    assert refusal(places, "spool://node-c", "node-b") is Reason.GAP
    assert refusal(places, "spool://node-x", "node-x") is Reason.GAP
