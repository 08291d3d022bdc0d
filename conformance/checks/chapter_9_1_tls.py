"""The secure channel of a target that declares one (9.1-b, 9.2-a, 9.2-a-3, 9.2-g)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from conformance.harness import channel, expect
from conformance.harness.records import Direction, Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Step, Story
from conformance.harness.tls_hello import TLS_1_2

_LEAST = {"EC": 256, "RSA": 2048}
_SIGNED = {
    "1.2.156.10197.1.501",  # SM2 with SM3
    *(f"1.2.840.10045.4.3.{number}" for number in (2, 3, 4)),  # ECDSA with SHA-2
    *(f"1.2.840.113549.1.1.{number}" for number in (10, 11, 12, 13)),  # RSA with SHA-2
}
# what may be offered: TLS 1.3, and of TLS 1.2 the suites with ephemeral keys and an authenticating cipher of 128 bits
_SOUND = {0x00C6, 0x00C7, 0x1301, 0x1302, 0x1303, 0x1304, 0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9, 0xCCAA}
_SOUND |= {0x009E, 0x009F, 0xC0AC, 0xC0AD, 0xC09E, 0xC09F}


# --- offers ---------------------------------------------------------------------------------------------------------


@check("9.2-g-should", "tls_offers", "OLD_TLS_TAKEN")
def old_version_of_tls_is_refused(story: Story) -> Iterator[Finding]:
    """A handshake that offers nothing newer than TLS 1.1 is refused."""
    yield from _untaken(story, "old", "OLD_TLS_TAKEN")


@check("9.2-g", "tls_offers", "WEAK_SUITE_TAKEN")
def weak_suite_is_refused(story: Story) -> Iterator[Finding]:
    """A handshake is refused that offers weak suites only, or in mode gm international ones."""
    yield from _untaken(story, "weak", "WEAK_SUITE_TAKEN")


def _untaken(story: Story, name: str, code: str) -> Iterator[Finding]:
    taken = {what: seen for what, seen in story.fact(name).items() if seen["taken"]}
    for what, seen in taken.items():
        yield Finding(code, f"/{name}/{what}", "refused", f"version {seen['version']:#06x}, suite {seen['suite']:#06x}")
    if not taken and not any(seen["taken"] for seen in story.fact("sound").values()):
        raise NoTwin("sound")


@check("9.2-g-should", "tls_own_offer", "OLD_TLS_OFFERED")
def old_version_of_tls_is_not_offered(story: Story) -> Iterator[Finding]:
    """Where the target calls, it offers TLS 1.2 or later only."""
    heard = _heard(story)
    old = [version for version in heard["versions"] if version < TLS_1_2]
    if old or max(heard["versions"], default=0) < TLS_1_2:
        yield Finding("OLD_TLS_OFFERED", "/versions", "TLS 1.2 or later", [f"{version:#06x}" for version in old])


@check("9.2-g", "tls_own_offer", "WEAK_SUITE_OFFERED")
def weak_suite_is_not_offered(story: Story) -> Iterator[Finding]:
    """Where the target calls, it offers only suites with ephemeral keys and an authenticating cipher."""
    weak = sorted(set(_heard(story)["suites"]) - _SOUND)
    if weak:
        yield Finding("WEAK_SUITE_OFFERED", "/suites", "strong suites", [f"{suite:#06x}" for suite in weak])


def _heard(story: Story) -> dict[str, Any]:
    heard: dict[str, Any] = story.fact("own-offer")
    if not heard.get("tls"):
        raise NoTwin("ear:apply")
    return heard


@check("9.2-g", "tls_renegotiation", "RENEGOTIATION_TAKEN")
def renegotiation_is_refused(story: Story) -> Iterator[Finding]:
    """A second handshake within a connection is refused."""
    if story.fact("renegotiation")["taken"]:
        yield Finding("RENEGOTIATION_TAKEN", expected="refused", actual="carried through")


@check("9.2-g", "tls_plain", "PLAIN_HTTP_ANSWERED")
def http_without_tls_is_not_served(story: Story) -> Iterator[Finding]:
    """HTTP without TLS gets no answer at the port of TLS, or one that says no."""
    status = story.fact("plain")["status"]
    if 200 <= status < 300:
        yield Finding("PLAIN_HTTP_ANSWERED", "/status", "nothing, or a refusal", status)
    elif not story.fact("twin"):
        raise NoTwin("twin")


# --- the target's certificate ---------------------------------------------------------------------------------------


@check("9.2-a", "tls_certificate", "TARGET_CERTIFICATE_UNSOUND")
def certificate_of_the_target_counts(story: Story) -> Iterator[Finding]:
    """It is of the CA that the profile names, valid, not revoked, with a strong key, and signed over a strong hash."""
    shown = _shown(story)
    code, at = "TARGET_CERTIFICATE_UNSOUND", "/certificate"
    if shown["errors"]:
        yield Finding(code, f"{at}/errors", "a chain to the CA of the profile", shown["errors"])
    if not shown["in_time"]:
        yield Finding(code, f"{at}/not_after", "valid now", shown["not_after"])
    if shown["bits"] < _LEAST.get(shown["key"], 1 << 20):
        yield Finding(code, f"{at}/bits", _LEAST, f"{shown['key']} {shown['bits']}")
    if shown["signature"] not in _SIGNED:
        yield Finding(code, f"{at}/signature", sorted(_SIGNED), shown["signature"])


@check("9.2-a-3", "tls_certificate", "TARGET_CERTIFICATE_NAMES_ANOTHER")
def certificate_names_node_address_port_and_role(story: Story) -> Iterator[Finding]:
    """It names the target's id, with a role, at the address and the port at which the target is called."""
    shown = _shown(story)
    wanted = (story.profile.target.node_id, shown["host"], shown["port"])
    if not any(_fits(row, wanted) for row in shown["named"]):
        yield Finding("TARGET_CERTIFICATE_NAMES_ANOTHER", "/certificate/named", list(wanted), shown["named"])


def _fits(row: list[Any], wanted: tuple[str, str, int]) -> bool:
    node_id, host, port, role = row
    mine = node_id == wanted[0] or role == "gateway"
    return mine and bool(role) and _same(host, wanted[1]) and port in (0, wanted[2])


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()


def _shown(story: Story) -> dict[str, Any]:
    shown: dict[str, Any] = story.fact("certificate")
    if not shown["shown"]:
        raise NoTwin(f"handshake: {shown['why']}")
    return shown


# --- who may call, who is called ------------------------------------------------------------------------------------


@check("9.2-a", "tls_callers", "CERTIFICATE_NOT_DEMANDED")
def caller_without_certificate_is_refused(story: Story) -> Iterator[Finding]:
    """Who shows no certificate is told nothing."""
    yield from _unserved(story, "bare", "CERTIFICATE_NOT_DEMANDED", "sound")


@check("9.2-a", "tls_callers", "EXPIRED_CERTIFICATE_TAKEN")
def caller_with_expired_certificate_is_refused(story: Story) -> Iterator[Finding]:
    """Who shows a certificate whose time is over is told nothing."""
    yield from _unserved(story, "expired", "EXPIRED_CERTIFICATE_TAKEN", "sound")


@check("9.2-a", "tls_callers", "FOREIGN_CERTIFICATE_TAKEN")
def caller_with_certificate_of_another_ca_is_refused(story: Story) -> Iterator[Finding]:
    """Who shows a certificate of a CA that nobody agreed on is told nothing."""
    yield from _unserved(story, "foreign", "FOREIGN_CERTIFICATE_TAKEN", "sound")


@check("9.2-a", "tls_callers", "CERTIFICATE_OF_ANOTHER_TAKEN")
def caller_with_certificate_of_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """A request is refused that names another node as its source than the certificate, though it is signed rightly."""
    yield from _unserved(story, "other", "CERTIFICATE_OF_ANOTHER_TAKEN", "own")


@check("9.2-a", "tls_caller_revoked", "REVOKED_CERTIFICATE_TAKEN")
def caller_with_revoked_certificate_is_refused(story: Story) -> Iterator[Finding]:
    """Who shows a certificate that was revoked is told nothing."""
    yield from _unserved(story, "revoked", "REVOKED_CERTIFICATE_TAKEN", "sound")


@check("9.2-a", "tls_grpc_callers", "GRPC_CERTIFICATE_NOT_DEMANDED")
def caller_over_grpc_without_certificate_is_refused(story: Story) -> Iterator[Finding]:
    """Who shows no certificate gets no message in over gRPC either."""
    yield from _unserved(story, "bare", "GRPC_CERTIFICATE_NOT_DEMANDED", "own")


@check("9.2-a", "tls_grpc_callers", "GRPC_UNSOUND_CERTIFICATE_TAKEN")
def caller_over_grpc_with_unsound_certificate_is_refused(story: Story) -> Iterator[Finding]:
    """Who shows a certificate whose time is over, or of another CA, gets no message in over gRPC either."""
    for name in ("expired", "foreign"):
        yield from _unserved(story, name, "GRPC_UNSOUND_CERTIFICATE_TAKEN", "own")


@check("9.2-a", "tls_grpc_callers", "GRPC_CERTIFICATE_OF_ANOTHER_TAKEN")
def caller_over_grpc_with_certificate_of_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """A message over gRPC is refused that names another node as its source than the certificate."""
    yield from _unserved(story, "other", "GRPC_CERTIFICATE_OF_ANOTHER_TAKEN", "own")


def _unserved(story: Story, name: str, code: str, twin: str) -> Iterator[Finding]:
    """The handshake failed, or the request was refused."""
    if story.exchange(name).answer is not None and story.step(name).reading.accepted:
        yield expect.finding(code, story.step(name), expected="refused", actual="accepted")
    elif not story.step(twin).reading.accepted:
        raise NoTwin(twin)


@check("9.2-a", "tls_called", "EXPIRED_PARTNER_CALLED")
def partner_with_expired_certificate_is_not_called(story: Story) -> Iterator[Finding]:
    """A node whose certificate's time is over gets no application."""
    yield from _uncalled(story, "expired", "EXPIRED_PARTNER_CALLED")


@check("9.2-a", "tls_called", "FOREIGN_PARTNER_CALLED")
def partner_with_certificate_of_another_ca_is_not_called(story: Story) -> Iterator[Finding]:
    """A node with a certificate of a CA that nobody agreed on gets no application."""
    yield from _uncalled(story, "foreign", "FOREIGN_PARTNER_CALLED")


@check("9.2-a", "tls_called", "OTHER_PARTNER_CALLED")
def partner_with_certificate_of_another_node_is_not_called(story: Story) -> Iterator[Finding]:
    """Where another node than the one applied to serves the address, it gets no application."""
    yield from _uncalled(story, "other", "OTHER_PARTNER_CALLED")


@check("9.2-a-3", "tls_called", "PARTNER_ELSEWHERE_CALLED")
def partner_with_certificate_for_another_address_is_not_called(story: Story) -> Iterator[Finding]:
    """A node whose certificate names another address and port gets no application."""
    yield from _uncalled(story, "elsewhere", "PARTNER_ELSEWHERE_CALLED")


@check("9.2-g", "tls_called", "PLAIN_PARTNER_CALLED")
def partner_without_tls_is_not_called(story: Story) -> Iterator[Finding]:
    """A node that serves plain HTTP gets no application."""
    yield from _uncalled(story, "plain", "PLAIN_PARTNER_CALLED")


@check("9.2-a", "tls_called_revoked", "REVOKED_PARTNER_CALLED")
def partner_with_revoked_certificate_is_not_called(story: Story) -> Iterator[Finding]:
    """A node whose certificate was revoked gets no application."""
    yield from _uncalled(story, "revoked", "REVOKED_PARTNER_CALLED")


def _uncalled(story: Story, name: str, code: str) -> Iterator[Finding]:
    yield from expect.not_called(story, f"{name}:came", code)
    if not story.happened("sound:came"):
        raise NoTwin("sound:came")


@check("9.2-a", "tls_grpc_called", "GRPC_EXPIRED_PARTNER_CALLED")
def partner_with_expired_certificate_is_not_sent_to_over_grpc(story: Story) -> Iterator[Finding]:
    """A node whose certificate's time is over gets no message over gRPC either."""
    yield from _unsent(story, "expired", "GRPC_EXPIRED_PARTNER_CALLED")


@check("9.2-a", "tls_grpc_called", "GRPC_FOREIGN_PARTNER_CALLED")
def partner_with_certificate_of_another_ca_is_not_sent_to_over_grpc(story: Story) -> Iterator[Finding]:
    """A node with a certificate of a CA that nobody agreed on gets no message over gRPC either."""
    yield from _unsent(story, "foreign", "GRPC_FOREIGN_PARTNER_CALLED")


@check("9.2-a", "tls_grpc_called", "GRPC_OTHER_PARTNER_CALLED")
def partner_with_certificate_of_another_node_is_not_sent_to_over_grpc(story: Story) -> Iterator[Finding]:
    """Where another node than the one that is sent to serves the address for gRPC, it gets no message."""
    yield from _unsent(story, "other", "GRPC_OTHER_PARTNER_CALLED")


@check("9.2-a-3", "tls_grpc_called", "GRPC_PARTNER_ELSEWHERE_CALLED")
def partner_with_certificate_for_another_address_is_not_sent_to_over_grpc(story: Story) -> Iterator[Finding]:
    """A node whose certificate names another address and port gets no message over gRPC either."""
    yield from _unsent(story, "elsewhere", "GRPC_PARTNER_ELSEWHERE_CALLED")


@check("9.2-g", "tls_grpc_called", "GRPC_PLAIN_PARTNER_CALLED")
def partner_without_tls_is_not_sent_to_over_grpc(story: Story) -> Iterator[Finding]:
    """A node that serves gRPC without TLS gets no message over it."""
    yield from _unsent(story, "plain", "GRPC_PLAIN_PARTNER_CALLED")


@check("9.2-a", "tls_grpc_called_revoked", "GRPC_REVOKED_PARTNER_CALLED")
def partner_with_revoked_certificate_is_not_sent_to_over_grpc(story: Story) -> Iterator[Finding]:
    """A node whose certificate was revoked gets no message over gRPC either."""
    yield from _unsent(story, "revoked", "GRPC_REVOKED_PARTNER_CALLED")


def _unsent(story: Story, name: str, code: str) -> Iterator[Finding]:
    """Nothing came over gRPC to the one, and to the sound one all the same; over HTTP it is another server."""
    came = {party: _over_grpc(story, party) for party in (name, "sound")}
    for step in came[name][:1]:
        yield expect.finding(code, step, expected="no message over gRPC", actual="sent")
    if not came[name] and not came["sound"]:
        raise NoTwin("push-sound")


def _over_grpc(story: Story, name: str) -> list[Step]:
    party = story.fact(f"{name}:party")
    return [
        step
        for step in story.calls(Direction.TO_PARTNER)
        if step.exchange.partner == party and channel.over_grpc(step.exchange.request)
    ]
