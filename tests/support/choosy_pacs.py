"""A PACS that does not take every SOP class, as many do: refused in negotiation, or when the object comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

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
        if str(event.request.AffectedSOPClassUID) in self.unsupported:  # type: ignore[union-attr] # of a C-STORE it has one
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
