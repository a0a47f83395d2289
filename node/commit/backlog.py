"""What was received before a request and may not be indexed yet: until then nobody can say what is stored."""

from __future__ import annotations

import os
from collections.abc import Collection

from node.store.arrival import NotOurFileError, read_arrival
from node.store.layout import DataFolder

_FEW = 200
"""More than this are not looked into one by one; a longer backlog is waited for as a whole."""


class Backlog:
    """The receipts that one request waits for.

    Taken when the request is taken: whatever was answered before the N-ACTION lay in `incoming/` by then, or was
    indexed. Not by time: a clock may be set. Objects that were still arriving count, too. Built again after a
    restart, it can only hold more.
    """

    def __init__(self, data_folder: DataFolder, since: float) -> None:
        self.since = since
        """When it was taken, in seconds of the monotonic clock."""
        self._data_folder = data_folder
        self._receipts = _incoming(data_folder)

    @property
    def is_long(self) -> bool:
        """Whether it is too long to be looked into: the indexer has much to do."""
        return len(self._receipts) > _FEW

    def left(self, sop_instance_uids: Collection[str]) -> dict[str, str]:
        """Receipts that are not indexed yet and may concern these; each with its SOP instance UID, or "" if unknown."""
        self._receipts &= _incoming(self._data_folder)
        if self.is_long:
            return dict.fromkeys(self._receipts, "")
        found = {receipt: self._uid(receipt) for receipt in self._receipts}
        concern = {
            receipt: uid for receipt, uid in found.items() if uid is not None and uid in ("", *sop_instance_uids)
        }
        self._receipts &= concern.keys()
        return concern

    def _uid(self, receipt: str) -> str | None:
        """Its SOP instance UID; "" where that is not known yet, None where the file is nobody's that we answered."""
        try:
            return read_arrival(self._data_folder.arrived(receipt))[0].sop_instance_uid
        except FileNotFoundError:
            pass
        except NotOurFileError:
            return None
        except OSError:
            return ""
        try:
            return read_arrival(self._data_folder.part(receipt))[0].sop_instance_uid
        except (OSError, NotOurFileError):
            return ""


def _incoming(data_folder: DataFolder) -> set[str]:
    names = (entry.name.partition(".") for entry in os.scandir(data_folder.incoming))
    return {stem for stem, _, kind in names if kind in ("dcm", "part")}
