"""The page of one study: what came of it, why rules ran or did not, what a person can do, and what nobody may see."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from node.accounts.roles import Role
from node.config import in_force
from node.config.from_values import validated
from node.config.in_force import InForce
from node.ledger import decisions, deliveries, events, jobs, studies
from node.ledger.decisions import DecisionOutcome
from node.ledger.job import Job
from plugins.contract import ImageReference
from tests.support.console import ConsoleClient, text_of
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite

UID = reports.STUDY_UID
NAME = "SECRET^NAME"
HOSTILE = "<script>alert(1)</script>"
TRACE = {
    "rule": "thin-slices",
    "matched": False,
    "why": "when does not hold",
    "near_miss": None,
    "problems": [],
    "choose": [],
    "when": {
        "clause": "all",
        "passed": False,
        "why": "1 of 3 hold",
        "parts": [
            {"clause": "Modality: CT", "passed": True, "why": "CT in all 3 instances"},
            {"clause": "SliceThickness: {most: 3}", "passed": False, "why": "5 in all 3 instances, fails"},
            {"clause": "PatientName: SMITH", "passed": False, "why": f"{NAME} in all 3 instances, fails"},
        ],
    },
}


class StudySite(ResultSite):
    """Three CT slices; a rule that matched, a near miss, and a result with a segmentation at the PACS."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, pacs={})
        images = [ImageReference(f"{UID}.2.{number}") for number in (1, 2, 3)]
        self.done = self.ended(replace(reports.no_findings(), segmentation=reports.lungs(images)))
        self.results.run_once()
        self.delivered(self.done)
        now = self.clock.now()
        with self.ledger.transaction() as database:
            database.execute("UPDATE studies SET patient_name=?, description=?", [NAME, HOSTILE])
            decisions.record(
                database,
                now,
                study=UID,
                revision=1,
                rule="thin-slices",
                rule_set="rules",
                outcome=DecisionOutcome.NOT_MATCHED,
                trace=TRACE,
            )
            studies.decided(database, now, UID, 1)
        rule = {"name": "thin-slices", "when": {"Modality": "CT"}, "choose": {"where": {"Modality": "CT"}}, "run": "x"}
        value = {
            "node": {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "data": str(self.data_folder.data)}
            | {"listen": {"host": "127.0.0.1", "port": 11112}},
            "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113}},
            "rules": [{**rule, "send": "pacs", "mode": "pilot"}],
        }
        path = folder / "config.yaml"
        in_force.write(InForce(path, folder, now, "a test", value, validated(value, folder), {}))

    def browser(self, role: Role) -> ConsoleClient:
        """Somebody of this role."""
        made = ConsoleClient(self.data_folder.data / in_force.FILE, self.data_folder.data)
        made.log_in(role)
        return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> StudySite:
    """One for all tests that only look, or whose change no other test asks about."""
    return StudySite(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def admin(site: StudySite) -> ConsoleClient:
    """Who may do everything."""
    return site.browser(Role.ADMIN)


def page(client: ConsoleClient, below: str = "") -> httpx.Response:
    """The study's page, or one below it."""
    return client.get(f"/studies/{UID}{below}")


def test_the_page_says_first_what_came_of_the_study(site: StudySite, admin: ConsoleClient) -> None:
    """Result and place in one sentence; then its way; then the near miss with what was asked and found."""
    text = text_of(page(admin))
    assert "lung_density looked and found nothing. The result is in pacs since" in text
    assert text.index("looked and found nothing") < text.index("received 3 images") < text.index("thin-slices")
    assert "SliceThickness: {most: 3} 5 in all 3 instances, fails" in text


def test_the_patient_is_hidden_until_asked_for_and_that_is_on_record(site: StudySite, admin: ConsoleClient) -> None:
    """Neither the header nor a clause about the patient shows the name; the click shows both to who may."""
    assert NAME not in page(admin).text
    assert NAME.replace("^", " ") not in page(admin).text
    shown = admin.post(f"/studies/{UID}/patient", {})
    assert NAME.replace("^", " ") in text_of(shown)
    assert f"{NAME} in all 3 instances" in text_of(shown)
    seen = [each for each in events.of_study(site.ledger.database, UID) if each.kind == "study.viewed"]
    assert [each.actor for each in seen] == ["user:admin"]


def test_texts_from_images_are_texts(admin: ConsoleClient) -> None:
    """A description that is a script is shown, and is none."""
    answer = page(admin)
    assert HOSTILE not in answer.text
    assert HOSTILE in text_of(answer)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.READER])
def test_who_may_not_see_patients_or_act_gets_neither(site: StudySite, role: Role) -> None:
    """No name, no picture, no report text and no log; no button, and no action either."""
    client = site.browser(role)
    job = f"/results/{site.done.id}"
    assert client.post(f"/studies/{UID}/patient", {}).status_code == 403
    for below in (job, f"{job}/slices", f"{job}/slices/1", f"/series/{UID}.2"):
        assert page(client, below).status_code == 403, below
    sent = {"do": "retry", "what": site.done.id}
    assert client.post(f"/studies/{UID}/act", sent).status_code == 403
    assert page(client).status_code == (403 if role is Role.READER else 200)
    assert "Run again" not in page(client).text


def test_results_are_shown_as_they_were_sent(site: StudySite, admin: ConsoleClient) -> None:
    """The report's text, every page as a picture, and the segmentation outlined on the slice that is asked for."""
    results = f"/results/{site.done.id}"
    shown = page(admin, results)
    assert "Imaging Measurement Report" in text_of(shown)
    sources = re.findall(r'<img [^>]*src="([^"]+)"', shown.text)
    assert sources
    for source in sources:
        assert _picture(admin.get(source)).width > 300, source
    assert "/ 3" in text_of(page(admin, f"{results}/slices?at=2"))
    drawn = np.asarray(_picture(page(admin, f"{results}/slices/2")))
    assert np.ptp(drawn, axis=2).max() > 0, "nothing coloured is drawn on the grey slice"
    assert _picture(page(admin, f"/series/{UID}.2")).width <= 160


def _picture(answer: httpx.Response) -> Image.Image:
    assert answer.headers["Content-Type"] == "image/png", text_of(answer)
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def test_an_address_reaches_only_what_belongs_to_the_study(site: StudySite, admin: ConsoleClient) -> None:
    """No other study's job or series, no file by its name, no slice that is none: each is refused in words."""
    results = f"/results/{site.done.id}"
    for below in (
        "/results/..%2f..%2fledger.db",
        f"{results}/pages/..%2f..%2fledger.db",
        f"{results}/pages/1.2.3",
        f"{results}/slices/0",
        f"{results}/slices/99",
        f"{results}/slices?at=x",
        "/jobs/ffffffff",
        "/series/1.2.3",
        "/ask?do=cancel&what=delivery:4711",
    ):
        answer = page(admin, below)
        assert answer.status_code in (400, 404, 409), below
        assert str(site.folder) not in answer.text, below
    assert page(admin, "x").status_code == 404


def test_decide_again_changes_nothing(site: StudySite, admin: ConsoleClient) -> None:
    """The rules of now beside those of then, with what would be decided otherwise; nothing is written."""
    before = len(decisions.of_study(site.ledger.database, UID))
    text = text_of(page(admin, "/rules-now"))
    assert "These rules would decide otherwise now: thin-slices" in text
    assert "CT in all 3 instances" in text
    assert len(decisions.of_study(site.ledger.database, UID)) == before


@pytest.fixture
def own_site(tmp_path: Path) -> StudySite:
    """For a test that acts."""
    return StudySite(tmp_path)


def test_what_is_serious_is_asked_once_more_and_then_done(own_site: StudySite) -> None:
    """A job whose result was sent runs again after a page that says what that means; the page says what was done."""
    admin = own_site.browser(Role.ADMIN)
    ask = re.search(r'href="(/studies/[^"]+/ask\?[^"]+)"', page(admin).text)
    assert ask
    asked = admin.get(ask[1].replace("&amp;", "&"))
    assert "replaces the result that destinations have" in text_of(asked)
    done = admin.post(f"/studies/{UID}/act", {"do": "retry", "what": own_site.done.id})
    assert done.status_code == 303
    text = text_of(page(admin))
    assert "is done again as job" in text
    assert "lung_density has not run yet" in text
    again = admin.post(f"/studies/{UID}/act", {"do": "retry", "what": own_site.done.id})
    assert again.status_code == 303
    assert "not any more" in text_of(page(admin))
    assert len(jobs.of_study(own_site.ledger.database, UID)) == 2


def test_failures_and_what_is_not_sent_are_never_silent(own_site: StudySite) -> None:
    """A failed plugin, a dead delivery and a held study are each said first, with the next step."""
    job: Job = own_site.ended(reports.failed("out of memory"), instead_of=own_site.done)
    own_site.results.run_once()
    with own_site.ledger.transaction() as database:
        for each in deliveries.of_job(database, job.id):
            deliveries.sending(database, own_site.clock.now(), each.id)
            deliveries.dead(database, own_site.clock.now(), each.id, "A700 out of resources")
    admin = own_site.browser(Role.ADMIN)
    text = text_of(page(admin))
    assert "there is NO result" in text
    assert "See the log of the attempt" in text
    with own_site.ledger.transaction() as database:
        studies.hold(database, own_site.clock.now(), UID, "another patient")
    assert "The study is held: another patient. Nothing of it is analysed or sent." in text_of(page(admin))
