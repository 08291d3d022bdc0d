"""SecretFlow's link through the own node's data plane, configured as in a container: `link_type` blackbox (6.2-c).

Guarantees: ranks follow the names of the parties, so that both sides count alike; what the engine leaves while it works
lies in the component's own folder, under names that no shell takes for anything else; the engine is loaded only here.

The engine reads `system.transport`, `config.session_id`, `config.token`, `config.trace_id` and `config.inst_id.<party>`
from the environment by itself. Its topics are `<sender>-<receiver>` and nothing else: the session must be the task's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Final

from reference_node.algorithms.errors import EngineUnavailable
from reference_node.engines.told import Told

HERE: Final = "./"
_RECEIVE_MS: Final = 3_600_000
_HTTP_MS: Final = 120_000


def load() -> Any:
    """Return SecretFlow's module; raise EngineUnavailable where it is not installed."""
    # its psi sorts by a shell command that its temporary folder's path is pasted into: a relative one is plain
    os.environ["TMPDIR"] = HERE
    os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        import spu
    except ImportError as missing:
        raise EngineUnavailable("spu is not installed", hint="pip install 'hutong[spu]'") from missing
    options = spu.libspu.logging.LogOptions()
    options.system_log_path = HERE + "spu.log"
    options.log_level = spu.libspu.logging.LogLevel.WARN
    spu.libspu.logging.setup_logging(options)
    return spu


@contextlib.contextmanager
def linked(spu: Any, told: Told) -> Iterator[Any]:
    """Give the link of this party to the others."""
    described = spu.link.Desc()
    for party, node_id in told.nodes.items():
        described.add_party(party, node_id)
    described.link_type = "blackbox"
    described.brpc_channel_protocol = "http"
    described.recv_timeout_ms = _RECEIVE_MS
    described.http_timeout_ms = _HTTP_MS
    link = spu.link.create_brpc(described, told.rank)
    try:
        # its psi greets a second time under the name of the first: all must have heard the first before anybody does
        link.barrier()
        yield link
    finally:
        link.stop_link()
