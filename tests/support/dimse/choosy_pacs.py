"""PACS that do not take everything, as many do: a SOP class, refused in negotiation or later; a single object."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType

from pydicom import Dataset, dcmread
from pynetdicom import evt

from node.dimse.demo_pacs import DemoPACS


class ChoosyPACS(DemoPACS):
    """Refuses presentation contexts of the classes `refuses`, and answers objects of `unsupported` with 0122."""

    def __init__(self, folder: Path, refuses: Collection[str] = (), unsupported: Collection[str] = ()) -> None:
        super().__init__(folder, "PACS")
        self.refuses = set(refuses)
        self.unsupported = set(unsupported)
        self.proposed: list[set[str]] = []
        """Storage classes proposed, by association."""

    def __enter__(self) -> ChoosyPACS:
        super().__enter__()
        assert self._server is not None
        self._server.bind(evt.EVT_REQUESTED, self._refuse)  # after what accepts everything
        return self

    def _refuse(self, event: evt.Event) -> None:
        acceptor, asked = event.assoc.acceptor, event.assoc.requestor.primitive
        assert asked is not None
        proposed = {str(each.abstract_syntax) for each in asked.presentation_context_definition_list}
        if any(".5.1.4.1.1." in each for each in proposed):
            self.proposed.append(proposed)
        acceptor.supported_contexts = [
            each for each in acceptor.supported_contexts if each.abstract_syntax not in self.refuses
        ]

    def _store(self, event: evt.Event) -> int:
        if str(event.request.AffectedSOPClassUID) in self.unsupported:  # of a C-STORE it has one
            return 0x0122
        return super()._store(event)

    def put(self, files: Collection[Path]) -> None:
        """It has these already."""
        for path in files:
            (self.folder / f"{path.stem}.dcm").symlink_to(path)

    def results(self) -> list[Dataset]:
        """What was sent to it, besides what it had."""
        return [dcmread(path) for path in self.files() if not path.is_symlink()]

    def classes(self) -> Counter[str]:
        """How many results it holds of each SOP class."""
        return Counter(str(each.SOPClassUID) for each in self.results())


def abort(event: evt.Event) -> None:
    """End the association by A-ABORT."""
    event.assoc.abort()


def reset(event: evt.Event) -> None:
    """End the connection by RST."""
    held = event.assoc.dul.socket
    assert held is not None
    assert held.socket is not None
    held.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    held.socket.close()


class ChokingPACS(DemoPACS):
    """Chokes on single objects, and is sound otherwise.

    `choke` is done to the SOP instances `bad` in place of an answer; None: it keeps silent, as it does when it is asked
    for a study of `silent_about`. Those of `refuses` are answered with `status`.
    """

    def __init__(self, folder: Path, choke: Callable[[evt.Event], None] | None = None) -> None:
        super().__init__(folder, "PACS")
        self.bad: set[str] = set()
        self.silent_about: set[str] = set()
        self.refuses: set[str] = set()
        self.status = 0xA700
        self.stored: list[str] = []
        """SOP Instance UIDs, in the order in which they were stored."""
        self.tried: list[tuple[int, str]] = []
        """Association and SOP Instance UID of each C-STORE request."""
        self._choke = choke
        self._over = threading.Event()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        super().__exit__(kind, error, trace)

    def alone(self, uid: str) -> bool:
        """Whether the last association in which this instance was sent was its own."""
        association = next(number for number, each in reversed(self.tried) if each == uid)
        return [each for number, each in self.tried if number == association] == [uid]

    def _store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)  # of a C-STORE it has one
        self.tried.append((id(event.assoc), uid))
        if uid in self.bad:
            if self._choke is None:
                self._over.wait()
            else:
                self._choke(event)
            return 0xC000
        if uid in self.refuses:
            return self.status
        status = super()._store(event)
        self.stored.append(uid)
        return status

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        if str(event.identifier.get("StudyInstanceUID", "")) in self.silent_about:
            self._over.wait()
        yield from super()._find(event)
