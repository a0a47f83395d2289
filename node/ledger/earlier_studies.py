"""Earlier studies of a patient that are here already, for rules that want several of them."""

from __future__ import annotations

from node.ledger.connection import Database
from node.ledger.instances import differing_patient, witness
from node.ledger.rows import query
from node.ledger.studies import Study, StudyImages, StudyStatus


def here(database: Database, study: Study, earliest: str) -> list[str]:
    """Study Instance UIDs of the same patient's complete studies from `earliest` (YYYYMMDD) on, newest first.

    Patient ID has to be equal, and what both state of issuer, name, birth date and sex. Left out are held
    studies, those whose images were removed, and those that are not dated before the study itself.
    """
    if not study.patient_id.strip():
        return []
    rows = query(
        database,
        "SELECT study_instance_uid FROM studies WHERE study_date BETWEEN ? AND ? AND (study_date, study_time) < (?,?)"
        " AND patient_id=? AND status=? AND images=? AND hold IS NULL AND study_instance_uid<>?"
        " ORDER BY study_date DESC, study_time DESC",
        [
            *(earliest, study.study_date, study.study_date, study.study_time, study.patient_id),
            *(StudyStatus.COMPLETE, StudyImages.HERE, study.study_instance_uid),
        ],
    )
    own = witness(database, study.study_instance_uid)
    found = (str(row["study_instance_uid"]) for row in rows)
    return [uid for uid in found if not differing_patient(own, witness(database, uid))]
