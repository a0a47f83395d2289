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
from node.ledger import events, exchanges, facts, gone_images, jobs, purges, replacements, studies
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.exchanges import CorrectionExchange
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


def settle(ledger: Ledger, at: datetime, study: str, configuration: Configuration) -> None:
    """Before a revision: the corrected instances become current, where the rules say so and all were corrected."""
    go_on(ledger, at, study)
    with ledger.reading() as database:
        if not replacements.are_pending(database, study) or not takes_newest(database, study, configuration):
            return
    if take_newest(ledger, at, study):
        return
    with ledger.transaction() as database:
        row = studies.get(database, study)
        if row is not None and row.hold is None:
            studies.hold(database, at, study, f"{_REASON}, but not all of it: two patients in one study")


def take_newest(
    ledger: Ledger, at: datetime, study: str, by: str = events.NODE, *, releases: str | None = None
) -> bool:
    """Let the corrections replace what they correct; false, and nothing done, where that would mix two patients.

    Some at a time: where that is cut short, `go_on` does the rest. Nobody may use the study meanwhile: it is held, and
    `releases` says why it is released at the end and gets a new revision; or it is about to be complete.
    """
    while not exchanges.is_open(ledger.database, study):
        with ledger.snapshot() as database:
            before = replacements.state(database, study)
            wanted = _exchange(database, study, by, releases)
        if wanted is None:
            return False
        with ledger.transaction() as database:
            if replacements.state(database, study) == before and not exchanges.is_open(database, study):
                exchanges.begin(database, wanted)
    go_on(ledger, at, study)
    return True


def go_on(ledger: Ledger, at: datetime, study: str) -> None:
    """Do what is left of an exchange of the study, where one is under way."""
    is_left = exchanges.is_open(ledger.database, study)
    while is_left:
        with ledger.transaction() as database:
            is_left = _exchange_some(database, at, study)


def _exchange(database: Database, study: str, by: str, releases: str | None) -> CorrectionExchange | None:
    versions = replacements.of_study(database, study)
    gone = set(gone_images.receipts(database, study).values())
    if not gone <= versions.corrections.keys() or gone_images.unknown(database, study):
        return None  # of what was removed, a part was not sent again
    together = versions.together
    if not versions.corrections or _mixed(together):
        return None
    receipts = [each.receipt for each in versions.corrections.values()]
    return CorrectionExchange(study, receipts, len(together), by, releases)


def _exchange_some(database: Database, at: datetime, study: str) -> bool:
    """Whether there may be more to do; another process may have done the rest meanwhile."""
    exchange = exchanges.open_of(database, study)
    if exchange is None or exchanges.exchange_some(database, exchange):
        return exchange is not None
    _say_whose(database, exchange)
    purges.were_corrected(database, study)
    events.record(
        database,
        at,
        EventKind.STUDY_CORRECTED,
        study=study,
        actor=exchange.by,
        instances=len(exchange.receipts),
        of=exchange.instances,
    )
    exchanges.end(database, study)
    if exchange.releases is not None:
        studies.reopened(database, at, study, at, exchange.releases, exchange.by)
        if not replacements.are_pending(database, study):  # else it came again meanwhile: that is to be decided, too
            studies.unhold(database, at, study, exchange.by)
    return False


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


def _say_whose(database: Database, exchange: CorrectionExchange) -> None:
    """Which patient the study belongs to, by the first that counts: of a rejected one no header is kept."""
    study = exchange.study_instance_uid
    headers = (facts.header_of(database, study, receipt) for receipt in exchange.receipts)
    header = next((each for each in headers if each), None)
    if header is None:
        return
    studies.set_patient(
        database,
        study,
        patient_id=first_text(header, "PatientID"),
        issuer_of_patient_id=first_text(header, "IssuerOfPatientID"),
        accession_number=first_text(header, "AccessionNumber"),
    )
    studies.described(database, study, description(header), newest=True)
