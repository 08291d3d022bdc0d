"""What an answer says, whichever way the operation answers: by an envelope, or by a message of the data plane."""

from __future__ import annotations

from conformance.harness import channel
from conformance.harness.binding_model import Binding, Reading
from conformance.harness.records import Answer


def read(binding: Binding, operation: str, answer: Answer) -> Reading:
    """Return what an answer to an operation says."""
    if operation in channel.OPERATIONS:
        return channel.reading(binding, operation, answer)
    return binding.read_answer(operation, answer.status, answer.body)
