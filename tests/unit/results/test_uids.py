"""No UID ever has two contents: what a newer node writes has other UIDs."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.results import uids
from node.results.uids import ResultUIDs
from tests.support.results import reports

CLASS = "1.2.840.10008.5.1.4.1.1.7"


def test_uids_follow_from_the_version_but_a_lesion_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances, series and parts of another release are others; a tracking UID names the lesion, not the object."""
    of_job = ResultUIDs("job-1", "profile")

    def derived() -> list[str]:
        return [of_job.instance(CLASS, "page 1"), of_job.series(CLASS), of_job.part("dimensions")]

    now, tracked = derived(), of_job.tracking("Nodule 1")
    assert now == derived()
    monkeypatch.setattr(uids, "__version__", "99.0.0")
    assert not set(now) & set(derived())
    assert tracked == of_job.tracking("Nodule 1")


def test_the_same_job_encoded_by_another_release_shares_no_uid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Retried after an update, a job's objects do not take the place of those that were sent before."""
    request = reports.request(reports.write_series("ct", tmp_path / "in"), reports.measured())
    before = reports.whole(request, tmp_path / "before")
    monkeypatch.setattr(uids, "__version__", "99.0.0")
    after = reports.whole(request, tmp_path / "after")
    for keyword in ("sop_instance_uid", "series_instance_uid"):
        assert not {getattr(one, keyword) for one in before} & {getattr(one, keyword) for one in after}
