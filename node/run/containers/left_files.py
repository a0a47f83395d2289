"""DICOM files that a container left, made a result that names them: nothing of them is opened here.

The container is gone and its files are the node's by then; their names, and how deep they lie, are a stranger's.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from node.run import nested

LEFT = "out/left"
"""In the attempt's folder: what the program in the container leaves."""
RESULT = "result.json"
_DICOM = "dicom"
_MOST_OBJECTS = 100_000
"""Files that an attempt may write: how many a result may name is checked where it is read."""


def make_room(folder: Path) -> None:
    """Make the folder that the program writes into; OSError."""
    (folder / LEFT).mkdir(mode=0o700)


class TakenFiles:
    """The files that were taken over, numbered in the order in which they were found."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the attempt's; OSError."""
        self._left, self._out = folder / LEFT, folder / "out"
        (self._out / _DICOM).mkdir(mode=0o700)
        self.names: list[str] = []
        self.others = 0
        """How many files were left that are not `*.dcm`."""

    def take(self, *, from_folders: bool) -> None:
        """Take all `*.dcm`; `from_folders`: of the folders in it, too. Links, pipes and the like are none; OSError."""
        target = os.open(self._out / _DICOM, os.O_RDONLY | os.O_DIRECTORY)

        def visit(here: int) -> list[str]:
            folders = self._take_those_of(here, target)
            return folders if from_folders else []

        try:
            nested.go_through(self._left, visit, lambda *_: None)
        finally:
            os.close(target)

    def _take_those_of(self, here: int, target: int) -> list[str]:
        """Take the files of one open folder; returns the folders in it, the first one last."""
        folders = []
        for name in sorted(os.listdir(here)):
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                folders.append(name)
            elif not (name.endswith(".dcm") and _is_plain(status)):
                self.others += 1
            elif len(self.names) < _MOST_OBJECTS:
                self.names.append(f"{len(self.names) + 1:06}.dcm")
                os.rename(name, self.names[-1], src_dir_fd=here, dst_dir_fd=target)
        return folders[::-1]

    def write_result(self, status: str, summary: str) -> None:
        """Leave `out/result.json`, which names them; OSError."""
        document: dict[str, Any] = {
            "schema": 1,
            "status": status,
            "summary": summary,
            "objects": [{"file": f"{_DICOM}/{name}"} for name in self.names],
        }
        part = self._out / f"{RESULT}.part"
        part.write_text(json.dumps(document), encoding="utf-8")
        part.rename(self._out / RESULT)

    def said(self, who: str) -> str:
        """`The package returned 2 DICOM objects.`"""
        count = len(self.names)
        return f"The {who} returned {count or 'no'} DICOM object{'s' if count != 1 else ''}."


def _is_plain(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
