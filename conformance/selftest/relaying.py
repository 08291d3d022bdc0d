"""The relay of a run in process: it begins when the first file waits for it, and moves files whenever time passes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from conformance.harness.profile_model import RelayPlace
from reference_node.clock import Clock
from reference_node.faults import Faults
from reference_node.gap.evidence import PUBLIC_KEY
from reference_node.gap.files import IN, OUT, SUITE, waiting
from reference_node.gap.policy import load_policy
from reference_node.gap.relay import GapRelay
from reference_node.security.keys import PrivateKey

_SIDES = ("outer", "inner")
_SESSION_MIB = 1


@cache
def _keys() -> dict[str, tuple[str, str]]:
    """Return the nodes' keys, private and public, one pair of a side for all labs."""
    drawn = {side: PrivateKey.generate(SUITE) for side in _SIDES}
    return {side: (key.to_pem(), key.public.pem) for side, key in drawn.items()}


def place(folder: Path) -> RelayPlace:
    """Make the folders, keys and policy of a relay, and return what a profile says of it."""
    policy = ["[limits]", f"session_mib = {_SESSION_MIB}"]
    for side, (private, public) in _keys().items():
        for name in (IN, OUT):
            (folder / side / name).mkdir(parents=True)
        (folder / f"{side}-key.pem").write_text(private, encoding="ascii")
        (folder / f"{side}.pem").write_text(public, encoding="ascii")
        policy += [f"[{side}]", f'node_id = "relayed-{side}"', f'key = "{side}.pem"']
    (folder / "gap.toml").write_text("\n".join(policy), encoding="utf-8")
    return RelayPlace(
        outer=folder / "outer",
        inner=folder / "inner",
        outer_id="relayed-outer",
        inner_id="relayed-inner",
        outer_key=folder / "outer-key.pem",
        inner_key=folder / "inner-key.pem",
        session_mib=_SESSION_MIB,
        key=folder / "state" / PUBLIC_KEY,
    )


@dataclass(slots=True)
class InProcessRelay:
    """A relay with the defects of the lab's node."""

    folder: Path
    clock: Clock
    faults: Faults
    relay: GapRelay | None = None

    def step(self) -> None:
        """Move what waits; a folder that cannot be used is tried again next time, as the relay itself does."""
        if self.relay is None:
            if not any(waiting(self.folder / side / OUT) for side in _SIDES):
                return
            policy, now = load_policy(self.folder / "gap.toml"), self._seconds
            outer, inner, state = (self.folder / name for name in (*_SIDES, "state"))
            self.relay = GapRelay(outer, inner, policy, state, now=now, faults=self.faults)
            self.relay.__enter__()
        try:
            self.relay.step()
        except OSError:
            return

    def evidence(self) -> bytes:
        """Return an export of what the relay has recorded."""
        lines = [] if self.relay is None else self.relay.exported(self.clock.now_ms())
        return "".join(f"{line}\n" for line in lines).encode()

    def close(self) -> None:
        """End the relay, if it ever began."""
        if self.relay is not None:
            self.relay.__exit__()

    def _seconds(self) -> float:
        return self.clock.now_ms() / 1000
