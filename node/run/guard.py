"""The process between the node and a plugin's processes: it starts them, watches them, and leaves none behind.

`python -I -m node.run.guard` reads one order (a line of JSON) on its standard input, runs it, writes one
verdict (a line of JSON) and ends. A worker is stopped (SIGSTOP) when it has done a job; each further line has it do the
job that is in its folder by then, for one more verdict. A verdict without `memory_bytes` is the last one.

The guard lives as long as the other end of its standard input: when the node dies, by whatever, the guard sees the end
of the file and kills what it started; when the guard dies, the kernel kills the plugin (PR_SET_PDEATHSIG, and a pid
namespace where there is one). Orphans of the plugin become the guard's children (PR_SET_CHILD_SUBREAPER), so a daemon
does not get away.

Memory and disk are watched (`memory_use`, `disk_use`). Memory is never limited by RLIMIT_AS: CUDA reserves address
space in terabytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import psutil

from node.run import inherited, last_line, memory_use, worker_channel
from node.run.containers.enclosure import ContainerEnclosure
from node.run.disk_use import DiskUse, Room
from node.run.enclosure import Enclosure
from node.run.guard_messages import GuardOrder
from node.run.guard_report import GuardReport
from node.run.left_behind import Residents
from node.run.lingering import GraceTime
from node.run.plugin_log import PluginLog
from node.run.worker_channel import WorkerChannel

POLL_SECONDS = 0.25
GLANCE_SECONDS = 0.02  # at the free space: a plugin that writes 1 GB a second gets 20 MB further meanwhile
KILL_SECONDS = 20.0
_ASKED_WHERE = {"deadline": 0.5, "loading": 0.5, "memory": 0.2}
"""Endings after which a plugin is asked where it is, and the seconds that it gets: memory may grow meanwhile."""


class PluginProcesses:
    """The processes of one order."""

    def __init__(self, order: GuardOrder, enclosure: Enclosure | ContainerEnclosure) -> None:
        self.order = order
        self.enclosure = enclosure
        self.begin_job()
        self.channel = WorkerChannel() if order.is_worker else None
        self.residents: Residents | None = None
        """What of a worker stays between jobs; None until its code is loaded."""
        self._device = os.stat(order.writable[0]).st_dev
        # Beyond what is watched, for the case that the watching is slow. Files in memory are limited by it, too.
        largest = 2 * max(order.disk_bytes, order.memory_bytes)
        self._status_read, status_write = os.pipe()
        os.set_blocking(self._status_read, False)
        command, passed = self._command(status_write)
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(order.environment),
                cwd=order.working_folder,
                start_new_session=True,
                preexec_fn=partial(inherited.settle_child, largest, enclosure.join),  # noqa: PLW1509 - one thread here
                pass_fds=passed,
            )
        finally:
            os.close(status_write)
            if self.channel:
                self.channel.started()
        self.output = cast(BinaryIO, self.process.stdout)  # both its outputs, in the order of writing
        try:
            enclosure.started(self.output.fileno(), self._status_read)
        except OSError:
            self.kill()
            raise

    def _command(self, status: int) -> tuple[list[str], list[int]]:
        """What to start, and the descriptors that it inherits; `status` is the one for bubblewrap's report."""
        command, passed = list(self.order.command), []
        if self.channel:
            passed.append(self.channel.worker_end)
            command = [part.replace(worker_channel.PLACE, str(passed[0])) for part in command]
        if self.order.sandboxed:
            passed += [status, *self.enclosure.descriptors]
            command[1:1] = ["--json-status-fd", str(status)]
        return command, passed

    def begin_job(self) -> None:
        """Measure from here on what the next job takes."""
        self.peak = 0
        room = Room(self.order.disk_bytes, self.order.files, self.order.keep_free_bytes)
        self.disk = DiskUse(self.order.writable, room)

    def loaded(self) -> None:
        """The code of a worker is loaded: what is there now may stay between jobs. Then it gets its first one."""
        assert self.channel is not None
        order = self.order
        self.residents = Residents(self.pids(), order.folder, order.writable, order.sandboxed)
        self.channel.job()

    def rest(self) -> str:
        """Stop a worker until its next job; why it cannot have one, or ""."""
        if self.residents is None:
            return "it answered before its code was loaded"
        return self.residents.rest(self.pids)

    def go_on(self) -> None:
        """The next job of a worker that rests; OSError."""
        assert self.channel is not None
        assert self.residents is not None
        self.enclosure.next_job()
        self.residents.thaw()
        self.begin_job()
        self.channel.job()

    @property
    def is_loaded(self) -> bool:
        """Whether its time counts as that of the job."""
        return self.channel is None or self.residents is not None

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
        if lost := self.enclosure.lost():
            return "guard_died", lost
        processes = self.pids()
        if len(processes) > self.order.processes:
            return "processes", f"{len(processes)} processes, at most {self.order.processes}"
        used = memory_use.measure(processes, self.order.memory_bytes, self._device)
        self.memory, self.peak = used.all, max(self.peak, used.all)
        if used.all > self.order.memory_bytes:
            files = f" ({used.in_files // 2**20} MiB in files in memory)" if used.in_files >= 2**20 else ""
            return "memory", f"{used.all // 2**20} MiB{files}, at most {self.order.memory_bytes // 2**20} MiB"
        return None

    def too_much_on_disk(self) -> str | None:
        """What is wrong with what it has written, in words."""
        return self.disk.too_much(self.pids())

    def pids(self) -> Collection[int]:
        """Of all its living processes; those of a worker that rests are known, and start no others."""
        if self.residents and self.residents.are_at_rest:
            return self.residents.processes
        inside = self.enclosure.processes()
        return [each.pid for each in self._tree()] if inside is None else inside

    def _tree(self) -> list[psutil.Process]:
        """All living processes of the plugin; dead orphans that became ours are buried on the way."""
        living = []
        for process in psutil.Process().children(recursive=True):
            try:
                status, parent = process.status(), process.ppid()
            except psutil.NoSuchProcess:
                continue
            if status != psutil.STATUS_ZOMBIE:
                living += [] if process.pid == self.enclosure.relay else [process]
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


def watch(order: GuardOrder, plugin: PluginProcesses, log: PluginLog, orders: BinaryIO) -> GuardReport:
    """Wait for the end of the job, or bring it about."""
    started = next_look = time.monotonic()
    lingering = GraceTime(order.result, order.grace_seconds)
    with _selector_of(plugin, orders) as selector:
        while plugin.process.poll() is None:
            for key, _ in selector.select(GLANCE_SECONDS):
                if key.fileobj is orders:
                    return GuardReport("cancelled")
                if key.fileobj is plugin.channel:
                    was_loaded = plugin.is_loaded
                    if report := _heard(plugin, selector):
                        return report
                    started = time.monotonic() if plugin.is_loaded and not was_loaded else started
                elif not log.take(plugin.output.fileno(), 64):
                    selector.unregister(plugin.output)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        plugin.process.wait(GLANCE_SECONDS)  # nearly always it is ending
            if log.printed > order.printed_bytes:
                return GuardReport("output", detail=f"printed more than {order.printed_bytes // 2**20} MiB")
            if plugin.disk.is_due() and (problem := plugin.too_much_on_disk()):
                return GuardReport("disk", detail=problem)
            now = time.monotonic()
            if now < next_look:
                continue
            next_look = now + POLL_SECONDS
            if report := _too_long(order, plugin, now - started):
                return report
            if lingering.is_over(now):
                return GuardReport("lingered", detail=f"not ended {order.grace_seconds:g} s after its result was there")
            if over := plugin.over_the_limit():
                return GuardReport(over[0], detail=over[1])
    return _ended(plugin)


def _selector_of(plugin: PluginProcesses, orders: BinaryIO) -> selectors.BaseSelector:
    selector = selectors.DefaultSelector()
    os.set_blocking(plugin.output.fileno(), False)
    for each in (plugin.output, orders, plugin.channel):
        if each is not None:
            selector.register(each, selectors.EVENT_READ)
    return selector


def _too_long(order: GuardOrder, plugin: PluginProcesses, seconds: float) -> GuardReport | None:
    if not plugin.is_loaded and seconds > order.loading_seconds:
        return GuardReport("loading", detail=f"its code was not loaded after {order.loading_seconds:g} s")
    if plugin.is_loaded and seconds > order.deadline_seconds:
        return GuardReport("deadline", detail=f"not ended after {order.deadline_seconds:g} s")
    return None


def _heard(plugin: PluginProcesses, selector: selectors.BaseSelector) -> GuardReport | None:
    """Take what a worker says; a report where that ends its job."""
    assert plugin.channel is not None
    message = plugin.channel.read()
    if message is None:
        selector.unregister(plugin.channel)  # it has ended, or has closed what it was given
    elif message == worker_channel.LOADED and not plugin.is_loaded:
        plugin.loaded()
    elif message:
        return _answered(plugin, *worker_channel.answer(message))
    return None


def _answered(plugin: PluginProcesses, code: int, leaves: str) -> GuardReport:
    """A job is done; what it took is judged, and whether its worker is fit for another one."""
    leaves = leaves or plugin.rest()
    if over := plugin.over_the_limit():
        return GuardReport(over[0], detail=over[1])
    if problem := plugin.too_much_on_disk():
        return GuardReport("disk", detail=problem)
    return GuardReport("exited", code, leaves, memory_bytes=0 if leaves else plugin.memory)


def _ended(plugin: PluginProcesses) -> GuardReport:
    code = plugin.process.returncode
    if not plugin.was_started():
        return GuardReport(
            "not_started", code, "the sandbox or the program in it could not be started; log.txt holds the message"
        )
    if plugin.enclosure.was_out_of_memory():
        used = plugin.enclosure.peak_bytes() // 2**20
        return GuardReport("memory", detail=f"{used} MiB, at most {plugin.order.memory_bytes // 2**20} MiB")
    if problem := plugin.too_much_on_disk():  # it was quicker than the glances: a full disk may be why it ended
        return GuardReport("disk", detail=problem)
    if report := plugin.enclosure.how_ended(code):
        return report
    if plugin.order.sandboxed and code > 128:  # bwrap says 128 + signal, as a shell does
        code = 128 - code
    if code == -signal.SIGXFSZ:
        return GuardReport("disk", detail="wrote more into one file than it may write in all")
    return GuardReport("signalled", -code) if code < 0 else GuardReport("exited", code)


def _where(plugin: PluginProcesses, log: PluginLog, seconds: float) -> str:
    """Where in its author's code a plugin is that is about to be ended, for the admin; "" where it cannot say."""
    printed, home = log.listen(), plugin.order.code_folder
    if not home or not last_line.ask(plugin.pids()):
        return ""
    line = last_line.heard(printed, lambda: log.take(plugin.output.fileno(), 64), home, seconds)
    return f"; it was at {line}" if line else ""


def run(plugin: PluginProcesses, log: PluginLog, orders: BinaryIO) -> GuardReport:
    """Watch one job until it ends, whatever that is; nothing of the plugin is left but a worker that rests."""
    started, killed = time.monotonic(), True
    report = GuardReport("cancelled")
    try:
        report = watch(plugin.order, plugin, log, orders)
        if seconds := _ASKED_WHERE.get(report.ending):
            report.detail += _where(plugin, log, seconds)
    finally:
        if report.memory_bytes:
            plugin.enclosure.end_job()
        else:
            killed = all([plugin.kill(), plugin.enclosure.end()])
    if not killed:
        report.detail = f"{report.detail} (a process of it could not be killed)".strip()
    log.take(plugin.output.fileno(), 1024)
    if (report.ending, report.code) == ("exited", 0) and (said := plugin.enclosure.collect()):
        log.write(f"--- {said}\n".encode())
    report.seconds = round(time.monotonic() - started, 3)
    report.peak_memory_bytes = plugin.peak
    return report


def _started(order: GuardOrder, log: PluginLog) -> PluginProcesses | GuardReport:
    """Its processes, with the first job; a report where they cannot be started."""
    enclosure = ContainerEnclosure(order.container) if order.container else Enclosure(order.enclosure)
    try:
        enclosure.begin(order.memory_bytes, order.processes)
        return PluginProcesses(order, enclosure)
    except OSError as error:
        log.write(f"{error}\n".encode())
        enclosure.end()
        return GuardReport("not_started", detail=f"{order.command[0]}: {error.strerror or error}")


def serve(order: GuardOrder, orders: BinaryIO) -> None:
    """Do one job after the other, a report on standard output for each."""
    plugin: PluginProcesses | GuardReport | None = None
    while True:
        log = PluginLog(Path(order.log), order.log_bytes)
        try:
            if isinstance(plugin, PluginProcesses):
                plugin.go_on()
            else:
                plugin = _started(order, log)
            report = plugin if isinstance(plugin, GuardReport) else run(plugin, log, orders)
            if report.ending == "exited" and report.detail:
                log.write(f"--- the process is not kept for another job: {report.detail}\n".encode())
        finally:
            log.close()
        with contextlib.suppress(BrokenPipeError):  # the node is gone: nobody is left to tell
            sys.stdout.write(json.dumps(asdict(report)) + "\n")
            sys.stdout.flush()
        if not report.memory_bytes or isinstance(plugin, GuardReport):
            return
        if not (plugin.channel and plugin.channel.rests_until(orders) and plugin.enclosure.is_connected()):
            plugin.kill()
            plugin.enclosure.end()
            return


def main() -> int:
    """One order in, a report out for each of its jobs."""
    orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - stays open: its end is the node's
    line = worker_channel.line(orders)
    if not line:
        return 1
    inherited.settle()
    serve(GuardOrder.from_line(line), orders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
