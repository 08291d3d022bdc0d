"""A runner without a machine: nothing can be launched."""

from __future__ import annotations

from collections.abc import Sequence

from reference_node.runtime.contract import Exit, Key, LaunchFailed, Work


class IdleRunner:
    """Refuses every component."""

    def start(self, work: Work) -> None:
        """Refuse."""
        raise LaunchFailed(f"this node runs no components, {work.task_name} neither")

    def stop(self, key: Key) -> None:
        """Nothing runs."""

    def alive(self, key: Key) -> bool:  # noqa: ARG002
        """Nothing runs."""
        return False

    def exits(self) -> Sequence[Exit]:
        """Nothing has ended."""
        return ()

    def close(self) -> None:
        """Nothing to end."""
