"""That a person has looked at a study: part of the audit trail.

    viewing.viewed(ledger, found.study.study_instance_uid, who_types(), SystemClock().now())

Every face that shows what the node has of one study calls it.
"""

from __future__ import annotations

from datetime import datetime

from node.desk.actor import Actor
from node.ledger import study_views
from node.ledger.database import Ledger


def viewed(ledger: Ledger, study: str, actor: Actor, at: datetime) -> None:
    """Record that `actor` looks at the study (its UID), once in ten minutes; TransientError, LedgerError.

    A page that is asked for again and again writes nothing.
    """
    with ledger.reading() as database:
        if study_views.is_known(database, at, study, str(actor)):
            return
    with ledger.transaction() as database:
        study_views.record(database, at, study, str(actor))
