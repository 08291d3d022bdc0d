"""What an answer says, whichever way the operation answers: by an envelope, a message of the data plane, or a file."""

from __future__ import annotations

import hashlib
from typing import Final

from conformance.harness import channel
from conformance.harness.binding_model import Binding, Reading
from conformance.harness.records import Answer
from specs import operations

FILES: Final = frozenset(name for name, row in operations().items() if row.answer_schema is None) - channel.OPERATIONS
_BYTES: Final = "application/octet-stream"


def read(binding: Binding, operation: str, answer: Answer) -> Reading:
    """Return what an answer to an operation says; of a file its size and digest."""
    if operation in channel.OPERATIONS:
        return channel.reading(binding, operation, answer)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if operation in FILES and answer.status == 200 and kind == _BYTES:
        found = {"bytes": len(answer.body), "sha256": hashlib.sha256(answer.body).hexdigest()}
        return Reading(accepted=True, code=0, data=found)
    return binding.read_answer(operation, answer.status, answer.body)
