"""Until when a study counts as arriving, in words."""

from __future__ import annotations

from datetime import datetime

from node.config.models import NodeSettings
from node.desk.words import clock_text
from node.ledger.studies import Study, StudyStatus


def status_text(study: Study, node: NodeSettings, now: datetime, *, ended: bool) -> str:
    """Where a study stands; one that is being received: until when, if nothing more arrives.

    `ended`: a person said that nothing more comes. The moment is the one in the row; where the clock was set, the
    node waits as long in real time.
    """
    if study.status is not StudyStatus.RECEIVING:
        return str(study.status)
    latest = max(study.due_at, study.last_received_at + node.completion.max_wait)
    if ended:
        return "receiving, to be completed now"
    if now < study.due_at:
        return f"receiving until {clock_text(study.due_at, node.zone, now)} unless more arrives"
    if now < latest:
        until = clock_text(latest, node.zone, now)
        return f"receiving until its association is released and all is indexed, {until} at the latest"
    return f"receiving, due {clock_text(latest, node.zone, now)}"
