"""What an order to run carries, held against what this node's operator created or approved (5.2-f, 8.5.1, 8.5.5).

A scheduler orders when a component runs, never with what. Compared are the effective parameters of every party of the
job, for a parameter that changes at one party alone may send the result elsewhere. An order is within what was agreed
if it is within one of the agreements: the job as it was created, a configuration that was approved for it since, or
what the operator decided itself. What an agreement leaves open (`open_params`) may differ.

>>> job = {"initiator": {"role": "guest", "node_id": "a"}, "role": {"guest": ["a"], "host": ["b"]},
...        "job_params": {"common": {"open_params": {"sum": ["chunk"]}}},
...        "task_params": {"common": {"sum": {"result": "guest.0"}}}}
>>> stray([Agreement(job)], job, "sum", {"common": {"sum": {"chunk": 8, "result": "guest.0"}}}) is None
True
>>> stray([Agreement(job)], job, "sum", {"host": {"sum": {"result": "host.0"}}})
Stray(party=Party(role=<PartyRole.HOST: 'host'>, index=0, node_id='b'), component='sum', param='result')
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reference_node.domain import plan
from reference_node.domain.consent import difference, open_params, same

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Agreement:
    """A configuration that was agreed to, and the parameters that were given for a run besides."""

    config: Mapping[str, Any]
    further: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Stray:
    """The first parameter that goes beyond what was agreed, and for whom."""

    party: plan.Party
    component: str
    param: str


def stray(
    agreements: Iterable[Agreement],
    config: Mapping[str, Any],
    name: str,
    given: Mapping[str, Any] | None,
    parties: Iterable[plan.Party] | None = None,
) -> Stray | None:
    """Return what an order for a component changes beyond every agreement; None where one of them covers it.

    Looked at are the parameters of these parties, of all parties of the job where none are named.
    """
    looked_at = plan.parties(config) if parties is None else tuple(parties)
    first: Stray | None = None
    for agreement in agreements:
        found = _beyond(agreement, config, name, given, looked_at)
        if found is None:
            return None
        first = first or found
    return first


def same_but_tasks(agreed: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Tell whether two configurations differ at most in what tasks compute with."""
    nothing: dict[str, Any] = {"task_params": {}}
    return difference({**agreed, **nothing}, {**config, **nothing}) is None


def _beyond(
    agreement: Agreement,
    config: Mapping[str, Any],
    name: str,
    given: Mapping[str, Any] | None,
    parties: tuple[plan.Party, ...],
) -> Stray | None:
    allowed = open_params(agreement.config).get(name, frozenset())
    for party in parties:
        before = plan.task_params(agreement.config, [agreement.further], party, name)
        after = plan.task_params(config, [given], party, name)
        for param in sorted({*before, *after} - allowed):
            if not same(before.get(param, _ABSENT), after.get(param, _ABSENT)):
                return Stray(party, name, str(param))
    return None
