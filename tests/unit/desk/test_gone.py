"""What a person sees and can do of a study whose images retention removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from node.config.models import Configuration
from node.desk import actions, bulk, removal, study
from node.desk.actor import Actor, ActorKind
from node.desk.bulk import BulkAction, Selection
from node.errors import PermanentError
from node.index.children import HeaderReader
from node.ledger import deliveries, forwards, instances, job_files, purges
from node.ledger.delivery import DeliveryStatus
from node.ledger.forwards import ForwardTerms
from node.ledger.purges import PurgeKind
from tests.support.images.receipts import SERIES, STUDY, ct
from tests.support.sites.gone_site import GoneSite, begin, slices
from tests.support.sites.outcomes import match
from tests.support.sites.retained import RetainSite

ALICE = Actor(ActorKind.OS, "alice")


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def here(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    site.reported(site.jobs()[0])
    return site


@pytest.fixture
def gone(here: GoneSite) -> GoneSite:
    here.thirty_days_later()
    return here


def _configuration(data: Path) -> Configuration:
    return Configuration.model_validate({"node": {"time_zone": "UTC", "data": str(data)}})


def lines(site: GoneSite) -> list[str]:
    found = study.look(site.ledger, STUDY, _configuration(site.data_folder.data))
    return list(removal.lines(found, UTC))


def test_nothing_is_said_of_a_study_that_is_here(here: GoneSite) -> None:
    """Most studies."""
    assert lines(here) == []


def test_a_study_says_when_and_why_its_images_went(gone: GoneSite) -> None:
    """At the top, and each series how many of it; scripts see the same."""
    assert lines(gone) == [
        "3 received files deleted on 1 April 2026 by retention (images: 30d)",
        "no image of it is here; its history and results are kept",
    ]
    found = study.look(gone.ledger, STUDY, _configuration(gone.data_folder.data))
    plain = study.for_scripts(found, explain=False, identify=False)
    assert plain["study"]["images"] == "gone"
    assert [(each["instances"], each["deleted"]) for each in plain["series"]] == [(0, 3)]
    assert [(each["retention"], each["instances"]) for each in plain["purges"]] == [("images", 3)]


def test_a_study_of_which_a_part_is_here_says_so(gone: GoneSite) -> None:
    """After a late slice."""
    gone.send(ct(4))
    assert lines(gone)[-1] == "3 of its images are not here; a job that needs them asks an archive, or is not run"
    found = study.look(gone.ledger, STUDY, _configuration(gone.data_folder.data))
    assert (found.gone, [each.instances for each in found.series]) == ({SERIES: 3}, [1])


def test_a_study_whose_images_are_going_says_so(here: GoneSite) -> None:
    """Until they are gone."""
    begin(here.node)
    assert lines(here)[0] == "its received files are being deleted: deleted on 1 March 2026 by retention (images: 30d)"


def test_a_retry_says_that_the_images_are_gone(gone: GoneSite) -> None:
    """And while it waits for an archive, the study says for which."""
    done = actions.retry(gone.ledger, gone.jobs()[0].id, gone.clock.now(), ALICE)
    assert "images of it were deleted by retention" in done.sentence
    job = gone.jobs()[-1]
    gone.seen_to(job)
    found = study.look(gone.ledger, STUDY, _configuration(gone.data_folder.data))
    assert found.waits[job.id] == "its images were deleted: waits for pacs"


def test_a_result_is_sent_again_as_long_as_its_files_are_here(gone: GoneSite) -> None:
    """That the images are gone does not matter; once the objects are, too, it is refused with what helps."""
    (job,) = gone.jobs()
    with gone.ledger.transaction() as database:
        number = deliveries.enqueue(
            database,
            gone.clock.now(),
            sop_instance_uid="1.2.3.1.99",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
            study=STUDY,
            job=job.id,
            file=f"results/{job.id}/sr.dcm",
            destination="pacs",
            withheld="not wanted",
        )
    actions.retry(gone.ledger, f"delivery:{number}", gone.clock.now(), ALICE)
    assert deliveries.get(gone.ledger.database, number).status is DeliveryStatus.WAITING
    with gone.ledger.transaction() as database:
        job_files.begin(database, job.id)
    with pytest.raises(PermanentError, match="retention deleted the files of its job; pacsnode retry"):
        actions.retry(gone.ledger, f"delivery:{number}", gone.clock.now(), ALICE)


def test_an_image_that_is_being_deleted_cannot_be_sent_again(tmp_path: Path) -> None:
    """Neither it alone, nor all of its study or of its kind: its row and file are about to go."""
    site = RetainSite(tmp_path)
    site.study("1.1")
    with site.ledger.transaction() as database:
        decision = match(database, site.hand.now(), "1.1")
        those = instances.of_study(database, "1.1")
        forwards.enqueue(database, site.hand.now(), "1.1", ForwardTerms("vna", decision.id, "r"), those)
        forwards.cancel(database, site.hand.now(), "1.1", "why")
        purges.begin(database, site.hand.now(), "1.1", PurgeKind.IMAGES, "x")
    (first, *_) = deliveries.of_study(site.ledger.database, "1.1")
    with pytest.raises(PermanentError, match="retention is deleting the images"):
        actions.retry(site.ledger, str(first.id), site.hand.now(), ALICE)
    selection = Selection(status="delivery:cancelled", destination="vna")
    many = bulk.find(site.ledger, BulkAction.RETRY, selection)
    assert bulk.carry_out(site.ledger, many, site.hand.now, ALICE).value["done"] == 0
    assert {each.status for each in deliveries.of_study(site.ledger.database, "1.1")} == {DeliveryStatus.CANCELLED}
