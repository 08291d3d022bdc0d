"""Where the node's log lines go: through the standard library's logging, as JSON, never to stdout.

Guarantees: a host that sets up logging decides what is kept; one that does not sees warnings and errors on stderr.
Whoever logs takes `structlog.get_logger("reference_node")`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import structlog

from reference_node.domain.text import shown

NAME = "reference_node"


def _line(event: Mapping[str, Any], **given: Any) -> str:
    """Return an event as JSON on one line, in which nothing steers the terminal that it is read on."""
    return shown(json.dumps(event, ensure_ascii=False, **given))


def configure() -> None:
    """Send structured log lines to the standard library's logger; harmless when done again."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_line),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def to_stderr() -> None:
    """Show the node's lines from INFO on, one JSON object a line, on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger(NAME)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
