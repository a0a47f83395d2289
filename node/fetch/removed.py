"""Images that retention removed and a job needs: which series an archive is asked to send again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from node.fetch.seeking import SERIES_KEYWORDS
from node.ledger import fetches, instances, job_images, jobs
from node.ledger.database import Database
from node.ledger.fetches import Fetch
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobStatus
from node.ledger.studies import Study

_KEYWORDS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")
SERIES = "series"
"""In what a fetch wants: the series that lack images; of every series of the study where it names none."""
_EVERY = [status for status in InstanceStatus if status is not InstanceStatus.DUPLICATE]


class _StudyFinder(Protocol):
    """What is asked of an archive (`node.fetch.stage.PriorArchive`)."""

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """Studies that match these keys."""
        ...

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """The series of a study."""
        ...


def find(archive: _StudyFinder, fetch: Fetch, study: Study) -> tuple[str, list[str]] | None:
    """The study and the series to be sent; None where the archive does not have all of them under the same patient.

    Raises as the archive does.
    """
    uid = study.study_instance_uid
    answers = archive.find_studies({"StudyInstanceUID": uid}, _KEYWORDS)
    if not any(_is_same(answer, study) for answer in answers):
        return None
    there = [answer["SeriesInstanceUID"] for answer in archive.find_series(uid, SERIES_KEYWORDS)]
    wanted = _wanted(fetch.wanted) or there
    return (uid, wanted) if wanted and set(wanted) <= set(there) else None


def _is_same(answer: Mapping[str, str], study: Study) -> bool:
    """Whether it is the study, of the same patient: the archive may have merged or corrected patients since."""
    if answer["StudyInstanceUID"] != study.study_instance_uid:
        return False
    issuers = {answer["IssuerOfPatientID"].strip(), study.issuer_of_patient_id.strip()} - {""}
    return answer["PatientID"].strip() == study.patient_id.strip() and len(issuers) <= 1


def is_waited_for(database: Database, job: str) -> bool:
    """Whether the job still waits for its images."""
    return jobs.get(database, job).status is JobStatus.QUEUED


def here(database: Database, fetch: Fetch) -> bool | None:
    """Whether the images are here already, as another job had them fetched; None while they arrive, or go."""
    assert fetch.job is not None, fetch.id
    found = job_images.look(database, jobs.get(database, fetch.job))
    return (
        None
        if found.settling or fetches.is_sent_for_another(database, fetch)
        else fetch.prior_study not in found.missing
    )


def number_here(database: Database, fetch: Fetch) -> int:
    """How many SOP instances of the wanted series are here, whatever they count as."""
    assert fetch.prior_study is not None, fetch.id
    wanted = _wanted(fetch.wanted)
    found = instances.of_study(database, fetch.prior_study, _EVERY)
    return len({each.sop_instance_uid for each in found if not wanted or each.series_instance_uid in wanted})


def _wanted(plain: Mapping[str, Any]) -> list[str]:
    return list(plain.get(SERIES, ()))
