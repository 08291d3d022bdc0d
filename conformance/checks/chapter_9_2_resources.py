"""Proofs of resources, and the strength that algorithms state (9.2-c, 9.2-c-2, 9.2-c-3)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect, proofs
from conformance.harness.keys import CredentialError, PublicKey
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Step, Story

WEAK = ("SECURITY_TOO_WEAK", "PARAMS_INVALID", "REQUEST_INVALID")
UNPROVEN = ("PROOF_INVALID", "PARTNER_ANSWER_INVALID", "DIGEST_MISMATCH", "SIGNATURE_INVALID")
GONE = ("RESOURCE_NOT_APPROVED", "DAG_FROZEN")

# --- 9.2-c-2 --------------------------------------------------------------------------------------------------------


@check("9.2-c-2", "component_statement", "COMPONENT_UNSTATED")
def component_that_states_no_security_is_refused(story: Story) -> Iterator[Finding]:
    """A component whose self-description states no security is not registered."""
    yield from expect.refused(story, "unstated", "COMPONENT_UNSTATED", *WEAK, twin="least")


@check("9.2-c-2", "component_statement", "COMPONENT_TOO_WEAK")
def component_under_112_bits_is_refused(story: Story) -> Iterator[Finding]:
    """A component of 111 bits is not registered, one of 112 bits is."""
    yield from expect.refused(story, "computational", "COMPONENT_TOO_WEAK", *WEAK, twin="least")


@check("9.2-c-2", "component_statement", "COMPONENT_GUESSABLE")
def component_under_30_statistical_bits_is_refused(story: Story) -> Iterator[Finding]:
    """A component of 29 statistical bits is not registered, one of 30 is."""
    yield from expect.refused(story, "statistical", "COMPONENT_GUESSABLE", *WEAK, twin="least")


@check("9.2-c-2", "component_statement", "COMPONENT_WITHOUT_MODEL")
def component_of_no_security_model_is_refused(story: Story) -> Iterator[Finding]:
    """A component has to hold at least against parties that are semi-honest."""
    yield from expect.refused(story, "no-model", "COMPONENT_WITHOUT_MODEL", *WEAK, twin="least")


@check("9.2-c-2", "component_statement", "COMPONENT_SILENT_OF_LEAKAGE")
def component_says_what_it_leaks(story: Story) -> Iterator[Finding]:
    """A component that does not say what a party learns beside its result is not registered."""
    yield from expect.refused(story, "silent", "COMPONENT_SILENT_OF_LEAKAGE", *WEAK, twin="least")


@check("9.2-c-2", "job_strength", "WEAK_JOB_TAKEN")
def job_that_offers_less_than_the_least_is_refused(story: Story) -> Iterator[Finding]:
    """A job offer by which a component may be weaker than the standard's least is refused."""
    for step in ("create-weak", "create-guessable"):
        yield from expect.refused(story, step, "WEAK_JOB_TAKEN", *WEAK, *GONE, twin="create-sound")


@check("9.2-c-2", "job_strength", "JOB_BEYOND_STATEMENT_TAKEN")
def job_that_demands_more_than_a_component_states_is_refused(story: Story) -> Iterator[Finding]:
    """A job offer that demands 256 bits of a component that states 128 is refused."""
    code = "JOB_BEYOND_STATEMENT_TAKEN"
    yield from expect.refused(story, "create-beyond", code, *WEAK, *GONE, twin="create-sound")


@check("9.2-c-2", "component_proof_taken", "WEAK_PARTNER_COMPONENT_TAKEN")
def weak_component_of_a_partner_is_not_taken(story: Story) -> Iterator[Finding]:
    """A partner's description that states 80 bits is refused, whoever has signed it."""
    code = "WEAK_PARTNER_COMPONENT_TAKEN"
    yield from expect.refused(story, "weak", code, *WEAK, "PARTNER_ANSWER_INVALID", twin="sound")


# --- 9.2-c proofs ---------------------------------------------------------------------------------------------------


@check("9.2-c", "component_proof", "COMPONENT_WITHOUT_PROOF", "COMPONENT_PROOF_WRONG")
def component_is_shown_with_a_proof_by_its_node(story: Story) -> Iterator[Finding]:
    """The description that a partner gets comes with a proof that holds under the key of the contract."""
    step = story.step("query")
    if not step.reading.accepted:
        raise NoTwin("query")
    proof, described = step.get("/proof"), step.get("")
    if proof is MISSING or not isinstance(described, dict):
        yield expect.finding("COMPONENT_WITHOUT_PROOF", step, pointer="/proof", expected="a proof", actual=proof)
        return
    named, digest = story.fact("component"), proofs.digest_of(described)
    wrong = _flaw(story, proof, "component", named, digest)
    if wrong:
        code = "COMPONENT_PROOF_WRONG"
        yield expect.finding(code, step, pointer="/proof", expected="a proof of the description", actual=wrong)


@check("9.2-c", "model_proof", "MODEL_WITHOUT_PROOF", "MODEL_PROOF_WRONG")
def model_is_offered_with_a_proof_by_its_owner(story: Story) -> Iterator[Finding]:
    """The offer of a model carries a proof of model and digest that holds under the key of the contract."""
    step = story.step("applied")
    proof = step.got("/proof")
    if proof is MISSING:
        yield expect.finding("MODEL_WITHOUT_PROOF", step, pointer="/proof", expected="a proof", actual=proof)
        return
    offered = story.fact("model")
    wrong = _flaw(story, proof, "model", offered["model_id"], f"sm3:{offered['digest']}")
    if wrong:
        yield expect.finding("MODEL_PROOF_WRONG", step, pointer="/proof", expected="a proof of the model", actual=wrong)


@check("9.2-c", "component_proof_taken", "FORGED_COMPONENT_TAKEN")
def component_with_a_forged_proof_is_not_taken(story: Story) -> Iterator[Finding]:
    """A description signed by another node, in whosoever's name, is refused."""
    for step in ("forged", "passed-on"):
        yield from expect.refused(story, step, "FORGED_COMPONENT_TAKEN", *UNPROVEN, twin="sound")


@check("9.2-c-3", "component_proof_taken", "ALTERED_COMPONENT_TAKEN")
def component_that_differs_from_its_proof_is_not_taken(story: Story) -> Iterator[Finding]:
    """A description that was changed after it was signed is refused."""
    yield from expect.refused(story, "altered", "ALTERED_COMPONENT_TAKEN", *UNPROVEN, twin="sound")


@check("9.2-c", "model_proof_taken", "FORGED_MODEL_TAKEN")
def model_with_a_forged_proof_is_not_taken(story: Story) -> Iterator[Finding]:
    """A model whose proof another node has signed is refused."""
    yield from expect.refused(story, "forged", "FORGED_MODEL_TAKEN", *UNPROVEN, twin="sound")


@check("9.2-c-3", "model_proof_taken", "ALTERED_MODEL_TAKEN")
def model_with_another_digest_than_its_proof_is_not_taken(story: Story) -> Iterator[Finding]:
    """A model whose digest is not the one that its owner signed is refused."""
    yield from expect.refused(story, "altered", "ALTERED_MODEL_TAKEN", *UNPROVEN, twin="sound")


def _flaw(story: Story, proof: object, kind: str, resource_id: str, digest: str) -> str:
    """Say what is wrong with a proof of the target's under the key that it registered with its contract."""
    told: Step = story.step("partner:confirmed")
    try:
        key = PublicKey.from_credential(told.got("/auth_type"), told.got("/auth_credential"))
    except CredentialError:
        raise NoTwin("partner:confirmed") from None
    return proofs.flaw(proof, key, kind, story.profile.target.node_id, resource_id, digest)
