"""Reads an edition of the standard and says what it changes for the requirement rows.

The standard's text is not ours to ship, so a row carries only the SM3 fingerprint of its sentence. Whoever holds the
text as Markdown (headings with clause numbers, items led by their id in back-ticks) compares it with the rows:

>>> compare(Path("standard.md").read_text(encoding="utf-8")).changed        # doctest: +SKIP
('8.1.2-c',)

Every lettered or numbered item has the id printed in front of it (`8.1.2-c`, `9.2-e-2`). Sentences without one:

- the text of a clause that has neither items nor sub-clauses takes the bare clause number (`8.4.5`); a second paragraph
  takes the Latin word it defines (`8.3.1-dag`), or else its place (`8.3.1-p2`);
- words that introduce items or sub-clauses take the bare clause number, and count only where they demand, recommend or
  allow something (`5.1`, `7.1`, `9.2`); a mere introduction, as in 8.1.1, is no requirement;
- annex A goes by sentences: `A.2.2`, `A.2.2-s2` in a clause, `A.1.3-p3`, `A.1.3-p3-s2` in its part (3); a numbered
  entry of a list or of a table is `A.1.3-7`, any other table 1 is `A.1.2-t1`. Background and results (A.1.1, A.1.4),
  definitions, conclusions and references to a table are no requirements.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography.hazmat.primitives import hashes

from specs.rows import Requirement, SpecsError, load_requirements

# --- fingerprints -----------------------------------------------------------------------------------------------------

_PUNCTUATION = str.maketrans("。、“”„‘’《》【】〔〕—–‐‑−～", '.,"""\'\'<>[][]-----~')
_MARKER = re.compile(r"^(?:[-*+·•]+|`[^`]*`|\([0-9a-z]{1,2}\)|[0-9a-z]{1,2}\)|[0-9]{1,2}\.(?![0-9]))+")
_CLOSING = ".;,:"


def normalise(sentence: str) -> str:
    """Reduce a sentence to what it says: no list marker, id, white space or width and style of punctuation.

    The mark at its end goes too, since it changes when an item is added after it. Idempotent.
    """
    while True:
        compact = "".join(unicodedata.normalize("NFKC", sentence).translate(_PUNCTUATION).split())
        reduced = _MARKER.sub("", compact).replace("`", "").rstrip(_CLOSING)
        if reduced == sentence:
            return reduced
        sentence = reduced


def fingerprint(sentence: str) -> str:
    """Return the SM3 digest (GB/T 32905) of the normalised sentence in UTF-8, as 64 lower-case hex digits."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(normalise(sentence).encode())
    return digest.finalize().hex()


# --- from text to sentences -------------------------------------------------------------------------------------------

_HEADING = re.compile(r"^#{1,6}\s+(?:(?P<clause>[0-9]+(?:\.[0-9]+)*|A(?:\.[0-9]+)+)\s+)?(?P<title>.*)$")
_ITEM = re.compile(r"^\s*[-*]\s+`(?P<id>[^`]+)`\s*(?P<text>.+)$")
_CAPTION = re.compile(r"^图\s*[0-9]")
_TABLE = re.compile(r"^表\s*(?P<number>[0-9]+)")
_PART = re.compile(r"^[（(](?P<number>[0-9]+)[）)]")
_ENTRY = re.compile(r"^(?P<number>[0-9]+)[）)](?P<text>.+)$")
_SUBJECT = re.compile(r"^(?:其中[，,])?(?P<word>[A-Za-z]{2,})是")
_MODAL = re.compile(r"(?<![对响相供适效])应(?!用)|(?<![适便])宜|必须|需要|不得|建议|推荐|可(?=以|根据|由|按)")
_NO_DEMAND = re.compile(r"^(?:因此|下表|下图)|^(?:其中[，,])?[^，,]{2,12}是指")
_CHAPTERS = frozenset("56789A")
_NARRATIVE = ("业务背景", "应用成效")


@dataclass(slots=True)
class _Clause:
    """The lines under one heading, blank ones left out."""

    number: str
    lines: list[str] = field(default_factory=list)


def _clauses(markdown: str) -> list[_Clause]:
    """Split the text at its headings; keep chapters 5 to 9 and the use cases of annex A."""
    found: list[_Clause] = []
    current: _Clause | None = None
    for line in markdown.splitlines():
        heading = _HEADING.match(line)
        if heading:
            number, title = heading["clause"] or "", heading["title"]
            wanted = number.partition(".")[0] in _CHAPTERS
            current = _Clause(number) if wanted and not title.endswith(_NARRATIVE) else None
            if current:
                found.append(current)
        elif current and line.strip():
            current.lines.append(line.rstrip())
    return found


def _numbered(clause: _Clause) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a clause of chapters 5 to 9, before it is known which introductions count."""
    paragraphs = 0
    for line in clause.lines:
        item = _ITEM.match(line)
        if item:
            yield item["id"], item["text"]
        elif not _CAPTION.match(line):
            paragraphs += 1
            subject = _SUBJECT.match(line)
            suffix = f"-{subject['word'].lower()}" if subject else f"-p{paragraphs}"
            yield clause.number + (suffix if paragraphs > 1 else ""), line


def _chapter_sentences(clause: _Clause, numbers: list[str]) -> Iterator[tuple[str, str]]:
    rows = list(_numbered(clause))
    items = {key for key, _ in rows if re.fullmatch(r".+?-[a-z](?:-[0-9]+)?", key)}
    introduces = bool(items) or any(number.startswith(f"{clause.number}.") for number in numbers)
    for key, text in rows:
        if key in items or not introduces or _MODAL.search(text):
            yield key, text


def _table_sentences(clause: str, number: str, cells: list[str]) -> Iterator[tuple[str, str]]:
    """A table whose rows are numbered gives a sentence for each; any other gives one."""
    starts = [place for place, cell in enumerate(cells) if cell.isdecimal()]
    for start, end in pairwise([*starts, len(cells)]):
        yield f"{clause}-{cells[start]}", "：".join(cells[start + 1 : end])
    if cells and not starts:
        yield f"{clause}-t{number}", "，".join(cells)


def _annex_sentences(clause: _Clause) -> Iterator[tuple[str, str]]:
    prefix, count = clause.number, 0
    table, cells = "", list[str]()
    for line in [*clause.lines, ""]:
        if line.startswith("|"):
            cells += [cell.strip() for cell in line.strip("| ").split("|")]
            continue
        yield from _table_sentences(clause.number, table, cells)
        cells = []
        caption, part, entry = _TABLE.match(line), _PART.match(line), _ENTRY.match(line)
        if caption:
            table = caption["number"]
        elif part:
            prefix, count = f"{clause.number}-p{part['number']}", 0
        elif entry:
            yield f"{clause.number}-{entry['number']}", entry["text"]
        elif not _CAPTION.match(line):
            spoken = [sentence for sentence in line.split("。") if sentence]
            for place, sentence in enumerate(spoken, start=count + 1):
                if not _NO_DEMAND.match(sentence):
                    yield prefix + (f"-s{place}" if place > 1 else ""), sentence
            count += len(spoken)


def sentences(markdown: str) -> dict[str, str]:
    """Return the normative sentences of an edition by id, in document order.

    Raises SpecsError where an id stands twice and where the text holds no sentence at all.
    """
    clauses = _clauses(markdown)
    numbers = [clause.number for clause in clauses]
    found: dict[str, str] = {}
    for clause in clauses:
        annex = clause.number.startswith("A")
        for key, text in _annex_sentences(clause) if annex else _chapter_sentences(clause, numbers):
            if key in found:
                raise SpecsError(f"the standard's text: {key} stands twice")
            found[key] = text
    if not found:
        raise SpecsError("the standard's text: no clause of chapters 5 to 9 found", "headings look like '## 8 ...'")
    return found


# --- comparison -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an edition does to the requirement rows: ids in document order.

    `moved` pairs the id of a row with the id under which the very same sentence stands in the edition, as happens when
    an item is inserted; `added` and `removed` then speak of the sentences without a counterpart. A sentence that has
    two rows appears once, under its own id.
    """

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.changed or self.added or self.removed or self.moved)


def compare(standard_text: str, rows: Mapping[str, Requirement] | None = None) -> Comparison:
    """Compare the text of an edition (Markdown) with the rows, by default those that are shipped."""
    known = {row.sentence: row.fingerprint for row in (load_requirements() if rows is None else rows).values()}
    edition = {key: fingerprint(text) for key, text in sentences(standard_text).items()}
    left_old = {key: digest for key, digest in known.items() if edition.get(key) != digest}
    left_new = {key: digest for key, digest in edition.items() if known.get(key) != digest}
    homeless = {digest: key for key, digest in left_new.items()}
    moved = [(key, homeless.pop(digest)) for key, digest in left_old.items() if digest in homeless]
    gone, come = {old for old, _ in moved}, {new for _, new in moved}
    return Comparison(
        changed=tuple(key for key in left_old if key in left_new and key not in gone and key not in come),
        added=tuple(key for key in left_new if key not in come and (key not in left_old or key in gone)),
        removed=tuple(key for key in left_old if key not in gone and (key not in left_new or key in come)),
        moved=tuple(moved),
    )
