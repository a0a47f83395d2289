"""What a power loss may leave: a process's system calls, recorded below it, replayed to the worst legal state.

`recorded` attaches strace to a running process. `Disk` then replays the record by the weakest rules a file system may
keep (POSIX: fsync(2) speaks of one file or one folder, and of nothing else):

- of a file there is what an fsync or fdatasync of it covered when it began, and of what came later any part or none;
- of a folder there are the names that an fsync of that folder covered when it began, and no others: a file may be
  whole and have no name, or have an old one;
- a name that is there may belong to a file of which nothing is.

At each C-STORE response that went out, `Disk` notes what would be there if the power went at that moment, and what
would be there if the process alone died.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from node.store.seal import PREAMBLE
from tests.support.programs.peers import program
from tests.support.wait import until

_CALLS = "openat,write,pwrite64,fsync,fdatasync,rename,unlink,sendto,close"
_LINE = re.compile(r"(?P<thread>\d+) +(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"
_PATH_OF_DESCRIPTOR = re.compile(r"^\d+<(?P<path>/[^>]*)>")
_QUOTED = re.compile(r'"(?P<text>[^"]*)"')
_P_DATA = '"\\4\\0'
"""How strace shows the first bytes of a P-DATA-TF PDU."""


@contextmanager
def recorded(process: int, trace: Path) -> Iterator[None]:
    """Record the calls of a process that matter to its files, until the block ends."""
    command = [program("strace", "strace"), "-f", "-y", "-s", "8", "-e", f"trace={_CALLS}", "-o", str(trace)]
    with trace.with_suffix(".log").open("w+") as said:
        tracer = subprocess.Popen([*command, "-p", str(process)], stderr=said)
        try:
            until(lambda: "attached" in trace.with_suffix(".log").read_text(), what="strace to attach")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(120)


@dataclass(frozen=True, slots=True)
class Written:
    """How much of what a file holds in the end is there: bytes from its begin, and whether its seal is."""

    length: int = 0
    sealed: bool = False


@dataclass(slots=True)
class File:
    """A file, whatever its names are."""

    path: str
    """Its newest name."""
    written: Written = Written()
    durable: Written = Written()
    """What is there after a power loss."""
    ready: int = 0
    """Bytes that were on the disk, all zeros, before it was opened to be overwritten."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a file; its bytes are taken from the file as it is now, under its newest name."""

    file: File
    surely: Written
    perhaps: Written
    ready: int

    def content(self, *, torn: bool = False) -> bytes:
        """Its bytes; `torn`: the begin of what was not synchronised is there too, with the seal, and the end is not."""
        if not self.perhaps.length:
            return bytes(self.ready)  # nothing was ever written, and it may be gone by now
        now = Path(self.file.path).read_bytes()
        said = self.perhaps if torn else self.surely
        length = max(self.surely.length, self.perhaps.length - 1000) if torn else self.surely.length
        kept = now[:length] if said.sealed else bytes(min(length, PREAMBLE)) + now[PREAMBLE:length]
        return kept + bytes(max(0, self.ready - len(kept)))


Folder = Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Before:
    """The state when a call began."""

    call: int
    names: Mapping[str, File]
    written: Written


@dataclass(frozen=True, slots=True)
class Promise:
    """A response that went out, and what was there at that moment, by path."""

    receipt: str
    """The object that was answered for."""
    left: Mapping[str, Remains]
    """After a power loss."""
    seen: Mapping[str, Remains]
    """After the end of the process."""


@dataclass
class Disk:
    """The state of the files below one folder, as the kernel showed it and as the disk may hold it."""

    root: Path
    promises: list[Promise] = field(default_factory=list)
    _names: dict[str, File] = field(default_factory=dict)
    _durable: dict[str, Folder] = field(default_factory=dict)
    _calls: int = 0
    _synced_at: dict[str, int] = field(default_factory=dict)
    _begun: dict[str, tuple[str, Before]] = field(default_factory=dict)
    """By thread: a call that has not returned, and the state when it began."""
    _whole: dict[str, str] = field(default_factory=dict)
    """By thread: the receipt of the last object that it made durable, or named."""
    _promised: set[str] = field(default_factory=set)

    def replay(self, trace: Path) -> list[Promise]:
        """All promises of a record, in order."""
        for line in trace.read_text(errors="replace").splitlines():
            found = _LINE.fullmatch(line)
            if found:
                self._line(found["thread"], found["rest"])
        return self.promises

    def _line(self, thread: str, rest: str) -> None:
        if rest.endswith(_UNFINISHED):
            text = rest.removesuffix(_UNFINISHED)
            if text.startswith("sendto("):  # the peer may have it before the call returns
                self._sent(thread, text)
            self._begun[thread] = (text, self._now(text))
            return
        resumed = _RESUMED.match(rest)
        if resumed:
            text, before = self._begun.pop(thread, ("", self._now("")))
            rest = text + resumed["rest"]
            if text.startswith("sendto("):
                return
        else:
            before = self._now(rest)
        call = _CALL.match(rest)
        if call and int(call["result"]) >= 0:
            self._call(thread, call["name"], call["arguments"], int(call["result"]), before)

    def _now(self, text: str) -> Before:
        self._calls += 1
        return Before(self._calls, dict(self._names), self._written(text))

    def _call(self, thread: str, name: str, arguments: str, result: int, before: Before) -> None:
        paths = [found["text"] for found in _QUOTED.finditer(arguments)]
        match name:
            case "openat" if self._is_ours(paths[0]):
                self._opened(paths[0], "O_CREAT" in arguments)
            case "write" if (file := self._file(arguments)) is not None:
                file.written = replace(file.written, length=file.written.length + result)
            case "pwrite64" if (file := self._file(arguments)) is not None:
                file.written = replace(file.written, sealed=True)
            case "fsync" | "fdatasync":
                self._synced(thread, arguments, before)
            case "rename" if self._is_ours(paths[0]):
                self._renamed(thread, *paths)
            case "unlink":
                self._names.pop(paths[0], None)
            case "sendto":
                self._sent(thread, f"sendto({arguments}")

    def _opened(self, path: str, creating: bool) -> None:
        if creating:
            self._names.setdefault(path, File(path))
        elif path.endswith(".slot"):
            file = self._names[path]
            assert file.durable == file.written, "a slot whose blocks were not durable was given out"
            file.ready, file.written, file.durable = file.durable.length, Written(), Written()

    def _synced(self, thread: str, arguments: str, before: Before) -> None:
        path = _path(arguments)
        if path in before.names:
            file = before.names[path]
            file.durable = max(file.durable, before.written, key=lambda written: written.length)
            if path.endswith(".part"):
                self._whole[thread] = Path(path).stem
        elif before.call > self._synced_at.get(path, 0):  # of two at once, the one that began later covers more
            self._synced_at[path] = before.call
            inside = {name: file for name, file in before.names.items() if str(Path(name).parent) == path}
            self._durable[path] = inside

    def _renamed(self, thread: str, old: str, new: str) -> None:
        file = self._names[new] = self._names.pop(old)
        file.path = new
        if new.endswith(".dcm") and Path(new).stem not in self._promised:
            self._whole[thread] = Path(new).stem

    def _sent(self, thread: str, text: str) -> None:
        """The answer to the object that this thread last finished; nothing else is P-DATA here."""
        whole = self._whole.pop(thread, None)
        if _P_DATA in text and whole is not None:
            self._promised.add(whole)
            durable = {name: file for folder in self._durable.values() for name, file in folder.items()}
            left = {name: Remains(file, file.durable, file.written, file.ready) for name, file in durable.items()}
            seen = {name: Remains(file, file.written, file.written, file.ready) for name, file in self._names.items()}
            self.promises.append(Promise(whole, left, seen))

    def _written(self, text: str) -> Written:
        file = self._file(text.partition("(")[2])
        return file.written if file is not None else Written()

    def _file(self, arguments: str) -> File | None:
        return self._names.get(_path(arguments))

    def _is_ours(self, path: str) -> bool:
        return Path(path).is_relative_to(self.root)


def _path(arguments: str) -> str:
    """Of the descriptor that is a call's first argument."""
    found = _PATH_OF_DESCRIPTOR.match(arguments)
    return found["path"] if found else ""
