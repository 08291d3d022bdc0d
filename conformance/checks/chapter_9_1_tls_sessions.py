"""What a session of TLS that is taken up again proves of its caller: no more than a whole handshake would (9.2-a)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

_REVOKED = "tls_revoked_meanwhile"


@check("9.2-a", "tls_sessions", "SESSION_OF_ANOTHER_TAKEN")
def session_of_another_node_is_not_taken_for_ones_own(story: Story) -> Iterator[Finding]:
    """Who takes up the session that another node began, and names itself, is told nothing."""
    yield from _unserved(story, "other", "SESSION_OF_ANOTHER_TAKEN")


@check("9.2-a", "tls_sessions", "SESSION_WITHOUT_CERTIFICATE_TAKEN")
def session_does_not_stand_in_for_a_certificate(story: Story) -> Iterator[Finding]:
    """Who takes up a session in which no certificate was shown is told nothing."""
    yield from _unserved(story, "bare-again", "SESSION_WITHOUT_CERTIFICATE_TAKEN")


@check("9.2-a", "tls_sessions_late", "SESSION_OUTLIVES_CERTIFICATE")
def session_ends_with_its_certificate(story: Story) -> Iterator[Finding]:
    """Who takes up a session whose certificate counts no more is told nothing."""
    yield from _unserved(story, "late", "SESSION_OUTLIVES_CERTIFICATE")


@check("9.2-a", _REVOKED, "SESSION_OUTLIVES_REVOCATION")
def session_ends_with_a_revocation(story: Story) -> Iterator[Finding]:
    """Who takes up a session whose certificate was revoked meanwhile is told nothing."""
    yield from _unserved(story, "after", "SESSION_OUTLIVES_REVOCATION")


@check("9.2-a", _REVOKED, "CONNECTION_OUTLIVES_REVOCATION")
def open_connection_ends_with_a_revocation(story: Story) -> Iterator[Finding]:
    """Over a connection whose certificate was revoked meanwhile nothing more is told; another's goes on."""
    yield from _told_nothing(story, "open:after", "CONNECTION_OUTLIVES_REVOCATION", "open:before", "other:after")


@check("9.2-a", _REVOKED, "REVOKED_MEANWHILE_TAKEN")
def revocation_holds_for_the_next_handshake(story: Story) -> Iterator[Finding]:
    """Who calls anew with a certificate that was revoked while the target ran is told nothing."""
    yield from _told_nothing(story, "anew", "REVOKED_MEANWHILE_TAKEN", "open:before", "other:before")


def _told_nothing(story: Story, name: str, code: str, *twins: str) -> Iterator[Finding]:
    for twin in twins:
        if not (story.happened(twin) and story.step(twin).reading.accepted):
            raise NoTwin(twin)
    if story.exchange(name).answer is not None and story.step(name).reading.accepted:
        yield expect.finding(code, story.step(name), expected="refused", actual="accepted")


def _unserved(story: Story, name: str, code: str) -> Iterator[Finding]:
    for kind in story.fact("kinds"):
        step, begun = story.exchange(f"{kind}:{name}"), story.exchange(f"{kind}:begun")
        if step.answer is not None and story.step(f"{kind}:{name}").reading.accepted:
            yield expect.finding(code, story.step(f"{kind}:{name}"), expected="refused", actual=f"accepted, by {kind}")
        elif begun.answer is None or not story.step(f"{kind}:begun").reading.accepted:
            raise NoTwin(f"{kind}:begun")
