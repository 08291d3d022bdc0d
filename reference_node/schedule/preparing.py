"""Parts that are being made ready: their inputs opened, compared with what is on record, scanned (9.2-c).

Guarantees: in a served node this happens on threads of its own, as many as there are slots for tasks, so that a file
that is large, or a scanner that is slow, keeps no other job waiting; what is being made ready counts as running.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import structlog

from reference_node.node import Node
from reference_node.runtime.contract import Key, Work

log = structlog.get_logger("reference_node")
_CLOSING_SECONDS: Final = 30


class Preparations:
    """What one node is making ready."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[Key] = set()
        self._futures: set[Future[None]] = set()
        self._pool: ThreadPoolExecutor | None = None

    def __contains__(self, key: Key) -> bool:
        """Tell whether an attempt is being made ready."""
        with self._lock:
            return key in self._keys

    def begin(self, node: Node, work: Work, prepare: Callable[[Node, Work], None]) -> None:
        """Make an attempt ready, in its turn (served) or now (in process)."""
        with self._lock:
            self._keys.add(work.key)
        if not node.config.background:
            self._run(node, work, prepare)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(node.config.task_slots, thread_name_prefix=f"{node.node_id}-ready")
        future = self._pool.submit(self._run, node, work, prepare)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def close(self) -> None:
        """Begin nothing more, and wait a while for what is on its way."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            wait(set(self._futures), _CLOSING_SECONDS)

    def _run(self, node: Node, work: Work, prepare: Callable[[Node, Work], None]) -> None:
        try:
            prepare(node, work)
        except Exception:  # the part is found without a component and ended
            log.exception("not made ready", node_id=node.node_id, task_id=work.key.task_id)
        finally:
            with self._lock:
                self._keys.discard(work.key)
        if node.config.background:
            node.driver.kick(node)
