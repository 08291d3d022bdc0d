"""The standard as data: requirements, interface documents, errors, bindings, levels, messages, known answers.

Everything here is text; the only Python loads it. `specs` imports nothing of ours.

>>> import specs
>>> specs.operations()["contractCancel"].path
'/v1/interconn/node/contract/cancel'
"""

from __future__ import annotations

from specs.bundle import bundle
from specs.load import (
    ErrorCode,
    Operation,
    Parameter,
    errors,
    folder,
    operations,
    read_toml,
    schema,
)
from specs.rows import (
    Level,
    Requirement,
    SpecsError,
    Text,
    Verification,
    load_requirements,
)

__all__ = [
    "ErrorCode",
    "Level",
    "Operation",
    "Parameter",
    "Requirement",
    "SpecsError",
    "Text",
    "Verification",
    "bundle",
    "errors",
    "folder",
    "load_requirements",
    "operations",
    "read_toml",
    "schema",
]
