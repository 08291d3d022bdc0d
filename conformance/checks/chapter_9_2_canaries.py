"""Where planted secrets show: in answers, in calls to partners, in storage, in logs (9.2-e-2, 9.2-g).

A recording holds what was found in storage and logs, not these themselves. A storage that does not change while secrets
are planted is not the target's; then the scenario ends, for finding nothing there would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness import canary, expect
from conformance.harness.records import Direction, Exchange, Finding
from conformance.harness.registry import EVERY, check
from conformance.harness.story import Story

_STORAGE, _LOGS = "storage", "logs"


def _told(exchange: Exchange) -> bytes:
    """Return what the target says to another node in an exchange."""
    if exchange.direction is Direction.TO_PARTNER:
        request = exchange.request
        query = "&".join("=".join(pair) for pair in request.query)
        return canary.text_of(request.headers, request.path.encode(), query.encode(), request.body)
    answer = exchange.answer
    return canary.text_of(answer.headers, answer.body) if answer and exchange.partner else b""


def _shown(exchange: Exchange, code: str, secrets: dict[str, str]) -> Iterator[Finding]:
    for hit in canary.search(_told(exchange), secrets):
        yield Finding(code, "", "nothing of it", f"{hit.canary} as {hit.form}", (exchange.id,))


@check("9.2-g", "canaries_on_the_wire", "SOURCE_TOLD_TO_PARTNERS")
def place_of_a_dataset_is_told_to_no_partner(story: Story) -> Iterator[Finding]:
    """Where a dataset lies leaves the node in no message, in no form, not even as a digest."""
    planted = {name: text for name, text in story.fact("canaries").items() if name.endswith("-location")}
    if not story.step("use").reading.accepted:
        return
    for exchange in story.transcript.exchanges:
        yield from _shown(exchange, "SOURCE_TOLD_TO_PARTNERS", planted)


@check("9.2-g", "canaries_on_the_wire", "PERMIT_TOLD_TO_OTHERS")
def permit_is_told_to_its_holder_only(story: Story) -> Iterator[Finding]:
    """The token of a permit goes to the node it was issued to, and is in no answer to others and in no refusal."""
    holder = story.step("use").exchange.partner
    for exchange in story.transcript.exchanges:
        refused = exchange.answer is not None and exchange.answer.status >= 400
        if exchange.partner != holder or (refused and exchange.direction is Direction.TO_TARGET):
            yield from _shown(exchange, "PERMIT_TOLD_TO_OTHERS", {"permit": story.fact("token")})


@check("9.2-g", "canaries_on_the_wire", "REFUSAL_ECHOES_TOKEN")
def refusal_does_not_repeat_a_token(story: Story) -> Iterator[Finding]:
    """A refused token is not repeated in the refusal, which ends up in logs and tickets."""
    exchange = story.step("wrong-token").exchange
    body = exchange.answer.body if exchange.answer else b""
    for hit in canary.search(body, {"token": story.fact("canaries")["wrong-token"]}):
        yield Finding("REFUSAL_ECHOES_TOKEN", "", "nothing of it", f"the token as {hit.form}", (exchange.id,))


@check("9.2-g", EVERY, "OPERATOR_TOKEN_REVEALED")
def token_of_the_operator_is_revealed_nowhere(story: Story) -> Iterator[Finding]:
    """No answer and no call to a partner holds the operator's token in any form."""
    for exchange in story.transcript.exchanges:
        for problem in exchange.problems:
            if problem.startswith(canary.SHOWN):
                yield Finding("OPERATOR_TOKEN_REVEALED", "", "nothing of it", problem, (exchange.id,))


def _found(story: Story, place: str, *, digested: bool) -> Iterator[dict[str, Any]]:
    """Yield what was found in a place, as texts or as digests."""
    for row in story.fact("searched")["found"]:
        if row["place"] == place and canary.Hit(row["canary"], row["form"]).digested is digested:
            yield row


def _kept(story: Story, code: str, place: str, *, digested: bool, step: str = "use") -> Iterator[Finding]:
    for row in _found(story, place, digested=digested):
        words = f"{row['canary']} as {row['form']} in {row['name']}"
        yield expect.finding(code, story.step(step), expected="nothing of it", actual=words)


@check("9.2-e-2", "canaries_in_storage", "SECRET_STORED_IN_CLEAR")
def secret_is_not_stored_in_clear(story: Story) -> Iterator[Finding]:
    """Places of datasets, tokens of permits and parameters are in no file in clear, hexadecimal, base64 or UTF-16."""
    yield from _kept(story, "SECRET_STORED_IN_CLEAR", _STORAGE, digested=False)


@check("9.2-e-2", "canaries_in_outputs", "OUTPUT_STORED_IN_CLEAR")
def output_of_a_task_is_not_stored_in_clear(story: Story) -> Iterator[Finding]:
    """What a task has put out, and its operator is shown, is in no file in clear, hexadecimal, base64 or UTF-16."""
    yield from _kept(story, "OUTPUT_STORED_IN_CLEAR", _STORAGE, digested=False, step="report")


@check("9.2-e-2", "canaries_in_storage", "SECRET_STORED_UNSALTED")
def secret_is_not_stored_as_a_bare_digest(story: Story) -> Iterator[Finding]:
    """No file holds a secret as a digest that anybody can compute who guesses it."""
    yield from _kept(story, "SECRET_STORED_UNSALTED", _STORAGE, digested=True)


@check("9.2-e-2", "canaries_in_storage", "SECRET_LOGGED")
def secret_is_not_logged(story: Story) -> Iterator[Finding]:
    """The logs hold no place of a dataset and no token, shown or issued, in any form."""
    for digested in (False, True):
        yield from _kept(story, "SECRET_LOGGED", _LOGS, digested=digested)
