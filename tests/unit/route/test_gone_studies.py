"""Rules and a study whose images retention removed: what is explained, replayed and forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from node.index.children import HeaderReader
from node.ledger import deliveries, events, gone_images, purges
from node.ledger.delivery import Delivery, DeliveryStatus
from node.route.recorded import recorded_facts
from rules import engine
from tests.support.images.receipts import SERIES, STUDY, ct
from tests.support.sites.gone_site import GoneSite, rule, slices

FORWARD = {"choose": [], "run": [], "send": [], "forward": {"to": ["pacs"]}, "mode": "clinical"}


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


def test_a_gone_study_is_explained_as_it_was(tmp_path: Path, reader: HeaderReader) -> None:
    """The facts are kept, and so is how it came: every clause finds what it found."""
    when = {"calling_ae_title": "CT1", "Modality": "CT", "image_count": {"at_least": 3}}
    site = GoneSite(tmp_path, reader, rule(when=when))
    site.send(*slices(1, 2, 3))
    zone = ZoneInfo("UTC")
    before = recorded_facts(site.ledger.database, site.study(), zone)
    (decision,) = engine.decide(site.configuration.rules, before)
    assert decision.matched
    site.reported(site.jobs()[0])
    site.thirty_days_later()
    (after,) = engine.decide(site.configuration.rules, recorded_facts(site.ledger.database, site.study(), zone))
    assert after.trace == decision.trace


def test_each_image_of_a_gone_study_is_known_by_its_sender(tmp_path: Path, reader: HeaderReader) -> None:
    """Also where there were several, and where the study went in two parts."""
    site = GoneSite(tmp_path, reader)
    site.send(ct(1), calling="CT1")
    site.send(ct(2), calling="CT2")
    site.reported(site.jobs()[-1])
    site.thirty_days_later()
    site.send(ct(3), calling="CT3")
    found = gone_images.arrivals(site.ledger.database, STUDY)
    uids = gone_images.uids_of(site.ledger.database, STUDY, found.receipts)
    assert {uids[each]: found.sender(each) for each in found.receipts} == {
        f"{SERIES}.1": "CT1",
        f"{SERIES}.2": "CT2",
        f"{SERIES}.3": "CT3",
    }


# --- forwarding -----------------------------------------------------------------------------------------


def outbox(site: GoneSite) -> list[Delivery]:
    return deliveries.of_study(site.ledger.database, STUDY)


def deliver(site: GoneSite, count: int) -> None:
    with site.ledger.transaction() as database:
        for each in deliveries.of_study(database, STUDY)[:count]:
            deliveries.sending(database, site.clock.now(), each.id)
            deliveries.delivered(database, site.clock.now(), each.id, "dimse:0000")


@pytest.fixture
def forwarding(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    site = GoneSite(tmp_path, reader, rule(**FORWARD))
    site.send(*slices(1, 2, 3))
    return site


def test_what_was_forwarded_before_it_went_is_not_sent_twice(forwarding: GoneSite) -> None:
    """An instance goes to a destination once, also when it comes again after its deliveries were removed, too."""
    deliver(forwarding, 3)
    forwarding.thirty_days_later()
    forwarding.send(*slices(1, 2, 3))
    assert (outbox(forwarding), forwarding.outcomes()) == ([], ["matched", "unchanged"])


def test_a_late_slice_of_a_gone_study_is_forwarded_alone(forwarding: GoneSite) -> None:
    """The others are not here, and were sent."""
    deliver(forwarding, 3)
    forwarding.thirty_days_later()
    forwarding.send(ct(4))
    assert [(each.item, each.status) for each in outbox(forwarding)] == [(f"{SERIES}.4", DeliveryStatus.WAITING)]


def test_a_series_of_which_not_all_went_there_is_sent_again(forwarding: GoneSite) -> None:
    """It is not known which ones: to send one twice does no harm, to leave one out does."""
    deliver(forwarding, 2)
    with forwarding.ledger.transaction() as database:
        deliveries.stop(database, forwarding.clock.now(), outbox(forwarding)[2].id, DeliveryStatus.CANCELLED, "no")
    forwarding.thirty_days_later()
    assert purges.series_of(forwarding.ledger.database, 1)[0].delivered == {"pacs": 2}
    forwarding.send(*slices(1, 2, 3))
    assert len(outbox(forwarding)) == 3


def test_corrected_images_are_forwarded_though_the_first_were(forwarding: GoneSite) -> None:
    """What went there before is another patient's: the history says how many, and the corrected ones are sent."""
    forwarding.use(rule(**FORWARD, on_correction="take_newest"))
    deliver(forwarding, 3)
    forwarding.thirty_days_later()
    forwarding.send(*slices(1, 2, 3, PatientID="P2", PatientName="Kim^Cheolsu"))
    forwarding.settle()
    assert forwarding.study().patient_id == "P2"
    assert [each.status for each in outbox(forwarding)] == [DeliveryStatus.WAITING] * 3
    told = [each for each in events.of_study(forwarding.ledger.database, STUDY) if each.kind.startswith("withdrawal")]
    assert [each.detail["images"] for each in told] == [{"pacs": 3}]
