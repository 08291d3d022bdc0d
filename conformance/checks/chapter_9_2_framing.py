"""Whether framing that two readers could read differently is refused, and nothing is made of what is left (9.2-g)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

_REFUSED = "refused, or the connection closed"
_CLOSING = (
    "length beside chunks"  # may be read by its chunks, where the connection ends with the answer (RFC 9112, 6.1)
)


def _accepted(story: Story, name: str) -> bool:
    return story.exchange(name).answer is not None and story.step(name).reading.accepted


def _refused(story: Story, code: str, *names: str) -> Iterator[Finding]:
    """None of these was accepted, and their twins were."""
    for name in names:
        seen = story.fact("seen")[name]
        if _accepted(story, name) and not (name == _CLOSING and seen["closed"]):
            yield Finding(code, f"/seen/{name}", _REFUSED, f"accepted, statuses {seen['statuses']}")
        elif not _accepted(story, story.fact("twins")[name]):
            raise NoTwin(story.fact("twins")[name])


@check("9.2-g", "framing", "AMBIGUOUS_LENGTH_ACCEPTED")
def request_of_two_lengths_is_refused(story: Story) -> Iterator[Finding]:
    """Two lengths that differ, and a length beside chunks, leave open where a request ends."""
    yield from _refused(story, "AMBIGUOUS_LENGTH_ACCEPTED", "two lengths", "two lengths, the other way", _CLOSING)


@check("9.2-g", "framing", "LOOSE_LENGTH_ACCEPTED")
def length_is_digits_alone(story: Story) -> Iterator[Finding]:
    """A length with a sign, in hexadecimal or with an underscore is none."""
    names = ("length with a sign", "length in hexadecimal", "length with an underscore")
    yield from _refused(story, "LOOSE_LENGTH_ACCEPTED", *names)


@check("9.2-g", "framing", "FOLDED_FIELD_ACCEPTED")
def folded_length_is_refused(story: Story) -> Iterator[Finding]:
    """A length that goes on in another line is none, whichever line is read."""
    yield from _refused(story, "FOLDED_FIELD_ACCEPTED", "folded length", "folded length, the other way")


@check("9.2-g", "framing", "HOST_NOT_DEMANDED")
def request_names_one_host(story: Story) -> Iterator[Finding]:
    """A request without Host, or with two, is refused."""
    yield from _refused(story, "HOST_NOT_DEMANDED", "no host", "two hosts")


@check("9.2-g", "framing", "LOOSE_FIELD_NAME_ACCEPTED")
def name_of_a_field_ends_at_the_colon(story: Story) -> Iterator[Finding]:
    """A space between name and colon is refused."""
    yield from _refused(story, "LOOSE_FIELD_NAME_ACCEPTED", "space before the colon")


@check("9.2-g", "framing", "LOOSE_CHUNK_SIZE_ACCEPTED")
def size_of_a_chunk_is_digits_alone(story: Story) -> Iterator[Finding]:
    """The size of a chunk with a sign or a prefix is none."""
    yield from _refused(story, "LOOSE_CHUNK_SIZE_ACCEPTED", "chunk size with a sign", "chunk size in hexadecimal")


@check("9.2-g", "framing", "CONTROL_CHARACTER_ACCEPTED")
def control_character_in_a_field_is_refused(story: Story) -> Iterator[Finding]:
    """A field with NUL or a bare CR in it is refused: some would end the value there, others go on."""
    yield from _refused(story, "CONTROL_CHARACTER_ACCEPTED", "NUL in a value", "bare CR in a value")


@check("9.2-e-5", "framing", "FRAMING_CRASHES_TARGET")
def wrong_framing_is_a_definite_error(story: Story) -> Iterator[Finding]:
    """What cannot be read is refused as the caller's error or the connection closed, and the target serves on."""
    if not _accepted(story, "twin:plain"):
        raise NoTwin("twin:plain")
    for name, seen in story.fact("seen").items():
        if any(status >= 500 and status not in (501, 505) for status in seen["statuses"]):
            yield Finding("FRAMING_CRASHES_TARGET", f"/seen/{name}", _REFUSED, f"statuses {seen['statuses']}")
    if not _accepted(story, "after"):
        yield Finding("FRAMING_CRASHES_TARGET", "/after", "the target serves on", "no answer")


@check("9.2-g", "leftover_of_refused_request", "LEFTOVER_TAKEN_FOR_REQUEST")
def body_of_a_refused_request_is_no_request(story: Story) -> Iterator[Finding]:
    """One request gets one answer at most, whatever its body holds."""
    if not _accepted(story, "twin"):
        raise NoTwin("twin")
    for name, seen in story.fact("seen").items():
        statuses = seen["statuses"]
        if len(statuses) > 1:
            actual = f"{len(statuses)} answers, first {statuses[:3]}"
            yield Finding("LEFTOVER_TAKEN_FOR_REQUEST", f"/seen/{name}", "one answer at most", actual)
