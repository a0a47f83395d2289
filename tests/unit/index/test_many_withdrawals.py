"""Thousands of images that were sent and turned out wrong: all are listed for withdrawal, some in each transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.config.destinations import DicomDestination
from node.desk import answers, find
from node.desk.actor import Actor, ActorKind
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.index.stopping import stop_study
from node.ledger import alerts, needed, withdrawal_parts, withdrawals
from node.ledger.due_times import MANY
from node.ledger.needed import NeedKind
from node.ledger.withdrawals import WithdrawalStatus
from node.route.stage import RouteStage
from rules.model import Rule
from tests.support import transactions
from tests.support.sites.configurations import ruled
from tests.support.sites.index_room import configuration
from tests.support.sites.job_site import STUDY, Site

IMAGES = 2 * MANY + 100
ARCHIVE = DicomDestination.model_validate({"ae_title": "ARCHIVE", "host": "10.0.0.1", "port": 104})
ON = Rule.model_validate({"name": "on", "when": {"Modality": "CT"}, "forward": {"to": ["archive"]}, "mode": "clinical"})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """All images of a study went to an archive, and are to be withdrawn: a person was alerted."""
    site = Site(tmp_path)
    site.receive(IMAGES)
    site.complete()
    RouteStage(site.node, ruled([ON], destinations={"archive": ARCHIVE}), lambda _: site.catalogue()).run_once()
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='delivered'")
    return site


@pytest.fixture
def index(site: Site, reader: HeaderReader) -> Callable[[], object]:
    """One run of the stage, as a new process begins."""
    return lambda: IndexStage(site.node, configuration(), reader).run_once()


def stop(site: Site) -> None:
    """The study turns out wrong."""
    with site.ledger.transaction() as database:
        stop_study(database, site.clock.now(), STUDY, "it was sent again", for_good=True)


def listed(site: Site) -> list[tuple[WithdrawalStatus, int]]:
    return [(each.status, each.images) for each in withdrawals.of_study(site.ledger.database, STUDY)]


def test_all_are_listed_in_short_transactions_and_a_person_is_alerted_at_once(
    site: Site, index: Callable[[], object]
) -> None:
    """The alert names all of them from the beginning; the index stage lists what the first transaction did not."""
    with transactions.counted(site.ledger) as rows:
        stop(site)
        (alert,) = alerts.of_study(site.ledger.database, STUDY)
        assert alert.detail["objects"] == [{"images": IMAGES, "destination": "archive"}]
        assert listed(site) == [(WithdrawalStatus.LISTED, MANY)]
        index()
    assert listed(site) == [(WithdrawalStatus.LISTED, IMAGES)]
    assert max(rows) <= transactions.MOST


def test_a_process_that_ends_between_two_parts_loses_and_doubles_nothing(
    site: Site, index: Callable[[], object]
) -> None:
    """Another begins with what is left; that the study is stopped once more meanwhile lists nothing twice."""
    stop(site)
    with site.ledger.transaction() as database:
        withdrawal_parts.enter(database, withdrawal_parts.waiting(database)[0])
    stop(site)
    assert listed(site) == [(WithdrawalStatus.LISTED, 2 * MANY)]
    (reason,) = [
        each
        for each in needed.why_needed(site.ledger.database, STUDY, site.clock.now())
        if each.kind is NeedKind.WITHDRAWAL
    ]
    assert reason.number == IMAGES
    index()
    index()
    assert listed(site) == [(WithdrawalStatus.LISTED, IMAGES)]
    assert site.ledger.database.execute("SELECT count(*) FROM withdrawals").fetchone() == (IMAGES,)


def test_an_image_that_is_sent_anew_meanwhile_is_listed_all_the_same(site: Site, index: Callable[[], object]) -> None:
    """What the archive has of before is wrong, whatever becomes of the delivery."""
    stop(site)
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='waiting'")
    index()
    assert listed(site) == [(WithdrawalStatus.LISTED, IMAGES)]


def test_a_person_who_has_taken_out_everything_means_what_is_still_to_be_listed_too(
    site: Site, index: Callable[[], object]
) -> None:
    """The alert named all of them: nothing is listed behind his back, and no transaction is long."""
    stop(site)
    with transactions.counted(site.ledger) as rows:
        outcome = answers.done(site.ledger, f"withdrawal:{STUDY}", site.clock.now(), Actor(ActorKind.OS, "hong"))
    index()
    assert outcome.value["objects"] == IMAGES
    assert listed(site) == [(WithdrawalStatus.DONE, IMAGES)]
    assert max(rows) <= transactions.MOST


def test_a_command_that_ends_between_two_parts_is_finished_by_the_same_command_again(site: Site) -> None:
    """What it had not come to is still listed, and a person is still alerted."""
    stop(site)
    now, hong = site.clock.now(), Actor(ActorKind.OS, "hong")
    answers.list_all(site.ledger, f"withdrawal:{STUDY}")
    with site.ledger.transaction() as database:
        first = answers.withdrawn(database, find.study(database, STUDY), WithdrawalStatus.DONE, now, hong)
    assert first.value["objects"] == IMAGES
    assert (WithdrawalStatus.DONE, MANY) in listed(site)
    assert needed.why_needed(site.ledger.database, STUDY, now)
    assert answers.done(site.ledger, f"withdrawal:{STUDY}", now, hong).value["objects"] == IMAGES - MANY
    assert listed(site) == [(WithdrawalStatus.DONE, IMAGES)]
