"""Checks of 6.2-c: the data plane between nodes and components, by the conventions that all traffic goes by."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import calls, channels
from conformance.checks.readings import came
from conformance.harness import channel, expect
from conformance.harness.channel import Form
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

TEXT = "度数 4102"
ORDER = [f"message {number}" for number in range(4)]
WAIT_MS = 300
SLACK_MS = 3000
REFUSED = "E0000000400"
FORBIDDEN = "E0000000403"


# --- forms ----------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_forms", "FORM_NOT_TAKEN")
def messages_come_in_in_every_form(story: Story) -> Iterator[Finding]:
    """What another node sends as protobuf message, as JSON or bare is there for the component as it was sent."""
    for form in Form:
        name = f"in-{form.name.lower()}"
        yield from expect.accepted(story, name, "FORM_NOT_TAKEN")
        yield from channels.delivers(story, f"{name}:popped", TEXT, "FORM_NOT_TAKEN")


@check("6.2-c", "channel_forms", "COMPONENT_FORM_NOT_TAKEN")
def components_speak_every_form(story: Story) -> Iterator[Finding]:
    """What a component pushes in one of the forms is popped in that form as it was pushed."""
    for form in Form:
        name = f"out-{form.name.lower()}"
        yield from expect.accepted(story, name, "COMPONENT_FORM_NOT_TAKEN")
        yield from channels.delivers(story, f"{name}:popped", TEXT, "COMPONENT_FORM_NOT_TAKEN")


@check("6.2-c", "channel_forms", "UNNUMBERED_MESSAGE_LOST")
def message_without_a_number_is_delivered(story: Story) -> Iterator[Finding]:
    """A sender that does not number its messages is understood."""
    yield from expect.accepted(story, "unnumbered", "UNNUMBERED_MESSAGE_LOST")
    yield from channels.delivers(story, "unnumbered:popped", TEXT, "UNNUMBERED_MESSAGE_LOST")


@check("6.2-c", "channel_forms", "EMPTY_MESSAGE_LOST")
def empty_message_is_a_message(story: Story) -> Iterator[Finding]:
    """A message of no bytes is taken and delivered, once."""
    yield from expect.accepted(story, "empty", "EMPTY_MESSAGE_LOST")
    yield from channels.delivers(story, "empty:popped", "", "EMPTY_MESSAGE_LOST")


@check("6.2-c", "channel_forms", "GARBLED_MESSAGE_TAKEN")
def garbled_message_is_refused(story: Story) -> Iterator[Finding]:
    """A body that is no message of the form that it claims is refused."""
    for name in ("protobuf", "json"):
        code = "GARBLED_MESSAGE_TAKEN"
        yield from expect.refused(story, f"garbled-{name}", code, "REQUEST_INVALID", twin=f"in-{name}")


# --- admission ------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_admission", "UNKNOWN_SESSION_TAKEN")
def unknown_session_is_refused(story: Story) -> Iterator[Finding]:
    """A session that is not there takes and gives nothing."""
    for name, twin in (("invoke", "right"), ("pop", "after")):
        yield from expect.refused(story, f"{name}-session", "UNKNOWN_SESSION_TAKEN", "SESSION_NOT_FOUND", twin=twin)


@check("6.2-c", "channel_admission", "SESSION_TOKEN_UNCHECKED")
def wrong_session_token_is_refused(story: Story) -> Iterator[Finding]:
    """A node that does not know the token of a session sends nothing to it."""
    code, errors = "SESSION_TOKEN_UNCHECKED", ("SESSION_TOKEN_INVALID",)
    yield from expect.refused(story, "invoke-token", code, *errors, twin="right")


@check("6.2-c", "channel_admission", "FOREIGN_TOKEN_TAKEN")
def token_of_another_job_is_refused(story: Story) -> Iterator[Finding]:
    """The token of one job opens the session of no other."""
    code, errors = "FOREIGN_TOKEN_TAKEN", ("SESSION_TOKEN_INVALID",)
    yield from expect.refused(story, "invoke-token-of-other-job", code, *errors, twin="right")


@check("6.2-c", "channel_admission", "COMPONENT_TOKEN_UNCHECKED")
def component_with_a_wrong_token_is_refused(story: Story) -> Iterator[Finding]:
    """A component without the token of its session, or with that of another job, takes nothing."""
    for name in ("pop-token", "pop-token-of-other-job"):
        code, errors = "COMPONENT_TOKEN_UNCHECKED", ("SESSION_TOKEN_INVALID",)
        yield from expect.refused(story, name, code, *errors, twin="after")


@check("6.2-c", "channel_admission", "CHANNEL_SOURCE_UNCHECKED")
def message_in_the_name_of_another_is_refused(story: Story) -> Iterator[Finding]:
    """The source that a message names is the node that has signed it."""
    code, errors = "CHANNEL_SOURCE_UNCHECKED", ("NOT_YOURS", "SIGNATURE_INVALID", "REQUEST_INVALID")
    yield from expect.refused(story, "invoke-source", code, *errors, twin="right")


@check("6.2-c", "channel_admission", "CHANNEL_TARGET_UNCHECKED")
def message_for_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """A message that names another receiver is not taken."""
    code, errors = "CHANNEL_TARGET_UNCHECKED", ("TARGET_MISMATCH", "REQUEST_INVALID")
    yield from expect.refused(story, "invoke-target", code, *errors, twin="right")


@check("6.2-c", "channel_admission", "CHANNEL_HEADER_NOT_DEMANDED")
def message_without_a_header_is_refused(story: Story) -> Iterator[Finding]:
    """Every header that the data plane demands is demanded."""
    for header in channel.NODE_HEADERS:
        code = "CHANNEL_HEADER_NOT_DEMANDED"
        yield from expect.refused(story, f"without-{header}", code, "HEADER_MISSING", twin="right")


@check("6.2-c", "channel_admission", "CHANNEL_OPEN_TO_OTHERS")
def message_of_a_node_outside_the_job_is_refused(story: Story) -> Iterator[Finding]:
    """A partner that has no part in the job sends nothing to its session, even with its token."""
    yield from expect.refused(story, "by-stranger", "CHANNEL_OPEN_TO_OTHERS", "NOT_YOURS", twin="right")


@check("6.2-c", "channel_admission", "CHANNEL_CLOSED_TO_PARTY")
def message_of_every_party_is_taken(story: Story) -> Iterator[Finding]:
    """Not only the node that schedules a job, also its other parties send to its session."""
    yield from expect.accepted(story, "right-of-other", "CHANNEL_CLOSED_TO_PARTY")


@check("6.2-c", "channel_admission", "REFUSED_MESSAGE_KEPT")
def refused_messages_are_not_delivered(story: Story) -> Iterator[Finding]:
    """Of messages that were refused nothing is left in the topic."""
    names = [f"invoke-{name}" for name in ("session", "token", "token-of-other-job", "source", "target")]
    names += [*(f"without-{header}" for header in channel.NODE_HEADERS), "by-stranger"]
    for name in names:
        if story.step(name).reading.accepted:
            raise NoTwin(name)
    yield from channels.nothing(story, "before", "REFUSED_MESSAGE_KEPT")


@check("6.2-c", "channel_admission", "CHANNEL_CODE_WRONG")
def refusals_have_the_codes_of_the_data_plane(story: Story) -> Iterator[Finding]:
    """An unknown session, a wrong token and a missing header are told apart by their codes."""
    wanted = {
        "invoke-session": channel.NOTHING,
        "pop-session": channel.NOTHING,
        "invoke-token": FORBIDDEN,
        "pop-token": FORBIDDEN,
    }
    wanted |= {f"without-{header}": REFUSED for header in channel.NODE_HEADERS}
    for name, code in wanted.items():
        if not story.step(name).reading.accepted:
            yield from expect.shows(story, name, "/code", code, "CHANNEL_CODE_WRONG")


@check("6.2-c", "channel_admission", "PUSH_TO_OUTSIDER")
def push_to_a_node_outside_the_job_is_refused(story: Story) -> Iterator[Finding]:
    """A component reaches the parties of its job and nobody else."""
    errors = ("REQUEST_INVALID", "NOT_YOURS", "TARGET_MISMATCH", "NODE_UNKNOWN")
    yield from expect.refused(story, "push-outside", "PUSH_TO_OUTSIDER", *errors, twin="push-inside")


# --- order ----------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_order", "MESSAGES_OUT_OF_ORDER")
def messages_leave_in_the_order_of_their_numbers(story: Story) -> Iterator[Finding]:
    """What arrived early waits for what was sent before it."""
    found, last = channels.popped(story, "popped", 6)
    once = list(dict.fromkeys(found))
    if once != sorted(once):
        yield expect.finding("MESSAGES_OUT_OF_ORDER", last, expected=ORDER, actual=found)


@check("6.2-c", "channel_order", "MESSAGE_DELIVERED_TWICE")
def message_that_is_sent_again_is_delivered_once(story: Story) -> Iterator[Finding]:
    """A number that was seen before is not delivered again, under whatever signature it comes."""
    found, last = channels.popped(story, "popped", 6)
    if len(set(found)) < len(found):
        yield expect.finding("MESSAGE_DELIVERED_TWICE", last, expected=ORDER, actual=found)


@check("6.2-c", "channel_order", "EARLY_MESSAGE_LOST")
def every_message_that_was_taken_is_delivered(story: Story) -> Iterator[Finding]:
    """What arrived early and was accepted is delivered once the gap is filled."""
    if not (yield from calls.done(story, *(f"send-{number}" for number in range(4)), code="EARLY_MESSAGE_LOST")):
        return
    found, last = channels.popped(story, "popped", 6)
    if not set(ORDER) <= set(found):
        yield expect.finding("EARLY_MESSAGE_LOST", last, expected=ORDER, actual=found)


@check("6.2-c", "channel_order", "DUPLICATE_REFUSED")
def message_that_is_sent_again_is_accepted(story: Story) -> Iterator[Finding]:
    """A sender that has missed an answer gets it when it sends again."""
    for number in (1, 3):
        if story.step(f"send-{number}").reading.accepted:
            yield from expect.accepted(story, f"again-{number}", "DUPLICATE_REFUSED")


@check("6.2-c", "channel_order", "SEQUENCE_AHEAD_TAKEN")
def message_that_is_far_ahead_is_refused(story: Story) -> Iterator[Finding]:
    """A number far beyond the expected one is refused: nobody can make the node hold without end."""
    yield from expect.refused(story, "far", "SEQUENCE_AHEAD_TAKEN", "SEQUENCE_AHEAD", twin="send-3")


# --- topics ---------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_topics", "NOTHING_IS_FAILURE")
def empty_topic_is_no_failure(story: Story) -> Iterator[Finding]:
    """Where there is nothing to take, the answer says so with its code and HTTP status 200."""
    for name in ("nothing", "nothing-json"):
        step = story.step(name)
        status = step.exchange.answer.status if step.exchange.answer else 0
        if (step.get("/code"), status) != (channel.NOTHING, 200):
            actual = f"{step.get('/code')} with HTTP {status}"
            yield expect.finding("NOTHING_IS_FAILURE", step, expected=f"{channel.NOTHING} with HTTP 200", actual=actual)


@check("6.2-c", "channel_topics", "POP_DOES_NOT_WAIT")
def pop_waits_for_a_message(story: Story) -> Iterator[Finding]:
    """A pop of an empty topic waits as long as it was told to."""
    elapsed = story.step("nothing").exchange.elapsed_ms
    if story.step("nothing").get("/code") == channel.NOTHING and elapsed < WAIT_MS * 0.8:
        code = "POP_DOES_NOT_WAIT"
        yield expect.finding(code, story.step("nothing"), expected=f"{WAIT_MS} ms", actual=f"{elapsed:.0f} ms")


@check("6.2-c", "channel_topics", "POP_WAITS_TOO_LONG")
def pop_ends_within_its_time(story: Story) -> Iterator[Finding]:
    """A pop of an empty topic comes back when its time is over."""
    elapsed = story.step("nothing").exchange.elapsed_ms
    if elapsed > WAIT_MS + SLACK_MS:
        code = "POP_WAITS_TOO_LONG"
        yield expect.finding(code, story.step("nothing"), expected=f"{WAIT_MS} ms", actual=f"{elapsed:.0f} ms")


@check("6.2-c", "channel_topics", "TOPICS_MIXED")
def message_stays_in_its_topic(story: Story) -> Iterator[Finding]:
    """A message of one topic is seen in no other."""
    if story.step("send-a").reading.accepted:
        for name in ("peek-b", "pop-b"):
            yield from channels.nothing(story, name, "TOPICS_MIXED")


@check("6.2-c", "channel_topics", "SESSIONS_MIXED")
def message_stays_in_its_session(story: Story) -> Iterator[Finding]:
    """The same topic of another job's session does not show it."""
    if story.step("send-a").reading.accepted:
        yield from channels.nothing(story, "pop-second", "SESSIONS_MIXED")


@check("6.2-c", "channel_topics", "PEEK_SHOWS_NOTHING")
def peek_shows_the_oldest_message(story: Story) -> Iterator[Finding]:
    """A peek shows what waits."""
    for name in ("pop-b", "pop-second"):
        if story.step(name).reading.accepted:
            raise NoTwin(name)
    if story.step("send-a").reading.accepted:
        yield from channels.delivers(story, "peek-a", "of a", "PEEK_SHOWS_NOTHING")


@check("6.2-c", "channel_topics", "PEEK_CONSUMES")
def peek_takes_nothing(story: Story) -> Iterator[Finding]:
    """What was peeked at is there for another peek and for a pop."""
    if story.step("peek-a").reading.accepted:
        for name in ("peek-a-again", "pop-a"):
            yield from channels.delivers(story, name, "of a", "PEEK_CONSUMES")


@check("6.2-c", "channel_topics", "POP_REPEATS")
def pop_takes_the_message(story: Story) -> Iterator[Finding]:
    """What was popped is gone."""
    if story.step("pop-a").reading.accepted:
        yield from channels.nothing(story, "pop-a-again", "POP_REPEATS")


@check("6.2-c", "channel_topics", "RELEASE_IGNORED")
def release_drops_what_waits(story: Story) -> Iterator[Finding]:
    """A released topic is empty."""
    if (yield from calls.done(story, "release-c", code="RELEASE_IGNORED")):
        step = story.step("pop-c")
        if step.get("/payload") == "dropped":
            yield expect.finding("RELEASE_IGNORED", step, pointer="/payload", expected="nothing", actual="dropped")


@check("6.2-c", "channel_topics", "RELEASE_DROPS_OTHERS")
def release_leaves_other_topics(story: Story) -> Iterator[Finding]:
    """What waits in another topic is still there."""
    if story.step("pop-c").reading.accepted:
        raise NoTwin("pop-c")
    if story.step("send-a-1").reading.accepted:
        yield from channels.delivers(story, "pop-a-kept", "one", "RELEASE_DROPS_OTHERS")


@check("6.2-c", "channel_topics", "RELEASE_ENDS_TOPIC")
def topic_goes_on_after_a_release(story: Story) -> Iterator[Finding]:
    """The next message of a released topic is delivered."""
    if story.step("release-c").reading.accepted:
        yield from expect.accepted(story, "send-c-2", "RELEASE_ENDS_TOPIC")
        yield from channels.delivers(story, "pop-c-after", "two", "RELEASE_ENDS_TOPIC")


# --- the end --------------------------------------------------------------------------------------------------------


@check("6.2-c", "channel_end", "LATE_MESSAGE_TAKEN")
def session_ends_with_its_job(story: Story) -> Iterator[Finding]:
    """Some time after a job has ended its session takes and gives nothing any more."""
    for name, twin in (("late", "in-time"), ("pop-late", "in-time:peeked")):
        yield from expect.refused(story, name, "LATE_MESSAGE_TAKEN", "SESSION_NOT_FOUND", twin=twin)


# --- what the target sends ------------------------------------------------------------------------------------------


@check("6.2-c", "channel_outbound", "OUTBOUND_MESSAGE_LOST")
def message_is_sent_until_it_is_taken(story: Story) -> Iterator[Finding]:
    """Every message that the component pushed reaches a partner that failed and was full at first."""
    code, names = "OUTBOUND_MESSAGE_LOST", [f"push-{number}" for number in (1, 2, 3)]
    if (yield from calls.done(story, "first", *names, "push-other", code=code)):
        found = {message["payload"] for step, message in channels.outbound(story) if channels.took(step)}
        for payload in [*ORDER, "of another topic"]:
            if payload not in found:
                yield Finding(code, expected=payload, actual=sorted(found))


@check("6.2-c", "channel_outbound", "OUTBOUND_TOPIC_WRONG")
def message_is_sent_under_its_topic(story: Story) -> Iterator[Finding]:
    """Every message arrives under the topic that the component pushed it to."""
    for step, message in channels.outbound(story):
        wanted = "other" if message["payload"] == "of another topic" else "out"
        if message["topic"] != wanted:
            yield expect.finding("OUTBOUND_TOPIC_WRONG", step, expected=wanted, actual=message["topic"])


@check("6.2-c", "channel_outbound", "OUTBOUND_NUMBERS_WRONG")
def message_keeps_its_number(story: Story) -> Iterator[Finding]:
    """Messages are numbered from 0 in their topic, and one that is sent again has the number that it had."""
    wanted = {**{payload: number for number, payload in enumerate(ORDER)}, "of another topic": 0}
    for step, message in channels.outbound(story):
        number = wanted.get(message["payload"])
        if message["sequence"] != number:
            yield expect.finding("OUTBOUND_NUMBERS_WRONG", step, expected=number, actual=message["sequence"])


@check("6.2-c", "channel_outbound", "OUTBOUND_MESSAGE_REPEATED")
def message_that_was_taken_is_not_sent_again(story: Story) -> Iterator[Finding]:
    """Once the partner has taken a message it is not bothered with it again."""
    found = [
        (message["topic"], message["payload"]) for step, message in channels.outbound(story) if channels.took(step)
    ]
    if len(set(found)) < len(found):
        yield Finding("OUTBOUND_MESSAGE_REPEATED", expected=sorted(set(found)), actual=sorted(found))


@check("6.2-c", "channel_outbound", "OUTBOUND_SESSION_WRONG")
def message_names_its_session_and_shows_its_token(story: Story) -> Iterator[Finding]:
    """Every call names the session of the job, with the token that the nodes of the job share."""
    for step, _ in channels.outbound(story):
        for pointer, wanted in (("/session_id", story.fact("one:session")), ("/token", story.fact("one:token"))):
            if step.got(pointer) != wanted:
                code, actual = "OUTBOUND_SESSION_WRONG", step.got(pointer)
                yield expect.finding(code, step, pointer=pointer, expected=wanted, actual=actual)


@check("6.2-c", "channel_own_job", "OWN_TOKEN_NOT_SHOWN")
def message_of_an_own_job_shows_the_token_that_was_told(story: Story) -> Iterator[Finding]:
    """The token that the partner was told with the job is the one that messages show."""
    for slug in ("one", "two"):
        came(story, f"{slug}:came")
        wanted = story.step(f"{slug}:told").got("/session_token")
        yield from expect.carried(story, f"{slug}:came", "/token", wanted, "OWN_TOKEN_NOT_SHOWN")


@check("6.2-c", "channel_own_job", "OWN_TOKEN_REFUSED")
def message_under_the_token_that_was_told_is_taken(story: Story) -> Iterator[Finding]:
    """The partner sends to the session of the target's job with the token that it was told."""
    for slug in ("one", "two"):
        if (yield from calls.done(story, f"{slug}:invoke", code="OWN_TOKEN_REFUSED")):
            yield from channels.delivers(story, f"{slug}:popped", TEXT, "OWN_TOKEN_REFUSED")


@check("6.2-c", "channel_own_job", "SESSION_TOKEN_REPEATS")
def session_token_is_drawn_for_each_job(story: Story) -> Iterator[Finding]:
    """Two jobs have different tokens, so that what one party learns in one does not open the other."""
    one, two = (story.step(f"{slug}:told") for slug in ("one", "two"))
    if one.got("/session_token") == two.got("/session_token"):
        code = "SESSION_TOKEN_REPEATS"
        yield expect.finding(code, one, two, pointer="/session_token", expected="two tokens", actual="one token")
