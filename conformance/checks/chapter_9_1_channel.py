"""Checks of the data plane on the wire: signatures, frames, and the second protocol beside HTTP (9.1-b, 9.1-c)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import channels
from conformance.harness import expect
from conformance.harness.records import Direction, Finding
from conformance.harness.registry import EVERY, check
from conformance.harness.story import NoTwin, Story

TEXT = "度数 4102"
LONG = "a message of several frames"
BENT = ("forged", "changed", "swapped")
_BAD_SIGNATURE = ("SIGNATURE_INVALID", "DIGEST_MISMATCH", "SIGNATURE_MALFORMED")


# --- signatures -----------------------------------------------------------------------------------------------------


@check("9.1-b", "channel_signing", "UNSIGNED_REQUEST_ACCEPTED")
def unsigned_message_is_refused(story: Story) -> Iterator[Finding]:
    """A message without a signature is refused, whatever token it shows."""
    code, errors = "UNSIGNED_REQUEST_ACCEPTED", ("SIGNATURE_MISSING", "HEADER_MISSING")
    yield from expect.refused(story, "unsigned", code, *errors, twin="right")


@check("9.1-b", "channel_signing", "FORGED_SIGNATURE_ACCEPTED")
def message_signed_by_another_key_is_refused(story: Story) -> Iterator[Finding]:
    """A message that another key has signed is refused."""
    yield from expect.refused(story, "forged", "FORGED_SIGNATURE_ACCEPTED", *_BAD_SIGNATURE, twin="right")


@check("9.1-b", "channel_signing", "ALTERED_BODY_ACCEPTED")
def altered_message_is_refused(story: Story) -> Iterator[Finding]:
    """A message that was changed on the way is refused."""
    yield from expect.refused(story, "altered", "ALTERED_BODY_ACCEPTED", *_BAD_SIGNATURE, twin="right")


@check("9.1-b", "channel_signing", "REFUSED_MESSAGE_KEPT")
def badly_signed_messages_are_not_delivered(story: Story) -> Iterator[Finding]:
    """Of messages that were refused for their signature nothing is left in the topic."""
    for name in ("unsigned", "forged", "altered"):
        if story.step(name).reading.accepted:
            raise NoTwin(name)
    yield from channels.nothing(story, "nothing", "REFUSED_MESSAGE_KEPT")


@check("9.2-g", "channel_signing", "REPLAY_ACCEPTED")
def replayed_message_is_refused(story: Story) -> Iterator[Finding]:
    """A message under a nonce that was used is refused, and is not delivered."""
    yield from expect.refused(story, "replayed", "REPLAY_ACCEPTED", "NONCE_REPLAYED", twin="right")


# --- frames ---------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_frames", "STREAM_MESSAGES_LOST")
def stream_brings_all_its_messages(story: Story) -> Iterator[Finding]:
    """Every message of a stream is delivered, in its order, the empty one too."""
    yield from expect.accepted(story, "whole", "STREAM_MESSAGES_LOST")
    for number, payload in enumerate((LONG, "", "short")):
        yield from channels.delivers(story, f"whole:popped-{number}", payload, "STREAM_MESSAGES_LOST")


@check("6.2-c", "channel_frames", "STREAM_DELIVERED_TWICE")
def stream_that_is_sent_again_is_delivered_once(story: Story) -> Iterator[Finding]:
    """A stream that was taken is accepted again and delivers nothing again."""
    if story.step("whole").reading.accepted:
        yield from expect.accepted(story, "again", "STREAM_DELIVERED_TWICE")
        yield from channels.nothing(story, "again:nothing", "STREAM_DELIVERED_TWICE")


@check("9.1-b", "channel_frames", "FORGED_FRAME_TAKEN")
def frame_with_a_wrong_code_is_refused(story: Story) -> Iterator[Finding]:
    """A frame whose code is wrong, whose bytes were changed or that stands at another place ends its stream."""
    for name in BENT:
        yield from expect.refused(story, name, "FORGED_FRAME_TAKEN", "FRAME_INVALID", twin=f"{name}:right")


@check("9.1-b", "channel_frame_forgeries", "FORGED_FRAME_TAKEN")
def frame_of_another_place_or_stream_is_refused(story: Story) -> Iterator[Finding]:
    """A frame that is left out, that stands twice, or has the code of another stream or session, ends its stream."""
    for name in ("left-out", "repeated", "of-another-stream", "of-another-session"):
        yield from expect.refused(story, name, "FORGED_FRAME_TAKEN", "FRAME_INVALID", twin="right")


@check("9.1-b", "channel_frame_forgeries", "CUT_FRAME_CODE_TAKEN")
def beginning_of_a_code_is_no_code(story: Story) -> Iterator[Finding]:
    """A frame that shows only the beginning of its code is refused: a short code can be guessed."""
    yield from expect.refused(story, "cut-code", "CUT_FRAME_CODE_TAKEN", "FRAME_INVALID", twin="right")


@check("9.1-b", "channel_frame_forgeries", "BENT_FRAME_CODE_TAKEN")
def code_with_another_bit_is_refused(story: Story) -> Iterator[Finding]:
    """A frame whose code differs in its last bit is refused."""
    yield from expect.refused(story, "bent-code", "BENT_FRAME_CODE_TAKEN", "FRAME_INVALID", twin="right")


@check("9.1-b", "channel_frame_forgeries", "FRAME_WITHOUT_CODE_TAKEN")
def frame_without_a_code_is_refused(story: Story) -> Iterator[Finding]:
    """Frames whose codes are empty are refused."""
    yield from expect.refused(story, "no-code", "FRAME_WITHOUT_CODE_TAKEN", "FRAME_INVALID", twin="right")


# --- admission of streams -------------------------------------------------------------------------------------------


@check("9.1-b", "channel_stream_admission", "UNSIGNED_REQUEST_ACCEPTED")
def unsigned_stream_is_refused(story: Story) -> Iterator[Finding]:
    """A stream whose request has no signature is refused, whatever token it shows and however its frames are coded."""
    code, errors = "UNSIGNED_REQUEST_ACCEPTED", ("SIGNATURE_MISSING", "HEADER_MISSING")
    yield from expect.refused(story, "unsigned", code, *errors, twin="right")


@check("9.2-g", "channel_stream_admission", "REPLAY_ACCEPTED")
def replayed_stream_is_refused(story: Story) -> Iterator[Finding]:
    """A stream under a nonce that was used is refused."""
    yield from expect.refused(story, "replayed", "REPLAY_ACCEPTED", "NONCE_REPLAYED", twin="right")


@check("6.2-c", "channel_stream_admission", "UNKNOWN_SESSION_TAKEN")
def stream_to_an_unknown_session_is_refused(story: Story) -> Iterator[Finding]:
    """A stream to a session that is not there is refused."""
    yield from expect.refused(story, "session", "UNKNOWN_SESSION_TAKEN", "SESSION_NOT_FOUND", twin="right")


@check("6.2-c", "channel_stream_admission", "SESSION_TOKEN_UNCHECKED")
def stream_with_a_wrong_token_is_refused(story: Story) -> Iterator[Finding]:
    """A stream is refused whose token is not that of the session, nor if it is only cut short."""
    for name in ("token", "cut-token"):
        code, errors = "SESSION_TOKEN_UNCHECKED", ("SESSION_TOKEN_INVALID",)
        yield from expect.refused(story, name, code, *errors, twin="right")


@check("6.2-c", "channel_stream_admission", "FOREIGN_TOKEN_TAKEN")
def stream_with_the_token_of_another_job_is_refused(story: Story) -> Iterator[Finding]:
    """The token of one job opens the session of no other for streams either."""
    code, errors = "FOREIGN_TOKEN_TAKEN", ("SESSION_TOKEN_INVALID",)
    yield from expect.refused(story, "token-of-other-job", code, *errors, twin="right")


@check("6.2-c", "channel_stream_admission", "CHANNEL_OPEN_TO_OTHERS")
def stream_of_a_node_outside_the_job_is_refused(story: Story) -> Iterator[Finding]:
    """A partner that has no part in the job sends no stream to its session, even with its token."""
    yield from expect.refused(story, "by-stranger", "CHANNEL_OPEN_TO_OTHERS", "NOT_YOURS", twin="right")


@check("6.2-c", "channel_stream_admission", "PART_OF_STREAM_KEPT")
def refused_stream_leaves_nothing_at_the_door(story: Story) -> Iterator[Finding]:
    """Of streams that were not let in nothing is delivered, and of one that was taken each message once."""
    names = ("session", "token", "token-of-other-job", "cut-token", "unsigned", "by-stranger", "replayed")
    for name in names:
        if story.step(name).reading.accepted:
            raise NoTwin(name)
    for name in ("before", "popped-again"):
        yield from channels.nothing(story, name, "PART_OF_STREAM_KEPT")


@check("6.2-c", "channel_stream_admission", "LATE_MESSAGE_TAKEN")
def stream_to_the_session_of_a_job_that_has_ended_is_refused(story: Story) -> Iterator[Finding]:
    """Some time after a job has ended its session takes no stream any more."""
    yield from expect.refused(story, "late", "LATE_MESSAGE_TAKEN", "SESSION_NOT_FOUND", twin="right")


# --- strength of codes ----------------------------------------------------------------------------------------------


@check("9.2-f-1", "channel_frame_codes", "FRAME_CIPHER_REFUSED")
def streams_are_coded_with_sm4_or_aes(story: Story) -> Iterator[Finding]:
    """A stream whose frames are authenticated with SM4 or AES-128 is taken."""
    for code in ("sm4-gmac", "aes-gmac"):
        yield from expect.accepted(story, code, "FRAME_CIPHER_REFUSED")


@check("9.2-f-1", "channel_frame_codes", "WEAK_FRAME_CIPHER_TAKEN")
def streams_coded_with_a_weak_cipher_are_refused(story: Story) -> Iterator[Finding]:
    """A stream whose frames are said to be authenticated with triple DES is refused."""
    code = "WEAK_FRAME_CIPHER_TAKEN"
    yield from expect.refused(story, "3des-gmac", code, "FRAME_INVALID", "SUITE_REFUSED", twin="sm4-gmac")


@check("9.2-f-3", "channel_frame_codes", "WEAK_FRAME_HASH_TAKEN")
def streams_coded_with_a_weak_hash_are_refused(story: Story) -> Iterator[Finding]:
    """A stream whose frames are authenticated with SHA-1 or MD5 is refused, though the codes are right."""
    for step in ("hmac-sha1", "hmac-md5"):
        code = "WEAK_FRAME_HASH_TAKEN"
        yield from expect.refused(story, step, code, "FRAME_INVALID", "SUITE_REFUSED", twin="hmac-sm3")


@check("9.1-b", "channel_frames", "CUT_STREAM_TAKEN")
def stream_that_is_cut_short_is_refused(story: Story) -> Iterator[Finding]:
    """A stream that ends within a message is refused."""
    yield from expect.refused(story, "cut", "CUT_STREAM_TAKEN", "FRAME_INVALID", twin="cut:right")


@check("9.1-b", "channel_frames", "PART_OF_STREAM_KEPT")
def refused_stream_leaves_nothing(story: Story) -> Iterator[Finding]:
    """Of a stream that was refused nothing is delivered."""
    for name in (*BENT, "cut"):
        if not story.step(name).reading.accepted:
            yield from channels.nothing(story, f"{name}:nothing", "PART_OF_STREAM_KEPT")


@check("6.2-c", "channel_frames", "REFUSED_STREAM_BLOCKS")
def stream_is_taken_after_one_that_was_refused(story: Story) -> Iterator[Finding]:
    """What was refused can be sent again, whole, and is delivered."""
    for name in (*BENT, "cut"):
        refused = story.step(name)
        if not refused.reading.accepted and story.step("whole").reading.accepted:
            yield from expect.accepted(story, f"{name}:right", "REFUSED_STREAM_BLOCKS")
            if story.step(f"{name}:nothing").reading.accepted:
                raise NoTwin(f"{name}:nothing")
            yield from channels.delivers(story, f"{name}:popped", LONG, "REFUSED_STREAM_BLOCKS")


@check("9.1-b", EVERY, "OWN_FRAME_CODE_WRONG")
def every_own_frame_has_its_code(story: Story) -> Iterator[Finding]:
    """Whatever the node sends in frames carries their codes."""
    for row in story.transcript.exchanges:
        if row.direction is Direction.TO_PARTNER and "FRAME_WRONG" in row.problems:
            yield Finding("OWN_FRAME_CODE_WRONG", "", "frames with their codes", "FRAME_WRONG", (row.id,))


# --- protocols ------------------------------------------------------------------------------------------------------


def _pairs(story: Story, names: tuple[str, ...], code: str) -> Iterator[Finding]:
    """The two protocols gave the same answer to each of these: taken or refused, code, reason and payload."""
    for name in names:
        http, other = story.step(f"http:{name}"), story.step(f"grpc:{name}")
        shown = [(step.reading.error, step.get("/code"), step.get("/payload")) for step in (http, other)]
        if shown[0] != shown[1]:
            yield expect.finding(code, http, other, expected=shown[0], actual=shown[1])


@check("9.1-c", "channel_protocols", "PROTOCOLS_TAKE_DIFFERENTLY")
def second_protocol_takes_what_http_takes(story: Story) -> Iterator[Finding]:
    """Messages, streams and repetitions that are taken over HTTP are taken over the other protocol."""
    code, names = "PROTOCOLS_TAKE_DIFFERENTLY", ("invoke", "invoke-again", "transport", "push")
    yield from _pairs(story, names, code)


@check("9.1-c", "channel_protocols", "PROTOCOLS_DELIVER_DIFFERENTLY")
def second_protocol_delivers_what_http_delivers(story: Story) -> Iterator[Finding]:
    """What was sent over either protocol is seen and taken over it as it was sent."""
    if not all(
        story.step(f"{over}:{name}").reading.accepted for over in ("http", "grpc") for name in ("invoke", "push")
    ):
        raise NoTwin("invoke")
    names = ("peek", *(f"pop-{number}" for number in range(4)), "popped")
    yield from _pairs(story, names, "PROTOCOLS_DELIVER_DIFFERENTLY")


@check("9.1-c", "channel_protocols", "PROTOCOLS_REFUSE_DIFFERENTLY")
def second_protocol_refuses_what_http_refuses(story: Story) -> Iterator[Finding]:
    """What is refused over HTTP is refused over the other protocol, for the same reason and with the same code."""
    names = ("token", "session", "unsigned", "header", "far", "cut", "push-wrong")
    yield from _pairs(story, names, "PROTOCOLS_REFUSE_DIFFERENTLY")
