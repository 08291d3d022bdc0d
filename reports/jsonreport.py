"""The report as JSON, for machines: `specs/schemas/report-1.schema.json` is its contract.

Guarantees: the same run gives the same bytes; every text that has two languages is an object `{zh, en}`; a field never
changes its meaning within one `schema_version`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from conformance.harness.verdict import LEVELS
from reports.fold import CheckRow, FindingRow, Report, RequirementRow
from reports.load import Load
from reports.shown import shown
from specs import Text

SCHEMA_VERSION = 1


def finite(value: Any) -> Any:
    """Return a recorded value in which a number that JSON cannot hold is its name."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


def _text(text: Text | None) -> dict[str, str] | None:
    return {"zh": text.zh, "en": text.en} if text else None


def _check(check: CheckRow) -> dict[str, Any]:
    return {
        "check": check.check,
        "scenario": check.scenario,
        "verdict": check.verdict.value,
        "reason": _text(check.reason),
        "waived": list(check.waived),
        "findings": [item.found.code for item in check.findings],
    }


def _requirement(row: RequirementRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "level": row.level.value,
        "verified_by": row.requirement.verified_by.value,
        "verdict": row.verdict.value,
        "demand": _text(row.requirement.demand),
        "reason": _text(row.reason),
        "elapsed_ms": round(row.elapsed_ms, 3),
        "checks": [_check(check) for check in row.checks],
    }


def _finding(item: FindingRow) -> dict[str, Any]:
    return {**finite(item.found.to_json()), "waived": item.waived, "text": _text(item.text), "hint": _text(item.hint)}


def _load(load: Load) -> dict[str, Any]:
    total = load.total
    return {
        "campaign": load.campaign,
        "sm3": load.sm3,
        "started_ms": load.started_ms,
        "seconds": load.seconds,
        "users": load.users,
        "requests": total.requests,
        "errors": total.errors,
        "per_second": total.per_second,
        "p50": total.p50,
        "p95": total.p95,
        "p99": total.p99,
        "sampled": load.sampled,
        "findings": [seen.finding.code for seen in load.seen],
        "gates": {gate.name: gate.met for gate in load.gates},
        "met": load.met,
    }


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as a JSON object."""
    return {
        "schema_version": SCHEMA_VERSION,
        "intact": report.intact,
        "problem": _text(report.problem),
        "detail": report.detail,
        "outcome": {level.value: report.outcomes[level].value for level in LEVELS},
        "judged_at": report.judged_at.value,
        "levels": {
            level.value: {
                "clauses": sum(report.counts(level).values()),
                "counting": report.counting(level),
                "scored": report.scored(level),
                "verdicts": {verdict.value: count for verdict, count in report.counts(level).items()},
            }
            for level in LEVELS
        },
        "target": dict(report.target),
        "run": {
            "id": report.run_id,
            "started_ms": report.started_ms,
            "duration_ms": round(report.duration_ms, 3),
            "scenarios": len(report.scenarios),
            "exchanges": len(report.exchanges),
            "facts": dict(report.facts),
            "unknown_requirements": list(report.unknown),
            "problems": list(report.notes),
        },
        "requirements": [_requirement(row) for row in report.rows],
        "findings": [_finding(item) for row in report.rows for item in row.findings],
        "assurance": dict(report.assurance.items()),
        "load": {
            "conformant_per_second": report.conformant_rate,
            "campaigns": [_load(load) for load in report.loads],
        },
    }


def render(report: Report) -> str:
    """Return the report as JSON text."""
    text = shown(json.dumps(to_json(report), ensure_ascii=False, indent=2, allow_nan=False)) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # a lone surrogate becomes its own escape
