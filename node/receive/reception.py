"""One SOP instance on its way to the disk: written as it streams in, durable before it is promised.

    begin ─► write … write ─► finish ─► status of the response ─► settle
                 └──────► abandon (the association died): nothing is left

A reception never raises: a failure is remembered, its file removed at once (cases 18, 52), the rest
of the data set read and dropped, and `finish` says what happened. Names come from the data folder, never from
the wire (cases 28, 29).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from node.dimse.status import StoreStatus, answer_for
from node.receive.head import HeadScanner, check_command_uids, check_uids
from node.store.arrival import Arrival, file_header
from node.store.durable import sync_folder
from node.store.layout import DataFolder
from node.store.part import PartFile

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Tally:
    """What one association has brought so far."""

    stored: int = 0
    refused: int = 0
    octets: int = 0


class Reception:
    """A data set being received into a `.part` file in `incoming/`."""

    def __init__(
        self,
        data_folder: DataFolder,
        arrival: Arrival,
        tally: Tally,
        durable: bool,
        stored: Callable[[], None],
        cannot_write: Callable[[str], None] = lambda _: None,
        blank: PartFile | None = None,
    ) -> None:
        self.comment = ""
        """Why it was refused, in one short line for the response (Error Comment (0000,0902))."""
        self._data_folder = data_folder
        self._arrival = arrival
        self._tally = tally
        self._durable = durable
        self._stored = stored
        self._cannot_write = cannot_write
        self._receipt = data_folder.new_receipt()
        self._scanner = HeadScanner(arrival.transfer_syntax_uid)
        self._part = blank
        self._failure: Exception | None = None
        self._octets = 0
        self._is_sealed = False
        try:
            check_command_uids(arrival.sop_class_uid, arrival.sop_instance_uid)
            self._part = self._begin(data_folder.part(self._receipt), blank)
            self._part.write(file_header(arrival))
        except Exception as failure:  # noqa: BLE001 - every failure becomes a status; `_fail` logs what is our own
            self._fail(failure)

    @staticmethod
    def _begin(path: Path, blank: PartFile | None) -> PartFile:
        """The file to be written: the blank one, under the object's name, or a new one."""
        if blank is None:
            return PartFile(path)
        blank.rename(path)
        return blank

    def write(self, fragment: memoryview) -> None:
        """The next bytes of the data set, as received."""
        if self._failure is not None or self._part is None:
            return
        try:
            self._scanner.feed(fragment)
            self._part.write(fragment)
        except Exception as failure:  # noqa: BLE001 - as above: a defect here must cost one object, not a thread
            self._fail(failure)
        else:
            self._octets += len(fragment)

    def finish(self) -> StoreStatus:
        """The data set is whole: make it durable under its final name, and say what to answer."""
        if self._failure is None and self._part is not None:
            try:
                check_uids(self._scanner.uids, self._arrival.sop_class_uid, self._arrival.sop_instance_uid)
                self._commit(self._part)
            except Exception as failure:  # noqa: BLE001 - as above
                self._fail(failure)
        if self._failure is None:
            self._tally.stored += 1
            self._tally.octets += self._octets
            if not self._is_sealed:
                self._stored()
        else:
            self._tally.refused += 1
        return self.status

    @property
    def status(self) -> StoreStatus:
        """What it is answered with, once it is finished."""
        return answer_for(self._failure)

    def settle(self) -> None:
        """The response is out: an object that was durable without its final name gets that. Once; never raises."""
        if self._is_sealed and self._part is not None:
            self._is_sealed = False
            try:
                self._part.close()
                self._part.rename(self._data_folder.arrived(self._receipt))
            except FileNotFoundError:  # the association ended before this, and the indexer was quicker
                self._stored()
            except OSError as error:  # it is whole and sealed: the indexer finds it when the association has ended
                log.error("receive.object-not-renamed", receipt=self._receipt, reason=str(error))
                self._cannot_write(error.strerror or str(error))
            else:
                self._stored()

    @property
    def length(self) -> int | None:
        """Bytes of the data set of an object that was kept; None for any other."""
        return self._octets if self._failure is None else None

    def _commit(self, part: PartFile) -> None:
        if self._durable:
            part.sync()
            if part.is_named:
                self._is_sealed = True
                return
        part.close()
        arrived = self._data_folder.arrived(self._receipt)
        part.rename(arrived)
        if not self._durable:
            return
        try:
            sync_folder(self._data_folder.incoming)
        except OSError:
            arrived.unlink(missing_ok=True)  # not promised, so not kept: the sender will send it again
            raise

    def abandon(self) -> None:
        """The rest will never come."""
        if self._failure is None:
            self._discard()

    def _fail(self, failure: Exception) -> None:
        """Remember why, and leave nothing behind."""
        self._failure = failure
        self._discard()
        status = answer_for(failure)
        ours = status is StoreStatus.PROCESSING_FAILURE
        self.comment = _comment(failure, status)
        log.error(
            "receive.object-refused",
            association=self._arrival.association,
            status=f"{status:04X}",
            reason=self.comment if not ours else repr(failure),
            exc_info=failure if ours else None,
        )
        if status is StoreStatus.OUT_OF_RESOURCES:
            self._cannot_write(self.comment)

    def _discard(self) -> None:
        if self._part is not None:
            self._part.discard()


def _comment(failure: Exception, status: StoreStatus) -> str:
    """Words for the peer: what it can act on, and nothing of this node's insides."""
    if isinstance(failure, OSError):
        return f"cannot be written: {failure.strerror}"
    return "defect of the node, see its log" if status is StoreStatus.PROCESSING_FAILURE else str(failure)
