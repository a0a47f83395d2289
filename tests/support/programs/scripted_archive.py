"""An archive that behaves as the script says, in a process of its own, so that it can be killed.

python -m tests.support.programs.scripted_archive FOLDER PORT [NODE_PORT]

`FOLDER/script.json` is a list of behaviours, one for each C-STORE request to come; `FOLDER/commitment.json` one for
each request of storage commitment. Afterwards it is sound. Each object that it keeps is a line of `FOLDER/kept.log`:
SOP Instance UID and the SHA-256 of its data set. It reports to NODE_PORT.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from node.dimse.demo_pacs import DemoPACS
from tests.support.dimse.choosy_pacs import abort, reset
from tests.support.dimse.commitment import INSTANCE, Pair, scp_role

BEHAVIOURS = ("busy", "out-of-resources", "abort", "reset", "keep-and-reset", "warning", "slow")
"""Cases 61 to 68: resets the connection, A700, ends without an answer, or after it has stored."""
COMMITS = ("same", "late", "twice", "partly", "lost", "never", "refuses")
"""Case 70: reports on the association of the request, a second later, twice, fails one although it has it, has lost
one, does not report, or does not take the request. After its script it reports at once, on another association."""
_SLOW = 1.0


class ScriptedArchive(DemoPACS):
    """Takes the next behaviour of its script for each C-STORE request; what it keeps is in its log."""

    def __init__(self, folder: Path, port: int, node_port: int = 0) -> None:
        super().__init__(folder / "held", "PACS", port)
        self._log = folder / "kept.log"
        self._stores, self._commits = folder / "script.json", folder / "commitment.json"
        self._node_port = node_port
        self._taking = threading.Lock()

    def __enter__(self) -> ScriptedArchive:
        super().__enter__()
        assert self._server is not None
        self._server.contexts = [*self._server.contexts, build_context(StorageCommitmentPushModel)]
        self._server.bind(evt.EVT_N_ACTION, self._action)
        return self

    def _next(self, script: Path) -> str:
        with self._taking:
            left = json.loads(script.read_text()) if script.exists() else []
            if not left:
                return "sound"
            part = script.with_suffix(".part")
            part.write_text(json.dumps(left[1:]))
            part.replace(script)
            return str(left[0])

    def _store(self, event: evt.Event) -> int:
        match behaviour := self._next(self._stores):
            case "out-of-resources":
                return 0xA700
            case "abort":
                abort(event)
                return 0xC000
            case "busy" | "reset":
                reset(event)
                return 0xC000
            case "slow":
                threading.Event().wait(_SLOW)
        status = super()._store(event)
        content = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
        uid = str(event.request.AffectedSOPInstanceUID)
        with self._taking, self._log.open("a") as log:
            log.write(f"{uid} {content}\n")
        if behaviour == "keep-and-reset":
            reset(event)
        return 0xB000 if behaviour == "warning" else status

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        with contextlib.suppress(FileNotFoundError):  # a file may have been replaced meanwhile
            yield from super()._find(event)

    # --- storage commitment -----------------------------------------------------------------------

    def _action(self, event: evt.Event) -> tuple[int, None]:
        behaviour = self._next(self._commits)
        if behaviour == "refuses":
            return 0x0110, None
        said = event.action_information
        pairs = [(str(e.ReferencedSOPClassUID), str(e.ReferencedSOPInstanceUID)) for e in said.ReferencedSOPSequence]
        if behaviour == "lost":
            (self.folder / f"{pairs[0][1]}.dcm").unlink(missing_ok=True)
        lacks = {uid for _, uid in pairs if not (self.folder / f"{uid}.dcm").exists()}
        lacks |= {pairs[0][1]} if behaviour == "partly" else set()
        report = _report(str(said.TransactionUID), pairs, lacks)
        if behaviour != "never":
            threading.Thread(target=self._tell, args=(event.assoc, behaviour, report), daemon=True).start()
        return 0x0000, None

    def _tell(self, asked_on: Association, behaviour: str, report: Dataset) -> None:
        if behaviour == "same":
            _send(asked_on, report)
            return
        if behaviour == "late":
            threading.Event().wait(_SLOW)
        for _ in range(2 if behaviour == "twice" else 1):
            entity = AE(self.ae_title)
            entity.add_requested_context(StorageCommitmentPushModel)
            opened = entity.associate("127.0.0.1", self._node_port, ae_title="PACSNODE", ext_neg=[scp_role()])
            if opened.is_established:  # else the node is down, and asks again
                _send(opened, report)
                opened.release()


def _send(association: Association, report: Dataset) -> None:
    kind = 2 if "FailedSOPSequence" in report else 1
    with contextlib.suppress(RuntimeError, ValueError):  # the node has died meanwhile, and asks again
        association.send_n_event_report(report, kind, StorageCommitmentPushModel, INSTANCE)


def _report(transaction: str, pairs: Sequence[Pair], lacks: set[str]) -> Dataset:
    said = Dataset()
    said.TransactionUID = transaction
    said.ReferencedSOPSequence = [_item(pair) for pair in pairs if pair[1] not in lacks]
    if lacks:
        said.FailedSOPSequence = [_item(pair) for pair in pairs if pair[1] in lacks]
        for item in said.FailedSOPSequence:
            item.FailureReason = 0x0112
    return said


def _item(pair: Pair) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = pair
    return item


def main() -> None:
    """Until it is killed, or told to end."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    with ScriptedArchive(folder, port, int(sys.argv[3]) if len(sys.argv) > 3 else 0):
        (folder / "listening").touch()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
