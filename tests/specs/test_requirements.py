"""The requirement rows and the comparison with an edition, without the standard's text, which is not shipped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.edition import Comparison, compare, fingerprint, normalise, sentences
from specs.rows import Level, Requirement, SpecsError, Verification, load_requirements, read_requirements

ROWS = load_requirements()
MODAL_ZH = {Level.SHALL: r"应|不得", Level.SHOULD: r"宜", Level.MAY: r"可以|可"}
NO_MODAL_ZH = r"响应|对应|相应|适应|供应|不宜|适宜|可用|许可|可见|不可"

EDITION = """\
# 标准
## 5 概述
### 5.2 参与方
逻辑角色包括：
- `5.2-a` 甲：发起任务，可兼任乙；
- `5.2-b` 乙：分发任务。
## 8 协议
### 8.3 流程互联协议
流程互联协议是应用基础协议。
#### 8.3.1 流程创建
发起方创建流程。
其中，DAG是描述依赖关系的语言。
#### 8.3.2 流程查询
流程查询约定了流程列表查询的技术要求。
- `8.3.2-a` 流程列表查询：支持列表；
- `8.3.2-b` 流程信息查询：支持列表。
## 9 要求
### 9.1 通信要求
应满足通信要求包括：
- `9.1-a` 机制：
  - `9.1-a-1` 应支持SM4（128bits）；
图1 通信
## 附录 A（资料性）用例
### A.1 监测
#### A.1.1 业务背景
背景不作要求。
#### A.1.2 数据准备
双方各自准备数据。产值是指货币总量。构建特征。
表1 维度
| 数据种类
| 企业名称
#### A.1.3 模型设计
（1）融合
先求交。因此得到交集。再建模。
表2 流程
| 步骤 | 描述
| 1
| 筛选
| 2
| 抽样
1）汇总分析；
"""
EDITION_IDS = [
    "5.2-a", "5.2-b", "8.3.1", "8.3.1-dag", "8.3.2-a", "8.3.2-b", "9.1", "9.1-a", "9.1-a-1",
    "A.1.2", "A.1.2-s3", "A.1.2-t1", "A.1.3-p1", "A.1.3-p1-s3", "A.1.3-1", "A.1.3-2",
]  # fmt: skip
ROW = """
[[requirement]]
id = "8.1.2-c"
level = "shall"
actor = "initiator"
verified_by = "test"
operations = ["contractCancel"]
fingerprint = "{digest}"
demand.zh = "应如此。"
demand.en = "It shall be so."
""".format(digest="0" * 64)


def edition_without_duplicate() -> str:
    """The edition above without its last line, which claims an id that a table row has."""
    return EDITION.removesuffix("1）汇总分析；\n")


def rows_of(text: str) -> dict[str, Requirement]:
    """Rows that answer to every sentence of an edition."""
    like = ROWS["8.1.2-c"]
    return {
        key: Requirement(key, like.demand, like.level, like.actor, like.verified_by, (), fingerprint(sentence))
        for key, sentence in sentences(text).items()
    }


def clause_key(row: Requirement) -> tuple[int, ...]:
    """The clause number as numbers, the annex last."""
    return tuple(99 if part == "A" else int(part) for part in row.clause.split("."))


def item_key(row: Requirement) -> tuple[object, ...]:
    """Where a row of chapters 5 to 9 belongs: clause, bare sentence, item, sub-item, then the weaker half."""
    _, *rest = row.sentence.split("-")
    letter = rest[0] if rest and len(rest[0]) == 1 else ""
    number = int(rest[1]) if len(rest) > 1 else 0
    return (*clause_key(row), -1, letter, number, "" if letter else "-".join(rest), row.id != row.sentence)


def test_every_lettered_item_of_chapters_5_to_9_has_a_row() -> None:
    """The standard prints 149 lettered or numbered items, and each has exactly one row of its own id."""
    items = [key for key in ROWS if re.fullmatch(r"[5-9](?:\.\d+)*-[a-z](?:-\d)?", key)]
    assert len(items) == 149


UNLETTERED = [
    "5.1", "6", "7.1", "7.2", "8.3.1", "8.3.1-dag", "8.3.4", "8.3.5", "8.4.5", "8.5.6", "8.6.1", "8.6.4", "8.7.1.1",
    "8.7.1.4", "9.1", "9.2", "9.3", "9.4", "A.1.2", "A.1.2-t1", "A.1.3-1", "A.1.3-9", "A.1.3-p3-s2", "A.1.3-p3-s5",
    "A.1.3-p3-s6", "A.2.3-1", "A.2.3-2", "A.2.3-3", "A.2.3-p3",
]  # fmt: skip


@pytest.mark.parametrize("key", UNLETTERED)
def test_sentences_without_a_letter_have_rows(key: str) -> None:
    """Normative sentences that the standard leaves unlettered are rows too."""
    assert ROWS[key].id == key


def test_rows_stand_in_document_order() -> None:
    """Rows come clause by clause, within a clause as the standard prints its items."""
    chapters = [row for row in ROWS.values() if row.clause[0] != "A"]
    assert [row.id for row in chapters] == [row.id for row in sorted(chapters, key=item_key)]
    annex = [clause_key(row) for row in ROWS.values() if row.clause[0] == "A"]
    assert annex == sorted(annex)
    assert list(ROWS)[-len(annex) :] == [key for key in ROWS if key.startswith("A")]


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.id)
def test_a_row_says_the_same_in_both_languages(row: Requirement) -> None:
    """Chinese and English are both there, each in its own script, each one sentence."""
    for text in filter(None, (row.demand, row.reason)):
        assert text.zh != text.en
        assert re.search(r"[一-鿿]", text.zh)
        assert text.en.isascii()
        assert text.zh.endswith("。")
        assert text.zh.count("。") == 1
        assert text.en.endswith(".")
        assert not re.search(r"\. [A-Z]", text.en)
        assert (text.zh, text.en) == (text.zh.strip(), text.en.strip())


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.id)
def test_the_words_carry_the_level(row: Requirement) -> None:
    """A shall is worded 应 and shall, a should 宜 and should, a may 可 and may; no other level is named."""
    assert re.search(MODAL_ZH[row.level], re.sub(NO_MODAL_ZH, "", row.demand.zh))
    assert set(re.findall(r"\b(?:shall|should|may)\b", row.demand.en)) == {row.level.value}


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.id)
def test_a_level_stands_only_where_it_is_allowed(row: Requirement) -> None:
    """Operations of chapter 8 are shall, annex A is may, and half a sentence says its level in its id."""
    if row.id != row.sentence:
        assert row.id == f"{row.sentence}-{row.level}"
        assert ROWS[row.sentence].level is Level.SHALL
    elif row.clause[0] in "68":
        assert row.level is Level.SHALL
    elif row.clause[0] == "A":
        assert row.level is Level.MAY


def test_only_what_cannot_be_tested_has_a_reason() -> None:
    """Every row that is inspected or declared says why; a tested row has nothing to excuse."""
    for row in ROWS.values():
        assert (row.reason is None) == (row.verified_by is Verification.TEST), row.id


def test_every_operation_of_chapter_8_is_tested_and_names_its_operations() -> None:
    """A row of chapter 8 can be driven: it is verified by test and lists at least one operation."""
    for row in ROWS.values():
        if row.clause[0] == "8":
            assert row.verified_by is Verification.TEST, row.id
            assert row.operations, row.id


def test_fingerprints_are_digests_and_tell_sentences_apart() -> None:
    """A fingerprint is 64 hex digits, and only the two halves of one sentence share it."""
    assert all(re.fullmatch(r"[0-9a-f]{64}", row.fingerprint) for row in ROWS.values())
    by_sentence = {row.sentence: row.fingerprint for row in ROWS.values()}
    assert len(set(by_sentence.values())) == len(by_sentence)
    assert all(row.fingerprint == by_sentence[row.sentence] for row in ROWS.values())


def test_a_weaker_half_names_the_clause_and_sentence_it_belongs_to() -> None:
    """`clause` and `sentence` are read off the id."""
    row = ROWS["9.2-g-should"]
    assert (row.clause, row.sentence, row.level) == ("9.2", "9.2-g", Level.SHOULD)
    assert (ROWS["9.2-e-2"].clause, ROWS["9.2-e-2"].sentence) == ("9.2", "9.2-e-2")


def test_fingerprint_is_sm3() -> None:
    """The digest of `abc` is the first example of GB/T 32905."""
    assert fingerprint("- abc。") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


# --- strict loading ---------------------------------------------------------------------------------------------------


def test_a_well_formed_file_loads(tmp_path: Path) -> None:
    """The row that the next test spoils is accepted as it stands."""
    (tmp_path / "8-1-node.toml").write_text(ROW, encoding="utf-8")
    rows = read_requirements(tmp_path)
    assert list(rows) == ["8.1.2-c"]
    assert rows["8.1.2-c"].operations == ("contractCancel",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("level =", "lvel =", r"8-1-node\.toml: 8\.1\.2-c: unknown key 'lvel' \(did you mean 'level'\?\)"),
        ('"shall"', '"shal"', r"8\.1\.2-c: 'shal' is no level \(did you mean 'shall'\?\)"),
        ('"initiator"', '"somebody"', r"8\.1\.2-c: 'somebody' is no actor \(known are node, "),
        ('"test"', '"inspection"', r"8\.1\.2-c: a reason belongs to the rows that are not tested"),
        ('actor = "initiator"\n', "", r"8\.1\.2-c: actor is missing"),
        ("demand.en", "demand.eng", r"8\.1\.2-c: demand: unknown key 'eng' \(did you mean 'en'\?\)"),
        ('"It shall be so."', '" "', r"8\.1\.2-c: demand\.en has no words"),
        ('demand.zh = "应如此。"\ndemand.en', "demand", r"8\.1\.2-c: demand is not a table"),
        ("00", "0g", r"8\.1\.2-c: the fingerprint is not 64"),
        ('["contractCancel"]', '"contractCancel"', r"8\.1\.2-c: operations is not a list"),
        ('["contractCancel"]', '["a", "a"]', r"8\.1\.2-c: an operation stands twice"),
        ('"8.1.2-c"', '"8.1.2 c"', r"8\.1\.2 c: this is no clause id"),
        ("[[requirement]]", "[[requirements]]", r"8-1-node\.toml: unknown key 'requirements'"),
        ("[[requirement]]", "[[requirement]", r"8-1-node\.toml: "),
        ('"8.1.2-c"', '"8.1.2-c-should"', r"8\.1\.2-c-should: it does not follow 8\.1\.2-c"),
    ],
)
def test_a_defect_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    """A file with one defect does not load, and the error names file, row and key."""
    assert old in ROW
    (tmp_path / "8-1-node.toml").write_text(ROW.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecsError, match=says):
        read_requirements(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: row, "this id stands twice"),
        (lambda row: row.replace("8.1.2-c", "8.1.2-c-should"), "the id and the level shall disagree"),
        (
            lambda row: row.replace("8.1.2-c", "8.1.2-c-should").replace("0" * 64, "1" * 64),
            "does not follow 8.1.2-c with the same fingerprint",
        ),
    ],
)
def test_rows_are_checked_against_earlier_ones(tmp_path: Path, change: Callable[[str], str], says: str) -> None:
    """An id stands once, and a weaker half follows its sentence, shares its fingerprint and has its own level."""
    (tmp_path / "8-1-node.toml").write_text(ROW + change(ROW), encoding="utf-8")
    with pytest.raises(SpecsError, match=says):
        read_requirements(tmp_path)


# --- comparison with an edition ---------------------------------------------------------------------------------------


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_normalise_is_idempotent(text: str) -> None:
    """Normalising twice is normalising once, whatever the text."""
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "variant",
    [
        "- `8.1.2-c` 节点签约，取消；",
        "a) 节点签约, 取消。",
        "（1）节点签约，取消",
        "1. 节点 签约，\u3000取消;",
        "  * 节点签约，取消：",
    ],
)
def test_normalise_sees_through_typography(variant: str) -> None:
    """Marker, id, white space, width and closing mark make no difference."""
    assert normalise(variant) == "节点签约,取消"


@pytest.mark.parametrize("other", ["节点签约，不取消", "节点签约取消", "9 节点签约，取消"])
def test_normalise_keeps_what_is_said(other: str) -> None:
    """Words, inner punctuation and figures do make a difference."""
    assert normalise(other) != normalise("节点签约，取消")


def test_sentences_get_the_documented_ids() -> None:
    """Items, bare clauses, definitions, introductions that demand, and the annex: each by its rule, in order."""
    assert list(sentences(edition_without_duplicate())) == EDITION_IDS


def test_an_id_that_stands_twice_is_refused() -> None:
    """Two sentences cannot claim one id."""
    with pytest.raises(SpecsError, match=r"A\.1\.3-1 stands twice"):
        sentences(EDITION)


def test_a_text_without_clauses_is_refused() -> None:
    """A file that is not the standard is an error rather than a list of removals."""
    with pytest.raises(SpecsError, match="no clause of chapters 5 to 9"):
        compare("# Something else\n\nHello.\n")


def test_the_same_edition_changes_nothing() -> None:
    """An edition compared with its own rows leaves nothing to do."""
    text = edition_without_duplicate()
    comparison = compare(text, rows_of(text))
    assert comparison == Comparison()
    assert not comparison


def test_halves_of_a_sentence_count_once() -> None:
    """A sentence with two rows is reported under its own id only."""
    text = edition_without_duplicate()
    rows = rows_of(text)
    whole = rows["9.1-a"]
    half = Requirement(
        "9.1-a-should", whole.demand, Level.SHOULD, whole.actor, whole.verified_by, (), whole.fingerprint
    )
    assert not compare(text, rows | {half.id: half})
    assert compare(text.replace("机制：", "体制：", 1), rows | {half.id: half}) == Comparison(changed=("9.1-a",))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("乙：分发任务", "乙：分发并撤回任务", Comparison(changed=("5.2-b",))),
        ("乙：分发任务。", "乙：分发任务；\n- `5.2-c` 丙：供数。", Comparison(added=("5.2-c",))),
        ("- `5.2-b` 乙：分发任务。\n", "", Comparison(removed=("5.2-b",))),
        (
            "- `5.2-b` 乙",
            "- `5.2-b` 丙：供数；\n- `5.2-c` 乙",
            Comparison(added=("5.2-b",), moved=(("5.2-b", "5.2-c"),)),
        ),
        (
            "- `5.2-a` 甲：发起任务，可兼任乙；\n- `5.2-b` 乙",
            "- `5.2-a` 乙",
            Comparison(removed=("5.2-a",), moved=(("5.2-b", "5.2-a"),)),
        ),
        ("逻辑角色包括：", "各方应互认，逻辑角色包括：", Comparison(added=("5.2",))),
        ("发起方创建流程。", "发起方或合作方创建流程。", Comparison(changed=("8.3.1",))),
        ("| 抽样", "| 分层抽样", Comparison(changed=("A.1.3-2",))),
        ("128bits）；", "128bits）。", Comparison()),
    ],
)
def test_an_edition_is_told_apart(old: str, new: str, expected: Comparison) -> None:
    """Changed, added, removed and renumbered sentences are each reported as what they are, typography not at all."""
    text = edition_without_duplicate()
    assert old in text
    assert compare(text.replace(old, new, 1), rows_of(text)) == expected


def test_the_shipped_rows_are_compared_by_default() -> None:
    """Against a scrap of text nearly every shipped row is gone, and what the scrap says anew is told."""
    comparison = compare("## 8 协议\n### 8.9 新协议\n应支持新协议。\n")
    assert comparison.added == ("8.9",)
    assert set(comparison.removed) == {row.sentence for row in ROWS.values()}
