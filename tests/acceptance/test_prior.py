"""A follow-up: the newest earlier study is fetched from the PACS and handed to the plugin beside the current one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from node.ledger import decisions, fetches, instances, jobs, studies
from node.ledger.fetches import Fetch, FetchStatus
from node.ledger.job import Job
from plugins.phantoms.chest_series import SeriesHeader
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import CT, send, small_ct
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.site import Site, rule
from tests.support.wait import until

CHOOSE: dict[str, object] = {"role": "current", "where": {"Modality": "CT"}}
FOLLOW_UP = rule(choose=CHOOSE, prior={"source": "pacs", "within": "2 years", "description": "*chest*"})
BOTH = {"when": {"Modality": "CT", "origin": "retrieved"}, "name": "of-what-was-fetched"}


def study(folder: Path, date: str, accession: str, **more: Any) -> CT:
    return small_ct(folder / accession, SeriesHeader(study_date=date, accession_number=accession, **more))


def roles(site: Site, job: Job) -> dict[str, str]:
    """Role → Series Instance UID, as the plugin was told."""
    path = site.data / "results" / job.id / "plugin" / "request.json"
    return {each["role"]: each["series_instance_uid"] for each in json.loads(path.read_text())["series"]}


def only_fetch(site: Site, ct: CT) -> Fetch:
    (found,) = fetches.of_study(site.ledger.database, ct.study)
    return found


def test_the_newest_earlier_study_is_fetched_and_handed_over(
    tmp_path: Path, pacs: Orthanc, make_site: MakeSite
) -> None:
    """Not an older one, one of another kind, or another patient's; what was fetched runs no rule, and the report is of
    the current study alone.
    """
    current = study(tmp_path, "20240102", "A0001")
    newest, older = study(tmp_path, "20230301", "A1"), study(tmp_path, "20220601", "A2")
    others = [
        study(tmp_path, "20231001", "A3", study_description="CT head"),
        study(tmp_path, "20231101", "A4", patient_id="PHANTOM-00011"),
        study(tmp_path, "20200101", "A5"),
        study(tmp_path, "20240301", "A6"),
    ]
    for each in (current, newest, older, *others):
        send(each, pacs)
    with make_site(rules=[FOLLOW_UP]) as site:
        send(current, site)
        (job,) = site.wait_delivered(current.study, 3)
        assert roles(site, job) == {
            "current": str(current.header.SeriesInstanceUID),
            "prior": str(newest.header.SeriesInstanceUID),
        }
        fetch = only_fetch(site, current)
        assert (fetch.status, fetch.prior_study) == (FetchStatus.FETCHED, newest.study)
        here = {each.study_instance_uid for each in studies.latest(site.ledger.database, 10)}
        assert here == {current.study, newest.study}
        assert {each.origin for each in instances.of_study(site.ledger.database, newest.study)} == {"retrieved"}
        until(lambda: decided(site, newest), what="the fetched study to be decided")
        assert jobs.of_study(site.ledger.database, newest.study) == []


def decided(site: Site, ct: CT) -> bool:
    return bool(decisions.of_study(site.ledger.database, ct.study))


def _outcomes(site: Site, ct: CT) -> dict[str, str]:
    return {each.rule: str(each.outcome) for each in decisions.of_study(site.ledger.database, ct.study)}


def _wait_for_fetches(site: Site, study: str, status: FetchStatus) -> None:
    """Each rule has a fetch of its own, and the result of one does not wait for the other's."""

    def are_over() -> bool:
        return {each.status for each in fetches.of_study(site.ledger.database, study)} == {status}

    until(are_over, what=f"every fetch to be {status}")


def test_without_an_earlier_study_the_rule_says_what_is_done(
    tmp_path: Path, pacs: Orthanc, make_site: MakeSite
) -> None:
    """By default the plugin runs without; `missing: skip` runs nothing, and says why. One under the same Patient ID and
    another name is not handed over, and a person is told.
    """
    skip = {**FOLLOW_UP, "name": "skips", "prior": {"source": "pacs", "within": "2 years", "missing": "skip"}}
    current = study(tmp_path, "20240102", "A0001")
    send(current, pacs)
    with make_site(rules=[FOLLOW_UP, skip]) as site:
        send(current, site)
        (job,) = site.wait_delivered(current.study, 3)
        assert roles(site, job).keys() == {"current"}
        _wait_for_fetches(site, current.study, FetchStatus.NONE)
        until(lambda: _outcomes(site, current) == {"mean-hu": "matched", "skips": "not_matched"}, what="both decisions")

        other = study(tmp_path, "20230301", "A1", patient_id="P2", patient_name="Somebody^Else")
        mine = study(tmp_path, "20240102", "A2", patient_id="P2")
        for each in (other, mine):
            send(each, pacs)
        send(mine, site)
        (job,) = site.wait_delivered(mine.study, 3)
        assert roles(site, job).keys() == {"current"}
        _wait_for_fetches(site, mine.study, FetchStatus.FAILED)
        found = fetches.of_study(site.ledger.database, mine.study)
        assert all("PatientName" in str(each.error) for each in found)
        assert "fetch.failed" in {each["kind"] for each in site.status()["alerts"]}
