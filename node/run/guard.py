"""The process between the node and a plugin's processes: it starts them, watches them, and leaves none behind.

`python -I guard.py` reads one order (a line of JSON) on its standard input, runs it, writes one
verdict (a line of JSON) and ends. It lives as long as the other end of its standard input: when the
node dies, by whatever, the guard sees the end of the file and kills what it started; when the guard
dies, the kernel kills the plugin (PR_SET_PDEATHSIG, and a pid namespace where there is one). Orphans
of the plugin become the guard's children (PR_SET_CHILD_SUBREAPER), so a daemon does not get away.

Memory is watched as the resident size of the tree, never limited by RLIMIT_AS: CUDA reserves address
space in terabytes (design, "Processes").
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

POLL_SECONDS = 0.25
DISK_POLL_SECONDS = 1.0
KILL_SECONDS = 20.0
NICENESS = 5  # receiving comes first: a modality never waits for a plugin
OOM_SCORE = 600  # if the machine runs out of memory, the kernel ends a plugin before anything of the node's
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_prctl = ctypes.CDLL(None, use_errno=True).prctl


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, and how far it may go; the fields of limits are those of `node.run.executor.Limits`."""

    command: list[str]
    environment: Mapping[str, str]
    working_folder: str
    log: str
    writable: list[str]
    """Folders whose size counts."""
    sandboxed: bool
    """`command` begins with bwrap, which reports on a descriptor whether the plugin was started at all."""
    deadline_seconds: float
    memory_bytes: int
    processes: int
    disk_bytes: int
    files: int
    log_bytes: int


@dataclass(slots=True)
class Verdict:
    """How it ended: the fields of `node.run.executor.Exit`."""

    ending: str
    code: int | None = None
    detail: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int = 0


class Log:
    """What the plugin prints: its beginning and its end; however much it is, it takes bounded room."""

    def __init__(self, path: Path, limit: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._room = limit // 2
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_limit = limit // 2
        self._tail_size = 0
        self._dropped = 0

    def write(self, content: bytes) -> None:
        """Keep it, or the part of it that will turn out to be the end."""
        head, rest = content[: self._room], content[self._room :]
        if head:
            self._room -= len(head)
            self._put(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._tail_limit:
            first = self._tail.popleft()
            self._tail_size -= len(first)
            self._dropped += len(first)

    def close(self) -> None:
        """Write the end behind the beginning."""
        if self._dropped:
            self._put(f"\n… {self._dropped} bytes left out …\n".encode())
        self._put(b"".join(self._tail))
        self._file.close()

    def _put(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the log, not the result
            self._file.write(content)


class Plugin:
    """The processes of one order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.peak = 0
        self._status_read, status_write = os.pipe()
        os.set_blocking(self._status_read, False)
        command = list(order.command)
        if order.sandboxed:
            command[1:1] = ["--json-status-fd", str(status_write)]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(order.environment),
                cwd=order.working_folder,
                start_new_session=True,
                preexec_fn=settle_child,  # noqa: PLW1509 - safe here: this process has one thread
                pass_fds=(status_write,) if order.sandboxed else (),
            )
        finally:
            os.close(status_write)

    @property
    def output(self) -> BinaryIO:
        """Both its outputs, in the order of writing."""
        assert self.process.stdout is not None
        return self.process.stdout  # type: ignore[return-value]  # typeshed says IO[bytes]; it is a BufferedReader

    def was_started(self) -> bool:
        """Whether the plugin itself ran: always, unless the sandbox failed before it came to that."""
        if not self.order.sandboxed:
            return True
        try:
            return b'"exit-code"' in os.read(self._status_read, 4096)
        except BlockingIOError:
            return False

    def over_the_limit(self) -> tuple[str, str] | None:
        """The ending and its detail, where its processes or their memory exceed the limits."""
        tree = self._tree()
        if len(tree) > self.order.processes:
            return "processes", f"{len(tree)} processes, at most {self.order.processes}"
        used = sum(_resident(process) for process in tree)
        if used > self.order.memory_bytes:
            used = sum(_proportional(process) for process in tree)  # forks share pages: RSS counts those many times
        self.peak = max(self.peak, used)
        if used > self.order.memory_bytes:
            return "memory", f"{used // 2**20} MiB, at most {self.order.memory_bytes // 2**20} MiB"
        return None

    def too_much_on_disk(self) -> str | None:
        """What is wrong with the size of what it has written, in words."""
        size = files = 0
        for folder in self.order.writable:
            try:
                for status in _walk(folder):
                    files += 1
                    size += status.st_blocks * 512
                    if files > self.order.files:
                        return f"more than {self.order.files} files"
            except OSError as error:
                return f"a folder of {os.path.basename(folder)}/ cannot be measured: {error.strerror}"
        if size > self.order.disk_bytes:
            return f"{size // 2**20} MiB written, at most {self.order.disk_bytes // 2**20} MiB"
        return None

    def _tree(self) -> list[psutil.Process]:
        """All living processes of the plugin; dead orphans that became ours are buried on the way."""
        living = []
        for process in psutil.Process().children(recursive=True):
            try:
                status, parent = process.status(), process.ppid()
            except psutil.NoSuchProcess:
                continue
            if status != psutil.STATUS_ZOMBIE:
                living.append(process)
            elif parent == os.getpid() and process.pid != self.process.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
        return living

    def kill(self) -> bool:
        """Kill all of them; false where one outlived it (it hangs in the kernel)."""
        end = time.monotonic() + KILL_SECONDS
        self.process.kill()  # in a sandbox this ends the pid namespace, and all in it at once
        while time.monotonic() < end:
            self.process.poll()
            tree = self._tree()
            if not tree:
                return True
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.005)
        return False


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:
        return _resident(process)


def _walk(folder: str) -> Iterator[os.stat_result]:
    """Status of every entry below a folder; what vanishes meanwhile is left out, no link is followed.

    OSError where a folder hides what is in it: by its permissions, or by a path that is too long.
    """
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):  # removed, or another thing by now
            continue


def settle_child() -> None:
    """In a child before its program: it dies with its parent, and gets no capability, with which bwrap would refuse."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def _settle() -> None:
    """Make this process the parent of all orphans, and set what its children inherit."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # the node says when to end, nobody else
        signal.signal(number, lambda *_: None)  # SIG_IGN would be inherited by the plugin, a handler is not
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold patients' images
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")


def watch(order: Order, plugin: Plugin, log: Log, orders: BinaryIO) -> Verdict:
    """Wait for the end of the plugin, or bring it about."""
    started = next_look = time.monotonic()
    next_disk = started + DISK_POLL_SECONDS
    selector = selectors.DefaultSelector()
    selector.register(plugin.output, selectors.EVENT_READ)
    selector.register(orders, selectors.EVENT_READ)
    os.set_blocking(plugin.output.fileno(), False)
    while plugin.process.poll() is None:
        for key, _ in selector.select(POLL_SECONDS):
            if key.fileobj is orders:
                return Verdict("cancelled")
            if not _drain(plugin.output, log, 64):
                selector.unregister(plugin.output)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    plugin.process.wait(POLL_SECONDS)  # nearly always it is ending
        now = time.monotonic()
        if now < next_look:
            continue
        next_look = now + POLL_SECONDS
        if now - started > order.deadline_seconds:
            return Verdict("deadline", detail=f"not ended after {order.deadline_seconds:g} s")
        if over := plugin.over_the_limit():
            return Verdict(over[0], detail=over[1])
        if now >= next_disk:
            if problem := plugin.too_much_on_disk():
                return Verdict("disk", detail=problem)
            next_disk = time.monotonic() + max(DISK_POLL_SECONDS, 20 * (time.monotonic() - now))
    return _ended(plugin)


def _ended(plugin: Plugin) -> Verdict:
    code = plugin.process.returncode
    if not plugin.was_started():
        return Verdict(
            "not_started", code, "the sandbox or the program in it could not be started; log.txt holds the message"
        )
    if plugin.order.sandboxed and code > 128:  # bwrap says 128 + signal, as a shell does
        code = 128 - code
    return Verdict("signalled", -code) if code < 0 else Verdict("exited", code)


def _drain(output: BinaryIO, log: Log, most: int) -> bool:
    """Read what is there, up to this many blocks; false at the end of the file."""
    for _ in range(most):
        try:
            content = os.read(output.fileno(), 65536)
        except BlockingIOError:
            return True
        if not content:
            return False
        log.write(content)
    return True


def run(order: Order, orders: BinaryIO) -> Verdict:
    """Run one order until it ends, whatever that is; no process of it is left."""
    started = time.monotonic()
    log = Log(Path(order.log), order.log_bytes)
    try:
        plugin = Plugin(order)
    except OSError as error:
        log.write(f"{error}\n".encode())
        log.close()
        return Verdict("not_started", detail=f"{order.command[0]}: {error.strerror}")
    killed = False
    try:
        verdict = watch(order, plugin, log, orders)
    finally:
        killed = plugin.kill()
    if not killed:
        verdict.detail = f"{verdict.detail} (a process of it could not be killed)".strip()
    _drain(plugin.output, log, 1024)
    log.close()
    verdict.seconds = round(time.monotonic() - started, 3)
    verdict.peak_memory_bytes = plugin.peak
    return verdict


def main() -> int:
    """One order in, one verdict out."""
    orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - stays open: its end is the node's
    line = b""
    while not line.endswith(b"\n"):
        byte = orders.read(1)
        if not byte:
            return 1
        line += byte
    order = Order(**json.loads(line))
    _settle()
    verdict = run(order, orders)
    with contextlib.suppress(BrokenPipeError):  # the node is gone: nobody is left to tell
        sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
