"""What a node that was started again says anew to its partners: where it speaks gRPC, which signature base it has.

That is 8.1.3-b, 9.1-a and 9.1-b: a node of an older version becomes one that knows a newer base.

Guarantees: each change is told to every partner under a contract in force, also one that another start interrupts; a
start that changes nothing tells nothing.
"""

from __future__ import annotations

from typing import Final

from reference_node.node import Node
from reference_node.security import signing
from reference_node.services import nodes

_TOLD: Final = "grpc-address"  # what partners have been told, in the data folder; so named by the first version


def tell_what_is_new(node: Node) -> None:
    """Have partners told, once, what differs from what this node said when it ran before."""
    now = "\n".join((node.grpc_listening or "", f"{signing.ANNOUNCED} {signing.NEWEST}"))
    if node.config.data is None or node.grpc_told == now:
        return
    told = node.config.data / _TOLD
    if told.exists() and told.read_text(encoding="ascii") != now:
        with node.store.session() as session:
            nodes.own_update(node, session, {})
    told.touch(mode=0o600)
    told.write_text(now, encoding="ascii")
    node.grpc_told = now
