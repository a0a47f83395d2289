"""What may be said of one SOP instance that storage commitment is asked for.

Success means: the bytes that the requester holds are the ones that count here, and they were read back just now. The
requester deletes its own after that. So what it sent last under this SOP Instance UID decides, not what is current: of
an object that was quarantined, that waits beside what it corrects, or that was replaced, it keeps its copy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from node.dimse.status import FailureReason
from node.ledger import instances, purges
from node.ledger.database import Database
from node.ledger.instances import Instance, InstanceStatus
from node.store import intact
from node.store.durable import sync_folder
from node.store.intact import DamagedError
from node.store.layout import DataFolder

log = structlog.get_logger(__name__)

_KEPT = (InstanceStatus.CURRENT, InstanceStatus.REJECTED, InstanceStatus.OWN, InstanceStatus.ANSWER)
"""A rejected image is kept as well as any: it only leaves the inputs of plugins."""
_COMMITTED = 0


@dataclass(frozen=True, slots=True)
class CommitmentVerdict:
    """What is said of one reference."""

    failure: int
    """A failure reason (PS3.3 C.14.1.1), 0 for success."""
    study_instance_uid: str | None = None
    damaged: str = ""
    """Why the stored file is not what was received, where that is so."""
    receipt: str = ""
    """The received file that it is about, where there is one."""


def judge(
    database: Database,
    data_folder: DataFolder,
    requester: str,
    sop_class_uid: str,
    sop_instance_uid: str,
    *,
    sync: bool,
) -> CommitmentVerdict:
    """See the module. `sync`: make the file durable first, where receiving does not (`durability: os`)."""
    known = instances.of_sop_instance(database, sop_instance_uid)
    if not known:
        return CommitmentVerdict(FailureReason.NO_SUCH_OBJECT)
    known = [each for each in known if not purges.is_going(database, each.study_instance_uid, each.receipt)]
    if not known:  # retention removes it just now, and what it has removed has no row
        return CommitmentVerdict(FailureReason.NO_SUCH_OBJECT)
    meant = what_is_meant(known, requester)
    study = next((each.study_instance_uid for each in known if each.study_instance_uid), None)
    if meant is not None and meant.sop_class_uid != sop_class_uid:
        return CommitmentVerdict(FailureReason.CLASS_INSTANCE_CONFLICT, study)
    if meant is None or meant.status not in _KEPT:
        return CommitmentVerdict(FailureReason.PROCESSING_FAILURE, study)
    damaged = _damaged(data_folder, meant, sync=sync)
    failure = FailureReason.PROCESSING_FAILURE if damaged else _COMMITTED
    return CommitmentVerdict(failure, study, damaged, meant.receipt)


def is_damaged(database: Database, verdict: CommitmentVerdict) -> bool:
    """Whether the file is damaged or lost, and not one that retention removed while it was read."""
    if not verdict.damaged or instances.by_receipt(database, verdict.receipt) is None:
        return False
    return not purges.is_going(database, verdict.study_instance_uid, verdict.receipt)


def what_is_meant(known: Sequence[Instance], requester: str) -> Instance | None:
    """The receipt that stands for what the requester holds; None where that is not known.

    What it sent last, or, where that was a duplicate, what it duplicates. Of one that sent nothing under its AE title
    (a gateway sends for it) only what nobody ever contradicted.

    `known` is in the order in which it was indexed. That has to agree with the numbers of the receipts on what came
    last. It does not where two associations sent at the same time, where a file could not be read for a while, or where
    an earlier release named receipts by a clock that was set back.
    """
    own = [each for each in known if each.calling_ae_title.strip() == requester]
    distinct = [each for each in known if each.status is not InstanceStatus.DUPLICATE]
    if not own:
        return distinct[0] if len(distinct) == 1 else None
    meant = _stands_for(own[-1], distinct)
    return meant if meant == _stands_for(max(own, key=lambda each: each.receipt), distinct) else None


def _stands_for(sent: Instance, distinct: Sequence[Instance]) -> Instance | None:
    """What was sent, or, where it was a duplicate, what it duplicates."""
    if sent.status is not InstanceStatus.DUPLICATE:
        return sent
    same = (sent.digest, sent.transfer_syntax_uid)
    identical = [each for each in distinct if (each.digest, each.transfer_syntax_uid) == same]
    if identical:
        return identical[-1]
    return distinct[0] if len(distinct) == 1 else None


def _damaged(data_folder: DataFolder, instance: Instance, *, sync: bool) -> str:
    """Why the file is not what was received; empty where it is, which is found by reading it."""
    try:
        path = data_folder.find(instance.receipt)
        intact.verify(path, instance.digest, instance.transfer_syntax_uid)
        if sync:
            _make_durable(path)
    except (OSError, DamagedError) as error:
        log.error("commit.file-unreadable", receipt=instance.receipt, reason=str(error))
        return str(error)
    return ""


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for folder in (path.parent, path.parent.parent):
        sync_folder(folder)
