"""Two releases below one folder: this program, and a later one that has a migration more, or that does not start."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from node import __version__
from node.release.releases import Release, Releases

ROOT = Path(__file__).resolve().parents[3]
NOW, LATER, BROKEN = __version__, "9.1.0", "9.2.0"
_MIGRATION = """
@migrations(name="9999_later")
def _later(database):
    database["later"].create({"id": int}, pk="id")


def apply("""


class TwoReleases:
    """ROOT with the three of them; `current` is this one. Their interpreters are scripts over this one's."""

    def __init__(self, folder: Path) -> None:
        self.releases = Releases(folder / "root")
        later = _later(folder / "later")
        broken = shutil.copytree(later, folder / "broken")
        _change(broken / "node" / "__init__.py", LATER, BROKEN)
        _change(broken / "node" / "receive" / "process.py", "def main(", "raise SystemExit(3)\n\n\ndef main(")
        self.now, self.later, self.broken = (
            self._release(version, source) for version, source in ((NOW, ROOT), (LATER, later), (BROKEN, broken))
        )
        self.releases.switch(self.now)

    def _release(self, version: str, source: Path) -> Release:
        programs = self.releases.root / "releases" / version / "venv" / "bin"
        programs.mkdir(parents=True)
        for name, module in (("python", ""), ("pacsnode", "-P -m node.cli ")):
            line = f'#!/bin/sh\nPYTHONPATH="{source}" exec "{sys.executable}" {module}"$@"\n'
            (programs / name).write_text(line)
            (programs / name).chmod(0o755)
        return self.releases.finish(version, "0")


def _later(folder: Path) -> Path:
    """A copy of this program, with what is compiled of it, and changed."""
    for name in ("node", "rules", "plugins"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    _change(folder / "node" / "__init__.py", NOW, LATER)
    schema = folder / "node" / "ledger" / "schema"
    _change(schema / "versions.py", '\n)\n"""All', '\n    "9999_later",\n)\n"""All')
    _change(schema / "migrations.py", "def apply(", _MIGRATION.lstrip())
    _change(folder / "node" / "config" / "models.py", "ae_title:", "a_later_key: int = 3\n    ae_title:")
    return folder


def _change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text, f"{file}: {before}"
    file.write_text(text.replace(before, after, 1))
    os.utime(file)
