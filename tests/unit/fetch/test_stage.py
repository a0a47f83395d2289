"""Fetching from an archive that a test plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from node.config.destinations import DicomDestination
from node.errors import PermanentError, TransientError
from node.fetch.deadlines import Deadlines
from node.fetch.stage import FetchStage
from node.ledger import decisions, fetches, studies
from node.ledger.decisions import DecisionOutcome
from node.ledger.fetches import Fetch, FetchStatus
from node.wake import Stage
from tests.support import history
from tests.support.sites.configurations import with_destinations
from tests.support.sites.job_site import STUDY, Site

PRIOR = "1.2.4"
WANTED = {"earliest": "20240101", "latest": "20260301", "modalities": ["CT"], "body_parts": [], "descriptions": []}


class PlayedArchive:
    """Has one earlier study; sends it into the site when it is asked to."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.has_one = True
        self.error: Exception | None = None
        self.sends: int | None = 2
        self.meanwhile: Callable[[], None] = lambda: None
        self.moves: list[tuple[str, str, str]] = []

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> list[Mapping[str, str]]:
        assert keys == {"PatientID": "P1", "StudyDate": "20240101-20260301"}
        if self.error:
            raise self.error
        plain = dict.fromkeys(keywords, "")
        found = {**plain, "PatientID": "P1", "StudyInstanceUID": PRIOR, "StudyDate": "20250101"}
        return [found] if self.has_one else []

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return [{**dict.fromkeys(keywords, ""), "SeriesInstanceUID": f"{PRIOR}.1", "Modality": "CT"}]

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str, within: float) -> int | None:
        self.left = within
        self.meanwhile()
        self.moves.append((study_instance_uid, series_instance_uid, to))
        (fetch,) = fetches.of_study(self._site.ledger.database, STUDY)
        if not fetch.ended_at:
            assert (fetch.status, fetch.prior_study) == (FetchStatus.ARRIVING, PRIOR)  # known before an image comes
        return self.sends


PACS = DicomDestination.model_validate({"ae_title": "PACS", "host": "127.0.0.1", "port": 104})


class Play:
    """A study whose rule waits for an earlier one."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.archive = PlayedArchive(self.site)
        self.stage = FetchStage("pacs", self.site.node, with_destinations(pacs=PACS), lambda *_: self.archive)
        self.deadlines = Deadlines(self.site.node, with_destinations(pacs=PACS))
        self.site.receive(1)
        self.site.complete()
        now = self.site.clock.now()
        with self.site.ledger.transaction() as database:
            decisions.keep_rule_set(database, now, "rules", "[]")
            decision = decisions.record(
                database,
                now,
                study=STUDY,
                revision=1,
                rule="r",
                rule_set="rules",
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )
            fetches.ask(
                database,
                now,
                decision=decision,
                study=STUDY,
                rule="r",
                source="pacs",
                wanted=WANTED,
                deadline=now + timedelta(minutes=30),
            )

    @property
    def fetch(self) -> Fetch:
        (found,) = fetches.of_study(self.site.ledger.database, STUDY)
        return found

    def run(self, **later: float) -> Fetch:
        self.site.clock.pass_(**later)  # type: ignore[attr-defined]
        self.stage.run_once()
        self.deadlines.run_once()
        return self.fetch


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def test_it_is_here_when_all_that_was_sent_is_complete(play: Play) -> None:
    """Asked once; while some is missing or not complete it waits; routing is woken."""
    bell = play.site.signal.subscribe(Stage.ROUTE)
    assert play.run().status is FetchStatus.ARRIVING
    assert play.archive.moves == [(PRIOR, f"{PRIOR}.1", "PACSNODE")]
    play.site.receive(1, study=PRIOR)
    play.site.complete(PRIOR)
    assert play.run(seconds=5).status is FetchStatus.ARRIVING
    play.site.receive(1, study=PRIOR)
    assert play.run(seconds=5).status is FetchStatus.ARRIVING
    assert not bell.is_set()
    play.site.complete(PRIOR)
    found = play.run(seconds=5)
    assert (found.status, found.prior_study, len(play.archive.moves)) == (FetchStatus.FETCHED, PRIOR, 1)
    assert bell.is_set()
    assert [each.id for each in fetches.to_follow_up(play.site.ledger.database)] == [found.id]


def test_none(play: Play) -> None:
    """An answer, not a failure: nobody is alerted."""
    play.archive.has_one = False
    found = play.run()
    assert found.status is FetchStatus.NONE
    assert not history.open_alerts(play.site.ledger.database)


def test_an_archive_that_is_down_is_asked_again_until_the_deadline(play: Play) -> None:
    """With back-off, warned of once; then it has failed, and a person is told. It comes back before: it is had."""
    play.archive.error = TransientError("nobody there")
    for _ in range(5):
        found = play.run(minutes=2)
        assert (found.status, found.error) == (FetchStatus.SEEKING, "nobody there")
    assert play.site.kinds().count("fetch.waits") == 1
    play.archive.error = None
    assert play.run(minutes=6).status is FetchStatus.ARRIVING
    found = play.run(minutes=31)
    assert (found.status, found.error) == (FetchStatus.FAILED, "the archive did not send it in time")
    (alert,) = history.open_alerts(play.site.ledger.database)
    assert alert.kind == "fetch.failed"


def test_finding_t1_what_failed_is_tried_after_the_others(play: Play) -> None:
    """An earlier study that the archive does not give does not stand before those of other studies."""
    play.archive.error = TransientError("no answer")
    assert play.run().error == "no answer"
    other = f"{STUDY}.7"
    play.site.receive(1, study=other)
    play.site.complete(other)
    now = play.site.clock.now()
    with play.site.ledger.transaction() as database:
        decision = decisions.record(
            database,
            now,
            study=other,
            revision=1,
            rule="r",
            rule_set="rules",
            outcome=DecisionOutcome.MATCHED,
            trace={},
        )
        fetches.ask(
            database,
            now,
            decision=decision,
            study=other,
            rule="r",
            source="pacs",
            wanted=WANTED,
            deadline=now + timedelta(minutes=30),
        )
    due = fetches.due(play.site.ledger.database, now + timedelta(minutes=1))
    assert [each.study_instance_uid for each in due] == [other, STUDY]


def test_what_a_person_has_to_change_fails_at_once(play: Play) -> None:
    """An archive that does not know where to send to: the job does not wait half an hour for it."""
    play.archive.error = PermanentError("does not know where PACSNODE is")
    assert play.run().status is FetchStatus.FAILED


def test_the_node_died_while_the_archive_was_sending(play: Play) -> None:
    """Whether all was sent is not known: it is asked once more; what comes twice is a duplicate."""
    play.run()
    play.site.ledger.database.execute("UPDATE fetches SET expected=NULL")
    assert play.run(seconds=5).status is FetchStatus.SEEKING
    assert play.run(seconds=5).status is FetchStatus.ARRIVING
    assert len(play.archive.moves) == 2


def test_nobodys_images_are_asked_for_without_a_patient_id(play: Play) -> None:
    """And a study that is held waits."""
    with play.site.ledger.transaction() as database:
        studies.hold(database, play.site.clock.now(), STUDY, "why")
    assert play.run().status is FetchStatus.SEEKING
    with play.site.ledger.transaction() as database:
        studies.unhold(database, play.site.clock.now(), STUDY, "admin")
        studies.set_patient(database, STUDY, patient_id=" ", issuer_of_patient_id="", accession_number="")
    found = play.run()
    assert found.status is FetchStatus.NONE
    assert "no Patient ID" in str(found.error)


def test_what_comes_from_the_archive_is_known_by_the_request(play: Play) -> None:
    """By study and AE title of the archive, for a day; what a modality sends of the same study is not."""
    play.run()
    database, now = play.site.ledger.database, play.site.clock.now()
    titles = {"pacs": "PACS", "other": "OTHER"}
    assert fetches.was_requested(database, PRIOR, "PACS", titles, now)
    assert not fetches.was_requested(database, PRIOR, "CT1", titles, now)
    assert not fetches.was_requested(database, STUDY, "PACS", titles, now)
    assert not fetches.was_requested(database, PRIOR, "PACS", titles, now + timedelta(days=2))


def test_finding_m4_an_archive_that_counts_nothing_has_sent_something(play: Play) -> None:
    """Its success without numbers is success: the earlier study is here when one image of it is, and it is complete."""
    play.archive.sends = None
    assert (play.run().status, play.fetch.expected) == (FetchStatus.ARRIVING, 1)
    play.site.receive(1, study=PRIOR)
    play.site.complete(PRIOR)
    assert play.run(seconds=5).status is FetchStatus.FETCHED


def test_finding_m3_a_deadline_passes_while_the_archive_hangs(play: Play) -> None:
    """It is ended with an alert by another thread, and stays so, whatever the archive says in the end."""
    site = play.site
    deadlines = Deadlines(site.node, with_destinations(pacs=PACS))
    bell = site.signal.subscribe(Stage.ROUTE)

    def over() -> None:
        assert 1790 < play.archive.left <= 1800
        deadlines.run_once()
        assert play.fetch.status is FetchStatus.ARRIVING
        site.clock.pass_(minutes=31)  # type: ignore[attr-defined]
        deadlines.run_once()
        assert (play.fetch.status, play.fetch.error) == (FetchStatus.FAILED, "the archive did not send it in time")
        assert bell.is_set()

    play.archive.meanwhile = over
    assert play.run().status is FetchStatus.FAILED
    assert [each for each in site.kinds() if each.startswith("fetch.")] == [
        "fetch.asked",
        "fetch.requested",
        "fetch.failed",
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_finding_m8_a_clock_that_is_ten_days_ahead_ends_no_fetch(play: Play, restarted: bool) -> None:
    """Corrected later, it leaves the time that was left; it is asked at once, and given up when its time is over."""
    play.archive.error = TransientError("nobody there")
    assert play.run(minutes=10).status is FetchStatus.SEEKING
    play.site.clock.jump(days=10)  # type: ignore[attr-defined]
    assert play.run(minutes=1).status is FetchStatus.SEEKING
    if restarted:  # by a node that cannot know what the clock was before: it has as long as it was to have, once
        play.deadlines = Deadlines(play.site.node, with_destinations(pacs=PACS))
    play.site.clock.jump(days=-10)  # type: ignore[attr-defined]
    assert play.run(minutes=1).status is FetchStatus.SEEKING
    play.archive.error = None
    assert play.run(minutes=1).status is FetchStatus.ARRIVING
    assert play.run(minutes=31).status is FetchStatus.FAILED


def test_finding_m8_a_clock_that_is_put_back_prolongs_no_fetch(play: Play) -> None:
    """Put back by an hour after 10 of 30 minutes: 20 more minutes, and it is over."""
    play.archive.error = TransientError("nobody there")
    assert play.run(minutes=10).status is FetchStatus.SEEKING
    play.site.clock.jump(hours=-1)  # type: ignore[attr-defined]
    assert play.run(minutes=1).status is FetchStatus.SEEKING
    assert play.run(minutes=20).status is FetchStatus.FAILED


def test_finding_m8_a_jump_while_the_ledger_is_locked_is_not_forgotten(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written in one run is written in the next."""
    play.archive.error = TransientError("nobody there")
    play.run(minutes=10)
    play.site.clock.jump(hours=1)  # type: ignore[attr-defined]

    def locked() -> None:
        raise TransientError("the ledger is locked")

    with monkeypatch.context() as broken:
        broken.setattr(play.site.ledger, "transaction", locked)
        with pytest.raises(TransientError):
            play.deadlines.run_once()
    play.deadlines.run_once()
    assert play.fetch.status is FetchStatus.SEEKING


def test_finding_m3_each_archive_is_asked_by_a_stage_of_its_own(play: Play) -> None:
    """The stage of another archive leaves this one alone, and sleeps."""
    site = play.site
    other = FetchStage("other", site.node, with_destinations(other=PACS), lambda *_: play.archive)
    assert other.run_once() == 60.0
    assert play.archive.moves == []


def test_a_destination_that_is_gone_fails_at_once(play: Play) -> None:
    """Nobody asks it any more."""
    Deadlines(play.site.node, with_destinations(other=PACS)).run_once()
    assert play.fetch.status is FetchStatus.FAILED
    assert "'pacs' is no longer in the configuration" in str(play.fetch.error)
