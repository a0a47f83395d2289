"""An archive that commits itself as archives do: at once, late, twice, in part, never, on whichever association."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from tests.support.dimse.commitment import INSTANCE, Pair, scp_role


class ReportsBy(StrEnum):
    """When and where it reports on a request."""

    BEFORE = "before"
    """On the same association, before it answers the N-ACTION."""
    SAME = "same"
    """On the same association, after the answer."""
    NEVER = "never"
    """By itself not at all: see `report`."""


@dataclass(frozen=True)
class ActionRecord:
    """One N-ACTION as it came."""

    transaction: str
    pairs: tuple[Pair, ...]

    @property
    def uids(self) -> list[str]:
        """The ends of the SOP Instance UIDs."""
        return [uid.rpartition(".")[2] for _, uid in self.pairs]


class CommittingPACS:
    """Listens on loopback while its context is open. `lacks` are SOP Instance UIDs that it fails, for `reason`."""

    def __init__(self, by: ReportsBy = ReportsBy.NEVER, ae_title: str = "PACS") -> None:
        self.by = by
        self.ae_title = ae_title
        self.lacks: set[str] = set()
        self.reason = 0x0112
        self.asked: list[ActionRecord] = []
        self.answers: list[int | None] = []
        """What the node answered to its reports, in their order; None where it did not."""
        self.node_port = 0
        """Of the receiver, for reports on associations of its own."""
        self._server: Any = None
        self._reporting: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        entity = AE(self.ae_title)
        entity.add_supported_context(StorageCommitmentPushModel)
        entity.add_supported_context(Verification)
        handlers = [(evt.EVT_N_ACTION, self._action), (evt.EVT_DIMSE_SENT, self._sent)]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for thread in self._reporting:
            thread.join(30)
        self._server.shutdown()

    def report(
        self,
        request: ActionRecord,
        *,
        only: Collection[str] | None = None,
        calling: str = "",
        address: str = "127.0.0.1",
        role: bool = True,
    ) -> int | None:
        """Report on an association of its own; the answer, None where the node does not accept that.

        `only`: names no other instances. `calling`, `address`: in the name of this AE, from there. `role`: propose to
        be the SCP.
        """
        entity = AE(calling or self.ae_title)
        entity.add_requested_context(StorageCommitmentPushModel)
        roles = [scp_role()] if role else []
        association = entity.associate(
            "127.0.0.1", self.node_port, ae_title="PACSNODE", ext_neg=roles, bind_address=(address, 0)
        )
        try:
            return self._report(association, request, only) if association.is_established else None
        finally:
            if association.is_established:
                association.release()

    def _action(self, event: evt.Event) -> tuple[int, None]:
        said = event.action_information
        pairs = [(str(e.ReferencedSOPClassUID), str(e.ReferencedSOPInstanceUID)) for e in said.ReferencedSOPSequence]
        self.asked.append(ActionRecord(str(said.TransactionUID), tuple(pairs)))
        if self.by is ReportsBy.BEFORE:
            self._report(event.assoc, self.asked[-1])
        return 0x0000, None

    def _sent(self, event: evt.Event) -> None:
        if self.by is ReportsBy.SAME and type(event.message).__name__ == "N_ACTION_RSP":
            thread = threading.Thread(target=self._report, args=(event.assoc, self.asked[-1]))
            self._reporting.append(thread)
            thread.start()

    def _report(
        self, association: Association, request: ActionRecord, only: Collection[str] | None = None
    ) -> int | None:
        named = [pair for pair in request.pairs if only is None or pair[1] in only]
        failed = [pair for pair in named if pair[1] in self.lacks]
        said = Dataset()
        said.TransactionUID = request.transaction
        said.ReferencedSOPSequence = _items([pair for pair in named if pair not in failed], None)
        if failed:
            said.FailedSOPSequence = _items(failed, self.reason)
        kind = 2 if failed else 1
        status, _ = association.send_n_event_report(said, kind, StorageCommitmentPushModel, INSTANCE)
        self.answers.append(int(status.Status) if "Status" in status else None)
        return self.answers[-1]


def _items(pairs: Sequence[Pair], reason: int | None) -> list[Dataset]:
    items = []
    for sop_class, uid in pairs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        if reason is not None:
            item.FailureReason = reason
        items.append(item)
    return items
