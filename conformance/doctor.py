"""Looks at the way to a target before any claim is made about it: each failure comes with a one-line remedy.

The examinations build on each other; the first that fails ends the visit, because what comes after could not tell.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.errors import HarnessError
from conformance.harness.profile_model import Profile
from conformance.harness.steps import Told
from conformance.harness.world import World


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination says."""

    name: str
    well: bool
    detail: str
    remedy: str = ""


class _Sick(HarnessError):
    """An examination failed."""


def _resolve(profile: Profile, _world: World) -> str:
    host = urlsplit(profile.target.url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as exc:
        raise _Sick(f"{host}: {exc}", hint="Correct the host in [target] url, or the name service.") from exc
    return f"{host} -> {found[0][4][0]}"


def _connect(profile: Profile, _world: World) -> str:
    parts = urlsplit(profile.target.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=profile.timings.answer_seconds):
            return f"port {port} accepts connections"
    except OSError as exc:
        raise _Sick(
            f"port {port}: {exc}", hint=f"Start the node at {profile.target.url}, or correct [target] url."
        ) from exc


def _who(profile: Profile, world: World) -> Told:
    told = world.call("who", world.partner("doctor"), "nodeQuery", {"node_id": profile.target.node_id})
    if told.reading is None:
        raise _Sick(told.exchange.failure, hint="The port is open, but no HTTP answer comes: is it the node's port?")
    return told


def _identify(profile: Profile, world: World) -> str:
    told = _who(profile, world)
    if not told.accepted:
        hint = f"Check [target] node_id ({profile.target.node_id}) and binding ({profile.target.binding})."
        raise _Sick(f"the node query was refused: {told.reading.msg if told.reading else ''}", hint=hint)
    shown = told.data.get("node_id")
    if shown != profile.target.node_id:
        raise _Sick(f"the node there calls itself {shown}", hint="Write that id into [target] node_id.")
    return f"{shown}, {told.data.get('system')} {told.data.get('system_version')}"


def _clock(profile: Profile, world: World) -> str:
    told = _who(profile, world)
    date = told.exchange.answer.headers.get("date", "") if told.exchange.answer else ""
    if not date:
        return "the answer carries no Date header, so the clocks cannot be compared"
    skew = abs(parsedate_to_datetime(date).timestamp() - time.time())
    if skew > profile.timings.clock_skew_seconds / 2:
        raise _Sick(f"the clocks differ by {skew:.0f} s", hint="Synchronise both machines by NTP.")
    return f"the clocks differ by {skew:.0f} s"


def _operator(profile: Profile, world: World) -> str:
    if profile.operator is None:
        raise _Sick(
            "the profile has no operator token",
            hint="Set [operator] token_env or token_file: without it the target cannot be driven from its own side.",
        )
    told = world.own("own", "ownNodeQuery", {"node_id": profile.target.node_id})
    if not told.accepted:
        reason = told.reading.msg if told.reading else told.exchange.failure
        raise _Sick(f"the own side refuses the token: {reason}", hint="Take the token from the node's data directory.")
    return "the own side accepts the operator token"


def _contract(_profile: Profile, world: World) -> str:
    partner = world.signed_partner("doctor2")
    world.close()
    return f"a contract was signed, called back at {partner.particulars['address']}, and ended"


EXAMINATIONS: tuple[tuple[str, Callable[[Profile, World], str], str], ...] = (
    ("name resolution", _resolve, ""),
    ("connection", _connect, ""),
    ("identity", _identify, ""),
    ("clock", _clock, ""),
    ("operator", _operator, ""),
    (
        "signing and callback path",
        _contract,
        "Set [partner] listen and address so that the target can reach the harness; see specs/protocols for signing.",
    ),
)


def visit(profile: Profile) -> Iterator[Finding]:
    """Examine a target; stops at the first failure."""
    stage = engine.stage(profile, load_binding(profile.target.binding))
    engine.listen(stage)
    try:
        world = World(stage, f"doctor-{secrets.token_hex(4)}")
        for name, examine, remedy in EXAMINATIONS:
            try:
                yield Finding(name, well=True, detail=examine(profile, world))
            except HarnessError as exc:
                yield Finding(name, well=False, detail=str(exc), remedy=exc.hint or remedy)
                return
    finally:
        stage.receiver.stop()
