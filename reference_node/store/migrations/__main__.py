"""python -m reference_node.store.migrations "What changes": writes the next script."""

from __future__ import annotations

import sys

from reference_node.store import migrate

migrate.revise(sys.argv[1])
