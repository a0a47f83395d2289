"""What a plugin can reach: with bubblewrap only its own job; in any case nothing of the node's environment."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.config.from_values import validated
from node.config.models import PluginUse
from node.ledger.job import Job, JobOutcome
from node.run import confinement, sandbox, users
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from tests.support.sites.job_site import NOT_ISOLATED, Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
USER = users.PluginUser(1, 1, (), (), "tests")


@pytest.fixture
def free_listener() -> Iterator[int]:
    """A port on which somebody on this machine listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


TRIES = {
    "writes into the ledger": "open({data!r} + '/ledger.db', 'r+b')",
    "writes beside its own folder": "(OUT.parent / 'evil').write_text('x')",
    "writes into its inputs": "(OUT.parent / 'in' / 'evil').write_text('x')",
    "writes into its own code": "(Path(__file__).parent / 'evil').write_text('x')",
    "writes into the system": "open('/usr/evil', 'w')",
    "writes into the root": "open('/evil', 'w')",
    "reads the ledger": "open({data!r} + '/ledger.db', 'rb')",
    "reads the store": "next(Path({data!r}, 'store').rglob('*.dcm')).read_bytes()",
    "reads the configuration": "open({config!r}).read()",
    "reads another plugin": "open({other!r}).read()",
    "connects to this machine": "socket.create_connection(('127.0.0.1', {port}), 5)",
    "connects to another machine": "socket.create_connection(('192.0.2.1', 80), 5)",
    "signals the node": "os.kill({pid}, 0)",
}


@pytest.mark.parametrize("case", TRIES)
def test_fault_74_what_a_confined_plugin_may_not_do_fails(
    site: Site, start: Start, settle: Settle, isolated: Isolation, case: str, free_listener: int
) -> None:
    """Each of these raises inside the plugin, which says so; nothing outside has changed."""
    config = site.folder / "config.yaml"
    config.write_text("password: secret")
    site.python_plugin("other")
    attempt = TRIES[case].format(
        data=str(site.data_folder.data),
        config=str(config),
        other=str(site.folder / "plugins" / "other" / "the_plugin.py"),
        port=free_listener,
        pid=os.getpid(),
    )
    body = f"""
    try:
        {attempt}
    except (OSError, StopIteration) as error:
        print("denied:", type(error).__name__, error)
    else:
        print("allowed")
    """
    site.python_plugin("tries", body)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("tries", receipts))
    assert job.outcome is JobOutcome.NO_FINDINGS
    assert "denied:" in site.log(job), site.log(job)
    assert "allowed" not in site.log(job)
    assert list(site.folder.rglob("evil")) == []


_CALL = "(lambda code: code and (_ for _ in ()).throw(OSError(ctypes.get_errno(), 'refused')))(libc.{call})"
PRIVILEGES = {
    "sets core_pattern": "Path('/proc/sys/kernel/core_pattern').write_text('|/evil')",
    "sets the name of the machine": "open('/proc/sys/kernel/hostname', 'w')",
    "sets overcommit": "open('/proc/sys/vm/overcommit_memory', 'r+')",
    "makes sysctls writable": _CALL.format(call="mount(b'none', b'/proc', None, 32, None)"),
    "mounts another /proc": _CALL.format(call="mount(b'proc', str(OUT.parent / 'scratch').encode(), b'proc', 0, None)"),
    "presses a magic key": "open('/proc/sysrq-trigger', 'w')",
    "moves interrupts": "open('/proc/irq/default_smp_affinity', 'w')",
    "writes into /sys": "open('/sys/kernel/mm/transparent_hugepage/enabled', 'w')",
    "writes into /dev": "open('/dev/evil', 'w')",
    "makes a device": "os.mknod(str(OUT.parent / 'scratch' / 'evil'), 0o20666, os.makedev(1, 1))",
    "opens memory": "open('/dev/mem', 'rb')",
    "opens a disk": "next(iter(sorted(Path('/dev').glob('[svn]d*'))) or iter(()))",
    "loads a module": _CALL.format(call="syscall(313, 0, b'', 0)"),
    "changes its root": "os.chroot('/tmp')",
    "takes capabilities": _CALL.format(call="prctl(47, 2, 21, 0, 0)"),
    "becomes another user": "os.setuid(1)",
    "traces the node": _CALL.format(call="ptrace(16, {pid}, 0, 0)"),
    "kills the node": "os.kill({pid}, 0)",
    "makes namespaces": _CALL.format(call="unshare(0x10000000 | 0x20000)"),
    "enters the node's namespaces": "open('/proc/{pid}/ns/mnt')",
    "makes a network": _CALL.format(call="unshare(0x40000000)"),
}


@pytest.mark.parametrize("case", PRIVILEGES)
def test_fault_103_finding_x9_what_root_may_a_confined_plugin_may_not(
    site: Site, start: Start, settle: Settle, isolated: Isolation, case: str
) -> None:
    """As whichever user the node runs, root too: denied inside, and outside nothing has changed."""
    settings = [Path("/proc/sys/kernel") / name for name in ("core_pattern", "hostname")]
    before = [each.read_text() for each in settings]
    body = f"""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        {PRIVILEGES[case].format(pid=os.getpid())}
    except (OSError, StopIteration) as error:
        print("denied:", type(error).__name__, error)
    else:
        print("allowed")
    """
    site.python_plugin("tries", body)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("tries", receipts))
    try:
        assert "denied:" in site.log(job), site.log(job)
        assert [each.read_text() for each in settings] == before
    finally:
        for each, was in zip(settings, before, strict=True):
            if each.read_text() != was:  # never leave a machine as a failing test would
                each.write_text(was)
    assert list(site.folder.rglob("evil")) == []


def test_finding_x9_a_confined_plugin_has_no_capability_and_gets_none(
    site: Site, start: Start, settle: Settle, isolated: Isolation
) -> None:
    """All sets are empty, the bounding set too, and no program can raise them."""
    site.python_plugin(
        "looks",
        "print(*[line for line in open('/proc/self/status') if line[:5] in ('CapIn', 'CapPr', "
        "'CapEf', 'CapBn', 'CapAm', 'NoNew')])",
    )
    receipts = site.receive(1)
    site.complete()
    log = site.log(settle(start(isolated), site.job("looks", receipts)))
    assert log.count("0000000000000000") == 5
    assert "NoNewPrivs:\t1" in log


def test_a_confined_plugin_sees_no_process_but_its_own(
    site: Site, start: Start, settle: Settle, isolated: Isolation
) -> None:
    """Its process namespace begins with its own init."""
    site.python_plugin("looks", "print('pids', sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("looks", receipts))
    assert "pids [1, 2]" in site.log(job)


def test_a_plugin_gets_none_of_the_nodes_environment(
    site: Site, start: Start, settle: Settle, confinement: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets in the node's environment stay there; HOME and TMPDIR are the job's scratch."""
    monkeypatch.setenv("PACS_PASSWORD", "secret")
    site.python_plugin("env", "print(json.dumps(dict(os.environ)))")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(confinement), site.job("env", receipts))
    log = site.log(job)
    assert "secret" not in log
    printed = json.loads(log.splitlines()[-1])
    assert printed["HOME"] == printed["TMPDIR"]
    assert printed["HOME"].startswith(f"{site.data_folder.work}/")
    assert printed["HOME"].endswith("/job/scratch")


def test_a_plugin_imports_the_contract_and_nothing_of_the_node(
    site: Site, start: Start, settle: Settle, confinement: Isolation
) -> None:
    """`plugins` comes from the zip; the working folder is not on the path."""
    site.python_plugin("imports", "import plugins.contract as c; print('from', c.__file__, '' in sys.path)")
    receipts = site.receive(1)
    site.complete()
    job = settle(start(confinement), site.job("imports", receipts))
    assert "plugins.zip/plugins/contract.py False" in site.log(job)


def test_fault_74_a_data_folder_inside_of_something_readable_is_covered(
    site: Site, start: Start, settle: Settle, isolated: Isolation
) -> None:
    """The data folder lies in the plugin's own folder, of all places: its code is read, the ledger is not."""
    site.python_plugin("tries", "print('ledger', Path('LEDGER').exists(), 'siblings', os.listdir('DATA'))")
    for path in (site.folder / "plugins" / "tries").iterdir():
        text = path.read_text().replace("LEDGER", str(site.ledger.path)).replace("DATA", str(site.data_folder.data))
        (site.folder / path.name).write_text(text)
    site.uses["tries"] = PluginUse(folder=site.folder)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(isolated), site.job("tries", receipts))
    assert "ledger False siblings ['work']" in site.log(job)


def test_status_says_whether_plugins_are_isolated() -> None:
    """One line for `check` and `status`, with the reason where they are not."""
    assert str(NOT_ISOLATED).startswith("not isolated: ")
    assert NOT_ISOLATED.reason in str(NOT_ISOLATED)
    assert str(Isolation(sandbox.Sandbox("bwrap", ()), "")).startswith("isolated: ")


@pytest.mark.parametrize(
    ("found", "as_root", "severity", "text"),
    [
        (Isolation(sandbox.Sandbox("bwrap", ()), "", "no user"), True, "warning", "isolated: "),
        (Isolation(sandbox.Sandbox("bwrap", (), USER), ""), True, "", "isolated: plugins run as tests"),
        (Isolation(sandbox.Sandbox("bwrap", ()), "x"), False, "warning", "isolated only in part: in the sandbox, x"),
        (Isolation(sandbox.Sandbox("bwrap", ()), "x"), True, "alert", "plugins run unconfined as root: isolated only"),
        (NOT_ISOLATED, False, "warning", "not isolated: "),
        (NOT_ISOLATED, True, "alert", "plugins run unconfined as root: not isolated: "),
    ],
)
def test_finding_x9_unconfined_plugins_of_root_are_an_alert(
    found: Isolation, as_root: bool, severity: str, text: str
) -> None:
    """What is missing is a warning to a node that runs as a user, and red to one that runs as root."""
    said = confinement.of(found, as_root)
    assert (said.severity, said.isolated) == (severity, found.whole)
    assert said.text.startswith(text)


def test_finding_x9_what_the_node_found_is_left_for_status(tmp_path: Path) -> None:
    """`status` reads it where the node left it; what is there half, or by another version, is as if nothing were."""
    assert confinement.noted(tmp_path) is None
    told = validated({"node": {"time_zone": "UTC", "data": str(tmp_path)}}, tmp_path)
    assert confinement.note(told) == confinement.noted(tmp_path) == confinement.tried(told)
    for content in ("", "[]", '{"isolated": true}'):
        (tmp_path / confinement.FILE).write_text(content)
        assert confinement.noted(tmp_path) is None


_PASSED_ON = 'for each; do shift; case "$each" in {}) {} ;; *) set -- "$@" "$each" ;; esac; done'
HOLES = {
    "no namespaces": ("--unshare-all", 'set -- "$@" --unshare-pid', "network interface"),
    "capabilities": ("--cap-drop", 'set -- "$@" --cap-add', "capabilities are left"),
    "writable": ("--remount-ro", 'set -- "$@" --dir', "can be written"),
}


@pytest.mark.parametrize(("option", "instead", "said"), HOLES.values(), ids=HOLES)
def test_finding_x9_what_a_sandbox_leaves_open_is_found_by_trying_it(
    tmp_path: Path, isolated: Isolation, option: str, instead: str, said: str
) -> None:
    """A bubblewrap that leaves out one thing: the probe in its sandbox says so, though every command works in it."""
    assert isolated.sandbox is not None
    script = f'{_PASSED_ON.format(option, instead)}\nexec {isolated.sandbox.program} "$@"'
    found = sandbox.probe(_pretended(tmp_path, script))
    assert found.sandbox is not None
    assert not found.whole
    assert said in str(found)


def _pretended(folder: Path, script: str) -> str:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_an_older_bubblewrap_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """One that does not know --disable-userns still isolates."""
    program = _pretended(tmp_path, 'case "$*" in *--disable-userns*) echo unknown option >&2; exit 1;; esac')
    found = sandbox.probe(program)
    assert found.sandbox is not None
    assert "--unshare-all" in found.sandbox.options
    assert "--disable-userns" not in found.sandbox.options


def test_a_bubblewrap_that_does_not_work_is_said_to(tmp_path: Path) -> None:
    """As in a container that forbids user namespaces: the reason is bubblewrap's own message."""
    found = sandbox.probe(_pretended(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1"))
    assert found.sandbox is None
    assert "No permissions to create new namespace" in str(found)
