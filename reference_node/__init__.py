"""A node that speaks the whole of chapter 8: the reference the suite is proven against, and a partner to test with.

`reference_node.app.create_app` builds it, `reference_node.server.serve` puts it on a socket.
"""

from __future__ import annotations

VERSION = "0.1.0"
SYSTEM = "hutong"
