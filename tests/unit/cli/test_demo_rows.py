"""Whether a row of `pacsnode demo` is as its truth demands, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from node.cli.demo import seen
from node.cli.demo.studies import MORNING, DemoStudy, write_rules
from node.config.loading import load
from node.ledger.decisions import DecisionOutcome, StoredDecision
from node.reading.report import ReadCode, ReadFinding, ReadMeasurement, ReadReport, ReadSite

CHEST, CONTRAST, PHANTOM, BREASTS = MORNING[0], MORNING[2], MORNING[5], MORNING[6]
UNIT = ReadCode("%", "UCUM", "percent")


def decided(matched: str = "") -> list[StoredDecision]:
    """A decision of the first rule, and of the one that matched."""
    rules = dict.fromkeys(["emphysema", *filter(None, [matched])])
    return [
        StoredDecision(
            number, "1.2", 1, 0, rule, "digest",
            DecisionOutcome.MATCHED if rule == matched else DecisionOutcome.NOT_MATCHED, trace(rule, rule == matched),
            datetime(2026, 1, 1, tzinfo=UTC),
        )
        for number, rule in enumerate(rules)
    ]  # fmt: skip


def trace(rule: str, holds: bool) -> Mapping[str, Any]:
    modality = {"clause": "Modality: CT", "passed": True, "why": "CT in all 4 instances"}
    agent = {"clause": "ContrastBolusAgent: {present: false}", "passed": holds, "why": "Iohexol in all 4 instances"}
    when = {"clause": "all", "passed": holds, "why": "1 of 2 hold", "parts": [modality, agent]}
    return {"rule": rule, "matched": holds, "why": "when holds", "near_miss": None if holds else "x", "when": when}


def finding(code: str, side: str, *, present: bool | None = None, **numbers: float) -> ReadFinding:
    """One group of a report."""
    site = ReadSite(ReadCode("1", "SCT", "Somewhere"), ReadCode("2", "SCT", side)) if side else None
    measured = tuple(
        ReadMeasurement(ReadCode(name, "99T", name), value, UNIT, None, None, None, None, "", "")
        for name, value in numbers.items()
    )
    code_of = ReadCode(code, "99T", code)
    return ReadFinding(code_of, present, site, code, "", "", (), measured, (), (), "", (), ())


def report(*findings: ReadFinding, summary: str = "One. Two. Three.") -> ReadReport:
    """As it was read back."""
    return ReadReport("Report", "1", "1.2", "", "", False, "", summary, None, findings, (), ())


def lungs(right: float = 17.7, left: float = 5.9) -> ReadReport:
    return report(finding("LD", "Right", LAA950=right), finding("LD", "Left", LAA950=left))


def breasts(**present: bool) -> ReadReport:
    told = {"Left": True, "Right": False, **present}
    found = [finding("BREAST_WITH_MASS", side, present=value) for side, value in told.items()]
    return report(*found, finding("4147007", "Left", present=True))


ALL = {"sr": 1, "sc": 4, "seg": 1, "ko": 1}
AS_IT_SHOULD: dict[str, tuple[DemoStudy, str, dict[str, int], ReadReport | None]] = {
    "measured": (CHEST, "emphysema", ALL, lungs()),
    "no rule": (CONTRAST, "", {}, None),
    "drifted": (
        PHANTOM,
        "scanner-check",
        {"sr": 1, "sc": 4, "ko": 1},
        report(finding("Q", "", CT_QA_WATER=6.9), summary="Water. OUT OF LIMITS: 6.9."),
    ),
    "a mass": (BREASTS, "breast-masses", {"sr": 1, "sc": 4}, breasts()),
}
WRONG: dict[str, tuple[DemoStudy, str, dict[str, int], ReadReport | None, str]] = {
    "sides exchanged": (CHEST, "emphysema", ALL, lungs(5.9, 17.7), "LAA950 Right: the report says 5.9; true is 18"),
    "a number is missing": (CHEST, "emphysema", ALL, report(), "LAA950 Left: the report says nothing; true is 6"),
    "no segmentation": (CHEST, "emphysema", {"sr": 1, "sc": 4, "ko": 1}, lungs(), "the PACS got 1 report, 4 pages"),
    "nothing came": (CHEST, "emphysema", {}, None, "the PACS got nothing"),
    "no rule took it": (CHEST, "", ALL, lungs(), "rules that matched: none; expected emphysema"),
    "a rule took contrast": (CONTRAST, "emphysema", ALL, lungs(), "rules that matched: emphysema; expected none"),
    "something came of nothing": (CONTRAST, "", {"sr": 1}, report(), "the PACS got 1 report; expected nothing"),
    "within limits": (
        PHANTOM,
        "scanner-check",
        {"sr": 1, "sc": 4, "ko": 1},
        report(finding("Q", "", CT_QA_WATER=0.3), summary="Within all limits."),
        "the report does not say 'OUT OF LIMITS'",
    ),
    "the other breast": (
        BREASTS,
        "breast-masses",
        {"sr": 1, "sc": 4},
        breasts(Left=False, Right=True),
        "BREAST_WITH_MASS Left: has to be present, and is not",
    ),
}


@pytest.mark.parametrize("name", AS_IT_SHOULD)
def test_a_row_as_its_truth_demands_has_no_problem(name: str) -> None:
    """Rules, kinds of object, numbers by side and words are all as they have to be."""
    study, rule, kinds, read = AS_IT_SHOULD[name]
    assert list(seen.judge(study, decided(rule), kinds, read)) == []


@pytest.mark.parametrize("name", WRONG)
def test_a_row_that_is_wrong_says_what_is(name: str) -> None:
    """Each thing that may be wrong is found, and named with what was found and what is true."""
    study, rule, kinds, read, words = WRONG[name]
    assert words in "\n".join(seen.judge(study, decided(rule), kinds, read))


def test_decisions_are_told_in_the_words_of_explain() -> None:
    """What matched with the clause that made it; of what did not, the clause that failed."""
    assert seen.in_words(decided("emphysema")) == (
        "emphysema matched: ContrastBolusAgent: {present: false} – Iohexol in all 4 instances"
    )
    assert seen.in_words(decided()) == (
        "no rule; emphysema not matched: ContrastBolusAgent: {present: false} – Iohexol in all 4 instances"
    )


def test_every_study_has_a_patient_of_its_own_and_the_rules_are_valid(tmp_path: Path) -> None:
    """No two share patient, accession number or UID; each rule that a study is for is in the configuration."""
    assert len({study.order for study in MORNING}) == len({study.accession for study in MORNING}) == 8
    config = tmp_path / "config.yaml"
    rules = write_rules(tmp_path)
    config.write_text(
        "node: {time_zone: UTC, accept: any}\n"
        "destinations: {pacs: {ae_title: PACS, host: 127.0.0.1, port: 104}}\n" + rules
    )
    known = {rule.name for rule in load(config).rules}
    assert {study.rule for study in MORNING if study.rule} == known
