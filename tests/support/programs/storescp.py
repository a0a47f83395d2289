"""dcmtk's storescp as an archive that keeps each data set byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom.filereader import read_file_meta_info

from tests.support.ports import listens, started_on_a_free_port
from tests.support.programs.peers import dcmtk
from tests.support.wait import until


class StoreSCP:
    """Listens on a loopback port of its own while its context is open; `stop()` and `start()` play an outage.

    `options`: which transfer syntaxes it takes (`+xa` all, `+xi` implicit VR little endian alone; without it the
    uncompressed ones).
    """

    def __init__(self, folder: Path, ae_title: str = "ARCHIVE", options: Sequence[str] = ("+xa",)) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.port = 0
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    def start(self) -> Self:
        """Start, and return when it takes connections; the first start finds a free port, later ones keep it."""
        if self.port:
            self._process = process = self._launched(self.port)
            until(lambda: listens(process, self.port), what="storescp to listen")
        else:
            self._process, self.port = started_on_a_free_port(self._launched)
        return self

    def _launched(self, port: int) -> subprocess.Popen[bytes]:
        command = [dcmtk("storescp"), "+B", "-pm", *self._options, "-aet", self.ae_title, "-od", str(self.folder)]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            return subprocess.Popen([*command, "-v", str(port)], stdout=log, stderr=log)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
        self._process = None

    def data_sets(self) -> dict[str, tuple[str, bytes]]:
        """SOP Instance UID → transfer syntax and the bytes of the data set."""
        found = {}
        for path in self.folder.iterdir():
            meta = read_file_meta_info(path)
            start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
            found[str(meta.MediaStorageSOPInstanceUID)] = (str(meta.TransferSyntaxUID), path.read_bytes()[start:])
        return found

    def times_stored(self) -> int:
        """How many C-STORE requests it has taken, repeated ones too."""
        return (
            (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace").count("Received Store Request")
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
