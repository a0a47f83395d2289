"""A second result of one question: told from the first wherever series are listed, and on its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydicom import Dataset

from node.ledger import encodings, objects
from node.ledger.job import Job
from node.results.making import SetRequest
from plugins.contract import Result
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ResultSite]:
    site = ResultSite(tmp_path)
    yield site
    site.results.close()


def _reported(site: ResultSite, result: Result, *, instead_of: Job | None = None) -> Job:
    job = site.ended(result, instead_of=instead_of)
    site.results.run_once()
    return site.get(job)


def _report(site: ResultSite, job: Job) -> Dataset:
    return next(dataset for kind, dataset in site.objects(job) if kind == "sr")


def _texts(report: Dataset) -> set[str]:
    return {str(element.value) for element in report.iterall() if element.keyword == "TextValue"}


def _series(site: ResultSite, job: Job) -> dict[str, tuple[str, int]]:
    """Series Description and Series Number of each kind of object."""
    return {kind: (str(made.SeriesDescription), int(made.SeriesNumber)) for kind, made in site.objects(job)}


@pytest.mark.parametrize(("setting", "more"), [({}, 1000), ({"revision_series_number": "same"}, 0)])
def test_finding_r5_a_second_result_is_told_from_the_first_in_the_list_of_series(
    tmp_path: Path, setting: dict[str, Any], more: int
) -> None:
    """The first is called as ever; from the second on each series of any kind has its number at the end."""
    site = ResultSite(tmp_path, pacs=setting)
    first = _reported(site, reports.measured())
    site.delivered(first)
    second = _reported(site, reports.measured(), instead_of=first)
    site.delivered(second)
    third = _reported(site, reports.measured(), instead_of=second)
    site.results.close()
    plain = _series(site, first)
    assert plain["sr"][0] == "AI-INV lung_density - report"
    for number, job in ((2, second), (3, third)):
        wanted = {kind: (f"{text} r{number}", at + more * (number - 1)) for kind, (text, at) in plain.items()}
        assert _series(site, job) == wanted


def test_finding_r5_what_nobody_has_seen_makes_no_revision(site: ResultSite) -> None:
    """A result that was overtaken before it was sent: the next one is the first that readers get."""
    first = _reported(site, reports.measured())
    second = _reported(site, reports.measured(), instead_of=first)
    assert _series(site, second) == _series(site, first)


def test_finding_r5_report_and_page_say_what_is_replaced_and_why(site: ResultSite) -> None:
    """The number, the time of the earlier result, and by how many images it differs; a failure says what stands."""
    first = _reported(site, reports.measured())
    site.delivered(first)
    at = first.finished_at.astimezone(ZoneInfo("Asia/Seoul")).strftime("%H:%M") if first.finished_at else ""
    second = _reported(site, reports.no_findings(), instead_of=first)
    said = f"Revision 2, replaces {at}: as many images, analysed again"
    assert said in _texts(_report(site, second))
    site.delivered(second)
    failed = _reported(site, reports.failed(), instead_of=second)
    assert f"Revision 3; the result of {at} stands" in _texts(_report(site, failed))


def test_finding_r5_a_page_alone_is_a_revision_too(tmp_path: Path) -> None:
    """Where no reports go, no predecessor can be named: the series and the page say it."""
    site = ResultSite(tmp_path, pacs={"kinds": ["sc"]})
    first = _reported(site, reports.measured())
    site.delivered(first)
    second = _reported(site, reports.measured(), instead_of=first)
    site.results.close()
    assert _series(site, second)["sc"][0] == "AI-INV lung_density - pages r2"


def test_finding_r5_how_a_revision_was_encoded_is_kept(site: ResultSite) -> None:
    """What is re-encoded later is of the same revision."""
    first = _reported(site, reports.measured())
    site.delivered(first)
    second = _reported(site, reports.measured(), instead_of=first)
    (made, *_) = objects.of_job(site.ledger.database, second.id)
    kept = encodings.get(site.ledger.database, second.id, made.encoding)
    assert kept is not None
    revision = SetRequest.of(kept).revision
    assert revision is not None
    assert (revision.number, revision.more_images, revision.replaces) == (2, 0, True)
