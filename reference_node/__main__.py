"""`python -m reference_node SETTINGS`: a node for a program that starts it; people start one by `hutong node`.

SETTINGS is one JSON object of the names in `reference_node.config`. The node ends when its standard input does, so that
none outlives whoever has started it, however that ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from reference_node.config import load_config
from reference_node.server import serve


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    settings = load_config(None, **json.loads(sys.argv[1]))
    threading.Thread(target=_end_with_input, name="input", daemon=True).start()
    serve(settings)
