"""Storage commitment on one association: who may, what is written down, and which report is to be sent now.

The node process decides; here an N-ACTION is made durable before it is answered, and what the node offers to
report is sent while the association lives (`node.store.journal`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from node.clock import Clock
from node.config.destinations import dicom_destinations
from node.config.models import Configuration
from node.dimse.association import AssociationRequest, CommitmentRoles
from node.dimse.commitment import CommitmentRequest, CommitmentResult
from node.dimse.status import ActionStatus
from node.dimse.wire import printable
from node.store.journal import Journal, JournalMessage
from node.store.layout import DataFolder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may ask for storage commitment, and who may report to us."""

    requesters: frozenset[str]
    archives: frozenset[str]

    @staticmethod
    def of(configuration: Configuration) -> Permissions:
        """By the configuration: senders with `storage_commitment`, and the destinations that are asked."""
        asking = [each for each in configuration.modalities.values() if each.storage_commitment is not None]
        through = {each.storage_commitment.commit_through for each in asking if each.storage_commitment is not None}
        known = dicom_destinations(configuration.destinations)
        archives = {one.ae_title for name, one in known.items() if name in through or one.commitment != "off"}
        return Permissions(frozenset(each.ae_title for each in asking), frozenset(archives))

    def roles(self, calling_ae_title: str) -> CommitmentRoles:
        """What a caller may do."""
        return CommitmentRoles(calling_ae_title in self.requesters, calling_ae_title in self.archives)


class ReceiverService(Protocol):
    """What storage commitment rests on in a receiver."""

    permissions: Permissions
    journal: Journal
    data_folder: DataFolder
    clock: Clock

    def refuses_objects(self) -> str | None:
        """Why nothing is taken now; None where it is."""
        ...

    def speaks_for_destination(self, request: AssociationRequest) -> bool:
        """Whether a caller with the AE title of a destination is that destination."""
        ...

    def cannot_write(self, reason: str) -> None:
        """Leave word that what was received could not be written."""
        ...

    def wake_node(self) -> None:
        """Something has arrived."""
        ...


class OfferedReport:
    """A report that the node has offered to this association."""

    def __init__(self, journal: Journal, claimed: Path, result: CommitmentResult, service: ReceiverService) -> None:
        self.result = result
        self._journal = journal
        self._claimed = claimed
        self._service = service

    def answered(self, status: int | None) -> None:
        """Let the node know."""
        try:
            self._journal.settle(self._claimed, status)
        except OSError as error:  # it counts as unanswered once the association has ended, and is reported again
            log.error("receive.commitment-answer-lost", reason=str(error))
        self._service.wake_node()


class Commitments:
    """Storage commitment of one association."""

    def __init__(self, service: ReceiverService, association: str, request: AssociationRequest) -> None:
        roles = service.permissions.roles(request.calling_ae_title)
        self.roles = replace(roles, reports=roles.reports and service.speaks_for_destination(request))
        self._service = service
        self._association = association
        self._request = request
        self._asked = False

    def commit(self, request: CommitmentRequest) -> ActionStatus:
        """An N-ACTION: on disk before it is answered with success."""
        if not self.roles.requests:
            return ActionStatus.NOT_AUTHORISED
        if self._service.refuses_objects():
            return ActionStatus.RESOURCE_LIMITATION
        status = self._keep(request)
        self._asked = self._asked or status is ActionStatus.SUCCESS
        return status

    def committed(self, result: CommitmentResult) -> ActionStatus:
        """An N-EVENT-REPORT of an archive that we asked."""
        if not self.roles.reports:
            log.warning(
                "receive.commitment-report-refused",
                association=self._association,
                calling=printable(self._request.calling_ae_title),
                peer=self._request.peer_address,
            )
            return ActionStatus.NOT_AUTHORISED
        return self._keep(result)

    def _keep(self, content: CommitmentRequest | CommitmentResult) -> ActionStatus:
        message = JournalMessage(
            content=content,
            calling_ae_title=self._request.calling_ae_title,
            called_ae_title=self._request.called_ae_title,
            association=self._association,
            received_at=self._service.clock.now(),
        )
        try:
            self._service.journal.keep(self._service.data_folder.new_receipt(), message)
        except OSError as error:
            reason = error.strerror or str(error)
            log.error("receive.commitment-not-written", association=self._association, reason=reason)
            self._service.cannot_write(reason)
            return ActionStatus.PROCESSING_FAILURE
        log.info("receive.commitment-written", association=self._association, transaction=content.transaction_uid)
        self._service.wake_node()
        return ActionStatus.SUCCESS

    def due_report(self) -> OfferedReport | None:
        """What the node offers to report on this association; asked for only where there was a request on it."""
        if not self._asked:
            return None
        try:
            found = self._service.journal.claim(self._association)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            log.error("receive.commitment-report-unreadable", association=self._association, reason=str(error))
            return None
        return OfferedReport(self._service.journal, *found, self._service) if found else None
