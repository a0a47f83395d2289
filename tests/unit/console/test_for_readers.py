"""The page of a radiologist: what ran on one study, what it said, and a verdict on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.accounts.roles import Role
from node.ledger import assessments, events, studies, withdrawals
from node.ledger.job import Job
from node.ledger.withdrawals import WithdrawalStatus
from tests.support.console import ConsoleClient, text_of
from tests.support.console_sites import put_in_force
from tests.support.results import reports
from tests.support.sites.result_site import PACS, ResultSite

OPEN = "/reader?requestType=STUDY&accessionNumber=A1"
_GROUP = re.compile(r'name="finding" value="([^"]+)"')


class Room:
    """A study with a result for readers, one of mode shadow, one for a research archive, and one that is queued."""

    def __init__(self, folder: Path) -> None:
        self.site = ResultSite(
            folder, pacs={"kinds": ["sr"]}, archive={"kinds": ["sr"], "audience": "evaluation", "port": 11114}
        )
        self.shown = self.site.ended(reports.measured(), rule="lungs", destinations=("pacs",), asked="How dense?")
        self.shadow = self.site.ended(
            reports.no_findings(), rule="hush", mode="shadow", destinations=("archive",), inputs_digest="2"
        )
        self.research = self.site.ended(
            reports.no_findings(), rule="research", destinations=("archive",), inputs_digest="3"
        )
        self.site.results.run_once()
        self.queued = self.site.job(
            "heart", self.site.receipts, study=reports.STUDY_UID, rule="queue", inputs_digest="4"
        )
        evaluation = {**PACS, "audience": "evaluation"}
        self.in_force = put_in_force(self.site.folder, destinations={"pacs": PACS, "archive": evaluation})
        self.client = ConsoleClient(self.in_force, self.site.data_folder.data)

    def said(self, job: Job) -> list[tuple[str, str, str]]:
        """By whom, verdict and reason, in order."""
        rows = assessments.of_study(self.site.ledger.database, reports.STUDY_UID)
        return [(each.by, each.verdict.value, each.reason) for each in rows if each.job == job.id]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    made = Room(tmp_path_factory.mktemp("reading"))
    made.client.log_in(Role.READER)
    yield made
    made.site.results.close()


def test_the_page_says_what_the_report_says(room: Room) -> None:
    """With the marking that the report has, findings with side, numbers with unit, and what is not finished."""
    page = text_of(room.client.get(OPEN))
    for text in (
        "Investigational AI result",
        "Right",
        "How dense?",
        "Images complete at",
        "The analysis is not finished",
    ):
        assert text in page, text
    assert re.search(r"\d %", page)


def test_a_reader_never_learns_of_results_for_evaluation(room: Room) -> None:
    """Neither of mode shadow, nor of one that goes to a research archive alone; nor can a verdict be given on it."""
    page = room.client.get(OPEN).text
    assert room.shown.id in page
    for job in (room.shadow, room.research):
        assert job.id not in page
        answer = room.client.post("/reader/verdict", {"job": job.id, "verdict": "accept", "back": OPEN})
        assert answer.status_code == 303
        assert "readers have no such result" in text_of(room.client.get(OPEN))
        assert not room.said(job)
    assert "hush" not in page
    assert "research" not in page


def test_the_patient_is_shown_by_a_click_and_each_look_is_recorded_once(room: Room) -> None:
    """The Patient ID is not on the page before."""
    with room.site.ledger.transaction() as database:
        studies.described(
            database, reports.STUDY_UID, studies.Description("Kim^Minjun", "20260301", "", "Thorax", frozenset({"CT"}))
        )
    assert "Kim Minjun" not in text_of(room.client.get(OPEN))
    assert "Kim Minjun" in text_of(room.client.post("/reader/patient", {"study": reports.STUDY_UID}))
    assert "Kim Minjun" not in text_of(room.client.get(OPEN))
    found = [
        each for each in events.of_study(room.site.ledger.database, reports.STUDY_UID) if each.kind == "study.viewed"
    ]
    assert [each.actor for each in found] == ["user:reader"]


def test_a_verdict_is_kept_and_a_second_one_supersedes_it(room: Room) -> None:
    """The page shows both, with who and why; the same again adds nothing."""
    whole = {"job": room.shown.id, "finding": "", "back": OPEN}
    for _ in range(2):
        assert room.client.post("/reader/verdict", {**whole, "verdict": "accept"}).status_code == 303
    room.client.post("/reader/verdict", {**whole, "verdict": "reject", "reason": "wrong place", "words": "upper lobe"})
    assert room.said(room.shown) == [
        ("user:reader", "accept", ""),
        ("user:reader", "reject", "wrong place: upper lobe"),
    ]
    first, second = assessments.of_study(room.site.ledger.database, reports.STUDY_UID)
    assert (first.supersedes, second.supersedes) == (None, first.id)
    page = text_of(room.client.get(OPEN))
    assert "reader disagrees : wrong place: upper lobe" in page
    assert "reader agrees (changed since)" in page


def test_a_verdict_on_a_finding_names_one_of_the_report(room: Room) -> None:
    """By the Tracking Unique Identifier that the report has; another one is refused."""
    uid = next(text for text in _GROUP.findall(room.client.get(OPEN).text) if text)
    amended = {"job": room.shown.id, "verdict": "amend", "words": "it is 3 %", "back": OPEN}
    room.client.post("/reader/verdict", {**amended, "finding": "1.2.3"})
    assert "no such finding" in text_of(room.client.get(OPEN))
    room.client.post("/reader/verdict", {**amended, "finding": uid})
    last = assessments.of_study(room.site.ledger.database, reports.STUDY_UID)[-1]
    assert (last.finding, last.verdict, last.reason, last.role) == (uid, "amend", "it is 3 %", "reader")


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ({"verdict": "perhaps"}, "is not a verdict"),
        ({"verdict": "reject"}, "say why you disagree"),
        ({"verdict": "reject", "reason": "other"}, "say why you disagree"),
        ({"verdict": "reject", "reason": "mood"}, "is not a reason"),
        ({"verdict": "amend", "reason": "wrong place"}, "say what has to be amended"),
        ({"verdict": "amend", "words": "x" * 501}, "at most 500"),
    ],
)
def test_a_verdict_without_a_reason_is_refused(room: Room, verdict: dict[str, str], says: str) -> None:
    """The page says what is missing, and nothing is kept."""
    before = room.said(room.shown)
    room.client.post("/reader/verdict", {"job": room.shown.id, "back": OPEN, **verdict})
    assert says in text_of(room.client.get(OPEN))
    assert room.said(room.shown) == before


def test_nothing_is_shown_of_a_study_whose_patient_is_in_question(room: Room) -> None:
    """It is held: the page says so, and no verdict can be given."""
    with room.site.ledger.transaction() as database:
        studies.hold(database, room.site.clock.now(), reports.STUDY_UID, "another patient")
    try:
        page = room.client.get(OPEN)
        assert "No result of it may be relied on" in text_of(page)
        assert "Investigational" not in page.text
        assert "Agree" not in page.text
        assert "another patient" not in page.text
    finally:
        with room.site.ledger.transaction() as database:
            studies.unhold(database, room.site.clock.now(), reports.STUDY_UID, "os:test")


def test_a_result_that_is_to_be_taken_out_of_the_pacs_is_not_shown(room: Room) -> None:
    """It turned out wrong after it was sent; where a person says that it may stay, it is shown again."""
    room.site.delivered(room.shown)
    database, at = room.site.ledger, room.site.clock.now()
    with database.transaction() as open_:
        withdrawals.enter(open_, at, reports.STUDY_UID, room.site.deliveries(room.shown), "rejected")
    page = text_of(room.client.get(OPEN))
    assert "turned out wrong and must not be used" in page
    assert "Investigational" not in page
    with database.transaction() as open_:
        withdrawals.end(open_, at, reports.STUDY_UID, WithdrawalStatus.DISMISSED, "os:test")
    assert "Investigational" in text_of(room.client.get(OPEN))


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("", 200, "What did the AI say?"),
        ("?requestType=STUDY&accessionNumber=A1&viewerType=IHE_BIR&keyImagesOnly=true", 200, "Investigational"),
        (f"?requestType=STUDY&studyUID={reports.STUDY_UID}", 200, "Investigational"),
        ("?requestType=PATIENT&patientID=1", 400, "requestType=STUDY"),
        ("?requestType=SERIES", 400, "requestType has to be STUDY"),
        ("?requestType=STUDY&accessionNumber=A1&studyUID=1.2", 400, "not by both"),
        ("?requestType=STUDY&accessionNumber=A", 404, "no AI has seen it"),
        ("?requestType=STUDY&accessionNumber=" + ",".join(map(str, range(21))), 400, "at most 20"),
    ],
)
def test_an_address_of_invoke_image_display_is_answered(room: Room, query: str, status: int, says: str) -> None:
    """IHE RAD-106: a study by accession number or UID; a part of either names none."""
    answer = room.client.get(f"/reader{query}")
    assert (answer.status_code, says in text_of(answer)) == (status, True)


def test_only_readers_give_verdicts(room: Room) -> None:
    """An admin may read and gives none; a viewer may do neither."""
    admin = ConsoleClient(room.in_force, room.site.data_folder.data)
    admin.log_in(Role.ADMIN)
    assert "Agree" not in admin.get(OPEN).text
    values = {"job": room.shown.id, "verdict": "accept"}
    assert admin.post("/reader/verdict", values).status_code == 403
    admin.log_in(Role.VIEWER)
    assert admin.get(OPEN).status_code == 403
    assert admin.post("/reader/verdict", values).status_code == 403


def test_the_first_page_of_a_reader_is_this_one(room: Room) -> None:
    """Where others see how the node is."""
    assert room.client.get("/").headers["location"] == "/reader"
