"""What a power loss may leave: a process's system calls, recorded below it, replayed to the worst legal state.

`recorded` attaches strace to a running process. `Disk` then replays the record by the weakest rules a file system may
keep (POSIX: fsync(2) speaks of one file or one folder, and of nothing else):

- of a file there is what an fsync or fdatasync of it covered when it began, and nothing more;
- of a folder there are the names that an fsync of that folder covered when it began, and no others: a file may be
  whole and have no name, or have an old one;
- a name that is there may belong to a file of which nothing is.

At each C-STORE response that went out, `Disk` notes what would be there if the power went at that moment.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.peers import program
from tests.support.wait import until

_CALLS = "openat,write,fsync,fdatasync,rename,unlink,sendto,close"
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
            tracer.wait(20)


@dataclass(slots=True)
class File:
    """A file, whatever its names are."""

    written: int = 0
    durable: int = 0
    """Bytes that are there after a power loss."""


Folder = Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Promise:
    """A response that went out, and what a power loss at that moment would have left."""

    path: str
    """Where the object lay that was answered for."""
    left: Mapping[str, int]
    """Bytes, by path."""


@dataclass
class Disk:
    """The state of the files below one folder, as the kernel showed it and as the disk may hold it."""

    root: Path
    promises: list[Promise] = field(default_factory=list)
    _names: dict[str, File] = field(default_factory=dict)
    _durable: dict[str, Folder] = field(default_factory=dict)
    _begun: dict[str, tuple[str, dict[str, File], int]] = field(default_factory=dict)
    """By thread: a call that has not returned, and the state when it began."""
    _whole: dict[str, str] = field(default_factory=dict)
    """By thread: the last object that it gave its final name."""

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
            self._begun[thread] = (text, dict(self._names), self._written(text))
            return
        resumed = _RESUMED.match(rest)
        if resumed:
            text, names, written = self._begun.pop(thread, ("", {}, 0))
            rest = text + resumed["rest"]
            if text.startswith("sendto("):
                return
        else:
            names, written = self._names, self._written(rest)
        call = _CALL.match(rest)
        if call and int(call["result"]) >= 0:
            self._call(thread, call["name"], call["arguments"], int(call["result"]), dict(names), written)

    def _call(
        self, thread: str, name: str, arguments: str, result: int, names: dict[str, File], written: int
    ) -> None:  # fmt: skip
        paths = [found["text"] for found in _QUOTED.finditer(arguments)]
        match name:
            case "openat" if "O_CREAT" in arguments and self._is_ours(paths[0]):
                self._names.setdefault(paths[0], File())
            case "write" if (file := self._file(arguments)) is not None:
                file.written += result
            case "fsync" | "fdatasync":
                self._synced(arguments, names, written)
            case "rename" if self._is_ours(paths[0]):
                self._names[paths[1]] = self._names.pop(paths[0])
                if paths[1].endswith(".dcm"):
                    self._whole[thread] = paths[1]
            case "unlink":
                self._names.pop(paths[0], None)
            case "sendto":
                self._sent(thread, f"sendto({arguments}")

    def _synced(self, arguments: str, names: dict[str, File], written: int) -> None:
        path = _path(arguments)
        if path in names:
            names[path].durable = max(names[path].durable, written)
        else:
            inside = {name: file for name, file in names.items() if str(Path(name).parent) == path}
            self._durable[path] = inside

    def _sent(self, thread: str, text: str) -> None:
        """The answer to the object that this thread last finished; nothing else is P-DATA here."""
        whole = self._whole.pop(thread, None)
        if _P_DATA in text and whole is not None:
            left = {name: file.durable for folder in self._durable.values() for name, file in folder.items()}
            self.promises.append(Promise(whole, left))

    def _written(self, text: str) -> int:
        file = self._file(text.partition("(")[2])
        return file.written if file is not None else 0

    def _file(self, arguments: str) -> File | None:
        return self._names.get(_path(arguments))

    def _is_ours(self, path: str) -> bool:
        return Path(path).is_relative_to(self.root)


def _path(arguments: str) -> str:
    """Of the descriptor that is a call's first argument."""
    found = _PATH_OF_DESCRIPTOR.match(arguments)
    return found["path"] if found else ""
