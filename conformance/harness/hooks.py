"""What an operator lends the suite to do with a target's machines: lose its store, end an instance, fill its storage.

`[operator_hooks]` names the commands; each is called with one word, and has done what the word says when it ends:

    backup = ["..."]         lose: the store is destroyed, without a copy of it being made first (9.2-e-3)
                             restore: it is brought back from its backup, and the target serves again
    kill_replica = ["..."]   kill: one instance of the target is ended without notice (9.2-e-4); start: it runs again
    fill_disk = ["..."]      fill: the target's storage takes nothing more (9.2-d-4); free: it does again
    rollback = ["..."]       save: a consistent copy of the whole store is kept aside; back: the target is stopped, the
                             copy put in the place of the store, which is kept, and the target started, whether or
                             not it takes it (9.2-e-1); forward: the store is as it was, and the target serves again

One is called with a file, the certificate in PEM of a node that the suite plays:

    revoke = ["..."]         the certificate is on the revocation list that the target goes by (9.2-a), for good

Guarantees: a command ends within its time or is ended; one that fails stops the scenario with the end of what it said,
so that nothing is judged of it; whatever was disturbed is put right again, also where a scenario ends early.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from conformance.harness.errors import Undrivable
from conformance.harness.profile_model import Hooks

SECONDS = 120
_SAID = 200


class Hook(StrEnum):
    """The commands, as the profile names them."""

    BACKUP = "backup"
    KILL_REPLICA = "kill_replica"
    FILL_DISK = "fill_disk"
    ROLLBACK = "rollback"


class Deed(StrEnum):
    """What they are called with."""

    LOSE = "lose"
    RESTORE = "restore"
    KILL = "kill"
    START = "start"
    FILL = "fill"
    FREE = "free"
    SAVE = "save"
    BACK = "back"
    FORWARD = "forward"


DEEDS: Mapping[Hook, tuple[Deed, Deed]] = MappingProxyType(
    {
        Hook.BACKUP: (Deed.LOSE, Deed.RESTORE),
        Hook.KILL_REPLICA: (Deed.KILL, Deed.START),
        Hook.FILL_DISK: (Deed.FILL, Deed.FREE),
        Hook.ROLLBACK: (Deed.BACK, Deed.FORWARD),
    }
)
Helper = Callable[[Deed], None]
Revoker = Callable[[Path], None]
Hands = Mapping[Hook, Helper]


def of(hooks: Hooks | None) -> Hands:
    """Return what the commands of a profile do."""
    named = {} if hooks is None else {hook: getattr(hooks, hook) for hook in Hook}
    return MappingProxyType({hook: _calling(hook, command) for hook, command in named.items() if command})


def lent(hands: Hands, hook: Hook) -> Helper:
    """Return what a hook does; a target whose operator lends none cannot be driven there."""
    if hook not in hands:
        disturb, mend = DEEDS[hook]
        raise Undrivable(f"profile: [operator_hooks] names no {hook} command, called with {disturb} and {mend}")
    return hands[hook]


@contextmanager
def disturbed(helper: Helper, hook: Hook) -> Iterator[Callable[[], None]]:
    """Disturb a target, and put it right at the end, unless what is handed out has done so by then."""
    disturb, mend = DEEDS[hook]
    left = [mend]

    def put_right() -> None:
        if left:
            helper(left.pop())

    try:
        helper(disturb)
        yield put_right
    finally:
        put_right()


def revoking(hooks: Hooks | None) -> Revoker | None:
    """Return what revokes a certificate, None where the operator lends no command for that."""
    command = () if hooks is None else hooks.revoke
    return (lambda certificate: _run(command, str(certificate), "revoke")) if command else None


def _calling(hook: Hook, command: tuple[str, ...]) -> Helper:
    return lambda deed: _run(command, deed, f"{hook} {deed}")


def _run(command: tuple[str, ...], word: str, what: str) -> None:
    where = f"profile: operator_hooks.{what} failed"
    try:
        done = subprocess.run((*command, word), capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as failure:
        raise Undrivable(f"{where}: {type(failure).__name__}") from failure
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-_SAID:]
        raise Undrivable(f"{where}: exit code {done.returncode} {said}".rstrip())
