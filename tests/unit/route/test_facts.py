"""What the rules are given of a study."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from node.ledger import facts, instances, studies
from node.ledger.instances import InstanceStatus
from node.route.facts import study_facts
from rules.facts import Element, StudyFacts
from tests.support.sites.job_site import STUDY, Site

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _facts(site: Site) -> StudyFacts:
    database = site.ledger.database
    study = studies.get(database, STUDY)
    assert study is not None
    records = facts.columns_of_study(database, STUDY, study.revision)
    return study_facts(study, records, instances.arrivals(database, STUDY), site.clock.now(), SEOUL)


def test_series_instances_and_headers_become_facts(site: Site) -> None:
    """Each element with its VR and values, items of sequences as well."""
    site.receive(2, AnatomicRegionSequence=("SQ", {"CodeValue": ["SH", ["51185008"]]}))
    site.complete()
    seen = _facts(site)
    assert [series.series_instance_uid for series in seen.series] == ["1.2.3.1"]
    series = seen.series[0]
    assert (series.modality, len(series.instances)) == ("CT", 2)
    attributes = series.instances[1].attributes
    assert attributes["InstanceNumber"] == Element("IS", (2,))
    assert attributes["AnatomicRegionSequence"].values == ({"CodeValue": Element("SH", ("51185008",))},)


def test_how_it_arrived_and_when_in_the_sites_time_zone(site: Site) -> None:
    """AE titles and addresses of all instances; 9:00 UTC is 18:00 in Seoul."""
    site.receive(1)
    site.complete()
    seen = _facts(site)
    assert seen.calling_ae_titles == {"SCANNER"}
    assert seen.called_ae_titles == {"PACSNODE"}
    assert seen.peer_addresses == {"127.0.0.1"}
    assert (seen.received_at.hour, seen.completed_at.hour, seen.now.hour) == (18, 18, 18)
    assert seen.origin == "received"


def test_a_study_is_retrieved_only_if_all_of_it_was(site: Site) -> None:
    """One instance that somebody sent us makes it a received one."""
    site.receive(1, origin="retrieved")
    site.complete()
    assert _facts(site).origin == "retrieved"
    site.receive(1, origin="uploaded")
    site.complete()
    assert _facts(site).origin == "uploaded"
    site.receive(1)
    site.complete()
    assert _facts(site).origin == "received"


def test_what_was_rejected_since_is_left_out(site: Site) -> None:
    """The record still has it; it does not count any more. A series of which nothing is left is gone."""
    receipts = site.receive(2)
    site.receive(1, series="2")
    site.complete()
    with site.ledger.transaction() as database:
        instances.set_status(database, receipts[0], InstanceStatus.REJECTED)
    assert [len(series.instances) for series in _facts(site).series] == [1, 1]
    with site.ledger.transaction() as database:
        instances.set_status(database, receipts[1], InstanceStatus.REJECTED)
    assert [series.series_instance_uid for series in _facts(site).series] == ["1.2.3.2"]


def test_marks_go_along(site: Site) -> None:
    """What the indexer found wrong with an instance stands with it."""
    site.receive(1, marks={"truncated-pixel-data": "100 bytes, expected 200"})
    site.complete()
    assert _facts(site).series[0].instances[0].marks == {"truncated-pixel-data"}
