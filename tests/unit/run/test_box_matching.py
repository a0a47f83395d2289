"""Whose answer an object of a box is: a table over a pure function."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.run.boxes.matching import MatchKind, SentAttempt, match
from node.run.boxes.reading import DicomHeader
from plugins.boxes import AnswerKind, kind_of

HEADER = DicomHeader("1.9.9", "1.2", "P", frozenset({"1.2.1.1"}))
OPEN = SentAttempt("open", True, False, "1.2", "P", "NODE", 1)
ENDED = replace(OPEN, attempt="ended", is_open=False)
CANCELLED = replace(ENDED, attempt="cancelled", is_cancelled=True)
LICENSED = replace(OPEN, attempt="licensed", calling_ae_title="CAD2")
OTHER = replace(OPEN, attempt="other", sent_study_uid="1.3")


@pytest.mark.parametrize(
    ("header", "referenced", "of_study", "kind", "attempt"),
    [
        (HEADER, [OPEN], [OPEN], MatchKind.ANSWER, "open"),
        (HEADER, [ENDED, OPEN], [ENDED, OPEN], MatchKind.ANSWER, "open"),
        (HEADER, [], [OPEN], MatchKind.ANSWER, "open"),
        (HEADER, [], [ENDED, OPEN], MatchKind.ANSWER, "open"),
        (HEADER, [ENDED], [ENDED], MatchKind.LATE, "ended"),
        (HEADER, [ENDED, LICENSED], [], MatchKind.LATE, "ended"),
        (HEADER, [CANCELLED], [CANCELLED], MatchKind.UNWANTED, "cancelled"),
        (HEADER, [], [], MatchKind.UNKNOWN, None),
        (HEADER, [OTHER], [OPEN], MatchKind.UNKNOWN, "other"),
        (HEADER, [OTHER, OPEN], [OPEN], MatchKind.ANSWER, "open"),
        (replace(HEADER, patient_id="Q"), [OPEN], [OPEN], MatchKind.UNKNOWN, "open"),
        (replace(HEADER, patient_id="P "), [OPEN], [OPEN], MatchKind.ANSWER, "open"),
        (replace(HEADER, patient_id=""), [OPEN], [OPEN], MatchKind.ANSWER, "open"),
        (HEADER, [OPEN, replace(OPEN, attempt="second")], [], MatchKind.UNKNOWN, None),
        (HEADER, [OPEN, replace(OPEN, attempt="second", referenced=9)], [], MatchKind.ANSWER, "second"),
        (HEADER, [OPEN, replace(OPEN, attempt="second", calling_ae_title="CAD2")], [], MatchKind.ANSWER, "open"),
    ],
)
def test_an_object_is_the_answer_of(
    header: DicomHeader,
    referenced: list[SentAttempt],
    of_study: list[SentAttempt],
    kind: MatchKind,
    attempt: str | None,
) -> None:
    """By reference, else by study; study and patient have to agree, and several candidates are told apart or not."""
    found = match(header, "NODE ", referenced, of_study)
    assert (found.kind, found.attempt) == (kind, attempt)
    assert bool(found.why) == (kind in (MatchKind.UNKNOWN, MatchKind.LATE))


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("88.11", AnswerKind.SR),
        ("88.34", AnswerKind.SR),
        ("88.59", AnswerKind.KO),
        ("7", AnswerKind.SC),
        ("7.4", AnswerKind.SC),
        ("77.1.1", AnswerKind.IMAGE),
        ("66.4", AnswerKind.SEG),
        ("66.7", AnswerKind.SEG),
        ("11.1", AnswerKind.PR),
        ("30", AnswerKind.PM),
        ("481.3", AnswerKind.RTSTRUCT),
        ("481.2", AnswerKind.IMAGE),
        ("104.1", AnswerKind.PDF),
        ("2", AnswerKind.IMAGE),
    ],
)
def test_the_kind_of_an_object(end: str, kind: AnswerKind) -> None:
    """By its SOP class (PS3.4 B.5)."""
    assert kind_of(f"1.2.840.10008.5.1.4.1.1.{end}") is kind
