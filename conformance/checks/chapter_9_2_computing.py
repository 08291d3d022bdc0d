"""What leaves the target while it computes with a partner, what it takes from one, what comes out (9.2-c, 9.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.harness import canary, channel, expect
from conformance.harness.ptp import NoMessage
from conformance.harness.records import Direction, Exchange, Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Story

PLAIN = "computing_plaintext"
_ENC, _DUAL, _SHARE = "enc", "dual.enc", "sharing.share"
_UPPER = 48  # bits that all are alike in a share only where a number shines through


def _sound(story: Story, *names: str) -> None:
    """End the check unless these tasks succeeded: of a run that broke off nothing is said."""
    for name in names:
        if story.fact(name)["status"] != "SUCCESS":
            raise NoTwin(name)


def _texts(story: Story) -> Mapping[str, str]:
    """Return the identifiers and values of the target's table by name."""
    held, values = story.fact("held"), story.fact("values")
    return {f"{kind}-{at}": text for kind, rows in (("id", held), ("kwh", values)) for at, text in enumerate(rows)}


def _left(exchange: Exchange) -> bytes:
    """Return what left the target for another node in an exchange, messages put together."""
    if exchange.direction is not Direction.TO_PARTNER:
        return b"" if exchange.answer is None or not exchange.partner else exchange.answer.body
    request = exchange.request
    query = "&".join("=".join(pair) for pair in request.query)
    parts = [request.path.encode(), query.encode(), request.body]
    if exchange.operation in channel.OPERATIONS:
        try:
            parts += [payload for _, _, payload in channel.payloads(exchange.operation, request)]
        except NoMessage:
            parts.append(b"")
    return canary.text_of(request.headers, *parts)


def _told(story: Story, code: str, *, digested: bool) -> Iterator[Finding]:
    texts = _texts(story)
    for exchange in story.transcript.exchanges:
        hits = [hit for hit in canary.search(_left(exchange), texts) if hit.digested is digested]
        if hits:
            words = ", ".join(f"{hit.canary} as {hit.form}" for hit in hits[:5])
            yield Finding(code, "", "nothing of it", f"{len(hits)} found: {words}", (exchange.id,))


@check("9.2-c-1", PLAIN, "PLAINTEXT_TOLD")
def no_plaintext_leaves_while_an_algorithm_runs(story: Story) -> Iterator[Finding]:
    """No identifier and no value of the table is in anything that leaves for another node, in any encoding."""
    _sound(story, "join", "total")
    yield from _told(story, "PLAINTEXT_TOLD", digested=False)


@check("9.2-c-1", PLAIN, "PLAINTEXT_TOLD_AS_DIGEST")
def no_bare_digest_of_plaintext_leaves(story: Story) -> Iterator[Finding]:
    """No digest of an identifier or a value leaves that anybody can compute who guesses it."""
    _sound(story, "join", "total")
    yield from _told(story, "PLAINTEXT_TOLD_AS_DIGEST", digested=True)


@check("9.2-c-1", PLAIN, "MASK_REPEATED")
def items_are_masked_anew_in_every_run(story: Story) -> Iterator[Finding]:
    """No point of one run comes again in another over the same table: nobody can follow an item from run to run."""
    _sound(story, "join", "again")
    again = set(story.fact("join:points")) & set(story.fact("again:points"))
    if again:
        told = f"{len(again)} points of {len(story.fact('join:points'))}"
        yield Finding("MASK_REPEATED", "", "a fresh secret for each run", told)


@check("9.2-c-1", PLAIN, "ORDER_TOLD")
def items_are_sent_in_an_order_that_tells_nothing(story: Story) -> Iterator[Finding]:
    """Where the other side recognises items, they come neither as in the table, nor sorted, nor twice in one order."""
    _sound(story, "join", "again")
    first, second = story.fact("join:order"), story.fact("again:order")
    if not first or not second:  # nothing was recognised, which is told elsewhere
        raise NoTwin("join")
    known = {"as in the table": story.fact("members"), "sorted": sorted(first), "as in the run before": second}
    for words, order in known.items():
        if first in (order, order[::-1]):
            yield Finding("ORDER_TOLD", "", "an order drawn at random for each run", words)


@check("9.2-c-1", PLAIN, "SHARE_IS_PLAIN")
def what_is_shared_is_not_the_plain_number(story: Story) -> Iterator[Finding]:
    """Every part of a share fills its ring: it is not the plain sum or count, nor a small number beside it."""
    _sound(story, "total", "twice")
    bits = story.fact("bits")
    for name in ("total", "twice"):
        upper = [int(text) >> (bits - _UPPER) for text in story.fact(f"{name}:share")]
        if any(part in (0, (1 << _UPPER) - 1) for part in upper):
            yield Finding("SHARE_IS_PLAIN", "", f"numbers of {bits} bits", story.fact(f"{name}:share"))


@check("9.2-c-1", PLAIN, "SHARE_REPEATED")
def shares_are_drawn_anew_in_every_run(story: Story) -> Iterator[Finding]:
    """Two sums over the same data have no share in common, nor have two numbers of one run."""
    _sound(story, "total", "twice")
    shares = [*story.fact("total:share"), *story.fact("twice:share")]
    if len(set(shares)) != len(shares):
        yield Finding("SHARE_REPEATED", "", "shares drawn at random", shares)


@check("9.2-c-1", PLAIN, "PLAINTEXT_LOGGED")
def no_plaintext_is_in_the_log_of_a_task(story: Story) -> Iterator[Finding]:
    """The log of a task shows no identifier and no value, in any encoding and not as a digest."""
    _sound(story, "join", "total")
    for name in story.fact("tasks"):
        step = story.step(f"log:{name}")
        lines = json.dumps(step.get("/lines"), ensure_ascii=False, default=str).encode()
        for hit in canary.search(lines, _texts(story)):
            yield expect.finding("PLAINTEXT_LOGGED", step, expected="nothing of it", actual=f"{hit.canary}, {hit.form}")
            break


@check("9.2-d-3", PLAIN, "PLAINTEXT_IN_EVIDENCE")
def no_plaintext_is_in_the_evidence_of_a_job(story: Story) -> Iterator[Finding]:
    """Nothing that an auditor views, exports or restores of a job shows an identifier or a value, nor a bare digest."""
    _sound(story, "join", "total")
    for name in ("evidence", "export", "restored"):
        step = story.step(name)
        body = step.exchange.answer.body if step.exchange.answer else b""
        for hit in canary.search(body, _texts(story)):
            words = f"{hit.canary}, {hit.form}"
            yield expect.finding("PLAINTEXT_IN_EVIDENCE", step, expected="nothing of it", actual=words)
            break


@check("9.2-d", PLAIN, "DATA_OF_TASK_WITHOUT_EVIDENCE")
def data_that_a_task_has_used_is_on_record(story: Story) -> Iterator[Finding]:
    """What an auditor restores of a task names the digest of the file that it was given."""
    _sound(story, "join")
    step, task_id = story.step("restored"), story.fact("tasks")["join"]
    rows = step.get("/records")
    contents = [row.get("content") for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    said = [json.dumps(item).lower() for item in contents if isinstance(item, Mapping)]
    if not any(task_id.lower() in text and digest in text for text in said for digest in story.fact("digests")):
        wanted = " or ".join(story.fact("digests"))
        yield expect.finding("DATA_OF_TASK_WITHOUT_EVIDENCE", step, expected=wanted, actual="no such digest")


@check("9.2-e-2", PLAIN, "COMPUTED_DATA_STORED_IN_CLEAR")
def what_was_computed_is_not_stored_in_clear(story: Story) -> Iterator[Finding]:
    """Once tasks have ended, no file of the target's own holds an identifier or a value of their tables or results."""
    _sound(story, "join", "total")
    for row in story.fact("searched")["found"]:
        words = f"{row['canary']} as {row['form']} in {row['name']}"
        yield Finding("COMPUTED_DATA_STORED_IN_CLEAR", "", "nothing of it", words)


@check("9.4-b", PLAIN, "INTERSECTION_WRONG")
def intersection_equals_the_plaintext_one(story: Story) -> Iterator[Finding]:
    """What the other side finds with the target's messages is the plaintext intersection, in every run."""
    _sound(story, "join", "again")
    wanted = sorted(story.fact("members"))
    for name in ("join", "again"):
        if story.fact(f"{name}:found") != wanted:
            told = f"{len(story.fact(f'{name}:found'))} of {len(wanted)} identifiers"
            yield Finding("INTERSECTION_WRONG", "", "the plaintext intersection", told)


@check("9.4-b", PLAIN, "RESULT_OF_INTERSECTION_WRONG")
def result_of_an_intersection_is_the_plaintext_one(story: Story) -> Iterator[Finding]:
    """What the target itself has found is as many rows as the plaintext intersection: a sum over it counts them."""
    _sound(story, "total")
    opened, wanted = story.fact("total:opened"), story.fact("sum")
    if not opened or opened[1] != wanted[1]:
        yield Finding("RESULT_OF_INTERSECTION_WRONG", "", wanted, opened)


@check("9.4-a", PLAIN, "JOINT_SUM_WRONG")
def joint_sum_is_exact(story: Story) -> Iterator[Finding]:
    """The sum that is opened equals the one over the plaintext, to the last digit, in both runs."""
    _sound(story, "total", "twice")
    wanted = story.fact("sum")
    for name in ("total", "twice"):
        opened = story.fact(f"{name}:opened")
        if not opened or (opened[1] == wanted[1] and opened[0] != wanted[0]):
            yield Finding("JOINT_SUM_WRONG", "", wanted, opened)


@check("9.2-c-1", "computing_for_one_side", "RESULT_TOLD_TO_ALL")
def result_reaches_result_parties_only(story: Story) -> Iterator[Finding]:
    """Where only the target is to have the result, it sends nothing by which the other side could find it."""
    _sound(story, "sound")
    if _DUAL in story.fact("sound")["heard"]:
        yield Finding("RESULT_TOLD_TO_ALL", "", f"nothing on {_DUAL}", story.fact("sound")["heard"])


# --- 9.2-c-2 --------------------------------------------------------------------------------------------------------


def _ended(story: Story, name: str, code: str, *unsaid: str) -> Iterator[Finding]:
    """The task of a case has failed, and nothing was said that only a sound run may hear."""
    _sound(story, "sound")
    told: dict[str, Any] = story.fact(name)
    said = [tag for tag in unsaid if tag in told["heard"]]
    if told["status"] != "FAILED" or said:
        step = story.step(f"ended-{name}")
        actual = f"{told['status'] or 'unknown'}, sent {', '.join(told['heard']) or 'nothing'}"
        yield expect.finding(code, step, expected=f"FAILED, nothing on {' or '.join(unsaid)}", actual=actual)


@check("9.2-c-2", "computing_as_proposer", "WEAK_ANSWER_TAKEN")
def suite_that_was_not_offered_is_not_taken(story: Story) -> Iterator[Finding]:
    """An answer that chooses a weaker suite than any that was offered ends the run before any item leaves."""
    yield from _ended(story, "weak-answer", "WEAK_ANSWER_TAKEN", _ENC)


@check("9.2-c-2", "computing_as_proposer", "SHORT_TAGS_TAKEN")
def tags_that_are_too_short_are_not_taken(story: Story) -> Iterator[Finding]:
    """An answer with tags of 32 bits, by which items match by chance, ends the run before any item leaves."""
    yield from _ended(story, "short-tags", "SHORT_TAGS_TAKEN", _ENC)


@check("9.2-c-2", "computing_as_proposer", "CHANGED_HANDSHAKE_TAKEN")
def handshake_that_was_changed_on_the_way_is_not_taken(story: Story) -> Iterator[Finding]:
    """Where the other side confirms another transcript the run ends before any item leaves."""
    yield from _ended(story, "changed", "CHANGED_HANDSHAKE_TAKEN", _ENC)


@check("9.2-c-2", "computing_as_proposer", "OFF_CURVE_POINT_TAKEN")
def point_off_the_curve_is_not_masked(story: Story) -> Iterator[Finding]:
    """A batch with a point that is not on the SM2 curve ends the run, and nothing of it comes back."""
    yield from _ended(story, "off-curve", "OFF_CURVE_POINT_TAKEN", _DUAL)


@check("9.2-c-2", "computing_as_proposer", "FALSE_COUNT_TAKEN")
def batch_that_says_a_false_count_is_not_taken(story: Story) -> Iterator[Finding]:
    """A batch that says it has one value more than it has ends the run, and nothing of it comes back."""
    yield from _ended(story, "false-count", "FALSE_COUNT_TAKEN", _DUAL)


@check("9.2-c-2", "computing_as_chooser", "WEAK_OFFER_TAKEN")
def offer_of_weak_suites_alone_is_refused(story: Story) -> Iterator[Finding]:
    """A proposal of nothing but a suite that the protocol does not know is refused in the handshake."""
    yield from _ended(story, "weak-offer", "WEAK_OFFER_TAKEN", _ENC)
    if story.fact("weak-offer")["heard"] and not story.fact("weak-offer:error"):
        step = story.step("ended-weak-offer")
        yield expect.finding("WEAK_OFFER_TAKEN", step, expected="an error code in the handshake", actual="0")


@check("9.2-c-2", "computing_as_chooser", "SMALL_ORDER_POINT_TAKEN")
def point_of_small_order_is_not_masked(story: Story) -> Iterator[Finding]:
    """A batch with a point of small order, zero, or one that is not canonical ends the run; nothing comes back."""
    for name in ("small-order", "zero", "not-canonical"):
        yield from _ended(story, name, "SMALL_ORDER_POINT_TAKEN", _DUAL)


@check("9.2-c-2", "computing_as_chooser", "OVERRUN_TAKEN")
def more_items_than_announced_are_not_taken(story: Story) -> Iterator[Finding]:
    """A side that sends more items than it has announced gets nothing back."""
    yield from _ended(story, "overrun", "OVERRUN_TAKEN", _DUAL)


# --- 9.2-c ----------------------------------------------------------------------------------------------------------


@check("9.2-c", "computing_on_altered_data", "ALTERED_DATASET_LOADED")
def data_that_were_altered_are_not_loaded(story: Story) -> Iterator[Finding]:
    """A task on a file that is not what was registered fails, says why, and nothing of the data leaves."""
    _sound(story, "before")
    told, step = story.fact("after"), story.step("ended-after")
    if told["status"] != "FAILED" or _SHARE in told["heard"] or step.get("/end_reason") in (MISSING, None, ""):
        actual = f"{told['status']} {step.get('/end_reason')!r}"
        yield expect.finding("ALTERED_DATASET_LOADED", step, expected="FAILED with its reason", actual=actual)
