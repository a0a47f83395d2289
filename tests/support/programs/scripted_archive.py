"""An archive that behaves as the script says, in a process of its own, so that it can be killed.

python -m tests.support.programs.scripted_archive FOLDER PORT

`FOLDER/script.json` is a list of behaviours, one for each C-STORE request or association to come; afterwards it is
sound. Each object that it keeps is a line of `FOLDER/kept.log`: SOP Instance UID and the SHA-256 of its data set.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import evt

from node.dimse.demo_pacs import DemoPACS
from tests.support.dimse.choosy_pacs import abort, reset

BEHAVIOURS = ("busy", "out-of-resources", "abort", "reset", "keep-and-reset", "warning", "slow")
"""Cases 61 to 68: resets the connection, A700, ends without an answer, or after it has stored."""
_SLOW = 1.0


class ScriptedArchive(DemoPACS):
    """Takes the next behaviour of its script for each C-STORE request; what it keeps is in its log."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder / "held", "PACS", port)
        self._log = folder / "kept.log"
        self._script = folder / "script.json"
        self._taking = threading.Lock()

    def _next(self) -> str:
        with self._taking:
            left = json.loads(self._script.read_text()) if self._script.exists() else []
            if not left:
                return "sound"
            part = self._script.with_suffix(".part")
            part.write_text(json.dumps(left[1:]))
            part.replace(self._script)
            return str(left[0])

    def _store(self, event: evt.Event) -> int:
        match behaviour := self._next():
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


def main() -> None:
    """Until it is killed, or told to end."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    with ScriptedArchive(folder, port):
        (folder / "listening").touch()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
