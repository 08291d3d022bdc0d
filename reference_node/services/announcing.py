"""Where gRPC is spoken, told anew to partners when a node that was started again speaks it elsewhere (8.1.3-b, 9.1-a).

Guarantees: each change is told to every partner under a contract in force, also one that another start interrupts; a
start that changes nothing tells nothing.
"""

from __future__ import annotations

from typing import Final

from reference_node.node import Node
from reference_node.services import nodes

_TOLD: Final = "grpc-address"  # what partners have been told, in the data folder


def tell_where_grpc_is(node: Node) -> None:
    """Have partners told, once, what differs from what this node said when it ran before."""
    now = node.grpc_listening or ""
    if node.config.data is None or node.grpc_told == now:
        return
    told = node.config.data / _TOLD
    if told.exists() and told.read_text(encoding="ascii") != now:
        with node.store.session() as session:
            nodes.own_update(node, session, {})
    told.touch(mode=0o600)
    told.write_text(now, encoding="ascii")
    node.grpc_told = now
