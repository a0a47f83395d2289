"""Corrections: the same images, sent again under another patient or order.

Whatever the rules say, a correction at once cancels the study's open jobs, keeps what was not sent
from being sent, lists what was sent for withdrawal, and alerts. `on_correction` says what follows:

- `hold` (default): the study is held. What came first stays current; the corrected instances lie
  beside it as `correction` until a person lets the study go on (`studies.unhold`; its cancelled jobs
  run again by `jobs.again`) or takes the corrected instances (`take_newest`).
- `take_newest`: the study counts as being received again, and when it is complete the corrected
  instances replace the first ones together, in a new revision which the rules decide on again. Only
  if all of it was corrected: a study half of which is another patient's is held.

It is a word of each rule, but a study has one patient: the newest is taken only where every job of
the study says so, or, before there are jobs, every rule that is enabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from node.config.models import Configuration
from node.dicom.values import first_text
from node.index.compare import patient_differences
from node.index.describing import description
from node.index.stopping import stop_study
from node.ledger import events, facts, gone_images, jobs, purges, replacements, studies
from node.ledger.database import Database
from node.ledger.event_kinds import EventKind
from node.ledger.replacements import InstanceVersion

TAKE_NEWEST = "take_newest"
_REASON = "the study was sent again with another patient or order"


def takes_newest(database: Database, study: str, configuration: Configuration) -> bool:
    """Whether the rules let the corrected instances replace the first ones."""
    words = {job.on_correction for job in jobs.of_study(database, study)}
    words = words or {rule.on_correction for rule in configuration.rules if rule.enabled}
    return words == {TAKE_NEWEST}


def arrived(
    database: Database, at: datetime, study: str, differences: Iterable[str], *, newest: bool
) -> frozenset[str]:
    """Corrected instances of `study` were recorded: stop what runs, and hold the study unless `newest`.

    Returns other studies of which something stopped, because it was compared with this one.
    """
    row = studies.get(database, study)
    assert row is not None, "a correction presupposes the instance it corrects"
    comparing = stop_study(database, at, study, _REASON, for_good=newest)
    if not newest and row.hold is None:
        studies.hold(database, at, study, f"{_REASON} ({', '.join(sorted(differences))})")
    return comparing


def settle(database: Database, at: datetime, study: str, configuration: Configuration) -> None:
    """Before a revision: the corrected instances become current, where the rules say so and all were corrected."""
    if not replacements.are_pending(database, study) or not takes_newest(database, study, configuration):
        return
    if not take_newest(database, at, study):
        row = studies.get(database, study)
        if row is not None and row.hold is None:
            studies.hold(database, at, study, f"{_REASON}, but not all of it: two patients in one study")


def take_newest(database: Database, at: datetime, study: str, by: str = events.NODE) -> bool:
    """Let the corrections replace what they correct; false, and nothing done, where that would mix two patients.

    The caller sees to a new revision (`studies.reopened`), unless the study is about to be complete.
    """
    versions = replacements.of_study(database, study)
    gone = set(gone_images.receipts(database, study).values())
    if not gone <= versions.corrections.keys() or gone_images.unknown(database, study):
        return False  # of what was removed, a part was not sent again
    together = versions.together
    if not versions.corrections or _mixed(together):
        return False
    replacements.replace(database, versions)
    _say_whose(database, study, together[0].receipt)
    purges.were_corrected(database, study)
    events.record(
        database,
        at,
        EventKind.STUDY_CORRECTED,
        study=study,
        actor=by,
        instances=len(versions.corrections),
        of=len(together),
    )
    return True


def can_take_newest(database: Database, study: str) -> bool:
    """Whether `take_newest` would replace anything, and mix no two patients."""
    versions = replacements.of_study(database, study)
    return bool(versions.corrections) and not _mixed(versions.together)


def _mixed(together: Sequence[InstanceVersion]) -> bool:
    """Whether these in one study would mix two patients, two spellings of one, or two orders."""
    first = together[0]
    if any(each.accession_number != first.accession_number for each in together):
        return True
    others = {each.patient: each for each in together}  # thousands say the same in the same words
    return any(patient_differences(first.stated, other.stated) for other in others.values())


def _say_whose(database: Database, study: str, receipt: str) -> None:
    header = facts.header_of(database, study, receipt) or {}
    studies.set_patient(
        database,
        study,
        patient_id=first_text(header, "PatientID"),
        issuer_of_patient_id=first_text(header, "IssuerOfPatientID"),
        accession_number=first_text(header, "AccessionNumber"),
    )
    studies.described(database, study, description(header), newest=True)
