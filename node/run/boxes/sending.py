"""Sending the images of an attempt to its box: what was answered with success is never sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from node.dicom.transcoding import with_fallbacks
from node.dimse.scu import Peer
from node.dimse.storage_scu import FileInForm, StoreOutcome, send
from node.errors import PermanentError, TransientError
from node.ledger import boxes
from node.ledger.boxes import SentStatus
from node.ledger.database import Ledger
from node.outcome import AnswerReading

_STORED = (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING)
_REFUSED = (AnswerReading.DEAD_LETTER, AnswerReading.CLASS_REFUSED, AnswerReading.KIND_REFUSED)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SendingCourse:
    """How far it came."""

    left: int
    """Instances that are still to be sent."""
    refused: int
    why: str
    """Why the last one was not stored; "" where all were."""


def send_rest(
    ledger: Ledger,
    attempt: str,
    files: Mapping[int, Path],
    peer: Peer,
    wanted: Callable[[], bool],
    in_form: FileInForm,
) -> SendingCourse:
    """Send what the box has not answered with success; each answer is a row before the next instance leaves.

    `files`: the number of an instance → its file. `in_form` brings it into a transfer syntax that the box takes.
    `wanted` is asked before each: false ends it. A box that cannot be reached, or breaks off, is no error: the rest is
    left.
    """
    rows = boxes.instances_of(ledger.database, attempt)
    numbers = {files[row.number]: row.number for row in rows if row.status is SentStatus.WAITING}
    why = ""
    try:
        if numbers and wanted():
            for path, outcome in send(peer, numbers, with_fallbacks, in_form):
                status = _keep(ledger, attempt, numbers[path], outcome)
                why = "" if status is SentStatus.STORED else outcome.text
                if status is SentStatus.WAITING or not wanted():  # a box that hangs is left alone for a while
                    break
    except (TransientError, PermanentError) as error:  # no association: to be mended here or there, until the deadline
        why = str(error)
    after = boxes.instances_of(ledger.database, attempt)
    left = [row for row in after if row.status is SentStatus.WAITING]
    refused = [row for row in after if row.status is SentStatus.REFUSED]
    return SendingCourse(len(left), len(refused), refused[0].answer or why if refused else why)


def _keep(ledger: Ledger, attempt: str, number: int, outcome: StoreOutcome) -> SentStatus:
    """Put down what the box answered."""
    if outcome.reading in _STORED:
        status = SentStatus.STORED
    else:
        status = SentStatus.REFUSED if outcome.reading in _REFUSED else SentStatus.WAITING
        log.warning("run.box-did-not-store", attempt=attempt, number=number, answer=outcome.text)
    with ledger.transaction() as database:
        boxes.said(database, attempt, number, status, outcome.text)
    return status
