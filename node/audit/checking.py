"""Whether the audit trail is what was written, and where it is not.

Each line is checked by itself and against the one before it. What a chain of digests cannot show by itself, that its
end was cut off, or that all of it was written again, shows against a digest from elsewhere: the ledger knows the one of
the last entry, a checkpoint that of an earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.audit.trail import (
    BEFORE_ALL,
    BEGINNING,
    EntryDigest,
    EntryKind,
    TrailEntry,
    files_in,
    is_right,
    lines_of,
    parse,
)


@dataclass(frozen=True, slots=True)
class Break:
    """One place where the trail is not what was written."""

    file: str
    line: int
    """In the file, from 1 on; 0: of the file as a whole."""
    what: str
    """A sentence."""

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.what}"


@dataclass
class TrailCheck:
    """What came of a check."""

    breaks: list[Break] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is unusual, and explained by the trail itself."""
    entries: int = 0
    first: int = 0
    last: EntryDigest = BEFORE_ALL

    @property
    def summary(self) -> str:
        """The first break, and how many there are beside it."""
        more = f" (and {len(self.breaks) - 1} more)" if len(self.breaks) > 1 else ""
        return f"{self.breaks[0]}{more}"


def check(folder: Path, known: Sequence[EntryDigest] = ()) -> TrailCheck:
    """Read all of it. `known`: entries whose digest is known from elsewhere. Raises OSError."""
    return _TrailReading(folder, known).read()


class _TrailReading:
    def __init__(self, folder: Path, known: Sequence[EntryDigest]) -> None:
        self._files = files_in(folder)
        self._known: Mapping[int, str] = {each.number: each.digest for each in known if each.number}
        self._found = TrailCheck()
        self._last: TrailEntry | None = None
        self._bad_line: tuple[str, int, bytes] | None = None
        """The line before, where it is no entry: what was torn is explained by the next one."""
        self._removed: dict[int, str] = {}
        """Last entries of files that were removed, with their digests."""
        self._begins: tuple[str, TrailEntry] | None = None
        self._seen: set[int] = set()

    def read(self) -> TrailCheck:
        for file in self._files:
            for number, line in lines_of(file):
                self._line(file, number, line)
        self._bad(last=True)
        self._beginning()
        self._end()
        return self._found

    def _line(self, file: Path, number: int, line: bytes) -> None:
        entry = parse(line)
        if entry is None:
            self._bad()
            self._bad_line = (file.name, number, line)
            return
        fields = entry.fields if b'"kind":"message"' not in entry.text else {}
        kind = fields.get("kind", EntryKind.MESSAGE)
        if self._bad_line is not None and kind == EntryKind.TORN and _explains(fields, self._bad_line[2]):
            self._found.notes.append(f"{file.name}, line {number - 1}: a line that a crash left unfinished")
            self._bad_line = None
        self._bad()
        self._found.entries += 1
        if not is_right(entry):
            self._break(file, number, f"entry {entry.number} was changed")
        elif entry.number in self._known and self._known[entry.number] != entry.digest:
            self._break(file, number, f"entry {entry.number} is not the one that was written: the trail was made again")
        self._follows(file, number, entry, fields)
        if kind == EntryKind.REMOVED:
            self._removed[int(fields["to"])] = str(fields["sha256"])
        if entry.number in self._known:
            self._seen.add(entry.number)
        self._last = entry

    def _follows(self, file: Path, line: int, entry: TrailEntry, fields: Mapping[str, object]) -> None:
        """Whether it follows the one before it."""
        before = self._last
        if before is None:
            self._begins = (file.name, entry)
            return
        gap = entry.number - before.number - 1
        if fields.get("kind") == EntryKind.MISSING:
            self._break(file, line, f"entries {fields['from']} to {fields['to']} were not there when the node started")
        elif gap > 0:
            where = "a file is missing: " if line == 1 else ""
            self._break(file, line, f"{where}entries {before.number + 1} to {entry.number - 1} were removed")
        elif gap < 0:
            self._break(file, line, f"entry {entry.number} after {before.number}: inserted, or moved from its place")
        elif entry.previous != before.digest:
            self._break(file, line, f"entry {entry.number} does not follow {before.number}: one of them was replaced")

    def _beginning(self) -> None:
        """The first entry of all follows nothing, or what was removed because it was old."""
        if self._begins is None:
            return
        name, entry = self._begins
        self._found.first = entry.number
        if entry.number == 1:
            if entry.previous != BEGINNING:
                self._found.breaks.insert(0, Break(name, 1, "entry 1 follows another one: it was replaced"))
            return
        if self._removed.get(entry.number - 1) == entry.previous:
            self._found.notes.append(f"entries before {entry.number} were removed as audit.keep says")
            return
        self._found.breaks.insert(0, Break(name, 0, f"the files with the entries before {entry.number} are missing"))

    def _end(self) -> None:
        """The end is not before what is known from elsewhere."""
        if self._last is not None:
            self._found.last = EntryDigest(self._last.number, self._last.digest)
        ends, newest = self._found.last.number, max(self._known, default=0)
        if newest > ends:
            name = self._files[-1].name if self._files else "audit"
            text = f"the end was cut off: entries {ends + 1} to {newest} are missing"
            self._found.breaks.append(Break(name, 0, text))
        first = self._found.first
        for number in sorted(set(self._known) - self._seen):
            if first <= number <= ends and not any(f"{number}" in each.what for each in self._found.breaks):
                self._found.breaks.append(Break("audit", 0, f"entry {number} is missing, which was written"))

    def _bad(self, *, last: bool = False) -> None:
        """The line before was no entry, and nothing explains it."""
        if self._bad_line is None:
            return
        name, number, _ = self._bad_line
        text = "the last line is not finished: it is being written, or a crash left it" if last else "no entry"
        if last:
            self._found.notes.append(f"{name}, line {number}: {text}")
        else:
            self._found.breaks.append(Break(name, number, "the line was changed, or is none of the trail's"))
        self._bad_line = None

    def _break(self, file: Path, line: int, what: str) -> None:
        self._found.breaks.append(Break(file.name, line, what))


def _explains(fields: Mapping[str, object], line: bytes) -> bool:
    return fields.get("sha256") == hashlib.sha256(line).hexdigest() and fields.get("bytes") == len(line)
