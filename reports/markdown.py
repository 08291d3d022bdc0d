"""The report as Markdown in one language: outcome, assurance, chapters, what needs attention, what is not covered.

Guarantee: nothing that the target sent acts as markup; it stands in code spans whose fence it cannot close.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from conformance.harness.records import Verdict
from conformance.harness.verdict import LEVELS
from reports import words
from reports.fold import Report, RequirementRow, tally
from reports.html import GLYPHS, fact_name, moment, scored_of, span
from reports.shown import shown
from specs import Text

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~&!])")


def escape(text: str) -> str:
    """Return a text on one line in which no character means anything to Markdown."""
    return _MARKUP.sub(r"\\\1", " ".join(shown(text).split()))


def code(text: str) -> str:
    """Return a text as a code span on one line."""
    line = " ".join(shown(text).split())
    if not line:
        return "–"
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


class _Writer:
    """Writes the parts in one language."""

    def __init__(self, report: Report, lang: str) -> None:
        self._report = report
        self._lang = lang

    def _in(self, text: Text) -> str:
        return str(getattr(text, self._lang))

    def _say(self, path: str) -> str:
        return self._in(words.label(path))

    def _verdict(self, verdict: Verdict) -> str:
        return f"{GLYPHS[verdict]} {self._say(f'verdict.{verdict.value}')}"

    def head(self) -> list[str]:
        """Title and, for a worthless recording, the warning before everything else."""
        report = self._report
        lines = [f"# {self._say('label.title')}", "", f"*{self._say('label.standard')}*", ""]
        if report.problem:
            detail = f" {code(report.detail)}" if report.detail else ""
            lines += [f"> **⛔ {self._say('label.void_banner')}** {self._in(report.problem)}{detail}", ""]
        if report.notes:
            lines += [f"> {self._say('label.problems')}", *(f"> - {escape(note)}" for note in report.notes), ""]
        if report.unknown:
            lines += [f"> {self._say('label.unknown_clauses')} {escape(', '.join(report.unknown))}", ""]
        return lines

    def outcomes(self) -> list[str]:
        """The outcome of each level and what it means."""
        lines = [f"## {self._say('label.outcome')}", ""]
        rows = []
        for level in LEVELS:
            outcome = self._report.outcomes[level].value
            word = f"**{self._say(f'outcome.{outcome}')}**"
            mark = f" ({self._say('label.judged')})" if level is self._report.judged_at else ""
            meaning = self._say(f"outcome_meaning.{outcome}")
            scored = self._in(scored_of(level, self._report))
            rows.append([self._say(f"level_long.{level.value}") + mark, word, meaning, scored])
        return lines + _table([self._say("label.at_level"), self._say("label.outcome"), "", ""], rows)

    def assurance(self) -> list[str]:
        """The assurance line."""
        parts = [
            f"{self._say(f'label.{name}')} {self._say('label.not_recorded') if number is None else number}"
            for name, number in self._report.assurance.items()
        ]
        return [f"**{self._say('label.assurance')}**: {' · '.join(parts)}", ""]

    def chapters(self) -> list[str]:
        """Verdicts by chapter."""
        verdicts = tuple(tally(self._report.rows))
        head = [self._say("label.chapter"), *(self._verdict(verdict) for verdict in verdicts), self._say("label.total")]
        rows = [
            [
                f"{chapter.id} {self._in(chapter.title)}",
                *(str(chapter.counts.get(verdict, "–")) for verdict in verdicts),
                str(len(chapter.rows)),
            ]
            for chapter in self._report.chapters
        ]
        return [f"## {self._say('label.chapters')}", "", *_table(head, rows)]

    def _one(self, row: RequirementRow) -> list[str]:
        level = self._say(f"level.{row.level.value}")
        demand = escape(self._in(row.requirement.demand))
        lines = [f"### {row.id} · {self._verdict(row.verdict)} · {level}", "", demand, ""]
        if row.reason:
            lines += [f"{self._say('label.reason')}: {escape(self._in(row.reason))}", ""]
        for item in row.findings:
            found = item.found
            waived = f" ({self._say('label.waived')})" if item.waived else ""
            lines += [
                f"- {escape(self._in(item.text))} {code(found.code)}{waived}",
                f"  - {self._say('label.hint')}: {escape(self._in(item.hint))}",
                f"  - {self._say('label.checks')}: {code(found.check)}",
                f"  - {self._say('label.pointer')}: {code(found.pointer)}",
                f"  - {self._say('label.expected')}: {code(words.value(found.expected))}",
                f"  - {self._say('label.actual')}: {code(words.value(found.actual))}",
                f"  - {self._say('label.exchanges')}: {', '.join(code(one) for one in found.exchanges) or '–'}",
                "",
            ]
        return lines

    def attention(self) -> list[str]:
        """Every clause that needs attention, with its findings."""
        lines = [f"## {self._say('label.attention')}", ""]
        if not self._report.intact:
            lines += [self._say("label.attention_void"), ""]
        if not self._report.attention:
            lines += [self._say("label.attention_none"), ""]
        return lines + [line for row in self._report.attention for line in self._one(row)]

    def gaps(self) -> list[str]:
        """What is not covered, and why."""
        title = [f"## {self._say('label.uncovered')}", ""]
        if not self._report.gaps:
            return [*title, self._say("label.uncovered_none"), ""]
        head = [self._say(f"label.{key}") for key in ("verdict", "reason", "count", "clause")]
        rows = [
            [
                self._verdict(gap.verdict),
                escape(self._in(gap.reason)),
                str(len(gap.rows)),
                ", ".join(row.id for row in gap.rows),
            ]
            for gap in self._report.gaps
        ]
        return title + _table(head, rows)

    def clauses(self) -> list[str]:
        """Every clause in one line."""
        head = [self._say(f"label.{key}") for key in ("clause", "level", "verdict", "demand", "checks", "findings")]
        rows = [
            [
                row.id,
                self._say(f"level.{row.level.value}"),
                self._verdict(row.verdict),
                escape(self._in(row.requirement.demand)),
                str(len(row.checks)),
                str(len(row.findings)),
            ]
            for row in self._report.rows
        ]
        return [f"## {self._say('label.clause')}", "", *_table(head, rows)]

    def load(self) -> list[str]:
        """What load campaigns came to, where there were any."""
        report = self._report
        if not report.loads:
            return []
        head = [self._say(f"load.{key}") for key in ("users", "per_second")] + ["p50 ms", "p95 ms", "p99 ms"]
        head += [self._say(f"load.{key}") for key in ("errors", "sampled_short", "findings", "gates")]
        rows = []
        for load in report.loads:
            total, codes = load.total, ", ".join(code(seen.finding.code) for seen in load.seen)
            figures = (total.per_second, total.p50, total.p95, total.p99)
            gates = self._say("load.holds" if load.met else "load.fails")
            numbers = (f"{one:.1f}" for one in figures)
            rows.append([str(load.users), *numbers, str(total.errors), str(load.sampled), codes or "–", gates])
        told = f"**{self._in(report.rate_told)}**"
        return [f"## {self._say('load.load')}", "", told, "", *_table(head, rows)]

    def facts(self) -> list[str]:
        """The recorded facts of target and run."""
        report = self._report
        facts = [
            [escape(self._in(fact_name(key))), code(value).replace("|", "\\|")] for key, value in report.facts.items()
        ]
        spans = [
            [self._say("label.started"), moment(report.started_ms) if report.started_ms else "–"],
            [self._say("label.duration"), span(report.duration_ms)],
            [self._say("label.scenarios"), str(len(report.scenarios))],
            [self._say("label.exchanges"), str(len(report.exchanges))],
        ]
        title = f"## {self._say('label.target_facts')} · {self._say('label.run_facts')}"
        return [title, "", *_table(["", ""], facts + spans)]


def render(report: Report, lang: str) -> str:
    """Return the report as Markdown in `lang` ("zh" or "en")."""
    writer = _Writer(report, lang)
    parts = (
        writer.head,
        writer.outcomes,
        writer.assurance,
        writer.chapters,
        writer.attention,
        writer.gaps,
        writer.load,
        writer.clauses,
        writer.facts,
    )
    text = "\n".join(line for part in parts for line in part())
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
